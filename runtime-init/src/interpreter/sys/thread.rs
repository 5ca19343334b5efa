//! A second thread of the init.

use core::arch::asm;
use core::cell::UnsafeCell;

use rustix::io::Errno;

use super::{call, number};

const CLONE_VM: usize = 0x100;
const CLONE_FS: usize = 0x200;
const CLONE_FILES: usize = 0x400;
const CLONE_SIGHAND: usize = 0x800;
const CLONE_THREAD: usize = 0x1_0000;
const FLAGS: usize = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;

const STACK_SIZE: usize = 16 * 1024;

/// Where the thread keeps what it calls; both architectures want a stack's end aligned to 16 bytes.
#[repr(C, align(16))]
struct Stack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: only the thread touches it, and there is at most one (`start`).
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; STACK_SIZE]));

/// Starts the one other thread of this process (clone(2)), which shares memory and descriptors with it. It ends with
/// [`exit`], or when this one executes a program.
///
/// # Safety
///
/// To be called once: there is one stack.
pub(super) unsafe fn start(entry: extern "C" fn() -> !) -> Result<(), Errno> {
    let top = (STACK.0.get() as usize).wrapping_add(STACK_SIZE);
    let result: isize;
    // The kernel changes rcx and r11, so the entry may not be there (`out`, not `lateout`).
    // SAFETY: the parent comes out of the call with its own stack and registers. The child begins on its own stack, calls
    // a function that does not return, and so never sees what follows.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!("syscall", "test rax, rax", "jnz 2f", "xor ebp, ebp", "call {entry}", "ud2", "2:", entry = in(reg) entry,
            inlateout("rax") number::CLONE as isize => result, in("rdi") FLAGS, in("rsi") top, in("rdx") 0, in("r10") 0,
            in("r8") 0, out("rcx") _, out("r11") _);
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!("svc 0", "cbnz x0, 2f", "mov x29, #0", "blr {entry}", "brk #1", "2:", entry = in(reg) entry,
            in("x8") number::CLONE, inlateout("x0") FLAGS as isize => result, in("x1") top, in("x2") 0, in("x3") 0,
            in("x4") 0);
    }
    super::answer(result).map(drop)
}

/// Ends the calling thread alone.
pub(super) fn exit() -> ! {
    loop {
        let _ = call(number::EXIT, [0; 5]);
    }
}
