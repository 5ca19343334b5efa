//! What holds of filters whatever bytes come in: see [`crate::fuzzing`].
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a panic is how a target says that something does not hold"
)]

use std::collections::BTreeSet;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall};

use super::abi::{Abi, Width};
use super::action::{self, return_value};
use super::interpreter::{Call, run};
use super::tables::Syscall;
use super::{Filter, NativeArch, SeccompFacts, abis, compile};

const OTHER_ARCH: u32 = 0xc000_00f3;

/// A profile becomes a filter that the kernel takes, whose verdicts are those that the profile says, or an error.
pub fn seccomp(bytes: &[u8]) {
    let Ok(profile) = serde_json::from_slice::<LinuxSeccomp>(bytes) else {
        return;
    };
    for arch in [NativeArch::X86_64, NativeArch::Aarch64] {
        match compile(&profile, &SeccompFacts { arch }) {
            Ok(filter) => {
                assert_passes_the_kernels_check(&filter);
                assert_says_the_same(&profile, arch, &filter);
            }
            Err(error) => assert!(error.pointer().starts_with('/'), "{error:?}"),
        }
    }
}

/// bpf_check_classic() and seccomp_check_filter() of the kernel.
fn assert_passes_the_kernels_check(filter: &Filter) {
    let length = filter.program.len();
    assert!((1..=4096).contains(&length), "{length} instructions");
    assert_eq!(filter.to_bytes().len(), 8 * length);
    for (at, instruction) in filter.program.iter().enumerate() {
        let farthest = match instruction.code {
            0x05 => instruction.k as usize,
            0x15 | 0x25 | 0x35 | 0x45 => usize::from(instruction.jt.max(instruction.jf)),
            0x06 => continue,
            0x20 => {
                assert!(instruction.k % 4 == 0 && instruction.k < 64);
                0
            }
            0x54 => 0,
            code => panic!("instruction {code:#x}"),
        };
        assert!(at + 1 + farthest < length, "{at} leads out of the program");
    }
}

fn assert_says_the_same(profile: &LinuxSeccomp, arch: NativeArch, filter: &Filter) {
    let lists = arguments(profile);
    for abi in abis(profile, arch) {
        let model = Model::new(profile, abi);
        for call in model.calls() {
            for list in &lists {
                model.check(filter, call, list);
            }
        }
    }
    let call = Call {
        number: 0,
        arch: OTHER_ARCH,
        arguments: [0; 6],
    };
    assert_eq!(run(&filter.program, &call), Some(action::KILL_THREAD));
}

/// What a profile says to one ABI, read off the JSON.
struct Model<'a> {
    abi: Abi,
    default: u32,
    hides_newer: bool,
    /// The largest number that the profile names, beyond which calls are newer than it. Calls with two ways are no known
    /// ones to runc, and libseccomp below it.
    largest: Option<u32>,
    rules: Vec<ModelRule<'a>>,
}

struct ModelRule<'a> {
    rule: &'a LinuxSyscall,
    action: u32,
    calls: Vec<Syscall>,
}

impl<'a> Model<'a> {
    fn new(profile: &'a LinuxSeccomp, abi: Abi) -> Self {
        let value = |action, errno| {
            return_value(action, errno, String::new).expect("what was compiled has an action")
        };
        let rules: Vec<ModelRule<'_>> = profile
            .syscalls()
            .iter()
            .flatten()
            .map(|rule| ModelRule {
                rule,
                action: value(rule.action(), rule.errno_ret()),
                calls: calls_of(rule, abi),
            })
            .collect();
        let calls = rules.iter().flat_map(|rule| &rule.calls);
        let largest = calls
            .filter(|call| call.multiplexed(abi).is_none())
            .filter_map(|call| call.number(abi))
            .max();
        Model {
            abi,
            default: value(profile.default_action(), profile.default_errno_ret()),
            hides_newer: !action::lets_the_call_run(profile.default_action()),
            // 0 is none, as in runc.
            largest: largest.filter(|number| *number != 0),
            rules,
        }
    }

    /// The calls that rules with comparisons name, some of the others, and two that may be named by none.
    fn calls(&self) -> Vec<Syscall> {
        let is_simple = |rule: &&ModelRule<'_>| rule.rule.args().is_none();
        let simple = self.rules.iter().filter(is_simple);
        let simple = simple.flat_map(|rule| &rule.calls).take(16);
        let others = self.rules.iter().filter(|rule| !is_simple(rule));
        let others = others.flat_map(|rule| &rule.calls).take(32);
        let further = ["getpid", "cachestat"].map(|name| Syscall::named(self.abi.family(), name));
        let all = simple.chain(others).copied();
        all.chain(further.into_iter().flatten()).collect()
    }

