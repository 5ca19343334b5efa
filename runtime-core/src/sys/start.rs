//! Starting the init: clone3(2) and execveat(2), with nothing of the caller's run between them.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use rustix::io::Errno;
use rustix::process::{WaitId, WaitIdOptions, waitid};
use rustix::thread::futex::{self, Timespec};

use super::{block_signals, raw, restore_signals};

/// The child's stack between clone3(2) and execveat(2); it calls a few system calls and nothing else.
const STACK_SIZE: usize = 16 * 1024;

/// What a stack is made of: both architectures want it aligned to 16 bytes.
type Line = u128;

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
    /// Whether the calling thread waits for the child at once, as with vfork(2). A child that shares its memory and finds none
    /// left in a cgroup of its own would take the caller with it: the kernel ends all who share the memory of one that it
    /// ends for want of it, and spares a child of vfork(2) for that (mm/oom_kill.c).
    pub(crate) waits: bool,
}

/// Starts the init: no code of the caller's runs in the child, and none of the caller's memory is copied. Until the init's program
/// has replaced the child it shares the caller's memory, as with vfork(2); what the caller has to do is done meanwhile or, if it
/// has to wait, then. It knows the child's pid.
///
/// The child is born with all signals blocked: a handler of the caller's must not run in it.
pub(crate) fn spawn<T>(
    start: &Start<'_>,
    meanwhile: impl FnOnce(i32) -> T,
) -> io::Result<(i32, OwnedFd, T)> {
    let mut stack: Vec<Line> = vec![0; STACK_SIZE / size_of::<Line>()];
    let arguments = null_terminated(start.arguments);
    let environment = null_terminated(start.environment);
    let mut descriptors = descriptors(start);
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
        | (libc::CLONE_VM | libc::CLONE_CHILD_CLEARTID | libc::CLONE_PIDFD) as u64;
    if start.waits {
        flags |= libc::CLONE_VFORK as u64;
    }
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
    let shared = AtomicU32::new(SHARED);
    clone.child_tid = shared.as_ptr() as u64;

    let mask = block_signals();
    // SAFETY: the stack, `shared` and everything behind `child` outlive the child's use of them: `Sharing`, which comes after them
    // and so goes before, waits until the child has executed the init or is gone.
    let result = unsafe { clone3(&mut clone, run_child, (&raw mut child).cast()) };
    restore_signals(&mask);

    let pid = i32::try_from(result).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    if pid < 0 {
        return Err(io::Error::from_raw_os_error(-pid));
    }
    // SAFETY: the kernel put a new descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    let sharing = Sharing {
        word: &shared,
        pidfd: pidfd.as_fd(),
    };
    let done = meanwhile(pid);
    drop(sharing);
    match child.errno.load(Ordering::Relaxed) {
        0 => Ok((pid, pidfd, done)),
        errno => {
            let _ = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
            Err(io::Error::from_raw_os_error(errno))
        }
    }
}

/// What the kernel makes 0 when the child has a memory of its own or is gone (set_tid_address(2)).
const SHARED: u32 = 1;

/// A child's use of this thread's memory, for which it waits in the end.
struct Sharing<'a> {
    word: &'a AtomicU32,
    pidfd: BorrowedFd<'a>,
}

impl Sharing<'_> {
    /// A child that was killed with a dump of its core leaves the word as it was.
    fn child_has_ended(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::PidFd(self.pidfd), options), Ok(None))
    }
}

impl Drop for Sharing<'_> {
    fn drop(&mut self) {
        const A_WHILE: Timespec = Timespec {
            tv_sec: 0,
            tv_nsec: 50_000_000,
        };
        while self.word.load(Ordering::Acquire) == SHARED {
            // The kernel wakes as from another process. Interrupted, or too late to be woken, the word tells.
            let woken = futex::wait(self.word, futex::Flags::empty(), SHARED, Some(&A_WHILE));
            if !matches!(woken, Ok(()) | Err(Errno::AGAIN)) && self.child_has_ended() {
                break;
            }
        }
    }
}

/// In the order of [`Child::descriptors`].
fn descriptors(start: &Start<'_>) -> Vec<Descriptor> {
    let slots = start.stdio.iter().chain(start.descriptors);
    let all = slots.chain([&start.init]);
    all.map(|descriptor| Descriptor {
        number: descriptor.as_raw_fd(),
        moved: false,
    })
    .collect()
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
/// `clone` has a stack, and CLONE_VM; `entry` does not return, and what `argument` points to lives as long as the child
/// uses it.
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
/// `clone` has a stack, and CLONE_VM; `entry` does not return, and what `argument` points to lives as long as the child
/// uses it.
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

/// What is called from here leaves the thread's errno alone, which is the caller's own.
///
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
            let (path, flags) = (c"".as_ptr() as usize, libc::AT_EMPTY_PATH as usize);
            let arguments = child.arguments.as_ptr() as usize;
            let environment = child.environment.as_ptr() as usize;
            let all = [init as usize, path, arguments, environment, flags];
            // SAFETY: both lists are NULL-terminated lists of C strings.
            unsafe { raw::call(libc::SYS_execveat, all) }
                .err()
                .unwrap_or_default()
        }
    };
    child.errno.store(errno, Ordering::Relaxed);
    loop {
        // SAFETY: ends this process alone, without running anything of the parent's.
        let _ = unsafe { raw::call(libc::SYS_exit_group, [127, 0, 0, 0, 0]) };
    }
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
        let header = header.as_ptr() as usize;
        raw::call(
            libc::SYS_capget,
            [header, sets.as_mut_ptr() as usize, 0, 0, 0],
        )?;
        for set in &mut sets {
            set[2] = set[1];
        }
        raw::call(libc::SYS_capset, [header, sets.as_ptr() as usize, 0, 0, 0])?;
        let [option, raise] = [libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE];
        let raise = |capability| {
            let arguments = [option as usize, raise as usize, capability, 0, 0];
            raw::call(libc::SYS_prctl, arguments)
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
        // Not every number has to be in use.
        let _ = fcntl(preserved, libc::F_SETFD, 0);
    }
    let rest = [init as usize + 1, libc::c_uint::MAX as usize, 0, 0, 0];
    // SAFETY: closes the rest of the table, which is this process's own.
    unsafe { raw::call(libc::SYS_close_range, rest) }?;
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
    if descriptor.number == number {
        let flags = if flags == 0 { 0 } else { libc::FD_CLOEXEC };
        return fcntl(number, libc::F_SETFD, flags).map(drop);
    }
    let from = descriptor.number as usize;
    // SAFETY: replaces and closes descriptors in this process's own table.
    unsafe {
        raw::call(
            libc::SYS_dup3,
            [from, number as usize, flags as usize, 0, 0],
        )?;
        if descriptor.moved {
            // Closed whatever the answer is, as by dup3(2).
            let _ = raw::call(libc::SYS_close, [from, 0, 0, 0, 0]);
        }
    }
    Ok(())
}

fn duplicate_above(descriptor: RawFd, number: RawFd) -> Result<RawFd, i32> {
    fcntl(descriptor, libc::F_DUPFD_CLOEXEC, number + 1)
}

/// Changes a descriptor, or makes one, in this process's own table.
fn fcntl(descriptor: RawFd, command: libc::c_int, argument: libc::c_int) -> Result<RawFd, i32> {
    let arguments = [descriptor, command, argument, 0, 0].map(|argument| argument as usize);
    // SAFETY: neither command that is used reads or writes memory.
    unsafe { raw::call(libc::SYS_fcntl, arguments) }.map(|result| result as RawFd)
}
