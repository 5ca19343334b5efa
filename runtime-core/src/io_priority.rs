//! `process.ioPriority`: class and level for the I/O scheduler (ioprio_set(2)).

use oci_spec::runtime::{IOPriorityClass, Process};
use runtime_init::Step;

use crate::error::{Error, Result};
use crate::plan::{Builder, pointer};

/// Where the class begins in the kernel's value (linux/ioprio.h).
const CLASS_SHIFT: u32 = 13;

/// Sets the priority, while the process has the runtime's privileges: IOPRIO_CLASS_RT needs CAP_SYS_NICE. One in a user
/// namespace has none that counts, so the runtime does it.
pub(crate) fn set(
    plan: &mut Builder<'_>,
    process: &Process,
    in_user_namespace: bool,
) -> Result<()> {
    let Some(priority) = process.io_priority() else {
        return Ok(());
    };
    let class = match priority.class() {
        IOPriorityClass::IoprioClassRt => 1,
        IOPriorityClass::IoprioClassBe => 2,
        IOPriorityClass::IoprioClassIdle => 3,
    };
    let level = match u32::try_from(priority.priority()) {
        Ok(level @ 0..=7) => level,
        _ => {
            let problem = format!("{} is not from 0 to 7", priority.priority());
            return Err(Error::config("/process/ioPriority/priority", problem));
        }
    };
    let value = class << CLASS_SHIFT | level;
    let origin = pointer("/process/ioPriority");
    if in_user_namespace {
        plan.plan.io_priority = Some((origin, value));
    } else {
        plan.step(origin, &Step::SetIoPriority { value });
    }
    Ok(())
}

/// The value in words.
pub(crate) fn describe(value: u32) -> String {
    let class = match value >> CLASS_SHIFT {
        1 => "IOPRIO_CLASS_RT",
        2 => "IOPRIO_CLASS_BE",
        _ => "IOPRIO_CLASS_IDLE",
    };
    format!("set I/O priority {class} {}", value & 7)
}
