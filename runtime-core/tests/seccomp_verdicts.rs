//! The verdicts of compiled profiles are libseccomp's: both programs are run for the same calls.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

#[path = "seccomp_verdicts/bpf.rs"]
mod bpf;
#[path = "seccomp_verdicts/cost.rs"]
mod cost;
#[path = "seccomp_verdicts/handwritten.rs"]
mod handwritten;
#[path = "seccomp_verdicts/names.rs"]
mod names;
#[path = "seccomp_verdicts/plain.rs"]
mod plain;
#[path = "seccomp_verdicts/random.rs"]
mod random;
#[path = "seccomp_verdicts/reference.rs"]
mod reference;

use std::collections::BTreeSet;

use bpf::{Call, run};
use handwritten::handwritten;
use libseccomp::{ScmpArch, ScmpSyscall};
use names::{common_names, differences, known_to_libseccomp};
use oci_spec::runtime::LinuxSeccomp;
use plain::{holds, plain_verdict};
use random::{EQUALITIES, OPERATORS, Random, peaceful};
use reference::{AUDIT_AARCH64, AUDIT_ARM, AUDIT_I386, AUDIT_X86_64, Reference};
use runtime_core::seccomp::{Filter, NativeArch, SeccompFacts, compile};
use serde_json::{Value, json};

const X32_BIT: u32 = 0x4000_0000;
const DOCKER: &str = include_str!("fixtures/docker-default-seccomp.json");

fn profile(json: Value) -> LinuxSeccomp {
    serde_json::from_value(json).unwrap()
}

fn compiled(profile: &LinuxSeccomp, arch: NativeArch) -> Filter {
    compile(profile, &SeccompFacts { arch }).unwrap()
}

/// Numbers on either side of everything that could matter.
fn numbers() -> Vec<u32> {
    let edges = [X32_BIT, 2 * X32_BIT, 3 * X32_BIT, 0xf_0003, 0];
    let near = |edge: u32| (0..16).map(move |delta| edge.wrapping_add(delta).wrapping_sub(8));
    let mut numbers: BTreeSet<u32> = edges.into_iter().flat_map(near).collect();
    for start in [0, X32_BIT] {
        numbers.extend(start..start + 1100);
    }
    numbers.into_iter().collect()
}

/// The values that comparisons of the profile could tell apart.
fn boundaries(profile: &LinuxSeccomp) -> Vec<u64> {
    let mut values = BTreeSet::from([0, u64::MAX]);
    for arg in profile
        .syscalls()
        .iter()
        .flatten()
        .flat_map(|rule| rule.args().iter().flatten())
    {
        for value in [arg.value(), arg.value_two().unwrap_or(0)] {
            for value in [value, value.wrapping_add(1), value.wrapping_sub(1)] {
                // The same low or high half beside another one, too.
                values.extend([
                    value,
                    value ^ (1 << 32),
                    value ^ (1 << 63),
                    value ^ 0x100,
                    value & 0xffff_ffff,
                ]);
            }
        }
    }
    // The operations of socketcall(2) and ipc(2).
    values.extend(1..25);
    values.into_iter().collect()
}

/// Argument lists: each boundary alone, and combinations.
fn arguments(values: &[u64], random: &mut Random, combinations: usize) -> Vec<[u64; 6]> {
    let mut lists = vec![[0; 6]];
    for index in 0..6 {
        for value in values {
            let mut list = [0; 6];
            list[index] = *value;
            lists.push(list);
        }
    }
    lists.extend((0..combinations).map(|_| std::array::from_fn(|_| *random.pick(values))));
    lists
}

struct Comparison {
    profile: LinuxSeccomp,
    arch: NativeArch,
    combinations: usize,
}

impl Comparison {
    fn of(json: Value) -> Self {
        Self {
            profile: profile(json),
            arch: NativeArch::X86_64,
            combinations: 300,
        }
    }

