//! The numbers of system calls, as compiled filters and libseccomp have them.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use libseccomp::{ScmpArch, ScmpSyscall};
use runtime_core::seccomp::NativeArch;
use serde_json::{Value, json};

use crate::bpf::{Call, run};
use crate::reference::{AUDIT_AARCH64, AUDIT_ARM, AUDIT_I386, AUDIT_X86_64};
use crate::{DOCKER, X32_BIT, compiled, numbers, profile};

/// An ABI, the machine it runs on, its AUDIT_ARCH, its bit, and its name in config.json.
pub(crate) type AbiRow = (ScmpArch, NativeArch, u32, u32, &'static str);

pub(crate) const ABIS: [AbiRow; 5] = [
    (
        ScmpArch::X8664,
        NativeArch::X86_64,
        AUDIT_X86_64,
        0,
        "SCMP_ARCH_X86_64",
    ),
    (
        ScmpArch::X32,
        NativeArch::X86_64,
        AUDIT_X86_64,
        X32_BIT,
        "SCMP_ARCH_X32",
    ),
    (
        ScmpArch::X86,
        NativeArch::X86_64,
        AUDIT_I386,
        0,
        "SCMP_ARCH_X86",
    ),
    (
        ScmpArch::Aarch64,
        NativeArch::Aarch64,
        AUDIT_AARCH64,
        0,
        "SCMP_ARCH_AARCH64",
    ),
    (
        ScmpArch::Arm,
        NativeArch::Aarch64,
        AUDIT_ARM,
        0,
        "SCMP_ARCH_ARM",
    ),
];

/// Names that profiles may use: libseccomp's and Docker's.
pub(crate) fn all_names() -> Vec<String> {
    // Below 0 lie the calls of other architectures, and the multiplexed ones.
    let numbers = (-10_400..600).flat_map(|number| ABIS.map(|(abi, ..)| (number, abi)));
    let name = |(number, abi)| {
        ScmpSyscall::from_raw_syscall(number)
            .get_name_by_arch(abi)
            .ok()
    };
    let docker = profile(serde_json::from_str(DOCKER).unwrap());
    let docker = docker
        .syscalls()
        .iter()
        .flatten()
        .flat_map(|rule| rule.names().clone());
    let names: BTreeSet<String> = numbers.filter_map(name).chain(docker).collect();
    names.into_iter().collect()
}

/// The number that a compiled filter has for each name, if any.
pub(crate) fn compiled_numbers(names: &[String], abi: &AbiRow) -> Vec<Option<u32>> {
    let (_, arch, audit, bit, listed) = *abi;
    // Each name gets a verdict of its own.
    let rules = names.iter().enumerate().map(
        |(index, name)| json!({"names": [name], "action": "SCMP_ACT_TRACE", "errnoRet": index}),
    );
    let rules: Vec<_> = rules.collect();
    let filter = compiled(
        &profile(
            json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [listed], "syscalls": rules}),
        ),
        arch,
    );
    let mut found = vec![None; names.len()];
    for number in numbers()
        .into_iter()
        .filter(|number| number & X32_BIT == bit)
    {
        let outcome = run(
            &filter.program,
            &Call {
                number,
                arch: audit,
                arguments: [0; 6],
            },
        );
        if outcome.value & 0xffff_0000 == 0x7ff0_0000 {
            found[(outcome.value & 0xffff) as usize] = Some(number);
        }
    }
    found
}

/// `(name, ABI, libseccomp's number, ours)` where they differ.
pub(crate) fn differences() -> Vec<(String, &'static str, Option<u32>, Option<u32>)> {
    let names = all_names();
    let of_abi = |abi: &AbiRow| {
        let ours = compiled_numbers(&names, abi);
        let theirs = names
            .iter()
            .map(|name| ScmpSyscall::from_name_by_arch(name, abi.0).ok());
        let compared: Vec<_> = names.iter().zip(theirs).zip(ours).collect();
        compared
            .into_iter()
            // A call that is multiplexed on i386 has a negative number there, whether it has another or not.
            .filter(|((_, theirs), _)| {
                theirs.is_none_or(|n| !(-224..=-101).contains(&n.as_raw_syscall()))
            })
            .map(|((name, theirs), ours)| {
                let theirs = theirs.and_then(|number| u32::try_from(number.as_raw_syscall()).ok());
                (name.clone(), abi.4, theirs, ours)
            })
            .filter(|(_, _, theirs, ours)| theirs != ours)
            .collect::<Vec<_>>()
    };
    ABIS.iter().flat_map(of_abi).collect()
}

/// Names for which libseccomp lacks a number that the project's newer tables have.
pub(crate) fn numbered_otherwise() -> &'static BTreeSet<String> {
    static NAMES: OnceLock<BTreeSet<String>> = OnceLock::new();
    NAMES.get_or_init(|| differences().into_iter().map(|(name, ..)| name).collect())
}

/// The profile without the names of [`numbered_otherwise`].
pub(crate) fn known_to_libseccomp(json: &str) -> Value {
    let otherwise = numbered_otherwise();
    let mut profile: Value = serde_json::from_str(json).unwrap();
    for rule in profile["syscalls"].as_array_mut().unwrap() {
        let names = rule["names"].as_array_mut().unwrap();
        names.retain(|name| !otherwise.contains(name.as_str().unwrap()));
    }
    profile
}

/// The names with the same numbers in libseccomp.
pub(crate) fn common_names() -> Vec<String> {
    let otherwise = numbered_otherwise();
    all_names()
        .into_iter()
        .filter(|name| !otherwise.contains(name))
        .collect()
}
