//! The few system calls that the standard library and nix do not offer safely: all of the package's `unsafe`.

#![allow(unsafe_code, reason = "the one module that may")]

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// Makes the calling process the one that inherits orphans below it: prctl(2), `PR_SET_CHILD_SUBREAPER`.
pub fn become_child_subreaper() -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })
}

/// Calls syscall(2) with up to six integer arguments; the outer error is the call's errno.
///
/// Only for calls whose arguments are not addresses, or are null: the probe tries them under seccomp filters.
pub fn syscall(number: i64, arguments: [i64; 6]) -> io::Result<i64> {
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the caller passes no addresses but null, which the kernel answers with EFAULT.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// Columns and rows of a terminal: ioctl_tty(2), `TIOCGWINSZ`.
pub fn window_size(terminal: BorrowedFd<'_>) -> io::Result<(u16, u16)> {
    let mut size = libc::winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: `size` is a winsize that lives through the call.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCGWINSZ, &mut size) })?;
    Ok((size.ws_col, size.ws_row))
}

/// Sets columns and rows of a terminal: ioctl_tty(2), `TIOCSWINSZ`.
pub fn set_window_size(terminal: BorrowedFd<'_>, columns: u16, rows: u16) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: `size` is a winsize that lives through the call.
    check(unsafe { libc::ioctl(terminal.as_raw_fd(), libc::TIOCSWINSZ, &size) })
}

/// Sets an extended attribute: setxattr(2).
pub fn set_xattr(path: &Path, name: &CStr, value: &[u8]) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: two C strings, and as many bytes as are announced.
    check(unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    })
}

/// An extended attribute of up to 256 bytes: getxattr(2).
pub fn xattr(path: &Path, name: &CStr) -> io::Result<Vec<u8>> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut value = vec![0u8; 256];
    // SAFETY: two C strings, and room for as many bytes as are announced.
    let length = unsafe {
        libc::getxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    };
    value.truncate(usize::try_from(length).map_err(|_| io::Error::last_os_error())?);
    Ok(value)
}

/// Owns the descriptors that a peer sent over a socket.
pub fn own(received: RawFd) -> OwnedFd {
    // SAFETY: recvmsg(2) made the descriptor for this process a moment ago, and nothing else knows its number.
    unsafe { OwnedFd::from_raw_fd(received) }
}

/// Lets the command inherit each descriptor under the number beside it.
///
/// The numbers should be above those that the process uses itself, or 3 and onwards in a command that needs none.
pub fn inherit(command: &mut Command, descriptors: Vec<(OwnedFd, RawFd)>) {
    let act = move || {
        for (descriptor, number) in &descriptors {
            // SAFETY: dup2 and fcntl take integers only.
            check(unsafe { libc::dup2(descriptor.as_raw_fd(), *number) })?;
            // SAFETY: as above. dup2 onto itself would keep close-on-exec.
            check(unsafe { libc::fcntl(*number, libc::F_SETFD, 0) })?;
        }
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only and does not allocate.
    unsafe { command.pre_exec(act) };
}

/// Gives the command a session of its own, whose controlling terminal is its standard error.
pub fn own_session(command: &mut Command) {
    let act = || {
        // SAFETY: no arguments.
        check(unsafe { libc::setsid() })?;
        // SAFETY: takes integers only.
        check(unsafe { libc::ioctl(2, libc::TIOCSCTTY, 0) })
    };
    // SAFETY: the closure makes async-signal-safe calls only and does not allocate.
    unsafe { command.pre_exec(act) };
}

/// Starts the command with these supplementary groups.
pub fn set_groups(command: &mut Command, groups: Vec<libc::gid_t>) {
    let act = move || {
        // SAFETY: the list has as many groups as it says.
        check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })
    };
    // SAFETY: the closure makes one async-signal-safe call and does not allocate.
    unsafe { command.pre_exec(act) };
}

