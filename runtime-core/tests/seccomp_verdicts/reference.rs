//! What libseccomp makes of a profile when it is driven as runc drives it, and the ENOSYS rule that runc puts
//! in front of libseccomp's program, as a model.

use std::io::{Read, Seek};

use libseccomp::{
    ScmpAction, ScmpArch, ScmpArgCompare, ScmpCompareOp, ScmpFilterContext, ScmpSyscall,
};
use oci_spec::runtime::{
    Arch, LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};
use seccompiler::sock_filter;

use crate::bpf::{Call, Outcome, decode, run};

const X32_BIT: u32 = 0x4000_0000;
const ENOSYS: u32 = 0x0005_0026;

pub(crate) const AUDIT_X86_64: u32 = 0xc000_003e;
pub(crate) const AUDIT_I386: u32 = 0x4000_0003;
pub(crate) const AUDIT_AARCH64: u32 = 0xc000_00b7;
pub(crate) const AUDIT_ARM: u32 = 0x4000_0028;

/// libseccomp's program for a profile, and the largest numbers that the profile names.
pub(crate) struct Reference {
    program: Vec<sock_filter>,
    largest: Option<Largest>,
}

/// 0 where an architecture has none.
#[derive(Debug)]
struct Largest {
    x86_64: u32,
    x32: u32,
    i386: u32,
    aarch64: u32,
    arm: u32,
}

impl Reference {
    /// As `InitSeccomp` of runc: none if libseccomp refuses a rule.
    pub(crate) fn new(profile: &LinuxSeccomp, native: ScmpArch, optimize: u32) -> Option<Self> {
        let default = action(profile.default_action(), profile.default_errno_ret());
        let mut filter = ScmpFilterContext::new(default).unwrap();
        let archs = archs(profile, native);
        for arch in &archs {
            filter.add_arch(*arch).unwrap();
        }
        if !archs.contains(&ScmpArch::X8664) {
            // Where the machine that runs this test is x86_64 and the filter is for another one.
            let _ = filter.remove_arch(ScmpArch::X8664);
        }
        filter.set_ctl_optimize(optimize).unwrap();
        for rule in profile.syscalls().iter().flatten() {
            for name in rule.names() {
                add_rule(&mut filter, rule, name, default)?;
            }
        }
        let mut file = tempfile::tempfile().unwrap();
        filter.export_bpf(&mut file).unwrap();
        let mut bytes = Vec::new();
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let largest = hides_newer(profile).then(|| Largest::named(profile, &archs));
        Some(Self {
            program: decode(&bytes),
            largest,
        })
    }

    /// What libseccomp's program alone says, without the answer for newer calls.
    pub(crate) fn run_plainly(&self, call: &Call) -> Outcome {
        run(&self.program, call)
    }

    pub(crate) fn run(&self, call: &Call) -> Outcome {
        match &self.largest {
            Some(largest) if largest.hides(call) => Outcome {
                value: ENOSYS,
                steps: 0,
                read_arguments: false,
            },
            _ => run(&self.program, call),
        }
    }
}

/// As `isAllowAction` of runc's patchbpf.
fn hides_newer(profile: &LinuxSeccomp) -> bool {
    !matches!(
        profile.default_action(),
        LinuxSeccompAction::ScmpActAllow
            | LinuxSeccompAction::ScmpActLog
            | LinuxSeccompAction::ScmpActTrace
    )
}

impl Largest {
    /// As `findLastSyscalls` of runc's patchbpf.
    fn named(profile: &LinuxSeccomp, archs: &[ScmpArch]) -> Self {
        let largest = |arch| {
            if !archs.contains(&arch) {
                return 0;
            }
            let names = profile
                .syscalls()
                .iter()
                .flatten()
                .flat_map(LinuxSyscall::names);
            names
                .filter_map(|name| ScmpSyscall::from_name_by_arch(name, arch).ok())
                .filter_map(|number| u32::try_from(number.as_raw_syscall()).ok())
                .max()
                .unwrap_or(0)
        };
        Self {
            x86_64: largest(ScmpArch::X8664),
            x32: largest(ScmpArch::X32),
            i386: largest(ScmpArch::X86),
            aarch64: largest(ScmpArch::Aarch64),
            arm: largest(ScmpArch::Arm),
        }
    }

