//! The birth of the container's first process, and its end.

use std::arch::asm;
use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use super::check;

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const STACK: usize = 256 * 1024;

/// The kernel's `struct clone_args` (clone(2)).
#[repr(C)]
#[derive(Default)]
struct CloneArguments {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// Starts a process in new pid, network, IPC, UTS and mount namespaces; it runs `child`, which returns only when it failed.
///
/// The child borrows this process's memory and this thread sleeps until the child has its own program or is gone:
/// no page table is copied.
pub(crate) fn start<F: Fn()>(cgroup: Option<BorrowedFd<'_>>, child: F) -> io::Result<libc::pid_t> {
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let namespaces = libc::CLONE_NEWPID
        | libc::CLONE_NEWNET
        | libc::CLONE_NEWIPC
        | libc::CLONE_NEWUTS
        | libc::CLONE_NEWNS;
    let flags = namespaces | libc::CLONE_VM | libc::CLONE_VFORK;
    let into = if cgroup.is_some() {
        CLONE_INTO_CGROUP
    } else {
        0
    };
    let arguments = CloneArguments {
        flags: u64::from(flags.cast_unsigned()) | into,
        exit_signal: libc::SIGCHLD as u64,
        stack: stack.as_mut_ptr() as u64,
        stack_size: STACK as u64,
        cgroup: cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArguments::default()
    };
    // SAFETY: the stack is ours, aligned to 16 bytes and unused; it and the closure outlive the child's use of them,
    // because CLONE_VFORK holds this thread until the child has executed a program or ended.
    let result = unsafe { clone3(&arguments, enter::<F>, (&raw const child).cast()) };
    drop(stack);
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result as c_int));
    }
    libc::pid_t::try_from(result).map_err(io::Error::other)
}

extern "C" fn enter<F: Fn()>(child: *const c_void) -> ! {
    // SAFETY: start() passes a pointer to its closure, of this very type, which it keeps until the child is done.
    unsafe { (*child.cast::<F>())() };
    // SAFETY: ends this process at once, without the exit handlers of the parent whose memory it shares.
    unsafe { libc::_exit(1) }
}

/// Calls clone3(2); the child calls `entry` on its own stack.
///
/// # Safety
///
/// `arguments` names a stack that nobody else uses, and `data` is what `entry` expects, for as long as the child runs.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    arguments: &CloneArguments,
    entry: extern "C" fn(*const c_void) -> !,
    data: *const c_void,
) -> c_long {
    let result;
    // SAFETY: in the parent this is a plain system call; the child leaves for `entry`, which never returns.
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") arguments,
            in("rsi") size_of::<CloneArguments>(),
            in("r12") data,
            in("r13") entry,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Calls clone3(2); the child calls `entry` on its own stack.
///
/// # Safety
///
/// `arguments` names a stack that nobody else uses, and `data` is what `entry` expects, for as long as the child runs.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(
    arguments: &CloneArguments,
    entry: extern "C" fn(*const c_void) -> !,
    data: *const c_void,
) -> c_long {
    let result;
    // SAFETY: in the parent this is a plain system call; the child leaves for `entry`, which never returns.
    unsafe {
        asm!(
            "svc #0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "brk #1",
            "2:",
            inlateout("x0") core::ptr::from_ref(arguments) => result,
            in("x1") size_of::<CloneArguments>(),
            in("x8") libc::SYS_clone3,
            in("x20") data,
            in("x21") entry,
        );
    }
    result
}

/// Waits for a process and gives its exit code, or 128 and the signal that ended it.
pub(crate) fn wait(pid: libc::pid_t) -> io::Result<u8> {
    let mut status = 0;
    // SAFETY: status is an integer of our own.
    check(unsafe { libc::waitpid(pid, &raw mut status, 0) }.into())?;
    let code = if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else {
        128 + libc::WTERMSIG(status)
    };
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}
