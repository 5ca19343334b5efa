//! A profile of config.json, checked and reduced to what a filter can test.

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::{SeccompError, action};

/// The operators of a comparison, by name.
pub(crate) const OPERATORS: [LinuxSeccompOperator; 7] = [
    LinuxSeccompOperator::ScmpCmpEq,
    LinuxSeccompOperator::ScmpCmpGe,
    LinuxSeccompOperator::ScmpCmpGt,
    LinuxSeccompOperator::ScmpCmpLe,
    LinuxSeccompOperator::ScmpCmpLt,
    LinuxSeccompOperator::ScmpCmpMaskedEq,
    LinuxSeccompOperator::ScmpCmpNe,
];

/// A system call has at most six arguments.
const ARGUMENTS: usize = 6;

/// The rules of a profile that a filter has to express.
#[derive(Debug)]
pub(super) struct Profile<'a> {
    /// The return value where no rule matches.
    pub(super) default: u32,
    /// Whether calls newer than the profile are answered with ENOSYS.
    pub(super) hide_newer: bool,
    /// Whether a rule hands calls to a listener.
    pub(super) notify: bool,
    pub(super) rules: Vec<Rule<'a>>,
}

/// One element of `syscalls`.
#[derive(Debug)]
pub(super) struct Rule<'a> {
    /// Its index there.
    pub(super) index: usize,
    pub(super) names: &'a [String],
    pub(super) action: u32,
    /// Whether it says nothing that the default does not say; its names still count as known ones.
    pub(super) redundant: bool,
    /// Any of these must hold; each is a conjunction, ordered by argument. Empty: unconditional.
    pub(super) alternatives: Vec<Vec<Comparison>>,
}

/// A test of one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    pub(super) argument: u8,
    pub(super) operator: Operator,
    pub(super) value: u64,
    /// The bits that are compared.
    pub(super) mask: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    /// Not the same as `Equal` even if the mask covers all: the order of rules depends on it.
    MaskedEqual,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl<'a> Profile<'a> {
    pub(super) fn new(profile: &'a LinuxSeccomp) -> Result<Self, SeccompError> {
        let default_action = profile.default_action();
        if default_action == LinuxSeccompAction::ScmpActNotify {
            return Err(SeccompError::new(
                "/defaultAction",
                "SCMP_ACT_NOTIFY cannot be used as default action",
            ));
        }
        let default = action::return_value(default_action, profile.default_errno_ret(), || {
            "/defaultErrnoRet".into()
        })?;
        let syscalls = profile.syscalls().as_deref().unwrap_or_default();
        let rules = syscalls
            .iter()
            .enumerate()
            .map(|(index, syscall)| Rule::new(index, syscall, default))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            default,
            hide_newer: !action::lets_the_call_run(default_action),
            notify: syscalls
                .iter()
                .any(|syscall| syscall.action() == LinuxSeccompAction::ScmpActNotify),
            rules,
        })
    }
}

impl<'a> Rule<'a> {
    fn new(index: usize, syscall: &'a LinuxSyscall, default: u32) -> Result<Self, SeccompError> {
        let names = syscall.names().as_slice();
        if names.is_empty() {
            return Err(SeccompError::new(
                format!("/syscalls/{index}/names"),
                "a rule is about at least one system call",
            ));
        }
        if let Some(empty) = names.iter().position(String::is_empty) {
            return Err(SeccompError::new(
                format!("/syscalls/{index}/names/{empty}"),
                "an empty string is not a system call's name",
            ));
        }
        // This runtime could do it, runc could not and says so: a profile that works here and nowhere else helps nobody.
        if syscall.action() == LinuxSeccompAction::ScmpActNotify
            && names.iter().any(|name| name == "write")
        {
            return Err(SeccompError::new(
                format!("/syscalls/{index}/action"),
                "SCMP_ACT_NOTIFY cannot be used for the write syscall",
            ));
        }
        let action = action::return_value(syscall.action(), syscall.errno_ret(), || {
            format!("/syscalls/{index}/errnoRet")
        })?;
        let comparisons = syscall
            .args()
            .as_deref()
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(position, arg)| Comparison::new(arg, index, position))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            index,
            names,
            action,
            redundant: action == default,
            alternatives: alternatives(comparisons),
        })
    }
}

/// All comparisons together, or each alone where two are about the same argument: the specification
/// leaves that case open, and libseccomp's users have always taken it for "any of these".
fn alternatives(mut comparisons: Vec<Comparison>) -> Vec<Vec<Comparison>> {
    let mut seen = 0_u8;
    let repeated = comparisons.iter().any(|comparison| {
        let bit = 1 << comparison.argument;
        let known = seen & bit != 0;
        seen |= bit;
        known
    });
    if comparisons.is_empty() {
        Vec::new()
    } else if repeated {
        comparisons
            .into_iter()
            .map(|comparison| vec![comparison])
            .collect()
    } else {
        comparisons.sort_by_key(|comparison| comparison.argument);
        vec![comparisons]
    }
}

impl Comparison {
    fn new(arg: &LinuxSeccompArg, rule: usize, position: usize) -> Result<Self, SeccompError> {
        let index = arg.index();
        let argument = u8::try_from(index)
            .ok()
            .filter(|_| index < ARGUMENTS)
            .ok_or_else(|| {
                SeccompError::new(
                    format!("/syscalls/{rule}/args/{position}/index"),
                    format!(
                        "argument index {index} is out of range: a system call has six arguments"
                    ),
                )
            })?;
        let (operator, value, mask) = match arg.op() {
            LinuxSeccompOperator::ScmpCmpMaskedEq => (
                Operator::MaskedEqual,
                arg.value_two().unwrap_or(0),
                arg.value(),
            ),
            LinuxSeccompOperator::ScmpCmpEq => (Operator::Equal, arg.value(), u64::MAX),
            LinuxSeccompOperator::ScmpCmpNe => (Operator::NotEqual, arg.value(), u64::MAX),
            LinuxSeccompOperator::ScmpCmpLt => (Operator::Less, arg.value(), u64::MAX),
            LinuxSeccompOperator::ScmpCmpLe => (Operator::LessOrEqual, arg.value(), u64::MAX),
            LinuxSeccompOperator::ScmpCmpGt => (Operator::Greater, arg.value(), u64::MAX),
            LinuxSeccompOperator::ScmpCmpGe => (Operator::GreaterOrEqual, arg.value(), u64::MAX),
        };
        Ok(Self {
            argument,
            operator,
            value: value & mask,
            mask,
        })
    }
}
