//! The library's only `unsafe`: starting the init, and system calls that no crate wraps.
#![allow(unsafe_code)]

mod mounts;
mod network;
mod raw;
mod scheduling;
mod start;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr;

pub(crate) use mounts::{map_ids, set_mount_attributes};
pub(crate) use network::bring_loopback_up;
pub(crate) use scheduling::{OtherCpus, set_cpu_affinity, set_io_priority, set_scheduler};
pub(crate) use start::{Start, spawn};

fn errno() -> i32 {
    // SAFETY: the location of the thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

/// Blocks all signals for the calling thread; gives those that were.
pub(crate) fn block_signals() -> libc::sigset_t {
    // SAFETY: both sets are written by the calls before they are read.
    unsafe {
        let (mut all, mut old) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut old);
        old
    }
}

fn restore_signals(mask: &libc::sigset_t) {
    // SAFETY: a set that the kernel wrote.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, mask, ptr::null_mut()) };
}

/// Waits for a child to end; gives its wait status (waitpid(2)).
pub(crate) fn wait(pid: i32) -> io::Result<i32> {
    let mut status = 0;
    loop {
        // SAFETY: the status is this function's own.
        match unsafe { libc::waitpid(pid, &mut status, 0) } {
            -1 if errno() == libc::EINTR => {}
            -1 => return Err(io::Error::last_os_error()),
            _ => return Ok(status),
        }
    }
}

/// Fails with ECHILD unless the process is a child of the caller (waitid(2)); one that has ended may still be waited for.
pub(crate) fn is_child(pidfd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: siginfo_t is plain data, and the call writes it.
    let result = unsafe {
        let mut information: libc::siginfo_t = std::mem::zeroed();
        let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
        let pidfd = pidfd.as_raw_fd() as libc::id_t;
        libc::waitid(libc::P_PIDFD, pidfd, &mut information, options)
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Whether a capability is in the caller's bounding set; nothing when the kernel does not know it.
pub(crate) fn is_in_bounding_set(capability: u32) -> io::Result<Option<bool>> {
    // SAFETY: the call takes and gives numbers alone.
    match unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) } {
        -1 if errno() == libc::EINVAL => Ok(None),
        -1 => Err(io::Error::last_os_error()),
        answer => Ok(Some(answer != 0)),
    }
}

/// Whether the kernel knows flags of seccomp(2): with known ones it goes on to read the filter, which is not there.
pub(crate) fn has_seccomp_flag(flag: u32) -> bool {
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // WAIT_KILLABLE_RECV is refused without a listener.
    let flags = flag | runtime_init::SECCOMP_NEW_LISTENER;
    let filter = std::ptr::null::<libc::sock_fprog>();
    // SAFETY: the kernel answers the null address with EFAULT, and loads nothing.
    let answer = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, filter) };
    answer == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EFAULT)
}

/// prlimit(2) on another process.
pub(crate) fn set_rlimit(pid: i32, resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: a structure of the right type, read by the call.
    let result = unsafe { libc::prlimit64(pid, resource as _, &limit, ptr::null_mut()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// The caller's own descriptor of that number, which it keeps open during the call that this is for.
pub(crate) fn callers(descriptor: RawFd) -> BorrowedFd<'static> {
    // SAFETY: used for the standard streams, which are the process's for good.
    unsafe { BorrowedFd::borrow_raw(descriptor) }
}

/// Whether a descriptor of that number is open.
pub(crate) fn is_open(descriptor: RawFd) -> bool {
    // SAFETY: reads a flag of a number, whatever it is.
    unsafe { libc::fcntl(descriptor, libc::F_GETFD) >= 0 }
}

/// pidfd_send_signal(2), for any signal that the kernel has.
pub(crate) fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let nothing = ptr::null::<libc::siginfo_t>();
    // SAFETY: without a siginfo the call takes numbers alone.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            nothing,
            0,
        )
    };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
