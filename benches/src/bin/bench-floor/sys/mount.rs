//! mount(2) and pivot_root(2).

use std::ffi::{CStr, c_ulong};
use std::io;
use std::ptr;

use super::{check, check_int};

/// Mounts a new filesystem.
pub(crate) fn new(
    kind: &CStr,
    source: &CStr,
    target: &CStr,
    flags: c_ulong,
    options: &CStr,
) -> io::Result<()> {
    let (source, target, kind) = (source.as_ptr(), target.as_ptr(), kind.as_ptr());
    // SAFETY: all strings are NUL-terminated.
    check_int(unsafe { libc::mount(source, target, kind, flags, options.as_ptr().cast()) })
}

/// Mounts a part of the tree in another place.
pub(crate) fn bind(source: &CStr, target: &CStr, flags: c_ulong) -> io::Result<()> {
    let (source, target) = (source.as_ptr(), target.as_ptr());
    // SAFETY: both paths are NUL-terminated; for a bind mount the other pointers may be null.
    check_int(unsafe { libc::mount(source, target, ptr::null(), flags, ptr::null()) })
}

/// Changes a mount's flags or propagation.
pub(crate) fn change(target: &CStr, flags: c_ulong) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated; for a change of flags the other pointers may be null.
    check_int(unsafe {
        libc::mount(
            ptr::null(),
            target.as_ptr(),
            ptr::null(),
            flags,
            ptr::null(),
        )
    })
}

/// Sets flags of a mount and all below it (mount_setattr(2)); those used here have the numbers of MS_RDONLY and its kind.
pub(crate) fn set_recursively(target: &CStr, flags: c_ulong) -> io::Result<()> {
    let attributes = [flags, 0, 0, 0];
    // SAFETY: the path is NUL-terminated, and the array has the layout and the size of a mount_attr.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            target.as_ptr(),
            libc::AT_RECURSIVE,
            attributes.as_ptr(),
            size_of_val(&attributes),
        )
    })
    .map(drop)
}

/// Makes the working directory the root and lets go of the old one (pivot_root(2), the recipe with ".").
pub(crate) fn pivot_here() -> io::Result<()> {
    let here = c".".as_ptr();
    // SAFETY: the path is NUL-terminated.
    check(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) })?;
    // SAFETY: the path is NUL-terminated.
    check_int(unsafe { libc::umount2(here, libc::MNT_DETACH) })?;
    // SAFETY: the path is NUL-terminated.
    check_int(unsafe { libc::chdir(c"/".as_ptr()) })
}
