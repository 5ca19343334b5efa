//! The system calls about signals that no safe wrapper offers.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use nix::libc;

/// Gives SIGCHLD its default effect. A caller that ignores it passes that on (execve(2)), and the kernel then forgets how
/// this process's children ended (wait(2), NOTES).
pub(crate) fn keep_children_to_be_waited_for() {
    // SAFETY: no handler is set, and nothing else of this process's runs yet.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

/// Makes a write to a pipe that nobody reads an error, where SIGPIPE would end this process.
pub(crate) fn ignore_broken_pipes() {
    // SAFETY: no handler is set, and nothing else of this process's runs yet.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
}

/// Makes a write beyond RLIMIT_FSIZE an error, which is told and taken back, where SIGXFSZ would end this process with all
/// half made. A handler, unlike an ignored signal, is not passed on to hooks (execve(2)).
pub(crate) fn fail_where_files_may_not_grow() {
    extern "C" fn go_on(_signal: libc::c_int) {}
    let handler: extern "C" fn(libc::c_int) = go_on;
    // SAFETY: the handler does nothing, which is safe at any moment.
    unsafe { libc::signal(libc::SIGXFSZ, handler as libc::sighandler_t) };
}

/// Sends any signal, a real-time one too, to the process that `pidfd` stands for: `pidfd_send_signal(2)`.
pub(crate) fn send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let info = ptr::null::<libc::siginfo_t>();
    // SAFETY: the descriptor is open for the length of the call; a null siginfo asks the kernel to fill in its own.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            info,
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
