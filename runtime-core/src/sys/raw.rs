//! System calls past the C library, whose errno belongs to the thread: a child that borrows the memory of a thread has the
//! same.

use std::arch::asm;

/// The kernel's answer, or its errno.
///
/// # Safety
///
/// As for the system call.
pub(super) unsafe fn call(number: libc::c_long, arguments: [usize; 5]) -> Result<usize, i32> {
    let [first, second, third, fourth, fifth] = arguments;
    let result: isize;
    // SAFETY: the system call keeps all registers but those that are named; what it does with memory is the caller's to know.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    // SAFETY: the same.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first as isize => result,
            in("x1") second,
            in("x2") third,
            in("x3") fourth,
            in("x4") fifth,
            options(nostack),
        );
    }
    match result {
        error @ -4095..0 => Err(-error as i32),
        answer => Ok(answer as usize),
    }
}
