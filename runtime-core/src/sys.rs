//! The library's only `unsafe`: starting the init, and system calls that no crate wraps.
#![allow(unsafe_code)]

mod mounts;
mod network;
mod scheduling;

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};

pub(crate) use mounts::{map_ids, set_mount_attributes};
pub(crate) use network::bring_loopback_up;
pub(crate) use scheduling::{OtherCpus, set_cpu_affinity, set_io_priority, set_scheduler};

/// The child's stack between clone3(2) and execveat(2); it calls a few system calls and nothing else.
const STACK_SIZE: usize = 16 * 1024;

/// Be born in the cgroup of a descriptor (clone(2)); libc's constant does not fit its type.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// What the child does before it executes the init; all of it is prepared before the clone.
struct Child<'a> {
    arguments: &'a [*const libc::c_char],
    environment: &'a [*const libc::c_char],
    /// Standard streams first, then what goes to `first` and the numbers after it, the init's program last.
    descriptors: &'a mut [Descriptor],
    /// How many of these that are not where they belong yet lie at each number.
    users: &'a mut [u16],
    first: RawFd,
    /// Whether it is in a user namespace without id maps.
    unmapped: bool,
    /// Why it could not, for the parent.
    errno: AtomicI32,
}

/// Where a descriptor lies on its way to its number.
#[derive(Clone, Copy)]
struct Descriptor {
    number: RawFd,
    /// Whether this is a copy, made because another goes where it was.
    moved: bool,
}

/// What a new init is started with.
pub(crate) struct Start<'a> {
    pub(crate) init: BorrowedFd<'a>,
    pub(crate) arguments: &'a [&'a CStr],
    pub(crate) environment: &'a [&'a CStr],
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    /// Descriptors that the init gets at `first` and the numbers after it.
    pub(crate) descriptors: &'a [BorrowedFd<'a>],
    /// Descriptors of the caller from 3 up to here stay open at their numbers.
    pub(crate) first: RawFd,
    /// CLONE_NEW flags.
    pub(crate) namespaces: u32,
    /// The cgroup (version 2) that the init is born in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
}

/// Starts the init. The calling thread waits until the init's program replaced the child, as in vfork(2): no code of
/// the caller's runs in it, and none of the caller's memory is copied.
///
/// Signals are blocked for the calling thread meanwhile: a handler of the caller's must not run in the child, which
/// shares the caller's memory.
pub(crate) fn spawn(start: &Start<'_>) -> io::Result<(i32, OwnedFd)> {
    let mut stack = vec![0u8; STACK_SIZE];
    let arguments = null_terminated(start.arguments);
    let environment = null_terminated(start.environment);
    let mut descriptors: Vec<Descriptor> = start
        .stdio
        .iter()
        .chain(start.descriptors)
        .chain([&start.init])
        .map(|descriptor| Descriptor {
            number: descriptor.as_raw_fd(),
            moved: false,
        })
        .collect();
    let mut users = users(&descriptors);
    let mut child = Child {
        arguments: &arguments,
        environment: &environment,
        descriptors: &mut descriptors,
        users: &mut users,
        first: start.first,
        unmapped: start.namespaces & libc::CLONE_NEWUSER as u32 != 0,
        errno: AtomicI32::new(0),
    };
    let mut pidfd: RawFd = -1;
    let mut flags = u64::from(start.namespaces)
        | (libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD) as u64;
    if start.cgroup.is_some() {
        flags |= CLONE_INTO_CGROUP;
    }
    // SAFETY: clone_args is plain data, for which zeros are "none of it".
    let mut clone: libc::clone_args = unsafe { std::mem::zeroed() };
    clone.flags = flags;
    clone.pidfd = (&raw mut pidfd) as u64;
    clone.exit_signal = libc::SIGCHLD as u64;
    clone.stack = stack.as_mut_ptr() as u64;
    clone.stack_size = STACK_SIZE as u64;
    clone.cgroup = start.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64);

    let mask = block_signals();
    // SAFETY: the stack and everything behind `child` outlive the call, as the kernel suspends this thread until the
    // child has executed the init or is gone.
    let result = unsafe { clone3(&mut clone, run_child, (&raw mut child).cast()) };
    restore_signals(&mask);

    let pid = i32::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    if pid < 0 {
        return Err(io::Error::from_raw_os_error(-pid));
    }
    // SAFETY: the kernel put a new descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    match child.errno.load(Ordering::Relaxed) {
        0 => Ok((pid, pidfd)),
        errno => {
            let _ = wait(pid);
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

/// How many of the descriptors lie at each number: the child, which finds them, does not look for more.
fn users(descriptors: &[Descriptor]) -> Vec<u16> {
    let mut users = Vec::new();
    for descriptor in descriptors {
        let number = usize::try_from(descriptor.number).unwrap_or_default();
        if users.len() <= number {
            users.resize(number + 1, 0u16);
        }
        if let Some(count) = users.get_mut(number) {
            *count = count.saturating_add(1);
        }
    }
    users
}

fn null_terminated(texts: &[&CStr]) -> Vec<*const libc::c_char> {
    texts
        .iter()
        .map(|text| text.as_ptr())
        .chain([ptr::null()])
        .collect()
}

/// clone3(2) whose child calls `entry` on the stack that the arguments give.
///
/// # Safety
///
/// `clone` has a stack, and CLONE_VM with CLONE_VFORK; `entry` does not return, and what `argument` points to lives as
/// long as the child uses it.
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(
    clone: &mut libc::clone_args,
    entry: unsafe extern "C" fn(*mut libc::c_void) -> !,
    argument: *mut libc::c_void,
) -> i64 {
    let result: i64;
    // SAFETY: the system call keeps all registers but the three that are named; the child finds its entry and argument
    // in registers and starts on a stack of its own, aligned as the kernel was given it.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, {argument}",
            "call {entry}",
            "ud2",
            "2:",
            entry = in(reg) entry,
            argument = in(reg) argument,
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") clone,
            in("rsi") size_of::<libc::clone_args>(),
            // Not lateout: the child reads its entry and argument after the system call has overwritten these two.
            out("rcx") _,
            out("r11") _,
        );
    }
    result
}

