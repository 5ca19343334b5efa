//! What a compiled filter says to the few calls between the loading of the filter and the user's program.

use seccompiler::sock_filter;

use super::action::{RET_ALLOW, RET_LOG};
use super::assembler::{
    AND, JUMP, JUMP_EQUAL, JUMP_GREATER, JUMP_GREATER_OR_EQUAL, LOAD_WORD, RETURN,
};
use super::{Filter, NativeArch};

/// The action, without its data.
const ACTION: u32 = 0xffff_0000;

/// CLONE_PARENT and SIGCHLD.
const CLONE_SIBLING: u64 = 0x8000 | 17;

/// The numbers of linux/unistd.h, and the first argument, where a profile may ask for it.
const CALLS: [(libc::c_long, u64); 9] = [
    (libc::SYS_clone, CLONE_SIBLING),
    (libc::SYS_setsid, 0),
    (libc::SYS_ioctl, 0),
    (libc::SYS_sendto, 0),
    (libc::SYS_recvfrom, 0),
    (libc::SYS_newfstatat, libc::AT_FDCWD as u64),
    (libc::SYS_faccessat2, libc::AT_FDCWD as u64),
    (libc::SYS_prlimit64, 0),
    (libc::SYS_execve, 0),
];

impl Filter {
    /// Whether a process under this filter can still be made a container's: whether it lets through what the init does
    /// between the fork into the PID namespace and the user's program.
    pub(crate) fn lets_a_process_join(&self) -> bool {
        let judge = |(number, first): (libc::c_long, u64)| {
            let call = Call {
                number: number as u32,
                arch: NativeArch::current().audit_arch(),
                arguments: [first, 0x540e, 0, 0, 0, 0],
            };
            judge(&self.program, &call)
        };
        !self.notify
            && CALLS
                .into_iter()
                .all(|call| matches!(judge(call), Some(RET_ALLOW | RET_LOG)))
    }
}

/// `struct seccomp_data`, without the address of the call.
struct Call {
    number: u32,
    arch: u32,
    arguments: [u64; 6],
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

/// The program's verdict, without its data; none for a program with instructions that the assembler does not write.
fn judge(program: &[sock_filter], call: &Call) -> Option<u32> {
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
            RETURN => return Some(instruction.k & ACTION),
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxSeccomp;
    use serde_json::{Value, json};

    use crate::seccomp::{NativeArch, SeccompFacts, compile};

    fn joins(profile: Value) -> bool {
        let profile: LinuxSeccomp = serde_json::from_value(profile).unwrap();
        let arch = NativeArch::current();
        compile(&profile, &SeccompFacts { arch })
            .unwrap()
            .lets_a_process_join()
    }

    #[test]
    fn a_process_joins_under_the_profile_that_engines_use() {
        let text = include_str!("../../tests/fixtures/docker-default-seccomp.json");
        let file: Value = serde_json::from_str(text).unwrap();
        let profile = file.pointer("/linux/seccomp").unwrap_or(&file);
        assert!(joins(profile.clone()));
    }

    #[test]
    fn a_profile_that_forbids_one_of_the_calls_is_loaded_after_them() {
        for name in [
            "clone",
            "setsid",
            "sendto",
            "recvfrom",
            "execve",
            "newfstatat",
        ] {
            let rule = json!({"names": [name], "action": "SCMP_ACT_ERRNO"});
            let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
            assert!(!joins(profile), "{name}");
        }
        assert!(!joins(json!({"defaultAction": "SCMP_ACT_KILL"})));
        assert!(joins(json!({"defaultAction": "SCMP_ACT_LOG"})));
    }

    #[test]
    fn arguments_count_as_they_will_be() {
        let profile = |flags: u64| {
            let argument =
                json!({"index": 0, "value": flags, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ"});
            let rule = json!({"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [argument]});
            let others = [
                "setsid",
                "ioctl",
                "sendto",
                "recvfrom",
                "newfstatat",
                "faccessat2",
                "prlimit64",
                "execve",
            ];
            let others = json!({"names": others, "action": "SCMP_ACT_ALLOW"});
            json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule, others]})
        };
        assert!(joins(profile(0x7e02_0000)));
        assert!(!joins(profile(0x8000)));
    }
}
