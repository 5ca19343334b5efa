//! Mounts: the new mount API and pivot_root(2).

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{NULL, check, check_int, descriptor};

const AT_EMPTY_PATH: u32 = libc::AT_EMPTY_PATH.cast_unsigned();
const AT_RECURSIVE: u32 = libc::AT_RECURSIVE.cast_unsigned();
const FSOPEN_CLOEXEC: c_int = 1;
const FSMOUNT_CLOEXEC: c_int = 1;
const FSCONFIG_SET_STRING: c_int = 1;
const FSCONFIG_CMD_CREATE: c_int = 6;
const MOVE_MOUNT_F_EMPTY_PATH: c_int = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: c_int = 0x40;
const OPEN_TREE_CLONE: u32 = 1;
const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC.cast_unsigned();

/// The kernel's `struct mount_attr` (mount_setattr(2)).
#[repr(C)]
pub(crate) struct Attributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

impl Attributes {
    pub(crate) const PRIVATE: Self = Self {
        set: 0,
        clear: 0,
        propagation: libc::MS_PRIVATE,
        user_namespace: 0,
    };

    pub(crate) const fn set(set: u64) -> Self {
        Self {
            set,
            clear: 0,
            propagation: 0,
            user_namespace: 0,
        }
    }
}

/// Where a mount is attached.
pub(crate) enum MountTarget<'a> {
    Path(&'a CStr),
    Below(BorrowedFd<'a>, &'a CStr),
    Descriptor(BorrowedFd<'a>),
}

fn raw(directory: Option<BorrowedFd<'_>>) -> c_int {
    directory.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd())
}

/// A detached copy of the mount at a path (open_tree(2)).
pub(crate) fn clone_tree(
    directory: Option<BorrowedFd<'_>>,
    path: &CStr,
    recursive: bool,
) -> io::Result<OwnedFd> {
    let recursive = if recursive { AT_RECURSIVE } else { 0 };
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | recursive;
    // SAFETY: path is NUL-terminated.
    descriptor(unsafe { libc::syscall(libc::SYS_open_tree, raw(directory), path.as_ptr(), flags) })
}

/// Changes a mount's attributes or propagation (mount_setattr(2)).
pub(crate) fn set_attributes(
    directory: Option<BorrowedFd<'_>>,
    path: &CStr,
    attributes: Attributes,
    recursive: bool,
) -> io::Result<()> {
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: path is NUL-terminated, attributes is a mount_attr of the size given.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            raw(directory),
            path.as_ptr(),
            flags,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    })
    .map(drop)
}

/// A new, detached mount of a new filesystem (fsopen(2), fsconfig(2), fsmount(2)).
pub(crate) fn new_filesystem(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: u64,
) -> io::Result<OwnedFd> {
    // SAFETY: kind is NUL-terminated.
    let context =
        descriptor(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })?;
    let fd = context.as_raw_fd();
    for (key, value) in options {
        let (key, value) = (key.as_ptr(), value.as_ptr());
        // SAFETY: both strings are NUL-terminated.
        check(unsafe {
            libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_SET_STRING, key, value, 0)
        })?;
    }
    // SAFETY: this command takes no pointer.
    check(unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) })?;
    // SAFETY: integers alone.
    descriptor(unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes) })
}

/// Attaches a detached mount (move_mount(2)).
pub(crate) fn attach(mount: BorrowedFd<'_>, target: MountTarget<'_>) -> io::Result<()> {
    let (directory, path, flag) = match target {
        MountTarget::Path(path) => (libc::AT_FDCWD, path, 0),
        MountTarget::Below(directory, path) => (directory.as_raw_fd(), path, 0),
        MountTarget::Descriptor(fd) => (fd.as_raw_fd(), c"", MOVE_MOUNT_T_EMPTY_PATH),
    };
    // SAFETY: both paths are NUL-terminated.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            directory,
            path.as_ptr(),
            MOVE_MOUNT_F_EMPTY_PATH | flag,
        )
    })
    .map(drop)
}

/// Makes a mount the root and lets go of the old one (pivot_root(2), the recipe with ".").
pub(crate) fn pivot_into(root: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor.
    check_int(unsafe { libc::fchdir(root.as_raw_fd()) })?;
    let here = c".".as_ptr();
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })?;
    // SAFETY: the path is NUL-terminated.
    check_int(unsafe { libc::umount2(here, libc::MNT_DETACH) })?;
    // SAFETY: the path is NUL-terminated.
    check_int(unsafe { libc::chdir(c"/".as_ptr()) })
}