    /// Checks one call, by its number and by the operation of a multiplexing one.
    fn check(&self, filter: &Filter, syscall: Syscall, arguments: &[u64; 6]) {
        let multiplexed = syscall.multiplexed(self.abi).map(|way| {
            let mut arguments = *arguments;
            arguments[0] = way.operation;
            (way.number, arguments)
        });
        let direct = syscall.number(self.abi).map(|number| (number, *arguments));
        for (number, arguments) in direct.into_iter().chain(multiplexed) {
            let call = Call {
                number,
                arch: self.abi.audit_arch(),
                arguments,
            };
            let said = self.said(&call);
            let got = run(&filter.program, &call);
            assert!(
                got.is_some_and(|got| said.contains(&got)),
                "{got:x?} and not of {said:x?} for {call:x?}"
            );
        }
    }

    /// What may happen to a call: the action of a rule that holds for it, the first one's that always does, or the default.
    fn said(&self, call: &Call) -> BTreeSet<u32> {
        if self.hides_newer && self.largest.is_some_and(|largest| call.number > largest) {
            return BTreeSet::from([action::ENOSYS]);
        }
        let mut holding = BTreeSet::new();
        // A rule with the default's action says nothing.
        for rule in self.rules.iter().filter(|rule| rule.action != self.default) {
            for named in &rule.calls {
                if named.number(self.abi) == Some(call.number) {
                    if always_holds(rule.rule, self.abi) {
                        return BTreeSet::from([rule.action]);
                    }
                    if holds(rule.rule, self.abi, call.arguments, false) {
                        holding.insert(rule.action);
                    }
                }
                let way = named.multiplexed(self.abi);
                let way = way.map(|way| (way.number, way.operation));
                let operation = call.arguments[0] & passed(self.abi);
                if way == Some((call.number, operation))
                    && holds(rule.rule, self.abi, call.arguments, true)
                {
                    holding.insert(rule.action);
                }
            }
        }
        if holding.is_empty() {
            holding.insert(self.default);
        }
        holding
    }
}

/// Those that a rule names.
fn calls_of(rule: &LinuxSyscall, abi: Abi) -> Vec<Syscall> {
    let names = rule.names().iter();
    names
        .filter_map(|name| Syscall::named(abi.family(), name))
        .collect()
}

fn passed(abi: Abi) -> u64 {
    match abi.width() {
        Width::Full64 => u64::MAX,
        Width::Low32 => u32::MAX.into(),
    }
}

/// Whether the comparisons of a rule hold: all, or any where two are about the same argument. Of a multiplexed call the
/// first argument is the operation, which comparisons of it say nothing about.
fn holds(rule: &LinuxSyscall, abi: Abi, arguments: [u64; 6], multiplexed: bool) -> bool {
    let args = rule.args().as_deref().unwrap_or_default();
    let mut held = args.iter().map(|arg| {
        multiplexed && arg.index() == 0 || compares(arg, arguments[arg.index()], passed(abi))
    });
    match repeats(args) {
        true => held.any(|held| held),
        false => held.all(|held| held),
    }
}

fn repeats(args: &[LinuxSeccompArg]) -> bool {
    (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1)
}

/// Without comparisons, or with none that looks at a bit.
fn always_holds(rule: &LinuxSyscall, abi: Abi) -> bool {
    let args = rule.args().as_deref().unwrap_or_default();
    let mut blind = args.iter().map(|arg| {
        arg.op() == LinuxSeccompOperator::ScmpCmpMaskedEq && arg.value() & passed(abi) == 0
    });
    match repeats(args) {
        true => blind.any(|blind| blind),
        false => blind.all(|blind| blind),
    }
}

fn compares(arg: &LinuxSeccompArg, argument: u64, passed: u64) -> bool {
    let (argument, value) = (argument & passed, arg.value() & passed);
    match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => argument != value,
        LinuxSeccompOperator::ScmpCmpLt => argument < value,
        LinuxSeccompOperator::ScmpCmpLe => argument <= value,
        LinuxSeccompOperator::ScmpCmpEq => argument == value,
        LinuxSeccompOperator::ScmpCmpGe => argument >= value,
        LinuxSeccompOperator::ScmpCmpGt => argument > value,
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            argument & value == arg.value_two().unwrap_or(0) & value
        }
    }
}

/// Lists of arguments that the profile could tell apart.
fn arguments(profile: &LinuxSeccomp) -> Vec<[u64; 6]> {
    let rules = profile.syscalls().iter().flatten();
    let args = rules.flat_map(|rule| rule.args().iter().flatten());
    let mut values = BTreeSet::from([0, 1, u64::MAX]);
    for arg in args.take(8) {
        for value in [arg.value(), arg.value_two().unwrap_or(0)] {
            values.extend([value, value.wrapping_add(1), value.wrapping_sub(1)]);
            values.extend([value ^ 1 << 32, value & u64::from(u32::MAX)]);
        }
    }
    let values: Vec<u64> = values.into_iter().collect();
    let mut lists = vec![[0; 6], [1; 6], [u64::MAX; 6]];
    for (place, &value) in values.iter().enumerate() {
        lists.push([value; 6]);
        // Each value beside each other one, in some order.
        lists.push(std::array::from_fn(|index| {
            values[(place * (index + 1) + index) % values.len()]
        }));
        for index in 0..6 {
            let mut list = [0; 6];
            list[index] = value;
            lists.push(list);
        }
    }
    lists.truncate(64);
    lists
}
