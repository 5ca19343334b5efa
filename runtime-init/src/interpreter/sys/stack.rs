//! Memory of the stack that is not needed any more.

use rustix::mm::{Advice, madvise};

/// The largest that the architecture has.
const PAGE: usize = if cfg!(target_arch = "x86_64") {
    4 << 10
} else {
    64 << 10
};

/// More than what the system call below needs itself.
const IN_USE: usize = 4 << 10;

/// Resolving a path takes some tens of KiB; nothing takes more.
const DEEPEST: usize = 256 << 10;

/// Gives back what is below the caller's frame, where calls were that have returned: a container may wait for long.
pub(crate) fn release_stack() {
    let here = 0u8;
    let below = (&raw const here).addr().saturating_sub(IN_USE);
    let end = below & !PAGE.wrapping_sub(1);
    let start = end.saturating_sub(DEEPEST) as *mut core::ffi::c_void;
    // SAFETY: nothing lives below this frame and that of the system call; what is read there later was written first. Where
    // no stack was yet, the kernel leaves whatever is there as it is: a stack has nothing right below it but a guard gap
    // (mmap(2), MAP_GROWSDOWN) of a megabyte.
    let _ = unsafe { madvise(start, DEEPEST, Advice::LinuxDontNeed) };
}
