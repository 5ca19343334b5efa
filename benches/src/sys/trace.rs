//! ptrace(2), as far as counting calls and stepping through functions need it.

use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

const OPTIONS: c_int = libc::PTRACE_O_TRACESYSGOOD
    | libc::PTRACE_O_TRACECLONE
    | libc::PTRACE_O_TRACEFORK
    | libc::PTRACE_O_TRACEVFORK
    | libc::PTRACE_O_TRACEEXEC
    | libc::PTRACE_O_TRACEEXIT;

/// Why a traced process does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It begins a system call.
    Entry,
    /// It has become another program.
    Program,
    /// It is about to end.
    Exit,
    /// A signal is to be delivered.
    Signal(c_int),
    Other,
    /// It has ended; the status is that of wait(2).
    End(c_int),
}

fn request(kind: libc::c_uint, pid: i32, address: usize, data: usize) -> io::Result<c_long> {
    let (address, data) = (address as *mut c_void, data as *mut c_void);
    // SAFETY: the callers pass integers, or the size and the address of a buffer of their own.
    match unsafe { libc::ptrace(kind, pid, address, data) } {
        -1 => Err(io::Error::last_os_error()),
        result => Ok(result),
    }
}

/// Starts a command, which stops at the beginning of its program.
pub(crate) fn spawn(command: &mut Command) -> io::Result<i32> {
    let be_traced = || request(libc::PTRACE_TRACEME, 0, 0, 0).map(drop);
    // SAFETY: the closure makes one system call, and allocates only where that fails, in a process with a single thread.
    let child = unsafe { command.pre_exec(be_traced) }.spawn()?;
    let pid = child.id().cast_signed();
    // SAFETY: a null status is allowed.
    if unsafe { libc::waitpid(pid, ptr::null_mut(), libc::__WALL) } < 0 {
        return Err(io::Error::last_os_error());
    }
    request(libc::PTRACE_SETOPTIONS, pid, 0, OPTIONS as usize)?;
    Ok(pid)
}

/// Traces a thread that runs already.
pub(crate) fn attach(thread: i32) -> io::Result<()> {
    request(libc::PTRACE_SEIZE, thread, 0, OPTIONS as usize)?;
    request(libc::PTRACE_INTERRUPT, thread, 0, 0).map(drop)
}

/// Waits for any traced process.
pub(crate) fn wait() -> io::Result<(i32, Stop)> {
    let mut status = 0;
    loop {
        // SAFETY: status is an integer of our own.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
        if pid > 0 {
            return Ok((pid, stop(pid, status)));
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

fn stop(pid: i32, status: c_int) -> Stop {
    if !libc::WIFSTOPPED(status) {
        return Stop::End(status);
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        libc::PTRACE_EVENT_EXEC => Stop::Program,
        libc::PTRACE_EVENT_EXIT => Stop::Exit,
        0 if signal == libc::SIGTRAP | 0x80 && is_entry(pid) => Stop::Entry,
        0 if signal == libc::SIGTRAP | 0x80 => Stop::Other,
        0 => Stop::Signal(signal),
        _ => Stop::Other,
    }
}

fn is_entry(pid: i32) -> bool {
    const PTRACE_SYSCALL_INFO_ENTRY: u8 = 1;
    information(pid).is_ok_and(|info| info[0].to_ne_bytes()[0] == PTRACE_SYSCALL_INFO_ENTRY)
}

/// The address of the instruction that is next.
pub(crate) fn instruction(pid: i32) -> io::Result<u64> {
    information(pid).map(|info| info[1])
}

/// A `ptrace_syscall_info`, which the kernel fills in at any stop: its first byte tells which; the second word is where.
fn information(pid: i32) -> io::Result<[u64; 16]> {
    let mut info = [0_u64; 16];
    let address = info.as_mut_ptr() as usize;
    let kind = libc::PTRACE_GET_SYSCALL_INFO;
    request(kind, pid, size_of_val(&info), address)?;
    Ok(info)
}

/// Lets it go on to its next stop, with a signal or 0. That it was killed meanwhile shows in the next wait.
pub(crate) fn go_on(pid: i32, signal: c_int) {
    let _ = request(libc::PTRACE_SYSCALL, pid, 0, signal as usize);
}

/// Lets it go on by one instruction, likewise.
pub(crate) fn step(pid: i32, signal: c_int) {
    let _ = request(libc::PTRACE_SINGLESTEP, pid, 0, signal as usize);
}

/// Lets it go.
pub(crate) fn detach(pid: i32) {
    let _ = request(libc::PTRACE_DETACH, pid, 0, 0);
}
