//! When each step began: numbers in memory that is shared with the runtime. There is none unless the plan says so.

use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, Ordering};

use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::{number, syscall};

/// Not offset in a time namespace, which a step may enter (time_namespaces(7)).
const CLOCK_REALTIME: usize = 0;

/// The shared memory, unmapped when this is dropped.
pub(crate) struct Stamps {
    first: *const AtomicU64,
    count: usize,
}

impl Stamps {
    /// Maps a file of the runtime's, which has a number for each step and cannot be shortened.
    pub(crate) fn map(file: BorrowedFd<'_>) -> Result<Stamps, Errno> {
        let length = usize::try_from(rustix::fs::fstat(file)?.st_size).map_err(|_| Errno::FBIG)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, at an address of the kernel's choice.
        let start = unsafe { mmap(null_mut(), length, access, MapFlags::SHARED, file, 0)? };
        Ok(Stamps {
            first: start.cast(),
            count: length / size_of::<AtomicU64>(),
        })
    }

    /// Notes that the step begins now.
    pub(crate) fn begin(&self, step: u32) {
        let step = step as usize;
        if step < self.count {
            // SAFETY: the mapping, which is aligned to a page, has `count` numbers, and is there until the drop.
            let stamp = unsafe { &*self.first.add(step) };
            stamp.store(now(), Ordering::Relaxed);
        }
    }
}

impl Drop for Stamps {
    fn drop(&mut self) {
        let length = self.count.wrapping_mul(size_of::<AtomicU64>());
        // SAFETY: this value's own mapping, into which nothing else points.
        let _ = unsafe { munmap(self.first.cast_mut().cast(), length) };
    }
}

/// Nanoseconds since the epoch; 0, as of a step that has not begun, where the kernel does not say.
fn now() -> u64 {
    let mut time = [0u64; 2];
    let arguments = [CLOCK_REALTIME, time.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: room for a `struct timespec`: seconds and nanoseconds, 64 bits each.
    let answer = unsafe { syscall(number::CLOCK_GETTIME, arguments) };
    let [seconds, nanoseconds] = time;
    match answer {
        Ok(_) => seconds
            .wrapping_mul(1_000_000_000)
            .wrapping_add(nanoseconds),
        Err(_) => 0,
    }
}
