//! The birth of the container's first process, and its end.

use std::arch::asm;
use std::ffi::{c_int, c_long, c_void};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{check, descriptor};

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

/// A descriptor of this process (pidfd_open(2)).
pub(crate) fn own_descriptor() -> io::Result<OwnedFd> {
    // SAFETY: integers alone.
    descriptor(unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) })
}

/// A process that borrows this one's memory until it has its own program or is gone: no page table is copied.
pub(crate) struct Child<F> {
    pid: libc::pid_t,
    /// Both are used by the child.
    _stack: Vec<u128>,
    _entry: Box<F>,
}

/// Starts a process in new pid, IPC, UTS and mount namespaces; it runs `entry`, which returns only when it failed.
///
/// This thread goes on meanwhile. The two share the C library's data as well: the child may not allocate memory.
pub(crate) fn start<F: Fn()>(cgroup: Option<BorrowedFd<'_>>, entry: F) -> io::Result<Child<F>> {
    let mut stack = vec![0_u128; STACK / size_of::<u128>()];
    let entry = Box::new(entry);
    let namespaces =
        libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWNS;
    let flags = namespaces | libc::CLONE_VM;
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
    // SAFETY: the stack is ours, aligned to 16 bytes and unused; it and the closure are the Child's, which waits for the
    // process before it drops them.
    let result = unsafe { clone3(&arguments, enter::<F>, (&raw const *entry).cast()) };
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result as c_int));
    }
    Ok(Child {
        pid: libc::pid_t::try_from(result).map_err(io::Error::other)?,
        _stack: stack,
        _entry: entry,
    })
}

impl<F> Child<F> {
    /// Waits for the end and gives the exit code, or 128 and the signal that ended it.
    pub(crate) fn wait(self) -> io::Result<u8> {
        let mut status = 0;
        // SAFETY: status is an integer of our own.
        if let Err(error) = check(unsafe { libc::waitpid(self.pid, &raw mut status, 0) }.into()) {
            // The process may still use what is ours.
            std::mem::forget(self);
            return Err(error);
        }
        let code = if libc::WIFEXITED(status) {
            libc::WEXITSTATUS(status)
        } else {
            128 + libc::WTERMSIG(status)
        };
        Ok(u8::try_from(code).unwrap_or(u8::MAX))
    }
}

/// A word in shared memory that one process sets, once, and the other waits for (futex(2)).
#[derive(Default)]
pub(crate) struct Word(AtomicU32);

impl Word {
    /// Sets it to something that is not 0.
    pub(crate) fn set(&self, value: u32) {
        self.0.store(value, Ordering::Release);
        // SAFETY: the word lives as long as self.
        unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, 1) };
    }

    /// Waits until it is not 0, and gives it.
    pub(crate) fn wait(&self) -> u32 {
        loop {
            let value = self.0.load(Ordering::Acquire);
            if value != 0 {
                return value;
            }
            let (word, forever) = (self.0.as_ptr(), ptr::null::<libc::timespec>());
            // SAFETY: the word lives as long as self; no timeout is given.
            unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, 0, forever) };
        }
    }
}

extern "C" fn enter<F: Fn()>(child: *const c_void) -> ! {
    // SAFETY: start() passes a pointer to its closure, of this very type, which its Child keeps until this process is done.
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