    /// Compares all verdicts; false if both sides refuse the profile.
    ///
    /// libseccomp's program may contradict its own rules: it jumps into a test of an argument's high half
    /// while the low one, or another argument, is loaded. Where the rules leave no doubt, they count.
    fn run(&self, what: &str) -> bool {
        let (native, audit) = match self.arch {
            NativeArch::X86_64 => (ScmpArch::X8664, [AUDIT_X86_64, AUDIT_I386]),
            NativeArch::Aarch64 => (ScmpArch::Aarch64, [AUDIT_AARCH64, AUDIT_ARM]),
        };
        let ours = compile(&self.profile, &SeccompFacts { arch: self.arch });
        // As runc chooses: a binary tree beyond 32 calls.
        let calls: usize = self
            .profile
            .syscalls()
            .iter()
            .flatten()
            .map(|rule| rule.names().len())
            .sum();
        let reference = Reference::new(&self.profile, native, if calls > 32 { 2 } else { 1 });
        let (ours, reference) = match (ours, reference) {
            (Ok(ours), Some(reference)) => (ours, reference),
            (Err(_), None) => return false,
            (Ok(_), None) => panic!("{what}: libseccomp refuses the profile"),
            (Err(error), Some(_)) => panic!("{what}: {error}"),
        };
        assert!(ours.program.len() <= 4096);
        let lists = arguments(
            &boundaries(&self.profile),
            &mut Random(1),
            self.combinations,
        );
        for arch in audit.into_iter().chain([0, 0xc000_00f3]) {
            for number in numbers() {
                let call = Call {
                    number,
                    arch,
                    arguments: [0; 6],
                };
                let reads_arguments =
                    run(&ours.program, &call).read_arguments || reference.run(&call).read_arguments;
                let lists = if reads_arguments {
                    &lists[..]
                } else {
                    &lists[..2]
                };
                for arguments in lists {
                    let call = Call {
                        arguments: *arguments,
                        ..call
                    };
                    let (ours, theirs) =
                        (run(&ours.program, &call).value, reference.run(&call).value);
                    assert!(
                        ours == theirs || plain_verdict(&self.profile, &call) == Some(ours),
                        "{ours:#x} instead of {theirs:#x} for {call:x?} with {what}"
                    );
                }
            }
        }
        true
    }
}

#[test]
fn a_number_that_libseccomp_knows_is_the_same_here() {
    for (name, abi, theirs, ours) in differences() {
        println!("{name} on {abi}: {theirs:?} in libseccomp, {ours:?} here");
        assert!(
            theirs.is_none(),
            "{name} on {abi}: {theirs:?} in libseccomp, {ours:?} here"
        );
    }
}

#[test]
fn docker_s_default_profile_has_the_same_verdicts() {
    let profile = known_to_libseccomp(DOCKER);
    assert!(Comparison::of(profile.clone()).run("Docker's default"));
    let mut arm = profile;
    arm["architectures"] = json!(["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"]);
    let comparison = Comparison {
        arch: NativeArch::Aarch64,
        ..Comparison::of(arm)
    };
    assert!(comparison.run("Docker's default on aarch64"));
}

#[test]
fn calls_that_libseccomp_does_not_know_yet_are_filtered_too() {
    let full = compiled(
        &profile(serde_json::from_str(DOCKER).unwrap()),
        NativeArch::X86_64,
    );
    let known = compiled(&profile(known_to_libseccomp(DOCKER)), NativeArch::X86_64);
    let names = profile(serde_json::from_str(DOCKER).unwrap());
    let names: Vec<_> = names
        .syscalls()
        .iter()
        .flatten()
        .flat_map(|rule| rule.names().clone())
        .collect();
    // (name, number), the same on each ABI, of calls after Linux 5.17.
    for (name, number) in [
        ("cachestat", 451),
        ("fchmodat2", 452),
        ("futex_wake", 454),
        ("mseal", 462),
    ] {
        assert!(names.iter().any(|listed| listed == name));
        for (arch, bit) in [(AUDIT_X86_64, 0), (AUDIT_X86_64, X32_BIT), (AUDIT_I386, 0)] {
            let call = Call {
                number: number | bit,
                arch,
                arguments: [0; 6],
            };
            assert_eq!(run(&full.program, &call).value, 0x7fff_0000, "{name}");
            // The largest x32 calls are those from 512 on, which have other numbers than x86_64's.
            if ScmpSyscall::from_name(name).is_err() && bit == 0 {
                assert_eq!(
                    run(&known.program, &call).value,
                    0x0005_0026,
                    "{name}: {call:x?}"
                );
            }
        }
    }
}

