//! Where and when processes run.

use std::io;

use runtime_init::{Scheduling, SchedulingAttributes};

const IOPRIO_WHO_PGRP: libc::c_int = 2;

fn check(result: libc::c_long) -> io::Result<()> {
    match result {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Lets the calling thread run on the CPUs of the mask alone (sched_setaffinity(2)).
pub(crate) fn set_cpu_affinity(mask: &[u8]) -> io::Result<()> {
    // SAFETY: thread 0 is the calling one; the mask has as many bytes as are announced.
    check(unsafe { libc::syscall(libc::SYS_sched_setaffinity, 0, mask.len(), mask.as_ptr()) })
}

/// sched_setattr(2) on another process.
pub(crate) fn set_scheduler(pid: i32, scheduling: &Scheduling) -> io::Result<()> {
    let attributes = SchedulingAttributes::from(scheduling);
    // SAFETY: the structure has the size that it says; the kernel reads it.
    check(unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attributes, 0) })
}

/// ioprio_set(2) on another process group.
pub(crate) fn set_io_priority(group: i32, value: u32) -> io::Result<()> {
    // SAFETY: numbers alone.
    check(unsafe { libc::syscall(libc::SYS_ioprio_set, IOPRIO_WHO_PGRP, group, value) })
}
