//! bpf(2), as far as a device filter needs it.

use std::ffi::{CStr, c_int};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, descriptor};

const BPF_PROG_LOAD: c_int = 5;
const BPF_PROG_ATTACH: c_int = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE: u32 = 15;
const BPF_CGROUP_DEVICE: u32 = 6;
const LICENSE: &CStr = c"Apache";

/// The beginning of `union bpf_attr` for BPF_PROG_LOAD.
#[repr(C)]
struct Load {
    kind: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log: [u64; 2],
    kernel_version: u32,
    flags: u32,
}

/// The beginning of `union bpf_attr` for BPF_PROG_ATTACH.
#[repr(C)]
struct Attach {
    target: c_int,
    program: c_int,
    kind: u32,
    flags: u32,
}

/// Has the kernel check and load a program of type `BPF_PROG_TYPE_CGROUP_DEVICE`.
pub(crate) fn load_device_program(instructions: &[u64]) -> io::Result<OwnedFd> {
    let load = Load {
        kind: BPF_PROG_TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr() as u64,
        license: LICENSE.as_ptr() as u64,
        log: [0; 2],
        kernel_version: 0,
        flags: 0,
    };
    let size = size_of::<Load>();
    // SAFETY: load begins like bpf_attr and has the size given; its pointers live until the call returns.
    descriptor(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_LOAD, &raw const load, size) })
}

/// Attaches it to a cgroup.
pub(crate) fn attach_device_program(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> io::Result<()> {
    let attach = Attach {
        target: cgroup.as_raw_fd(),
        program: program.as_raw_fd(),
        kind: BPF_CGROUP_DEVICE,
        flags: 0,
    };
    let size = size_of::<Attach>();
    // SAFETY: attach begins like bpf_attr and has the size given.
    check(unsafe { libc::syscall(libc::SYS_bpf, BPF_PROG_ATTACH, &raw const attach, size) })
        .map(drop)
}