/// clone3(2) whose child calls `entry` on the stack that the arguments give.
///
/// # Safety
///
/// `clone` has a stack, and CLONE_VM with CLONE_VFORK; `entry` does not return, and what `argument` points to lives as
/// long as the child uses it.
#[cfg(target_arch = "aarch64")]
unsafe fn clone3(
    clone: &mut libc::clone_args,
    entry: unsafe extern "C" fn(*mut libc::c_void) -> !,
    argument: *mut libc::c_void,
) -> i64 {
    let result: i64;
    // SAFETY: the system call keeps all registers but the first; the child finds its entry and argument in registers and
    // starts on a stack of its own, aligned as the kernel was given it.
    unsafe {
        std::arch::asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, #0",
            "mov x0, {argument}",
            "blr {entry}",
            "brk #1",
            "2:",
            entry = in(reg) entry,
            argument = in(reg) argument,
            in("x8") libc::SYS_clone3,
            inlateout("x0") clone => result,
            in("x1") size_of::<libc::clone_args>(),
        );
    }
    result
}

/// # Safety
///
/// `child` points to a [`Child`] that nobody else uses until this process has executed the init or is gone.
unsafe extern "C" fn run_child(child: *mut libc::c_void) -> ! {
    // SAFETY: the caller's promise.
    let child = unsafe { &mut *child.cast::<Child<'_>>() };
    let prepared = if child.unmapped {
        keep_capabilities()
    } else {
        Ok(())
    };
    // A number past RLIMIT_NOFILE is EBADF for dup2(2) and EINVAL for fcntl(2).
    let too_many = |errno| match errno {
        libc::EBADF | libc::EINVAL => libc::EMFILE,
        other => other,
    };
    let errno = match prepared.and_then(|()| arrange_descriptors(child).map_err(too_many)) {
        Err(errno) => errno,
        Ok(init) => {
            let (path, flags) = (c"".as_ptr(), libc::AT_EMPTY_PATH);
            // SAFETY: both lists are NULL-terminated lists of C strings.
            unsafe {
                libc::syscall(
                    libc::SYS_execveat,
                    init,
                    path,
                    child.arguments.as_ptr(),
                    child.environment.as_ptr(),
                    flags,
                )
            };
            errno()
        }
    };
    child.errno.store(errno, Ordering::Relaxed);
    // SAFETY: ends this process alone, without running anything of the parent's.
    unsafe { libc::_exit(127) }
}

/// Keeps all capabilities over the coming execve(2). In a user namespace whose ids are not mapped yet nobody is root, so
/// they have to be ambient (capabilities(7), "Transformation of capabilities during execve()"); the init's own steps set
/// what the user's program gets.
fn keep_capabilities() -> Result<(), i32> {
    // _LINUX_CAPABILITY_VERSION_3, and this process.
    let header: [u32; 2] = [0x2008_0522, 0];
    // Two of effective, permitted, inheritable.
    let mut sets = [[0u32; 3]; 2];
    // SAFETY: a header and data of version 3.
    unsafe {
        check(libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) as libc::c_int)?;
        for set in &mut sets {
            set[2] = set[1];
        }
        check(libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) as libc::c_int)?;
        let raise = |capability: libc::c_ulong| {
            let argument = libc::PR_CAP_AMBIENT_RAISE;
            check(libc::prctl(
                libc::PR_CAP_AMBIENT,
                argument,
                capability,
                0,
                0,
            ))
        };
        for capability in 0..64 {
            match raise(capability) {
                // The first that the kernel does not know is past the last.
                Err(libc::EINVAL) => break,
                answer => answer.map(drop)?,
            }
        }
    }
    Ok(())
}