/// Starts the command with the signals blocked and ignored that a careless caller may leave so.
pub fn block_and_ignore(command: &mut Command, blocked: i32, ignored: i32) {
    let act = move || {
        // SAFETY: the set is initialised by sigemptyset before it is read; signal takes integers.
        unsafe {
            let mut set = std::mem::zeroed();
            libc::sigemptyset(&mut set);
            libc::sigaddset(&mut set, blocked);
            check(libc::sigprocmask(
                libc::SIG_BLOCK,
                &set,
                std::ptr::null_mut(),
            ))?;
            libc::signal(ignored, libc::SIG_IGN);
        }
        Ok(())
    };
    // SAFETY: the closure makes async-signal-safe calls only and does not allocate.
    unsafe { command.pre_exec(act) };
}

/// Starts the command traced by the thread that starts it: ptrace(2), `PTRACE_TRACEME`.
pub fn be_traced(command: &mut Command) {
    let act = || nix::sys::ptrace::traceme().map_err(io::Error::from);
    // SAFETY: the closure makes one async-signal-safe call and does not allocate.
    unsafe { command.pre_exec(act) };
}

/// At which end of a system call a traced process is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallStop {
    /// Before it, and its number.
    Entry(u64),
    /// After it.
    Exit,
}

/// Why a traced process is stopped, if it is for a system call: ptrace(2), `PTRACE_GET_SYSCALL_INFO`.
pub fn call_stop(pid: nix::unistd::Pid) -> nix::Result<Option<CallStop>> {
    let info = nix::sys::ptrace::syscall_info(pid)?;
    Ok(match info.op {
        // SAFETY: `op` says which member of the union the kernel has filled in.
        libc::PTRACE_SYSCALL_INFO_ENTRY => Some(CallStop::Entry(unsafe { info.u.entry.nr })),
        libc::PTRACE_SYSCALL_INFO_EXIT => Some(CallStop::Exit),
        _ => None,
    })
}

/// A system call that waits for a seccomp agent's answer.
#[derive(Clone, Copy, Debug)]
pub struct PendingCall {
    id: u64,
    /// Its number.
    pub number: i64,
}

/// The next call that a seccomp listener is asked about; none when no process is left under its filter
/// (seccomp_unotify(2), `SECCOMP_IOCTL_NOTIF_RECV`).
pub fn next_call(listener: BorrowedFd<'_>) -> Option<PendingCall> {
    loop {
        let mut poll = libc::pollfd {
            fd: listener.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd that lives through the call.
        check(unsafe { libc::poll(&mut poll, 1, -1) }).ok()?;
        if poll.revents & libc::POLLIN == 0 {
            return None;
        }
        // SAFETY: the kernel wants the structure zeroed; integers all of it.
        let mut call: libc::seccomp_notif = unsafe { std::mem::zeroed() };
        // SAFETY: the request takes a seccomp_notif that lives through the call.
        let received = check(unsafe {
            libc::ioctl(
                listener.as_raw_fd(),
                libc::SECCOMP_IOCTL_NOTIF_RECV,
                &mut call,
            )
        });
        // ENOENT: whoever made it was killed meanwhile.
        if received.is_ok() {
            return Some(PendingCall {
                id: call.id,
                number: i64::from(call.data.nr),
            });
        }
    }
}

/// Answers a call (`SECCOMP_IOCTL_NOTIF_SEND`); one whose maker is gone needs no answer.
pub fn answer_call(
    listener: BorrowedFd<'_>,
    call: &PendingCall,
    value: i64,
    errno: i32,
    go_on: bool,
) {
    const CONTINUE: u32 = 1;
    let answer = libc::seccomp_notif_resp {
        id: call.id,
        val: value,
        error: -errno,
        flags: if go_on { CONTINUE } else { 0 },
    };
    // SAFETY: the request takes a seccomp_notif_resp that lives through the call.
    let _ = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &answer,
        )
    };
}

fn check(result: i32) -> io::Result<()> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
