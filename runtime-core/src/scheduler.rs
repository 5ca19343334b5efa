//! `process.scheduler`: policy and parameters of the CPU's scheduler (sched_setattr(2), sched(7)).

use std::io;

use oci_spec::runtime::{LinuxSchedulerFlag, LinuxSchedulerPolicy, Process, Scheduler};
use runtime_init::{Scheduling, Step};

use crate::error::{Error, Result};
use crate::plan::{Builder, pointer};

/// The kernel's SCHED_DEADLINE (linux/sched.h).
const DEADLINE: u32 = 6;

/// SCHED_FLAG_KEEP_POLICY and SCHED_FLAG_KEEP_PARAMS: what is not set need not be given.
const KEEP: u64 = 0x08 | 0x10;

/// The highest priority of a real-time policy.
const MAX_PRIORITY: i32 = 99;

/// The kernel's number of a policy.
fn policy(policy: LinuxSchedulerPolicy) -> u32 {
    match policy {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => DEADLINE,
    }
}

/// What a step or the runtime does.
pub(crate) fn describe(scheduling: &Scheduling) -> String {
    format!("set scheduling policy {}", name(scheduling.policy))
}

/// What the runtime or the init tried, with the reason if this is one that the errno hides.
pub(crate) fn attempt(scheduling: &Scheduling, cause: &io::Error) -> String {
    let attempt = describe(scheduling);
    if scheduling.policy != DEADLINE || cause.raw_os_error() != Some(libc::EPERM) {
        return attempt;
    }
    format!(
        "{attempt}: process scheduler can't be used together with AllowedCPUs (linux.resources.cpu.cpus), nor without CAP_SYS_NICE"
    )
}

/// The name of a policy, by the kernel's number.
fn name(policy: u32) -> &'static str {
    match policy {
        0 => "SCHED_OTHER",
        1 => "SCHED_FIFO",
        2 => "SCHED_RR",
        3 => "SCHED_BATCH",
        4 => "SCHED_ISO, which Linux has a number for and nothing else",
        5 => "SCHED_IDLE",
        DEADLINE => "SCHED_DEADLINE",
        _ => "unknown",
    }
}

/// The specification's name of each flag, and the kernel's bit.
pub(crate) const FLAGS: [(&str, LinuxSchedulerFlag, u64); 7] = [
    (
        "SCHED_FLAG_RESET_ON_FORK",
        LinuxSchedulerFlag::SchedResetOnFork,
        0x01,
    ),
    (
        "SCHED_FLAG_RECLAIM",
        LinuxSchedulerFlag::SchedFlagReclaim,
        0x02,
    ),
    (
        "SCHED_FLAG_DL_OVERRUN",
        LinuxSchedulerFlag::SchedFlagDLOverrun,
        0x04,
    ),
    (
        "SCHED_FLAG_KEEP_POLICY",
        LinuxSchedulerFlag::SchedFlagKeepPolicy,
        0x08,
    ),
    (
        "SCHED_FLAG_KEEP_PARAMS",
        LinuxSchedulerFlag::SchedFlagKeepParams,
        0x10,
    ),
    (
        "SCHED_FLAG_UTIL_CLAMP_MIN",
        LinuxSchedulerFlag::SchedFlagUtilClampMin,
        0x20,
    ),
    (
        "SCHED_FLAG_UTIL_CLAMP_MAX",
        LinuxSchedulerFlag::SchedFlagUtilClampMax,
        0x40,
    ),
];

fn flags(scheduler: &Scheduler) -> u64 {
    let asked = scheduler.flags().iter().flatten();
    asked.fold(0, |all, asked| {
        let row = FLAGS.iter().find(|(_, flag, _)| flag == asked);
        row.map_or(all, |(_, _, bit)| all | bit)
    })
}

/// What is wrong with the value at this pointer, if it is a flag that nobody knows.
pub(crate) fn explain(pointer: &str) -> Option<String> {
    pointer.strip_prefix("/process/scheduler/flags/")?;
    let names = FLAGS.map(|(name, ..)| name).join(", ");
    Some(format!("invalid scheduler flag: there are {names}"))
}

