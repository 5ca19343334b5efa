//! The memory functions that compiled code calls, as there is no library to have them. Volatile accesses and string
//! instructions keep the compiler from recognising its own idiom in them.

#[cfg(target_arch = "x86_64")]
use core::arch::asm;

/// # Safety
///
/// As memcpy(3) asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") length => _, options(nostack, preserves_flags));
        #[cfg(not(target_arch = "x86_64"))]
        for offset in 0..length {
            to.add(offset)
                .write_volatile(from.add(offset).read_volatile());
        }
    }
    to
}

/// # Safety
///
/// As memmove(3) asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise; the direction spares bytes that are not copied yet.
    unsafe {
        if (to as usize) < (from as usize) {
            return memcpy(to, from, length);
        }
        for offset in (0..length).rev() {
            to.add(offset)
                .write_volatile(from.add(offset).read_volatile());
        }
    }
    to
}

/// # Safety
///
/// As memset(3) asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, length: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        asm!("rep stosb", inout("rdi") to => _, inout("rcx") length => _, in("al") value as u8, options(nostack, preserves_flags));
        #[cfg(not(target_arch = "x86_64"))]
        for offset in 0..length {
            to.add(offset).write_volatile(value as u8);
        }
    }
    to
}

/// # Safety
///
/// As memcmp(3) asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    for offset in 0..length {
        // SAFETY: the caller's promise.
        let (left, right) = unsafe {
            (
                left.add(offset).read_volatile(),
                right.add(offset).read_volatile(),
            )
        };
        if left != right {
            return i32::from(left) - i32::from(right);
        }
    }
    0
}

/// # Safety
///
/// As bcmp(3) asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(left: *const u8, right: *const u8, length: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(left, right, length) }
}

/// # Safety
///
/// As strlen(3) asks.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0usize;
    // SAFETY: the caller's promise.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length = length.wrapping_add(1);
    }
    length
}
