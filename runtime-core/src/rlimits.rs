//! `process.rlimits`.

use oci_spec::runtime::{PosixRlimitType, Process};
use runtime_init::Step;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::plan::{Builder, Origin};

/// A limit that the runtime sets on a process in a user namespace (prlimit(2)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Rlimit {
    pub(crate) origin: Origin,
    pub(crate) resource: u32,
    pub(crate) soft: u64,
    pub(crate) hard: u64,
}

/// Sets the limits. The process does so itself while it is still who the runtime is; one in a user namespace could not
/// raise a limit, so the runtime sets those. One that is still to fork is not in the way of its own limit on processes:
/// that is only raised by now, and [`processes`] sets it.
pub(crate) fn all(
    plan: &mut Builder<'_>,
    process: &Process,
    in_user_namespace: bool,
    will_fork: bool,
) -> Result<()> {
    let limits = process.rlimits().as_deref().unwrap_or_default();
    for (number, limit) in limits.iter().enumerate() {
        let pointer = format!("/process/rlimits/{number}");
        if limits
            .iter()
            .take(number)
            .any(|earlier| earlier.typ() == limit.typ())
        {
            return Err(Error::config(
                format!("{pointer}/type"),
                format!("a second limit of {:?}", limit.typ()),
            ));
        }
        let (resource, soft, hard) = (resource(limit.typ()), limit.soft(), limit.hard());
        if soft > hard {
            return Err(Error::config(
                format!("{pointer}/soft"),
                format!("the soft limit {soft} is above the hard one, {hard}"),
            ));
        }
        if in_user_namespace {
            plan.plan.rlimits.push(Rlimit {
                origin: pointer.into(),
                resource,
                soft,
                hard,
            });
        } else {
            plan.step(
                pointer,
                &Step::SetLimit {
                    resource,
                    soft,
                    hard,
                    raise: will_fork && resource == libc::RLIMIT_NPROC,
                },
            );
        }
    }
    Ok(())
}

/// Sets the limit on processes after the fork, if there is one: to lower it, no rights are needed.
pub(crate) fn processes(plan: &mut Builder<'_>, process: &Process, by_the_caller: bool) {
    let limits = process.rlimits().as_deref().unwrap_or_default();
    let mut limits = limits.iter().enumerate();
    let found = limits.find(|(_, limit)| limit.typ() == PosixRlimitType::RlimitNproc);
    if let Some((number, limit)) = found.filter(|_| !by_the_caller) {
        plan.step(
            format!("/process/rlimits/{number}"),
            &Step::SetLimit {
                resource: libc::RLIMIT_NPROC,
                soft: limit.soft(),
                hard: limit.hard(),
                raise: false,
            },
        );
    }
}

/// The kernel's number (getrlimit(2)).
fn resource(kind: PosixRlimitType) -> u32 {
    match kind {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }
}
