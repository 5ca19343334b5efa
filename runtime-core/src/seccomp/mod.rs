//! `linux.seccomp`: a profile of config.json as a classic BPF program for seccomp(2).
//!
//! # Terminology
//!
//! - *Profile*: `linux.seccomp` of config.json; a *rule* is an element of its `syscalls`.
//! - *Verdict*: what the filter returns for a call: `SECCOMP_RET_*` with its 16 bits of data, or a tree of
//!   tests of the arguments that ends in such values.
//! - *ABI*: a convention of numbers and arguments. One kernel runs several: i386 and x32 beside x86_64.
//! - *Family*: the ABIs that one kernel can run.
//!
//! # How a profile becomes a program
//!
//! `profile` checks and reduces the JSON; `numbers` looks the names up in `tables`; `ranges` gives every
//! number of every listed ABI its verdict, with equal neighbours merged; `conditions` orders the rules that
//! test arguments; `program` writes a balanced search over the ranges with `assembler`. Verdicts are
//! libseccomp's, together with the answer ENOSYS that runc gives for calls newer than the profile.
//!
//! Everything here is pure: no system call is made.

mod abi;
mod action;
mod assembler;
mod conditions;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod interpreter;
mod judge;
mod listener;
mod numbers;
mod profile;
mod program;
mod ranges;
mod tables;

use oci_spec::runtime::{LinuxSeccomp, LinuxSeccompFilterFlag};
use seccompiler::sock_filter;

pub(crate) use abi::ARCHITECTURES;
use abi::Abi;
pub use abi::NativeArch;
pub(crate) use action::ACTIONS;
pub use error::SeccompError;
pub(crate) use listener::{Agent, Listener, check as check_listener, connect, hand_over, hint};
pub(crate) use profile::OPERATORS;
use profile::Profile;
use ranges::Verdicts;

// SECCOMP_FILTER_FLAG_* of linux/seccomp.h.
const FLAG_LOG: u32 = 1 << 1;
const FLAG_SPEC_ALLOW: u32 = 1 << 2;
const FLAG_WAIT_KILLABLE_RECV: u32 = 1 << 5;

/// The flags of a profile, with the kernel's bits. TSYNC has none: see [`Filter::flags`].
pub(crate) const FLAGS: [(LinuxSeccompFilterFlag, u32); 4] = [
    (LinuxSeccompFilterFlag::SeccompFilterFlagLog, FLAG_LOG),
    (
        LinuxSeccompFilterFlag::SeccompFilterFlagSpecAllow,
        FLAG_SPEC_ALLOW,
    ),
    (LinuxSeccompFilterFlag::SeccompFilterFlagTsync, 0),
    (
        LinuxSeccompFilterFlag::SeccompFilterFlagWaitKillableRecv,
        FLAG_WAIT_KILLABLE_RECV,
    ),
];

/// What the compiler has to know of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeccompFacts {
    /// The architecture of the kernel.
    pub arch: NativeArch,
}

/// A program for `seccomp(SECCOMP_SET_MODE_FILTER)`, see seccomp(2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// At most 4096 instructions.
    pub program: Vec<sock_filter>,
    /// `SECCOMP_FILTER_FLAG_*`, without `NEW_LISTENER`: see [`Filter::notify`].
    ///
    /// `TSYNC` leads to no bit: the filter goes into a process with one thread, where it changes nothing
    /// but forbids a listener (`EINVAL` unless `TSYNC_ESRCH` is set, too).
    pub flags: u32,
    /// Whether a rule hands calls to a listener, so that the caller sets
    /// `SECCOMP_FILTER_FLAG_NEW_LISTENER` and passes the descriptor on.
    pub notify: bool,
}

impl Filter {
    /// The program as an array of `struct sock_filter` in the byte order of this machine.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 * self.program.len());
        for instruction in &self.program {
            bytes.extend(instruction.code.to_ne_bytes());
            bytes.extend([instruction.jt, instruction.jf]);
            bytes.extend(instruction.k.to_ne_bytes());
        }
        bytes
    }
}

/// Compiles a profile (runtime-spec, config-linux.md, "Seccomp").
///
/// The native ABI is always filtered; `architectures` adds others of its family. Calls of an ABI that is not
/// listed kill the thread. Names of system calls that are not known are ignored, and architectures that this
/// kernel cannot run have no effect.
///
/// # Errors
/// Errors name the value by its JSON pointer: an errno that is out of range or that the action does not take,
/// an argument index above 5, `SCMP_ACT_NOTIFY` where it cannot work, rules that contradict each other, and a
/// filter beyond the kernel's limit of 4096 instructions.
///
/// # Example
/// ```
/// use oci_spec::runtime::{LinuxSeccompAction, LinuxSeccompBuilder, LinuxSyscallBuilder};
/// use runtime_core::seccomp::{NativeArch, SeccompFacts, compile};
///
/// let mkdir = LinuxSyscallBuilder::default()
///     .names(vec!["mkdir".to_owned(), "mkdirat".to_owned()])
///     .action(LinuxSeccompAction::ScmpActErrno)
///     .build()?;
/// let profile = LinuxSeccompBuilder::default()
///     .default_action(LinuxSeccompAction::ScmpActAllow)
///     .syscalls(vec![mkdir])
///     .build()?;
/// let filter = compile(&profile, &SeccompFacts { arch: NativeArch::current() })?;
/// assert_eq!(filter.to_bytes().len(), 8 * filter.program.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compile(profile: &LinuxSeccomp, facts: &SeccompFacts) -> Result<Filter, SeccompError> {
    let reduced = Profile::new(profile)?;
    let flags = flags(profile, reduced.notify)?;
    let verdicts = Verdicts::of(&reduced, &abis(profile, facts.arch))?;
    let program = program::assemble(&verdicts, reduced.default)?;
    Ok(Filter {
        program,
        flags,
        notify: reduced.notify,
    })
}

/// The ABIs to be filtered, the native one first.
fn abis(profile: &LinuxSeccomp, native: NativeArch) -> Vec<Abi> {
    let mut abis = vec![native.abi()];
    for arch in profile.architectures().as_deref().unwrap_or_default() {
        if let Some(abi) = Abi::listed(*arch, native).filter(|abi| !abis.contains(abi)) {
            abis.push(abi);
        }
    }
    abis
}

fn flags(profile: &LinuxSeccomp, notify: bool) -> Result<u32, SeccompError> {
    // Without `flags` (an empty list is one) runtimes set SPEC_ALLOW, for a filter would otherwise slow
    // every program down on kernels before 5.16 (kernel commit 2f46993d83ff).
    let Some(flags) = profile.flags() else {
        return Ok(FLAG_SPEC_ALLOW);
    };
    let mut bits = 0;
    for (index, flag) in flags.iter().enumerate() {
        let bit = FLAGS.iter().find(|(known, _)| known == flag);
        let bit = bit.map_or(0, |(_, bit)| *bit);
        if bit == FLAG_WAIT_KILLABLE_RECV && !notify {
            return Err(SeccompError::new(
                format!("/flags/{index}"),
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs a rule with SCMP_ACT_NOTIFY",
            ));
        }
        bits |= bit;
    }
    Ok(bits)
}

#[cfg(test)]
mod tests;
