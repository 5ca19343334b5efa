//! Device rules as a program of type BPF_PROG_TYPE_CGROUP_DEVICE, which version 2 has in place of a controller.
//!
//! The context is `struct bpf_cgroup_dev_ctx`: the kind of device and, in the upper half, the access; major; minor. The
//! program returns whether the access is allowed. Exceptions all do the opposite of the default, so their order does not
//! matter.

use serde::{Serialize, Serializer};

use super::devices::{Access, Kind, Match, Rules};

/// A finished program, one `struct bpf_insn` a number. Serialized as hexadecimal numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Program(Vec<u64>);

impl Program {
    pub(super) fn instructions(&self) -> &[u64] {
        &self.0
    }
}

impl Serialize for Program {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .iter()
                .map(|instruction| format!("{instruction:016x}")),
        )
    }
}

/// Registers, by what they hold here. The kernel hands over the context in the first.
const VERDICT: u8 = 0;
const CONTEXT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;
const SCRATCH: u8 = 6;

/// Operations: class, source and operation of linux/bpf.h put together.
const LOAD_WORD: u8 = 0x61;
const SET: u8 = 0xb4;
const COPY: u8 = 0xbc;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const JUMP_UNLESS_EQUAL: u8 = 0x56;
const JUMP_IF_ANY: u8 = 0x46;
const JUMP: u8 = 0x05;
const EXIT: u8 = 0x95;

/// BPF_DEVCG_DEV_BLOCK and BPF_DEVCG_DEV_CHAR.
const BLOCK: u32 = 1;
const CHARACTER: u32 = 2;

/// `struct bpf_insn` on a little-endian machine: code, two registers of four bits, offset, immediate.
fn instruction(code: u8, to: u8, from: u8, offset: i16, immediate: u32) -> u64 {
    let registers = u64::from(from) << 4 | u64::from(to);
    u64::from(code) | registers << 8 | u64::from(offset as u16) << 16 | u64::from(immediate) << 32
}

pub(super) fn compile(rules: &Rules) -> Program {
    let mut program = vec![
        instruction(LOAD_WORD, KIND, CONTEXT, 0, 0),
        instruction(COPY, ACCESS, KIND, 0, 0),
        instruction(AND, KIND, 0, 0, 0xffff),
        instruction(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        instruction(LOAD_WORD, MAJOR, CONTEXT, 4, 0),
        instruction(LOAD_WORD, MINOR, CONTEXT, 8, 0),
    ];
    for (&device, &(access, _)) in &rules.exceptions {
        program.extend(exception(device, access, rules.allow));
    }
    program.extend(verdict(rules.allow));
    Program(program)
}

fn verdict(allow: bool) -> [u64; 2] {
    [
        instruction(SET, VERDICT, 0, 0, u32::from(allow)),
        instruction(EXIT, 0, 0, 0, 0),
    ]
}

/// Checks of one exception, each of which jumps behind its verdict when it does not hold.
fn exception(device: Match, access: Access, default: bool) -> Vec<u64> {
    let kind = match device.kind {
        Kind::Block => BLOCK,
        Kind::Character => CHARACTER,
    };
    // A check is what goes before the jump, and the jump without its target.
    let mut checks: Vec<Vec<u64>> = vec![vec![instruction(JUMP_UNLESS_EQUAL, KIND, 0, 0, kind)]];
    for (register, number) in [(MAJOR, device.major), (MINOR, device.minor)] {
        checks.extend(
            number.map(|number| vec![instruction(JUMP_UNLESS_EQUAL, register, 0, 0, number)]),
        );
    }
    if access != Access::ALL {
        checks.push(access_check(access, default));
    }
    let mut code: Vec<u64> = checks.concat();
    code.extend(verdict(!default));
    aim(code)
}

/// One exception has to allow all of an access, but denies it by any part: as the kernel's `__devcgroup_check_permission`
/// does for version 1. Reading and writing is denied where writing is.
fn access_check(access: Access, default: bool) -> Vec<u64> {
    if default {
        let inside = instruction(JUMP_IF_ANY, ACCESS, 0, 1, access.0);
        vec![inside, instruction(JUMP, 0, 0, 0, 0)]
    } else {
        let outside = !access.0 & Access::ALL.0;
        vec![
            instruction(COPY, SCRATCH, ACCESS, 0, 0),
            instruction(AND, SCRATCH, 0, 0, outside),
            instruction(JUMP_UNLESS_EQUAL, SCRATCH, 0, 0, 0),
        ]
    }
}

/// Gives all jumps without a target one: behind the last instruction. Offsets count from the next instruction.
fn aim(mut code: Vec<u64>) -> Vec<u64> {
    let end = code.len();
    for (place, instruction) in code.iter_mut().enumerate() {
        let is_jump = matches!(*instruction as u8, JUMP_UNLESS_EQUAL | JUMP);
        if is_jump && *instruction >> 16 & 0xffff == 0 {
            *instruction |= (end as u64 - place as u64 - 1) << 16;
        }
    }
    code
}

#[cfg(test)]
#[path = "bpf_tests.rs"]
mod tests;
