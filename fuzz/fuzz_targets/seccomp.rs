//! A seccomp profile becomes a filter that the kernel's checks would let pass, or an error.
#![no_main]

use libfuzzer_sys::{Corpus, fuzz_target};
use runtime_core::oci_spec::runtime::LinuxSeccomp;
use runtime_core::seccomp::{NativeArch, SeccompFacts, compile};

/// BPF_MAXINSNS (linux/bpf_common.h).
const LONGEST: usize = 4096;
const JUMP: u16 = 0x05;
const JUMP_ALWAYS: u16 = 0x05;
const RETURN: u16 = 0x06;
const CLASS: u16 = 0x07;

fuzz_target!(|bytes: &[u8]| -> Corpus {
    let Ok(profile) = serde_json::from_slice::<LinuxSeccomp>(bytes) else {
        return Corpus::Reject;
    };
    for arch in [NativeArch::X86_64, NativeArch::Aarch64] {
        let Ok(filter) = compile(&profile, &SeccompFacts { arch }) else {
            continue;
        };
        let length = filter.program.len();
        assert!((1..=LONGEST).contains(&length), "{length} instructions");
        assert_eq!(filter.to_bytes().len(), 8 * length);
        for (at, instruction) in filter.program.iter().enumerate() {
            // bpf_check_classic() in the kernel: jumps lead forward to an instruction of the program.
            let farthest = match instruction.code {
                JUMP_ALWAYS => instruction.k as usize,
                code if code & CLASS == JUMP => usize::from(instruction.jt.max(instruction.jf)),
                code if code & CLASS == RETURN => continue,
                _ => 0,
            };
            assert!(
                at + 1 + farthest < length,
                "instruction {at} leads out of the program"
            );
        }
    }
    Corpus::Keep
});
