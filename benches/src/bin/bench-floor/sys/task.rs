//! Files, devices, names and credentials, as the container's first process sets them.

use std::convert::Infallible;
use std::ffi::{CStr, c_long};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use super::{check, check_int, descriptor};

/// Writes a control file.
pub(crate) fn write_file(path: &CStr, content: &[u8]) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated.
    let file =
        descriptor(unsafe { libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC) }.into())?;
    // SAFETY: the buffer and its length belong together.
    let written = unsafe { libc::write(file.as_raw_fd(), content.as_ptr().cast(), content.len()) };
    check(written as c_long).map(drop)
}

/// Changes the working directory.
pub(crate) fn change_directory(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated.
    check_int(unsafe { libc::chdir(path.as_ptr()) })
}

/// Makes a directory.
pub(crate) fn make_directory(path: &CStr) -> io::Result<()> {
    // SAFETY: the path is NUL-terminated.
    check_int(unsafe { libc::mkdir(path.as_ptr(), 0o755) })
}

/// Makes a symbolic link.
pub(crate) fn make_link(target: &CStr, link: &CStr) -> io::Result<()> {
    // SAFETY: both paths are NUL-terminated.
    check_int(unsafe { libc::symlink(target.as_ptr(), link.as_ptr()) })
}

/// Makes a character device.
pub(crate) fn make_character_device(
    path: &CStr,
    mode: u32,
    major: u32,
    minor: u32,
) -> io::Result<()> {
    let device = libc::makedev(major, minor);
    // SAFETY: the path is NUL-terminated.
    check_int(unsafe { libc::mknod(path.as_ptr(), libc::S_IFCHR | mode, device) })
}

/// Sets the mask of modes of new files.
pub(crate) fn set_umask(mask: u32) {
    // SAFETY: an integer alone.
    unsafe { libc::umask(mask) };
}

/// Enters a cgroup namespace with the current cgroup as its root.
pub(crate) fn new_cgroup_namespace() -> io::Result<()> {
    // SAFETY: an integer alone.
    check_int(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) })
}

/// Moves this process to a new network namespace.
pub(crate) fn new_network() -> io::Result<()> {
    // SAFETY: an integer alone.
    check_int(unsafe { libc::unshare(libc::CLONE_NEWNET) })
}

/// Joins the network namespace of another process.
pub(crate) fn join_network(process: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: an open descriptor and an integer.
    check_int(unsafe { libc::setns(process.as_raw_fd(), libc::CLONE_NEWNET) })
}

/// Whether there is a file.
pub(crate) fn is_there(path: &CStr) -> bool {
    // SAFETY: the path is NUL-terminated.
    unsafe { libc::access(path.as_ptr(), libc::F_OK) == 0 }
}

/// Starts a session.
pub(crate) fn set_sid() -> io::Result<()> {
    // SAFETY: no argument.
    check_int(unsafe { libc::setsid() })
}

/// Sets the host name.
pub(crate) fn set_host_name(name: &[u8]) -> io::Result<()> {
    // SAFETY: the buffer and its length belong together.
    check_int(unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) })
}

/// Switches the loopback interface on (netdevice(7)).
pub(crate) fn loopback_up() -> io::Result<()> {
    // SAFETY: integers alone.
    let socket = descriptor(
        unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) }.into(),
    )?;
    // SAFETY: an ifreq of zeros is a valid one.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(c"lo".to_bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    // SAFETY: request is an ifreq, which SIOCSIFFLAGS takes.
    check_int(unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) })
}

/// Sets RLIMIT_NOFILE.
pub(crate) fn limit_open_files(limit: u64) -> io::Result<()> {
    let limit = libc::rlimit {
        rlim_cur: limit,
        rlim_max: limit,
    };
    // SAFETY: limit is an rlimit.
    check_int(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })
}

/// Drops all but these capabilities from the bounding set (capabilities(7)).
pub(crate) fn drop_bounding_capabilities(kept: u64) -> io::Result<()> {
    const LAST_CAPABILITY: u64 = 40;
    for capability in (0..=LAST_CAPABILITY).filter(|number| kept & (1 << number) == 0) {
        // SAFETY: integers alone.
        check_int(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) })?;
    }
    Ok(())
}

/// Sets the other sets (capset(2), which empties the ambient one with the inheritable one;
/// version 3: the low and the high halves).
pub(crate) fn set_capabilities(effective: u64, permitted: u64, inheritable: u64) -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header = [VERSION_3, 0];
    let halves = [effective, permitted, inheritable].map(|set| [set as u32, (set >> 32) as u32]);
    let [e, p, i] = halves;
    let data = [e[0], p[0], i[0], e[1], p[1], i[1]];
    // SAFETY: the header and the two data structures that version 3 takes.
    check(unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) }).map(drop)
}

/// Becomes user and group 0 with these further groups.
pub(crate) fn set_root_user(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list and its length belong together.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) })?;
    // SAFETY: integers alone.
    check(unsafe { libc::syscall(libc::SYS_setresgid, 0, 0, 0) })?;
    // SAFETY: integers alone.
    check(unsafe { libc::syscall(libc::SYS_setresuid, 0, 0, 0) }).map(drop)
}

/// Sets no_new_privs (prctl(2)).
pub(crate) fn set_no_new_privileges() -> io::Result<()> {
    // SAFETY: integers alone.
    check_int(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) })
}

/// Loads a seccomp filter (seccomp(2)).
pub(crate) fn load_filter(instructions: &[u64]) -> io::Result<()> {
    let program = libc::sock_fprog {
        len: u16::try_from(instructions.len()).map_err(io::Error::other)?,
        filter: instructions.as_ptr().cast_mut().cast(),
    };
    let operation = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: the program and its length belong together; the kernel reads it alone.
    check(unsafe { libc::syscall(libc::SYS_seccomp, operation, 0, &raw const program) }).map(drop)
}

/// Executes a program with no arguments but its name; returns only when it could not.
pub(crate) fn become_program<const N: usize>(
    path: &CStr,
    environment: &[&CStr; N],
) -> io::Result<Infallible> {
    let arguments = [path.as_ptr(), ptr::null()];
    let mut variables = [ptr::null(); 8];
    for (to, from) in variables.iter_mut().take(7).zip(environment) {
        *to = from.as_ptr();
    }
    // SAFETY: all strings are NUL-terminated, both lists end in a null pointer.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), variables.as_ptr()) };
    Err(io::Error::last_os_error())
}