/// Sets the scheduler, while the process has the runtime's CAP_SYS_NICE. One in a user namespace has none that counts, so
/// the runtime does it.
pub(crate) fn set(
    plan: &mut Builder<'_>,
    process: &Process,
    in_user_namespace: bool,
) -> Result<()> {
    let Some(scheduler) = process.scheduler() else {
        return Ok(());
    };
    let flags = flags(scheduler);
    check_nice(scheduler)?;
    check_priority(scheduler, flags)?;
    check_deadline(scheduler, flags)?;
    let scheduling = Scheduling {
        policy: policy(*scheduler.policy()),
        flags,
        nice: scheduler.nice().unwrap_or(0),
        priority: scheduler.priority().unwrap_or(0).unsigned_abs(),
        runtime: scheduler.runtime().unwrap_or(0),
        deadline: scheduler.deadline().unwrap_or(0),
        period: scheduler.period().unwrap_or(0),
    };
    let origin = pointer("/process/scheduler");
    if in_user_namespace {
        plan.plan.scheduling = Some((origin, scheduling));
    } else {
        plan.step(origin, &Step::SetScheduler(scheduling));
    }
    Ok(())
}

fn refuse(member: &str, problem: impl Into<String>) -> Result<()> {
    Err(Error::config(
        format!("/process/scheduler/{member}"),
        problem,
    ))
}

/// The kernel would take the nearest nice value that there is.
fn check_nice(scheduler: &Scheduler) -> Result<()> {
    match scheduler.nice() {
        Some(nice) if !(-20..=19).contains(nice) => {
            refuse("nice", format!("{nice} is not from -20 to 19"))
        }
        _ => Ok(()),
    }
}

fn check_priority(scheduler: &Scheduler, flags: u64) -> Result<()> {
    let priority = scheduler.priority().unwrap_or(0);
    let name = name(policy(*scheduler.policy()));
    match scheduler.policy() {
        LinuxSchedulerPolicy::SchedFifo | LinuxSchedulerPolicy::SchedRr => {
            let least = if flags & KEEP == 0 { 1 } else { 0 };
            if (least..=MAX_PRIORITY).contains(&priority) {
                return Ok(());
            }
            let problem = format!("{priority} is not from {least} to {MAX_PRIORITY} ({name})");
            match scheduler.priority() {
                Some(_) => refuse("priority", problem),
                None => Err(Error::config(
                    "/process/scheduler",
                    format!("priority: {problem}"),
                )),
            }
        }
        _ if priority != 0 => refuse(
            "priority",
            format!(
                "scheduler.priority can only be specified for SCHED_FIFO or SCHED_RR, not for {name}"
            ),
        ),
        _ => Ok(()),
    }
}

/// `runtime` ≤ `deadline` ≤ `period`, where no period is the deadline.
fn check_deadline(scheduler: &Scheduler, flags: u64) -> Result<()> {
    let members = [
        ("runtime", *scheduler.runtime()),
        ("deadline", *scheduler.deadline()),
        ("period", *scheduler.period()),
    ];
    if *scheduler.policy() != LinuxSchedulerPolicy::SchedDeadline {
        let given = members
            .iter()
            .find(|(_, value)| value.is_some_and(|value| value != 0));
        return given.map_or(Ok(()), |(member, _)| {
            refuse(
                member,
                "scheduler runtime/deadline/period can only be specified for SCHED_DEADLINE",
            )
        });
    }
    if flags & KEEP != 0 {
        return Ok(());
    }
    let [runtime, deadline, period] = members.map(|(_, value)| value.unwrap_or(0));
    if runtime == 0 || runtime > deadline || (period != 0 && deadline > period) {
        let problem = format!(
            "SCHED_DEADLINE needs 0 < runtime ≤ deadline ≤ period, in nanoseconds, not {runtime}, {deadline}, {period}"
        );
        return Err(Error::config("/process/scheduler", problem));
    }
    Ok(())
}
