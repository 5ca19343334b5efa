//! System calls that no crate wraps: bpf(2) for device filters, and kill(2) with any signal.
#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

/// Commands, program type and attach type of linux/bpf.h.
const PROG_LOAD: libc::c_int = 5;
const PROG_ATTACH: libc::c_int = 8;
const PROG_DETACH: libc::c_int = 9;
const PROG_GET_FD_BY_ID: libc::c_int = 13;
const PROG_QUERY: libc::c_int = 16;
const PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;
const F_ALLOW_MULTI: u32 = 1 << 1;
const F_REPLACE: u32 = 1 << 2;

/// The kernel lets so many programs be on one cgroup: BPF_CGROUP_MAX_PROGS.
const MOST_PROGRAMS: usize = 64;

/// What the program calls is not restricted to free software: it calls nothing.
const LICENSE: &std::ffi::CStr = c"Apache-2.0";

/// `union bpf_attr`, in full: the kernel zeroes what it does not get, but newer fields begin anywhere, and old kernels
/// take a longer one whose rest is zero.
#[repr(C, align(8))]
struct Attributes([u32; 40]);

impl Attributes {
    fn new() -> Self {
        Attributes([0; 40])
    }

    /// Fields by their offset in bytes.
    fn set(mut self, offset: usize, value: u32) -> Self {
        self.0[offset / 4] = value;
        self
    }

    fn set_pointer<T: ?Sized>(self, offset: usize, pointer: *const T) -> Self {
        let address = pointer.cast::<u8>() as u64;
        self.set(offset, address as u32)
            .set(offset + 4, (address >> 32) as u32)
    }
}

/// # Safety
///
/// Pointers in the attributes are valid for what the command reads and writes there.
unsafe fn bpf(
    command: libc::c_int,
    attributes: &mut Attributes,
) -> rustix::io::Result<libc::c_int> {
    let size = size_of::<Attributes>();
    // SAFETY: a whole union of that size, and the caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size) };
    check(result)
}

fn check(result: libc::c_long) -> rustix::io::Result<libc::c_int> {
    if result >= 0 {
        return Ok(result as libc::c_int);
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO))
}

/// Attaches a device filter to a cgroup, in place of those that were attached to it. Where there is one, it is replaced at
/// once; of several, the new one is there before the old ones go. All must allow a use, so nothing is allowed meanwhile
/// that the old or the new ones deny.
pub(super) fn attach_device_filter(
    path: &Path,
    program: &[u64],
    is_new: bool,
) -> rustix::io::Result<()> {
    let directory = openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let program = load(program)?;
    let old = if is_new {
        Vec::new()
    } else {
        attached(&directory)?
    };
    if let [only] = old.as_slice() {
        return attach(&directory, &program, Some(only));
    }
    attach(&directory, &program, None)?;
    old.iter().try_for_each(|old| detach(&directory, old))
}

fn load(program: &[u64]) -> rustix::io::Result<OwnedFd> {
    let length = u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?;
    let mut attributes = Attributes::new()
        .set(0, PROG_TYPE_CGROUP_DEVICE)
        .set(4, length)
        .set_pointer(8, program.as_ptr())
        .set_pointer(16, LICENSE.as_ptr());
    // SAFETY: the kernel reads the instructions, as many as it is told, and the license up to its NUL; without a log
    // buffer it writes nothing. A number that it returns is a new descriptor, which nobody else owns.
    unsafe { bpf(PROG_LOAD, &mut attributes).map(|fd| OwnedFd::from_raw_fd(fd)) }
}

fn attach(
    directory: &OwnedFd,
    program: &OwnedFd,
    replaced: Option<&OwnedFd>,
) -> rustix::io::Result<()> {
    let mut attributes = on(directory, program).set(12, F_ALLOW_MULTI);
    if let Some(replaced) = replaced {
        attributes = attributes
            .set(12, F_ALLOW_MULTI | F_REPLACE)
            .set(16, replaced.as_raw_fd() as u32);
    }
    // SAFETY: there are numbers alone in the attributes.
    unsafe { bpf(PROG_ATTACH, &mut attributes).map(|_| ()) }
}

fn detach(directory: &OwnedFd, program: &OwnedFd) -> rustix::io::Result<()> {
    // SAFETY: as above.
    unsafe { bpf(PROG_DETACH, &mut on(directory, program)).map(|_| ()) }
}

fn on(directory: &OwnedFd, program: &OwnedFd) -> Attributes {
    Attributes::new()
        .set(0, directory.as_raw_fd() as u32)
        .set(4, program.as_raw_fd() as u32)
        .set(8, ATTACH_CGROUP_DEVICE)
}

/// The device filters of a cgroup. One that a security module keeps from the caller is left where it is: it can only deny
/// more.
fn attached(directory: &OwnedFd) -> rustix::io::Result<Vec<OwnedFd>> {
    let mut ids = [0u32; MOST_PROGRAMS];
    let mut query = Attributes::new()
        .set(0, directory.as_raw_fd() as u32)
        .set(4, ATTACH_CGROUP_DEVICE)
        .set_pointer(16, ids.as_mut_ptr())
        .set(24, MOST_PROGRAMS as u32);
    // SAFETY: the kernel writes at most as many numbers as there is room for.
    unsafe { bpf(PROG_QUERY, &mut query)? };
    let count = (query.0[24 / 4] as usize).min(MOST_PROGRAMS);
    let mut programs = Vec::with_capacity(count);
    for &id in &ids[..count] {
        // SAFETY: a number in, and a new descriptor out, which nobody else owns.
        match unsafe {
            bpf(PROG_GET_FD_BY_ID, &mut Attributes::new().set(0, id))
                .map(|fd| OwnedFd::from_raw_fd(fd))
        } {
            Ok(program) => programs.push(program),
            Err(Errno::PERM | Errno::ACCESS | Errno::NOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(programs)
}

/// kill(2) on one process.
pub(super) fn kill(pid: i32, signal: i32) -> rustix::io::Result<()> {
    // SAFETY: takes numbers alone.
    check(unsafe { libc::kill(pid, signal) }.into()).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_gets_a_whole_bpf_attr_of_zeros() {
        // The last that BPF_PROG_QUERY writes is query.revision, at 56; Linux 6.17 writes it whatever the size.
        const REVISION_END: usize = 64;
        assert!(size_of::<Attributes>() >= REVISION_END);
        assert_eq!(Attributes::new().0, [0; 40]);
        let pointer = std::ptr::without_provenance::<u8>(5);
        let set = Attributes::new().set(4, 7).set_pointer(16, pointer);
        let words = set.0.iter().enumerate();
        let words: Vec<_> = words.filter(|(_, word)| **word != 0).collect();
        assert_eq!(words, [(1, &7), (4, &5)]);
    }
}
