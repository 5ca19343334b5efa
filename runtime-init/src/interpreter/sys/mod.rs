//! What cannot be written without `unsafe`: the entry point, the memory functions that compiled code expects, and the
//! system calls that rustix does not have.
#![allow(unsafe_code)]

mod memory;
mod scheduling;
pub(crate) mod seccomp;
mod signals;
mod stack;
mod stamps;
mod start;
mod thread;

use core::arch::asm;
use core::ffi::CStr;
use core::mem::{ManuallyDrop, size_of};

pub(crate) use scheduling::{
    reset_cpu_affinity, set_cpu_affinity, set_io_priority, set_memory_policy, set_scheduler,
};
pub(crate) use signals::{EndRequests, reset_signals};
pub(crate) use stack::release_stack;
pub(crate) use stamps::Stamps;
pub(crate) use start::Start;

use runtime_init::{MountAttributes, Numbers};

use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, socket_with,
};

// System calls whose numbers differ between the architectures; those after 424 are the same on all.
#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const RT_SIGACTION: usize = 13;
    pub(super) const RT_SIGPROCMASK: usize = 14;
    pub(super) const IOCTL: usize = 16;
    pub(super) const CLONE: usize = 56;
    pub(super) const EXECVE: usize = 59;
    pub(super) const EXIT: usize = 60;
    pub(super) const GETCWD: usize = 79;
    pub(super) const SETGROUPS: usize = 116;
    pub(super) const SETRESUID: usize = 117;
    pub(super) const SETRESGID: usize = 119;
    pub(super) const PERSONALITY: usize = 135;
    pub(super) const PRCTL: usize = 157;
    pub(super) const CLOCK_GETTIME: usize = 228;
    pub(super) const EXIT_GROUP: usize = 231;
    pub(super) const KEYCTL: usize = 250;
    pub(super) const UNSHARE: usize = 272;
    pub(super) const SIGNALFD4: usize = 289;
    pub(super) const PRLIMIT64: usize = 302;
    pub(super) const SETNS: usize = 308;
    pub(super) const SECCOMP: usize = 317;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const GETCWD: usize = 17;
    pub(super) const IOCTL: usize = 29;
    pub(super) const SIGNALFD4: usize = 74;
    pub(super) const EXIT: usize = 93;
    pub(super) const EXIT_GROUP: usize = 94;
    pub(super) const UNSHARE: usize = 97;
    pub(super) const CLOCK_GETTIME: usize = 113;
    pub(super) const RT_SIGACTION: usize = 134;
    pub(super) const RT_SIGPROCMASK: usize = 135;
    pub(super) const SETRESUID: usize = 147;
    pub(super) const SETRESGID: usize = 149;
    pub(super) const SETGROUPS: usize = 159;
    pub(super) const PERSONALITY: usize = 92;
    pub(super) const PRCTL: usize = 167;
    pub(super) const KEYCTL: usize = 219;
    pub(super) const CLONE: usize = 220;
    pub(super) const EXECVE: usize = 221;
    pub(super) const PRLIMIT64: usize = 261;
    pub(super) const SETNS: usize = 268;
    pub(super) const SECCOMP: usize = 277;
}
const CLOSE_RANGE: usize = 436;
const MOUNT_SETATTR: usize = 442;

const CLONE_PARENT: usize = 0x8000;
const CLOSE_RANGE_CLOEXEC: usize = 4;
const KEYCTL_JOIN_SESSION_KEYRING: usize = 1;
const KEYCTL_SETPERM: usize = 5;
const PR_SET_DUMPABLE: usize = 4;
const PR_CAPBSET_DROP: usize = 24;
const PR_CAP_AMBIENT: usize = 47;
const PR_CAP_AMBIENT_RAISE: usize = 2;
const AT_EMPTY_PATH: usize = 0x1000;
const AT_RECURSIVE: usize = 0x8000;

pub(crate) const CLONE_NEWTIME: u32 = 0x80;
pub(crate) const MOUNT_ATTR_RDONLY: u64 = 1;

