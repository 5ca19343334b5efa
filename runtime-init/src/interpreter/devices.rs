//! Device nodes and symbolic links in the container's root.

use core::ffi::CStr;

use runtime_init::{Node, Operation};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Uid, chownat, mknodat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::control::fault;
use crate::root::{self, Parent, Root};
use crate::{During, Outcome};

pub(crate) fn make(root: &Root, node: &Node<'_>) -> Outcome {
    let (parent, name) = root::open_own_parent(root, node.path.0)?;
    let kind = FileType::from_raw_mode(node.mode);
    let permissions = Mode::from_raw_mode(node.mode & 0o7777);
    match mknodat(parent.as_fd(), name, kind, permissions, node.device) {
        Ok(()) => {}
        Err(Errno::EXIST) => return check(parent.as_fd(), name, node),
        Err(errno) => return Err(fault(Operation::Whole, errno)),
    }
    if (node.uid, node.gid) == (0, 0) {
        return Ok(());
    }
    let (uid, gid) = (Uid::from_raw(node.uid), Gid::from_raw(node.gid));
    chownat(
        parent.as_fd(),
        name,
        Some(uid),
        Some(gid),
        AtFlags::SYMLINK_NOFOLLOW,
    )
    .during(Operation::ChangeOwner)
}

/// A node that is there already has to be the one that was asked for (config-linux.md, "Devices").
fn check(parent: BorrowedFd<'_>, name: &CStr, node: &Node<'_>) -> Outcome {
    let found = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).during(Operation::CheckTarget)?;
    let same_kind = FileType::from_raw_mode(found.st_mode) == FileType::from_raw_mode(node.mode);
    let same_device = FileType::from_raw_mode(node.mode).is_fifo() || found.st_rdev == node.device;
    if same_kind && same_device {
        Ok(())
    } else {
        Err(fault(Operation::CheckTarget, Errno::EXIST))
    }
}

pub(crate) fn symlink(root: &Root, path: &CStr, target: &CStr, replace: bool) -> Outcome {
    let (parent, name) = if path.to_bytes().starts_with(b"/dev/") {
        root::open_own_parent(root, path)?
    } else {
        let (parent, name) = root::open_parent(root, path)?;
        (Parent::Opened(parent), name)
    };
    match symlinkat(target, parent.as_fd(), name) {
        Err(Errno::EXIST) if !replace => Ok(()),
        Err(Errno::EXIST) => {
            unlinkat(parent.as_fd(), name, AtFlags::empty()).during(Operation::CheckTarget)?;
            symlinkat(target, parent.as_fd(), name).during(Operation::Whole)
        }
        answer => answer.during(Operation::Whole),
    }
}
