//! An interpreter of the eBPF instructions that device filters use, which knows nothing of how they are made.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "what would not pass the kernel's verifier is a panic here"
)]

/// What the program returns for the words of a `struct bpf_cgroup_dev_ctx`: whether the access is allowed.
pub(super) fn run(program: &[u64], context: [u32; 3]) -> bool {
    let mut registers = [0u64; 11];
    let mut counter = 0usize;
    loop {
        let bytes = program[counter].to_le_bytes();
        let (to, from) = ((bytes[1] & 15) as usize, (bytes[1] >> 4) as usize);
        let offset = i16::from_le_bytes([bytes[2], bytes[3]]);
        let immediate = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        let (class, operation, by_register) = (bytes[0] & 7, bytes[0] & 0xf0, bytes[0] & 8 != 0);
        let operand = if by_register {
            registers[from] as u32
        } else {
            immediate
        };
        let value = registers[to] as u32;
        counter += 1;
        match (class, operation) {
            (1, 0x60) => {
                assert_eq!((from, offset % 4), (1, 0), "only the context is read");
                registers[to] = u64::from(context[offset as usize / 4]);
            }
            (4, 0xb0) => registers[to] = u64::from(operand),
            (4, 0x50) => registers[to] = u64::from(value & operand),
            (4, 0x70) => registers[to] = u64::from(value >> operand),
            (6, 0x50) if value == operand => {}
            (6, 0x40) if value & operand == 0 => {}
            (6, 0x40 | 0x50) | (5, 0x00) => {
                assert!(offset >= 0, "a jump leads back");
                counter = counter.checked_add_signed(offset.into()).unwrap();
            }
            (5, 0x90) => return registers[0] == 1,
            other => panic!("unknown instruction {other:x?}"),
        }
    }
}
