//! The part of the kernel's classic BPF that a filter uses, as an interpreter.

use seccompiler::sock_filter;

use super::assembler::{
    AND, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, LOAD_WORD, RETURN,
};

/// `struct seccomp_data`, without the address of the call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) arch: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    /// The word at an offset; both architectures are little-endian.
    fn word(&self, offset: u32) -> Option<u32> {
        match offset {
            0 => Some(self.number),
            4 => Some(self.arch),
            8..16 => Some(0),
            _ => {
                let argument = self.arguments.get((offset as usize).checked_sub(16)? / 8)?;
                Some(if offset.is_multiple_of(8) {
                    *argument as u32
                } else {
                    (argument >> 32) as u32
                })
            }
        }
    }
}

/// What the filter returns for the call; none for a program that the kernel would not take, or with instructions that the
/// assembler does not write.
pub(super) fn run(program: &[sock_filter], call: &Call) -> Option<u32> {
    let (mut accumulator, mut at) = (0u32, 0usize);
    loop {
        let instruction = program.get(at)?;
        at += 1;
        let (yes, no) = (usize::from(instruction.jt), usize::from(instruction.jf));
        let branch = |holds: bool| if holds { yes } else { no };
        match instruction.code {
            LOAD_WORD => accumulator = call.word(instruction.k)?,
            AND => accumulator &= instruction.k,
            JUMP => at += instruction.k as usize,
            JUMP_EQUAL => at += branch(accumulator == instruction.k),
            JUMP_GREATER => at += branch(accumulator > instruction.k),
            JUMP_GREATER_OR_EQUAL => at += branch(accumulator >= instruction.k),
            RETURN => return Some(instruction.k),
            _ => return None,
        }
    }
}
