//! `bareboat`: an OCI runtime with runc's command line.
//!
//! It is entered as a C program is. What Rust's own runtime does before a `main` (std::rt) takes a tenth of the time of a
//! short command: it reads `/proc/self/maps` to find the end of the stack, for a message about its overflow.
#![no_main]

use std::ffi::{c_char, c_int};

/// The arguments are had by [`std::env::args_os`], which does not need Rust's runtime.
#[allow(unsafe_code, reason = "the C library calls what has this name")]
// SAFETY: there is no other `main`, and the signature is the C library's.
#[unsafe(no_mangle)]
extern "C" fn main(_count: c_int, _arguments: *const *const c_char) -> c_int {
    // Not returned: `exit` writes out what is left of standard output.
    std::process::exit(runtime_cli::main().into())
}