/// A descriptor that the runtime handed over. It stays open until the user's program runs; where a step closed it, the
/// kernel says EBADF.
pub(crate) fn inherited(number: u32) -> BorrowedFd<'static> {
    let number = (number & 0x7fff_ffff) as i32;
    // SAFETY: the number is not -1. Descriptors of the plan are closed by `close_all_but` and `close_inherited` alone, after
    // which no step uses them.
    unsafe { BorrowedFd::borrow_raw(number) }
}

/// # Safety
///
/// As the system call of that number asks of its arguments.
#[cfg(target_arch = "x86_64")]
unsafe fn syscall(number: usize, [a, b, c, d, e]: [usize; 5]) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel's calling convention; what the call itself needs is the caller's promise.
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d,
            in("r8") e, lateout("rcx") _, lateout("r11") _, options(nostack));
    }
    answer(result)
}

/// # Safety
///
/// As the system call of that number asks of its arguments.
#[cfg(target_arch = "aarch64")]
unsafe fn syscall(number: usize, [a, b, c, d, e]: [usize; 5]) -> Result<usize, Errno> {
    let result: isize;
    // SAFETY: the kernel's calling convention; what the call itself needs is the caller's promise.
    unsafe {
        asm!("svc 0", in("x8") number, inlateout("x0") a as isize => result, in("x1") b, in("x2") c, in("x3") d,
            in("x4") e, options(nostack));
    }
    answer(result)
}

fn answer(result: isize) -> Result<usize, Errno> {
    if (-4095..0).contains(&result) {
        Err(Errno::from_raw_os_error(result.wrapping_neg() as i32))
    } else {
        Ok(result as usize)
    }
}

/// A system call whose arguments are numbers alone, so that it reads and writes no memory of this process.
fn call(number: usize, arguments: [usize; 5]) -> Result<usize, Errno> {
    // SAFETY: no argument is a pointer.
    unsafe { syscall(number, arguments) }
}

pub(crate) fn exit(code: usize) -> ! {
    loop {
        let _ = call(number::EXIT_GROUP, [code, 0, 0, 0, 0]);
    }
}

/// Clones this process as a child of its own parent. `None` in the child.
pub(crate) fn clone_sibling() -> Result<Option<i32>, Errno> {
    // Without CLONE_VM and with no stack given the child has a copy of everything and goes on where this one does.
    let child = call(number::CLONE, [CLONE_PARENT | SIGCHLD, 0, 0, 0, 0])?;
    Ok(if child == 0 { None } else { Some(child as i32) })
}

const SIGCHLD: usize = 17;

/// The kind of a network namespace (setns(2)).
pub(crate) const CLONE_NEWNET: u32 = 0x4000_0000;

pub(crate) fn setns(namespace: BorrowedFd<'_>, flags: u32) -> Result<(), Errno> {
    call(
        number::SETNS,
        [namespace.as_raw_fd() as usize, flags as usize, 0, 0, 0],
    )
    .map(drop)
}

pub(crate) fn unshare(flags: u32) -> Result<(), Errno> {
    call(number::UNSHARE, [flags as usize, 0, 0, 0, 0]).map(drop)
}

pub(crate) fn set_uid(uid: u32) -> Result<(), Errno> {
    call(
        number::SETRESUID,
        [uid as usize, uid as usize, uid as usize, 0, 0],
    )
    .map(drop)
}

pub(crate) fn set_gid(gid: u32) -> Result<(), Errno> {
    call(
        number::SETRESGID,
        [gid as usize, gid as usize, gid as usize, 0, 0],
    )
    .map(drop)
}

pub(crate) fn set_groups(groups: Numbers<'_>) -> Result<(), Errno> {
    // SAFETY: the list holds as many gid_t as are announced; the kernel reads them unaligned.
    unsafe {
        syscall(
            number::SETGROUPS,
            [groups.len(), groups.as_bytes().as_ptr() as usize, 0, 0, 0],
        )
    }
    .map(drop)
}