/// Puts every descriptor at its number, and closes all that the init is not to have. Numbers may overlap: what lies where
/// another is to go is moved out of the way, and nothing else is, as a container with many mounts has a descriptor for each
/// and a process no more than 1024 as a rule. Gives the number of the init's own program.
fn arrange_descriptors(child: &mut Child<'_>) -> Result<RawFd, i32> {
    let init = child.first + child.descriptors.len().saturating_sub(4) as RawFd;
    for place in 0..child.descriptors.len() {
        let number = match place as RawFd {
            stream @ 0..3 => stream,
            slot => child.first + slot - 3,
        };
        make_room(child, place, number, init)?;
        if let Some(&descriptor) = child.descriptors.get(place) {
            let flags = if number == init { libc::O_CLOEXEC } else { 0 };
            put(descriptor, number, flags)?;
            if let Some(users) = child.users.get_mut(descriptor.number as usize) {
                *users = users.saturating_sub(1);
            }
        }
    }
    for preserved in 3..child.first {
        // SAFETY: changes a flag of a descriptor in this process's own table.
        unsafe { libc::fcntl(preserved, libc::F_SETFD, 0) };
    }
    // SAFETY: closes the rest of the table, which is this process's own.
    unsafe {
        check(libc::syscall(libc::SYS_close_range, init + 1, libc::c_uint::MAX, 0) as libc::c_int)?;
    }
    Ok(init)
}

/// Moves descriptors that lie at the number and still have to go to another.
fn make_room(child: &mut Child<'_>, place: usize, number: RawFd, init: RawFd) -> Result<(), i32> {
    let Some(users) = child.users.get_mut(number as usize) else {
        return Ok(());
    };
    let count = usize::from(*users);
    *users = 0;
    let later = child.descriptors.iter_mut().skip(place + 1);
    let mut duplicate = None;
    for descriptor in later
        .filter(|descriptor| descriptor.number == number)
        .take(count)
    {
        let number = match duplicate {
            Some(duplicate) => duplicate,
            None => *duplicate.insert(duplicate_above(number, init)?),
        };
        // One that goes to several numbers stays open until all is closed that lies above the init's.
        let moved = count == 1;
        *descriptor = Descriptor { number, moved };
    }
    Ok(())
}

/// Puts a descriptor at a number; one that was moved out of the way makes room for the next to be.
fn put(descriptor: Descriptor, number: RawFd, flags: libc::c_int) -> Result<(), i32> {
    // SAFETY: changes, replaces and closes descriptors in this process's own table.
    unsafe {
        if descriptor.number == number {
            let flags = if flags == 0 { 0 } else { libc::FD_CLOEXEC };
            return check(libc::fcntl(number, libc::F_SETFD, flags)).map(drop);
        }
        check(libc::dup3(descriptor.number, number, flags))?;
        if descriptor.moved {
            libc::close(descriptor.number);
        }
    }
    Ok(())
}

fn duplicate_above(descriptor: RawFd, number: RawFd) -> Result<RawFd, i32> {
    // SAFETY: makes a new descriptor in this process's own table.
    check(unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, number + 1) })
}

fn check(result: libc::c_int) -> Result<libc::c_int, i32> {
    if result < 0 { Err(errno()) } else { Ok(result) }
}

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
