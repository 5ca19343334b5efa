//! The pages of a file that the kernel keeps.

use std::ffi::c_void;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Drops those that are clean and in nobody's use (posix_fadvise(2)).
pub(crate) fn drop_pages(file: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: integers alone.
    match unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) } {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}

/// Reads the first byte if it is there: [`io::ErrorKind::WouldBlock`] says that it is not (preadv2(2)).
pub(crate) fn read_without_waiting(file: BorrowedFd<'_>) -> io::Result<()> {
    let mut byte = 0_u8;
    let vector = libc::iovec {
        iov_base: (&raw mut byte).cast::<c_void>(),
        iov_len: 1,
    };
    // SAFETY: one buffer of one byte.
    let result =
        unsafe { libc::preadv2(file.as_raw_fd(), &raw const vector, 1, 0, libc::RWF_NOWAIT) };
    match result {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
