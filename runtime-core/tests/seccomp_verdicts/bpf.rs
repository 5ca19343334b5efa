//! The part of the kernel's classic BPF that a seccomp filter may use, as an interpreter.

use seccompiler::sock_filter;

/// What a filter sees of a call: struct seccomp_data, without the instruction pointer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    pub(crate) number: u32,
    pub(crate) arch: u32,
    pub(crate) arguments: [u64; 6],
}

impl Call {
    fn word(&self, offset: u32) -> u32 {
        match offset {
            0 => self.number,
            4 => self.arch,
            16..=60 if offset.is_multiple_of(4) => {
                let argument = self.arguments[(offset as usize - 16) / 8];
                (if offset.is_multiple_of(8) {
                    argument
                } else {
                    argument >> 32
                }) as u32
            }
            _ => panic!("load from offset {offset}"),
        }
    }
}

/// How a program ends for a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    pub(crate) value: u32,
    /// How many instructions were executed.
    pub(crate) steps: usize,
    pub(crate) read_arguments: bool,
}

pub(crate) fn run(program: &[sock_filter], call: &Call) -> Outcome {
    let mut accumulator = 0;
    let mut read_arguments = false;
    let mut at = 0;
    for steps in 1.. {
        let sock_filter { code, jt, jf, k } = program[at];
        let branch = |holds| usize::from(if holds { jt } else { jf });
        at += 1;
        match code {
            0x20 => {
                accumulator = call.word(k);
                read_arguments |= k >= 16;
            }
            0x54 => accumulator &= k,
            0x05 => at += k as usize,
            0x15 => at += branch(accumulator == k),
            0x25 => at += branch(accumulator > k),
            0x35 => at += branch(accumulator >= k),
            0x45 => at += branch(accumulator & k != 0),
            0x06 => {
                return Outcome {
                    value: k,
                    steps,
                    read_arguments,
                };
            }
            _ => panic!("instruction {code:#x}"),
        }
    }
    unreachable!("a program without backward jumps ends")
}

/// Decodes the array of struct sock_filter that libseccomp exports.
pub(crate) fn decode(bytes: &[u8]) -> Vec<sock_filter> {
    bytes
        .chunks_exact(8)
        .map(|chunk| sock_filter {
            code: u16::from_ne_bytes([chunk[0], chunk[1]]),
            jt: chunk[2],
            jf: chunk[3],
            k: u32::from_ne_bytes([chunk[4], chunk[5], chunk[6], chunk[7]]),
        })
        .collect()
}
