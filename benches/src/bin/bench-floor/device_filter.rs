//! The device rules of a v2 cgroup: a BPF program, assembled by hand (`BPF_PROG_TYPE_CGROUP_DEVICE`, bpf(2)).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::sys::bpf;

/// Offsets in `struct bpf_cgroup_dev_ctx`.
const ACCESS_TYPE: i16 = 0;
const MAJOR: i16 = 4;
const MINOR: i16 = 8;

const LOAD_WORD: u8 = 0x61;
const JUMP_EQUAL: u8 = 0x15;
const JUMP_NOT_EQUAL: u8 = 0x55;
const SHIFT_RIGHT: u8 = 0x77;
const AND: u8 = 0x57;
const MOVE: u8 = 0xb7;
const EXIT: u8 = 0x95;

const BPF_DEVCG_ACC_MKNOD: i32 = 1;
const BPF_DEVCG_DEV_CHAR: i32 = 2;

/// Character devices that may be opened; any node may be made.
const ALLOWED: [(i32, Option<i32>); 9] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
    (10, Some(200)),
];

/// One instruction, as the kernel's `struct bpf_insn` lays it out on a little-endian machine.
fn instruction(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> u64 {
    u64::from(code)
        | u64::from(destination | source << 4) << 8
        | u64::from(offset.cast_unsigned()) << 16
        | u64::from(immediate.cast_unsigned()) << 32
}

/// r2 becomes the type, r3 the access, r4 the major and r5 the minor number; r0 the verdict.
fn program(console: bool) -> Vec<u64> {
    let mut program = vec![
        instruction(LOAD_WORD, 2, 1, ACCESS_TYPE, 0),
        instruction(LOAD_WORD, 4, 1, MAJOR, 0),
        instruction(LOAD_WORD, 5, 1, MINOR, 0),
        instruction(LOAD_WORD, 3, 1, ACCESS_TYPE, 0),
        instruction(SHIFT_RIGHT, 3, 0, 0, 16),
        instruction(AND, 2, 0, 0, 0xffff),
        instruction(MOVE, 0, 0, 0, 1),
        instruction(JUMP_NOT_EQUAL, 3, 0, 1, BPF_DEVCG_ACC_MKNOD),
        instruction(EXIT, 0, 0, 0, 0),
        instruction(JUMP_EQUAL, 2, 0, 2, BPF_DEVCG_DEV_CHAR),
        instruction(MOVE, 0, 0, 0, 0),
        instruction(EXIT, 0, 0, 0, 0),
    ];
    for (major, minor) in ALLOWED.into_iter().chain(console.then_some((5, Some(1)))) {
        match minor {
            Some(minor) => program.extend([
                instruction(JUMP_NOT_EQUAL, 4, 0, 2, major),
                instruction(JUMP_NOT_EQUAL, 5, 0, 1, minor),
            ]),
            None => program.push(instruction(JUMP_NOT_EQUAL, 4, 0, 1, major)),
        }
        program.push(instruction(EXIT, 0, 0, 0, 0));
    }
    program.extend([instruction(MOVE, 0, 0, 0, 0), instruction(EXIT, 0, 0, 0, 0)]);
    program
}

/// Loads the program and attaches it to the cgroup.
pub(crate) fn attach(cgroup: BorrowedFd<'_>, console: bool) -> io::Result<()> {
    let program = bpf::load_device_program(&program(console))?;
    bpf::attach_device_program(cgroup, program.as_fd())
}