/// The soft and the hard limit.
pub(crate) fn limit(resource: u32) -> Result<[u64; 2], Errno> {
    let mut limit = [0u64; 2];
    // SAFETY: room for a `struct rlimit64`; process 0 is this one, and no new limit is given.
    unsafe {
        syscall(
            number::PRLIMIT64,
            [0, resource as usize, 0, limit.as_mut_ptr() as usize, 0],
        )
    }?;
    Ok(limit)
}

pub(crate) fn set_limit(resource: u32, soft: u64, hard: u64) -> Result<(), Errno> {
    let limit = [soft, hard];
    // SAFETY: `struct rlimit64`; process 0 is this one, and the old limit is not asked for.
    unsafe {
        syscall(
            number::PRLIMIT64,
            [0, resource as usize, limit.as_ptr() as usize, 0, 0],
        )
    }
    .map(drop)
}

pub(crate) fn set_personality(domain: u32) -> Result<(), Errno> {
    call(number::PERSONALITY, [domain as usize, 0, 0, 0, 0]).map(drop)
}

pub(crate) fn set_dumpable(dumpable: bool) -> Result<(), Errno> {
    call(
        number::PRCTL,
        [PR_SET_DUMPABLE, usize::from(dumpable), 0, 0, 0],
    )
    .map(drop)
}

pub(crate) fn drop_bounding(capability: u32) -> Result<(), Errno> {
    call(
        number::PRCTL,
        [PR_CAPBSET_DROP, capability as usize, 0, 0, 0],
    )
    .map(drop)
}

pub(crate) fn raise_ambient(capability: u32) -> Result<(), Errno> {
    call(
        number::PRCTL,
        [
            PR_CAP_AMBIENT,
            PR_CAP_AMBIENT_RAISE,
            capability as usize,
            0,
            0,
        ],
    )
    .map(drop)
}

pub(crate) fn new_keyring(name: &CStr, permissions: u32) -> Result<(), Errno> {
    // SAFETY: the name is a C string.
    let joined = unsafe {
        syscall(
            number::KEYCTL,
            [KEYCTL_JOIN_SESSION_KEYRING, name.as_ptr() as usize, 0, 0, 0],
        )
    };
    match joined {
        // A kernel without keyrings has none to share with the host either.
        Err(Errno::NOSYS) => Ok(()),
        Err(errno) => Err(errno),
        Ok(_) if permissions == 0 => Ok(()),
        Ok(keyring) => call(
            number::KEYCTL,
            [KEYCTL_SETPERM, keyring, permissions as usize, 0, 0],
        )
        .map(drop),
    }
}

pub(crate) fn mount_setattr(
    mount: BorrowedFd<'_>,
    attributes: &MountAttributes,
    recursive: bool,
) -> Result<(), Errno> {
    // `struct mount_attr`: attr_set, attr_clr, propagation, userns_fd.
    let attr: [u64; 4] = [
        attributes.set,
        attributes.clear,
        u64::from(attributes.propagation),
        0,
    ];
    let flags = AT_EMPTY_PATH | if recursive { AT_RECURSIVE } else { 0 };
    let fd = mount.as_raw_fd() as usize;
    let path = c"".as_ptr() as usize;
    // SAFETY: an empty path, and a structure of the size that is given.
    unsafe {
        syscall(
            MOUNT_SETATTR,
            [
                fd,
                path,
                flags,
                attr.as_ptr() as usize,
                size_of::<[u64; 4]>(),
            ],
        )
    }
    .map(drop)
}

/// Closes inherited descriptors that no later step uses.
pub(crate) fn close_inherited(first: u32, count: u16) {
    let (first, count) = (first as usize, usize::from(count));
    if count > 0 {
        let last = first.wrapping_add(count).wrapping_sub(1);
        let _ = call(CLOSE_RANGE, [first, last, 0, 0, 0]);
    }
}

