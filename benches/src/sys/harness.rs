//! What the measuring process does to itself and to its children.

use std::ffi::{CStr, c_int};
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{NULL, check_int};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn interrupt(_signal: c_int) {
    INTERRUPTED.store(true, Ordering::Relaxed);
}

/// Lets SIGINT, SIGTERM and SIGHUP only set a flag, so that everything is still cleaned up.
pub(crate) fn note_interrupts() -> io::Result<()> {
    let handler: extern "C" fn(c_int) = interrupt;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: a sigaction of zeros is a valid one: no flags, an empty mask.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = handler as libc::sighandler_t;
        // SAFETY: the handler stores to an atomic and does nothing else.
        check_int(unsafe { libc::sigaction(signal, &raw const action, ptr::null_mut()) })?;
    }
    Ok(())
}

/// Whether one of these signals has come.
pub(crate) fn interrupted() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// Makes orphaned descendants our children (PR_SET_CHILD_SUBREAPER).
pub(crate) fn adopt_orphans() -> io::Result<()> {
    // SAFETY: integers alone.
    check_int(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })
}

/// Waits for an adopted child; another's child is not waited for.
pub(crate) fn reap(pid: libc::pid_t) {
    loop {
        // SAFETY: a null status is allowed.
        let result = unsafe { libc::waitpid(pid, ptr::null_mut(), 0) };
        let again = io::Error::last_os_error().kind() == io::ErrorKind::Interrupted;
        if result >= 0 || !again {
            return;
        }
    }
}

/// Reaps every child that has ended. Not to be called while a `std::process::Child` is waited for elsewhere.
pub(crate) fn reap_ended() {
    // SAFETY: a null status is allowed.
    while unsafe { libc::waitpid(-1, ptr::null_mut(), libc::WNOHANG) } > 0 {}
}

/// Whether a process is our child and not reaped yet, so that its number cannot be another's.
pub(crate) fn is_child(pid: libc::pid_t) -> bool {
    let Ok(id) = libc::id_t::try_from(pid) else {
        return false;
    };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: a siginfo_t of zeros is a valid one.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: info is a siginfo_t of our own; WNOWAIT leaves the child to be waited for.
    unsafe { libc::waitid(libc::P_PID, id, &raw mut info, flags) == 0 }
}

/// Sends SIGKILL.
pub(crate) fn kill(pid: libc::pid_t) -> io::Result<()> {
    // SAFETY: integers alone.
    check_int(unsafe { libc::kill(pid, libc::SIGKILL) })
}

/// Moves this process to a mount namespace of its own, from which nothing reaches the host's.
pub(crate) fn leave_host_mounts() -> io::Result<()> {
    // SAFETY: an integer alone.
    check_int(unsafe { libc::unshare(libc::CLONE_NEWNS) })?;
    let flags = libc::MS_REC | libc::MS_PRIVATE;
    // SAFETY: the target is NUL-terminated, the other pointers may be null when propagation alone is changed.
    check_int(unsafe { libc::mount(ptr::null(), c"/".as_ptr(), ptr::null(), flags, NULL) })
}

/// Unmounts a filesystem.
pub(crate) fn unmount(target: &CStr) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated.
    check_int(unsafe { libc::umount2(target.as_ptr(), libc::UMOUNT_NOFOLLOW) })
}