    /// As the stub of `generateEnosysStub` of runc's patchbpf.
    fn hides(&self, call: &Call) -> bool {
        let largest = match call.arch {
            AUDIT_X86_64 if call.number & X32_BIT != 0 => self.x32,
            AUDIT_X86_64 => self.x86_64,
            AUDIT_I386 => self.i386,
            AUDIT_AARCH64 => self.aarch64,
            AUDIT_ARM => self.arm,
            _ => 0,
        };
        largest != 0 && call.number > largest
    }
}

/// The architectures of the filter, the native one included.
fn archs(profile: &LinuxSeccomp, native: ScmpArch) -> Vec<ScmpArch> {
    let mut archs = vec![native];
    for arch in profile.architectures().iter().flatten() {
        let arch = match arch {
            Arch::ScmpArchX86_64 => ScmpArch::X8664,
            Arch::ScmpArchX86 => ScmpArch::X86,
            Arch::ScmpArchX32 => ScmpArch::X32,
            Arch::ScmpArchAarch64 => ScmpArch::Aarch64,
            Arch::ScmpArchArm => ScmpArch::Arm,
            other => panic!("{other:?} is not used here"),
        };
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    archs
}

/// As `matchCall` of runc.
fn add_rule(
    filter: &mut ScmpFilterContext,
    rule: &LinuxSyscall,
    name: &str,
    default: ScmpAction,
) -> Option<()> {
    let action = action(rule.action(), rule.errno_ret());
    if action == default {
        return Some(());
    }
    let Ok(syscall) = ScmpSyscall::from_name(name) else {
        return Some(());
    };
    let args = rule.args().as_deref().unwrap_or_default();
    let conditions: Vec<_> = args.iter().map(condition).collect();
    let repeated = (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1);
    if args.is_empty() {
        filter.add_rule(action, syscall).ok()?;
    } else if repeated {
        for condition in conditions {
            filter
                .add_rule_conditional(action, syscall, &[condition])
                .ok()?;
        }
    } else {
        filter
            .add_rule_conditional(action, syscall, &conditions)
            .ok()?;
    }
    Some(())
}

fn action(action: LinuxSeccompAction, errno: Option<u32>) -> ScmpAction {
    let errno = errno.unwrap_or(1);
    match action {
        LinuxSeccompAction::ScmpActKill | LinuxSeccompAction::ScmpActKillThread => {
            ScmpAction::KillThread
        }
        LinuxSeccompAction::ScmpActKillProcess => ScmpAction::KillProcess,
        LinuxSeccompAction::ScmpActTrap => ScmpAction::Trap,
        LinuxSeccompAction::ScmpActErrno => ScmpAction::Errno(errno.try_into().unwrap()),
        LinuxSeccompAction::ScmpActNotify => ScmpAction::Notify,
        LinuxSeccompAction::ScmpActTrace => ScmpAction::Trace(errno.try_into().unwrap()),
        LinuxSeccompAction::ScmpActLog => ScmpAction::Log,
        LinuxSeccompAction::ScmpActAllow => ScmpAction::Allow,
    }
}

fn condition(arg: &LinuxSeccompArg) -> ScmpArgCompare {
    let (operator, datum) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpMaskedEq => (
            ScmpCompareOp::MaskedEqual(arg.value()),
            arg.value_two().unwrap_or(0),
        ),
        LinuxSeccompOperator::ScmpCmpNe => (ScmpCompareOp::NotEqual, arg.value()),
        LinuxSeccompOperator::ScmpCmpLt => (ScmpCompareOp::Less, arg.value()),
        LinuxSeccompOperator::ScmpCmpLe => (ScmpCompareOp::LessOrEqual, arg.value()),
        LinuxSeccompOperator::ScmpCmpEq => (ScmpCompareOp::Equal, arg.value()),
        LinuxSeccompOperator::ScmpCmpGe => (ScmpCompareOp::GreaterEqual, arg.value()),
        LinuxSeccompOperator::ScmpCmpGt => (ScmpCompareOp::Greater, arg.value()),
    };
    ScmpArgCompare::new(u32::try_from(arg.index()).unwrap(), operator, datum)
}
