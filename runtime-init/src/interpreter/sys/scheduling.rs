//! Where and when the process runs: CPUs, I/O and memory.

use runtime_init::{Scheduling, SchedulingAttributes};
use rustix::io::Errno;

use super::{call, syscall};

#[cfg(target_arch = "x86_64")]
mod number {
    pub(super) const SCHED_SETAFFINITY: usize = 203;
    pub(super) const SET_MEMPOLICY: usize = 238;
    pub(super) const IOPRIO_SET: usize = 251;
    pub(super) const SCHED_SETATTR: usize = 314;
}
#[cfg(target_arch = "aarch64")]
mod number {
    pub(super) const IOPRIO_SET: usize = 30;
    pub(super) const SCHED_SETAFFINITY: usize = 122;
    pub(super) const SET_MEMPOLICY: usize = 237;
    pub(super) const SCHED_SETATTR: usize = 274;
}

const IOPRIO_WHO_PGRP: usize = 2;

pub(crate) fn set_scheduler(scheduling: &Scheduling) -> Result<(), Errno> {
    let attributes = SchedulingAttributes::from(scheduling);
    // SAFETY: process 0 is this one; the structure has the size that it says.
    unsafe {
        syscall(
            number::SCHED_SETATTR,
            [0, (&raw const attributes) as usize, 0, 0, 0],
        )
    }
    .map(drop)
}

pub(crate) fn set_io_priority(value: u32) -> Result<(), Errno> {
    call(
        number::IOPRIO_SET,
        [IOPRIO_WHO_PGRP, 0, value as usize, 0, 0],
    )
    .map(drop)
}

pub(crate) fn set_memory_policy(mode: u32, nodes: &[u8]) -> Result<(), Errno> {
    // The kernel counts one more bit than it reads; no bits at all are no mask.
    let (mask, bits) = match nodes.len() {
        0 => (core::ptr::null(), 0),
        length => (nodes.as_ptr(), length.saturating_mul(8).saturating_add(1)),
    };
    // SAFETY: the mask has as many bits as are announced; the kernel reads it unaligned.
    unsafe {
        syscall(
            number::SET_MEMPOLICY,
            [mode as usize, mask as usize, bits, 0, 0],
        )
    }
    .map(drop)
}

pub(crate) fn set_cpu_affinity(cpus: &[u8]) -> Result<(), Errno> {
    // SAFETY: process 0 is this one; the mask has as many bytes as are announced, and the kernel reads it unaligned.
    unsafe {
        syscall(
            number::SCHED_SETAFFINITY,
            [0, cpus.len(), cpus.as_ptr() as usize, 0, 0],
        )
    }
    .map(drop)
}

/// The kernel takes from the mask what there is, and remembers the rest for CPUs that come later. Where it refuses, the
/// affinity of the caller stays: nothing was asked for.
pub(crate) fn reset_cpu_affinity() {
    /// As many CPUs as a kernel can be built for: NR_CPUS is at most 8192.
    static ALL: [u8; 1024] = [0xff; 1024];
    let _ = set_cpu_affinity(&ALL);
}
