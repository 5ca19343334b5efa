//! The system calls, each behind a safe function.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

pub(crate) mod bpf;
pub(crate) mod mount;
pub(crate) mod process;
pub(crate) mod task;

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

fn check_int(result: c_int) -> io::Result<()> {
    check(result.into()).map(drop)
}

fn descriptor(result: c_long) -> io::Result<OwnedFd> {
    let number = c_int::try_from(check(result)?).map_err(io::Error::other)?;
    // SAFETY: a system call just returned this descriptor to us.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
