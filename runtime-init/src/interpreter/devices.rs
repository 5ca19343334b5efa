//! Device nodes and symbolic links in the container's root.

use core::ffi::CStr;

use runtime_init::Operation;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, Uid, chownat, mknodat, statat, symlinkat, unlinkat,
};
use rustix::io::Errno;

use crate::control::fault;
use crate::{During, Outcome, root};

/// A device node to make.
pub(crate) struct Node {
    pub(crate) mode: u32,
    pub(crate) device: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Node {
    pub(crate) fn make(&self, root: BorrowedFd<'_>, path: &CStr) -> Outcome {
        let (parent, name) = root::open_parent(root, path)?;
        let kind = FileType::from_raw_mode(self.mode);
        let permissions = Mode::from_raw_mode(self.mode & 0o7777);
        match mknodat(parent.as_fd(), name, kind, permissions, self.device) {
            Ok(()) => {}
            Err(Errno::EXIST) => return self.check(parent.as_fd(), name),
            Err(errno) => return Err(fault(Operation::Whole, errno)),
        }
        if (self.uid, self.gid) == (0, 0) {
            return Ok(());
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
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
    fn check(&self, parent: BorrowedFd<'_>, name: &CStr) -> Outcome {
        let found =
            statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).during(Operation::CheckTarget)?;
        let same_kind =
            FileType::from_raw_mode(found.st_mode) == FileType::from_raw_mode(self.mode);
        let same_device =
            FileType::from_raw_mode(self.mode).is_fifo() || found.st_rdev == self.device;
        if same_kind && same_device {
            Ok(())
        } else {
            Err(fault(Operation::CheckTarget, Errno::EXIST))
        }
    }
}

pub(crate) fn symlink(root: BorrowedFd<'_>, path: &CStr, target: &CStr, replace: bool) -> Outcome {
    let (parent, name) = root::open_parent(root, path)?;
    match symlinkat(target, parent.as_fd(), name) {
        Err(Errno::EXIST) if !replace => Ok(()),
        Err(Errno::EXIST) => {
            unlinkat(parent.as_fd(), name, AtFlags::empty()).during(Operation::CheckTarget)?;
            symlinkat(target, parent.as_fd(), name).during(Operation::Whole)
        }
        answer => answer.during(Operation::Whole),
    }
}
