//! The system calls, each behind a safe function.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::io;
use std::ptr;

pub(crate) mod harness;
pub(crate) mod page_cache;
pub(crate) mod trace;

const NULL: *const c_void = ptr::null();

fn check_int(result: c_int) -> io::Result<()> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
