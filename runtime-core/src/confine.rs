//! What the host sets on a process from outside: it is not the process's to set, or would be in the way of its set-up.

use std::io;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::Plan;
use crate::{io_priority, scheduler, sys};

/// What the host sets on a process before it goes on to the user's program.
pub(crate) fn carry_out(plan: &Plan, pid: i32) -> Result<()> {
    set_oom_score_adj(plan, pid)?;
    set_scheduling(plan, pid)?;
    set_rlimits(plan, pid)
}

/// `process.scheduler` and `process.ioPriority` of a process that cannot do so itself. It leads its process group.
fn set_scheduling(plan: &Plan, pid: i32) -> Result<()> {
    if let Some((origin, scheduling)) = &plan.scheduling {
        sys::set_scheduler(pid, scheduling).map_err(|cause| {
            let attempt = scheduler::attempt(scheduling, &cause);
            Error::io(ErrorKind::Setup, attempt, cause).at(origin.to_string())
        })?;
    }
    if let Some((origin, value)) = &plan.io_priority {
        sys::set_io_priority(pid, *value).map_err(|cause| {
            let attempt = io_priority::describe(*value);
            Error::io(ErrorKind::Setup, attempt, cause).at(origin.to_string())
        })?;
    }
    Ok(())
}

/// `process.oomScoreAdj`, of the process and what it starts.
fn set_oom_score_adj(plan: &Plan, pid: i32) -> Result<()> {
    let Some((origin, value)) = &plan.oom_score_adj else {
        return Ok(());
    };
    let path = format!("/proc/{pid}/oom_score_adj");
    let written = std::fs::write(&path, value.to_string());
    written.map_err(|cause| {
        Error::io(ErrorKind::Setup, format!("write {value} to {path}"), cause)
            .at(origin.to_string())
    })
}

/// `process.rlimits`, once the process needs no more than they allow.
fn set_rlimits(plan: &Plan, pid: i32) -> Result<()> {
    plan.rlimits.iter().try_for_each(|limit| {
        let set = sys::set_rlimit(pid, limit.resource, limit.soft, limit.hard);
        set.map_err(|cause: io::Error| {
            let attempt = format!(
                "set limit {} to {} (hard {})",
                limit.resource, limit.soft, limit.hard
            );
            Error::io(ErrorKind::Setup, attempt, cause).at(limit.origin.to_string())
        })
    })
}
