//! The part of the kernel's classic BPF that a filter uses, as an interpreter.
#![allow(
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what would not pass the kernel's check is a panic here"
)]

use seccompiler::sock_filter;

/// What a filter sees of a call: struct seccomp_data, without the instruction pointer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) number: u32,
    pub(super) arch: u32,
    pub(super) arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..=60 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                let is_low = offset.is_multiple_of(8);
                (if is_low { argument } else { argument >> 32 }) as u32
            }
            _ => panic!("load from offset {offset}"),
        }
    }
}

/// What the filter returns for the call.
pub(super) fn run(program: &[sock_filter], call: &Call) -> u32 {
    let mut accumulator = 0;
    let mut at = 0;
    loop {
        let sock_filter { code, jt, jf, k } = program[at];
        let branch = |holds| usize::from(if holds { jt } else { jf });
        at += 1;
        match code {
            0x20 => accumulator = call.word(k),
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x45 => at += branch(accumulator & k != 0),
            0x06 => return k,
            _ => panic!("instruction {code:#x}"),
        }
    }
}
