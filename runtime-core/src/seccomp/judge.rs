//! What a compiled filter says to the few calls between the loading of the filter and the user's program.

use super::action::{RET_ALLOW, RET_LOG};
use super::interpreter::{Call, run};
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
            run(&self.program, &call).map(|verdict| verdict & ACTION)
        };
        !self.notify
            && CALLS
                .into_iter()
                .all(|call| matches!(judge(call), Some(RET_ALLOW | RET_LOG)))
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
