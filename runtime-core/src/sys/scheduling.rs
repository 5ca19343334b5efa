//! Where and when processes run.

use std::io;
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

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

/// All CPUs that a thread may run on but one.
#[derive(Clone, Copy)]
pub(crate) struct OtherCpus(libc::cpu_set_t);

impl OtherCpus {
    /// Those of the caller, but for the one that it runs on; nothing on a machine with more CPUs than a set has room for.
    pub(crate) fn than_this() -> Option<OtherCpus> {
        let size = size_of::<libc::cpu_set_t>();
        // SAFETY: the set is written by the call before it is read, and has the size that is announced.
        unsafe {
            let mut cpus = std::mem::zeroed();
            let this = usize::try_from(libc::sched_getcpu()).ok()?;
            if this >= 8 * size || libc::sched_getaffinity(0, size, &mut cpus) != 0 {
                return None;
            }
            libc::CPU_CLR(this, &mut cpus);
            Some(OtherCpus(cpus))
        }
    }

    /// Moves the calling thread there, if there are any.
    pub(crate) fn take_caller(&self) {
        self.take_process(0);
    }

    /// Moves a child there.
    pub(crate) fn take_process(&self, pid: i32) {
        // SAFETY: the set has the size that is announced.
        unsafe { libc::sched_setaffinity(pid, size_of_val(&self.0), &self.0) };
    }

    /// Moves a thread there, which may not have ended.
    pub(crate) fn take<T>(&self, thread: &JoinHandle<T>) {
        // SAFETY: the thread is there as long as its handle; the set has the size that is announced.
        unsafe {
            libc::pthread_setaffinity_np(thread.as_pthread_t(), size_of_val(&self.0), &self.0)
        };
    }
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