/// Closes all descriptors from `first` on, but one.
pub(crate) fn close_all_but(first: u32, kept: BorrowedFd<'_>) {
    let (first, kept) = (first as usize, kept.as_raw_fd() as usize);
    if first < kept {
        let _ = call(CLOSE_RANGE, [first, kept.wrapping_sub(1), 0, 0, 0]);
    }
    let _ = call(
        CLOSE_RANGE,
        [kept.wrapping_add(1), u32::MAX as usize, 0, 0, 0],
    );
}

/// Lets execve(2) close all descriptors from `first` on.
pub(crate) fn close_on_exec_from(first: u32) -> Result<(), Errno> {
    call(
        CLOSE_RANGE,
        [first as usize, u32::MAX as usize, CLOSE_RANGE_CLOEXEC, 0, 0],
    )
    .map(drop)
}

/// Whether the working directory can be reached from the root: the kernel puts "(unreachable)" before one that cannot.
pub(crate) fn working_directory_is_inside() -> Result<bool, Errno> {
    let mut path = [0u8; 4096];
    // SAFETY: the buffer has the size that is given.
    unsafe {
        syscall(
            number::GETCWD,
            [path.as_mut_ptr() as usize, path.len(), 0, 0, 0],
        )
    }?;
    Ok(path.first() == Some(&b'/'))
}

/// Sets IFF_UP on the interface `lo` (netdevice(7)).
pub(crate) fn bring_loopback_up() -> Result<(), Errno> {
    /// `struct ifreq`: the name, then for these requests the flags.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    const SIOCGIFFLAGS: usize = 0x8913;
    const SIOCSIFFLAGS: usize = 0x8914;
    const IFF_UP: u16 = 1;
    let mut request = Request {
        name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        flags: 0,
        rest: [0; 22],
    };
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let fd = socket.as_raw_fd() as usize;
    // SAFETY: the kernel reads and writes an ifreq, which has 40 bytes.
    unsafe {
        syscall(
            number::IOCTL,
            [fd, SIOCGIFFLAGS, (&raw mut request) as usize, 0, 0],
        )?;
        request.flags |= IFF_UP;
        syscall(
            number::IOCTL,
            [fd, SIOCSIFFLAGS, (&raw mut request) as usize, 0, 0],
        )?;
    }
    Ok(())
}

/// Sends a message with a descriptor (unix(7), SCM_RIGHTS).
pub(crate) fn send_descriptor(
    socket: BorrowedFd<'_>,
    message: &[u8],
    descriptor: BorrowedFd<'_>,
) -> Result<(), Errno> {
    let mut space = [core::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(Errno::NOBUFS);
    }
    let message = [rustix::io::IoSlice::new(message)];
    rustix::net::sendmsg(socket, &message, &mut control, SendFlags::NOSIGNAL).map(drop)
}

/// Receives one message, of one byte, and gives away the descriptors in it. Gives the byte, and how many there were: neither
/// when the other end is closed.
pub(crate) fn receive_descriptors(
    socket: BorrowedFd<'_>,
    mut take: impl FnMut(OwnedFd),
) -> Result<(Option<u8>, u32), Errno> {
    let mut space =
        [core::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(runtime_init::TREES))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0u8; 1];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let length = loop {
        let message = &mut [rustix::io::IoSliceMut::new(&mut byte)];
        match rustix::net::recvmsg(socket, message, &mut control, flags) {
            Err(Errno::INTR) => {}
            answer => break answer?.bytes,
        }
    };
    let mut count = 0u32;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            for descriptor in descriptors {
                take(descriptor);
                count = count.wrapping_add(1);
            }
        }
    }
    let [word] = byte;
    Ok(((length == 1).then_some(word), count))
}

/// Makes the number of an inherited descriptor that of another one.
pub(crate) fn replace(number: u32, descriptor: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: `inherited` says who closes the number, and that is not the guard, which is never dropped.
    let mut place =
        ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd((number & 0x7fff_ffff) as i32) });
    rustix::io::dup3(descriptor, &mut place, rustix::io::DupFlags::CLOEXEC)
}

/// What is left that could come here are rustix's assertions that no descriptor is -1. There is nothing to print with.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    exit(1)
}