#[test]
fn few_instructions_are_executed_for_a_call() {
    let filter = compiled(
        &profile(serde_json::from_str(DOCKER).unwrap()),
        NativeArch::X86_64,
    );
    let most = |arch| {
        let calls = numbers().into_iter().map(|number| Call {
            number,
            arch,
            arguments: [1; 6],
        });
        calls
            .map(|call| run(&filter.program, &call).steps)
            .max()
            .unwrap()
    };
    println!(
        "{} instructions, at most {} for a call",
        filter.program.len(),
        most(AUDIT_X86_64)
    );
    assert!(most(AUDIT_X86_64) <= 30);
    assert!(most(AUDIT_I386) <= 30);
}

#[test]
fn handwritten_profiles_have_the_same_verdicts() {
    for (what, json) in handwritten() {
        let accepted = Comparison::of(json).run(what);
        assert_eq!(
            accepted,
            what != "the same rule with another action",
            "{what}"
        );
    }
}

#[test]
fn random_profiles_have_the_same_verdicts() {
    let names = common_names();
    assert!(names.len() > 400);
    for seed in 0..100 {
        let mut random = Random(seed);
        let json = peaceful(
            &mut random,
            &names,
            &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        );
        let what = format!("seed {seed}: {json}");
        Comparison {
            combinations: 60,
            ..Comparison::of(json)
        }
        .run(&what);
    }
}

#[test]
fn random_profiles_have_the_same_verdicts_on_aarch64() {
    let names = common_names();
    for seed in 0..50 {
        let json = peaceful(
            &mut Random(seed),
            &names,
            &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        );
        let what = format!("seed {seed}: {json}");
        Comparison {
            combinations: 60,
            arch: NativeArch::Aarch64,
            ..Comparison::of(json)
        }
        .run(&what);
    }
}

#[test]
fn of_overlapping_rules_with_different_actions_the_same_one_prevails() {
    let mut accepted = 0;
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut rules = Vec::new();
        for name in ["ioctl", "prctl", "clone"] {
            for action in ["SCMP_ACT_TRAP", "SCMP_ACT_ALLOW"] {
                let mut indices: Vec<usize> = (0..3).filter(|_| random.chance(40)).collect();
                if indices.is_empty() {
                    indices.push(random.below(3));
                }
                let args: Vec<_> = indices
                    .iter()
                    .map(|index| random.argument(*index, &EQUALITIES))
                    .collect();
                rules.push(json!({"names": [name], "action": action, "args": args}));
            }
        }
        let json = json!({"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": rules});
        let what = format!("seed {seed}: {json}");
        accepted += usize::from(
            Comparison {
                combinations: 200,
                ..Comparison::of(json)
            }
            .run(&what),
        );
    }
    assert!(accepted > 200, "{accepted} of 300");
}

#[test]
fn a_verdict_is_what_the_rules_say() {
    const DUP: u32 = 32;
    for seed in 0..400 {
        let mut random = Random(seed);
        let rules: Vec<_> = (0..1 + random.below(6))
            .map(|_| {
                let indices: Vec<usize> = (0..4).filter(|_| random.chance(40)).collect();
                let args: Vec<_> = indices
                    .iter()
                    .map(|index| random.argument(*index, &OPERATORS))
                    .collect();
                json!({"names": ["dup"], "action": "SCMP_ACT_TRAP", "args": args})
            })
            .collect();
        let profile = profile(json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": rules}));
        let filter = compiled(&profile, NativeArch::X86_64);
        for arguments in arguments(&boundaries(&profile), &mut random, 3000) {
            let call = Call {
                number: DUP,
                arch: AUDIT_X86_64,
                arguments,
            };
            let trap = profile
                .syscalls()
                .iter()
                .flatten()
                .any(|rule| holds(rule, &arguments, u64::MAX));
            let expected = if trap { 0x0003_0000 } else { 0x7fff_0000 };
            assert_eq!(
                run(&filter.program, &call).value,
                expected,
                "seed {seed}, {call:x?}: {rules:?}"
            );
        }
    }
}
