//! What a profile says about a call, read off the JSON.

use std::collections::BTreeSet;

use libseccomp::ScmpSyscall;
use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompAction, LinuxSeccompOperator, LinuxSyscall};

use crate::bpf::Call;
use crate::names::ABIS;

/// The verdict of the only rule that holds, or of all if they agree, or the default if none holds.
pub(crate) fn plain_verdict(profile: &LinuxSeccomp, call: &Call) -> Option<u32> {
    let (abi, ..) = *ABIS
        .iter()
        .rfind(|(_, _, audit, bit, _)| *audit == call.arch && call.number & bit == *bit)?;
    let number = ScmpSyscall::from_raw_syscall(call.number.try_into().ok()?);
    let name = number.get_name_by_arch(abi).ok()?;
    let passed = if ABIS[0].0 == abi || ABIS[3].0 == abi {
        u64::MAX
    } else {
        0xffff_ffff
    };
    let default = value(profile.default_action(), profile.default_errno_ret());
    let rules = profile.syscalls().iter().flatten();
    let verdicts: BTreeSet<u32> = rules
        .filter(|rule| rule.names().contains(&name) && holds(rule, &call.arguments, passed))
        .map(|rule| value(rule.action(), rule.errno_ret()))
        .filter(|verdict| *verdict != default)
        .collect();
    match verdicts.len() {
        0 => Some(default),
        1 => verdicts.first().copied(),
        _ => None,
    }
}

/// Whether the comparisons of a rule hold: all, or any where two are of the same argument.
pub(crate) fn holds(rule: &LinuxSyscall, arguments: &[u64; 6], passed: u64) -> bool {
    let args = rule.args().as_deref().unwrap_or_default();
    let mut held = args.iter().map(|arg| {
        let argument = arguments[arg.index()] & passed;
        let (value, masked) = (arg.value() & passed, arg.value_two().unwrap_or(0) & passed);
        match arg.op() {
            LinuxSeccompOperator::ScmpCmpNe => argument != value,
            LinuxSeccompOperator::ScmpCmpLt => argument < value,
            LinuxSeccompOperator::ScmpCmpLe => argument <= value,
            LinuxSeccompOperator::ScmpCmpEq => argument == value,
            LinuxSeccompOperator::ScmpCmpGe => argument >= value,
            LinuxSeccompOperator::ScmpCmpGt => argument > value,
            LinuxSeccompOperator::ScmpCmpMaskedEq => argument & value == masked & value,
        }
    });
    let repeated = (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1);
    if repeated {
        held.any(|held| held)
    } else {
        held.all(|held| held)
    }
}

fn value(action: LinuxSeccompAction, errno: Option<u32>) -> u32 {
    let errno = errno.unwrap_or(1);
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => 0,
        LinuxSeccompAction::ScmpActKillProcess => 0x8000_0000,
        LinuxSeccompAction::ScmpActTrap => 0x0003_0000,
        LinuxSeccompAction::ScmpActErrno => 0x0005_0000 | errno,
        LinuxSeccompAction::ScmpActNotify => 0x7fc0_0000,
        LinuxSeccompAction::ScmpActTrace => 0x7ff0_0000 | errno,
        LinuxSeccompAction::ScmpActLog => 0x7ffc_0000,
        LinuxSeccompAction::ScmpActAllow => 0x7fff_0000,
    }
}
