//! The entry point, and what the kernel starts the program with.

use core::arch::global_asm;
use core::ffi::{CStr, c_char};

use runtime_init::{FIRST_USER_ARGUMENT, Slot};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};

use super::{exit, inherited, number, syscall};

#[cfg(target_arch = "x86_64")]
global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {begin}",
    "ud2",
    begin = sym begin,
);
#[cfg(target_arch = "aarch64")]
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, #0",
    "mov x30, #0",
    "mov x0, sp",
    "bl {begin}",
    "brk #1",
    begin = sym begin,
);

/// # Safety
///
/// `stack` is the stack as the kernel laid it out for a new program (the ABI's "process initialization").
unsafe extern "C" fn begin(stack: *const usize) -> ! {
    // SAFETY: at the top of the initial stack lie argc, argv with its terminator, and envp.
    let (argc, argv) = unsafe { (*stack, stack.add(1).cast::<*const c_char>()) };
    if argc <= FIRST_USER_ARGUMENT {
        exit(1);
    }
    // SAFETY: argv has argc entries and a terminator before the environment begins; entry 1 is there and a C string.
    let (number, environment) = unsafe { (CStr::from_ptr(*argv.add(1)), argv.add(argc + 1)) };
    let Some(plan) = parse_number(number) else {
        exit(1)
    };
    crate::main(Start {
        plan,
        arguments: argv.wrapping_add(FIRST_USER_ARGUMENT),
        environment,
    })
}

fn parse_number(text: &CStr) -> Option<u32> {
    text.to_bytes().iter().try_fold(0u32, |number, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| number.wrapping_mul(10).wrapping_add(u32::from(digit)))
    })
}

/// What the process was started with.
pub(crate) struct Start {
    plan: u32,
    arguments: *const *const c_char,
    environment: *const *const c_char,
}

impl Start {
    /// The number of the plan's descriptor.
    pub(crate) fn plan(&self) -> u32 {
        self.plan
    }

    /// The number of a slot's descriptor.
    pub(crate) fn slot(&self, slot: Slot) -> u32 {
        self.plan.wrapping_add(1).wrapping_add(u32::from(slot.0))
    }

    /// The plan, which stays mapped until the user's program takes the process over.
    pub(crate) fn map_plan(&self) -> Result<&'static [u8], Errno> {
        let plan = inherited(self.plan);
        let length = usize::try_from(rustix::fs::fstat(plan)?.st_size).map_err(|_| Errno::FBIG)?;
        // SAFETY: a new private mapping of a sealed memfd, which nobody can change or shorten; it is never unmapped.
        unsafe {
            let start = mmap(
                core::ptr::null_mut(),
                length,
                ProtFlags::READ,
                MapFlags::PRIVATE,
                plan,
                0,
            )?;
            Ok(core::slice::from_raw_parts(start.cast::<u8>(), length))
        }
    }

    /// Executes the program with the user's arguments and environment; comes back only with the reason why not.
    pub(crate) fn execve(&self, program: &CStr) -> Errno {
        let arguments = [
            program.as_ptr() as usize,
            self.arguments as usize,
            self.environment as usize,
            0,
            0,
        ];
        // SAFETY: the path is a C string, and both lists are the kernel's own from this process's start.
        match unsafe { syscall(number::EXECVE, arguments) } {
            Err(errno) => errno,
            Ok(_) => Errno::INVAL,
        }
    }
}
