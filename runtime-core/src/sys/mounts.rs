//! mount_setattr(2) on trees that are not attached yet.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::plan::Attributes;

/// mount_setattr(2) on a detached tree: first what is for all of it, then what is for its top alone.
pub(crate) fn set_mount_attributes(
    tree: BorrowedFd<'_>,
    attributes: &Attributes,
    propagation: &[u32],
) -> io::Result<()> {
    let recursive = (attributes.recursive_set, attributes.recursive_clear);
    if recursive != (0, 0) {
        mount_setattr(tree, recursive, 0, true)?;
    }
    if (attributes.set, attributes.clear) != (0, 0) {
        mount_setattr(tree, (attributes.set, attributes.clear), 0, false)?;
    }
    for &flags in propagation {
        let recursive = flags & libc::MS_REC as u32 != 0;
        mount_setattr(tree, (0, 0), flags & !(libc::MS_REC as u32), recursive)?;
    }
    Ok(())
}

/// Gives a detached tree the ids of a user namespace (mount_setattr(2), MOUNT_ATTR_IDMAP).
pub(crate) fn map_ids(
    tree: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    recursive: bool,
) -> io::Result<()> {
    // A descriptor is not negative.
    let namespace = namespace.as_raw_fd() as u64;
    let attr = [libc::MOUNT_ATTR_IDMAP, 0, 0, namespace];
    call_mount_setattr(tree, &attr, recursive)
}

fn mount_setattr(
    tree: BorrowedFd<'_>,
    (set, clear): (u64, u64),
    propagation: u32,
    recursive: bool,
) -> io::Result<()> {
    call_mount_setattr(tree, &[set, clear, u64::from(propagation), 0], recursive)
}

/// `attr` is `struct mount_attr`: attr_set, attr_clr, propagation, userns_fd.
fn call_mount_setattr(tree: BorrowedFd<'_>, attr: &[u64; 4], recursive: bool) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: an empty path, and a structure of the size that is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            flags,
            attr.as_ptr(),
            size_of_val(attr),
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
