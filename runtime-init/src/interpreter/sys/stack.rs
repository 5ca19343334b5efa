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
///
/// Never a part of its caller, whose frame may be larger than what is spared here.
#[inline(never)]
pub(crate) fn release_stack() {
    let here = 0u8;
    let below = (&raw const here).addr().saturating_sub(IN_USE);
    let end = below & !PAGE.wrapping_sub(1);
    let start = end.saturating_sub(DEEPEST) as *mut core::ffi::c_void;
    // SAFETY: this frame is far smaller than what is spared, and nothing lives below it; what is read there later is written
    // first. Where no stack was yet, there is nothing: right below a stack is a guard gap of a megabyte (mmap(2),
    // MAP_GROWSDOWN).
    let _ = unsafe { madvise(start, DEEPEST, Advice::LinuxDontNeed) };
}
