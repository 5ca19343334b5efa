//! `linux.resources.pids`.

use oci_spec::runtime::LinuxPids;

use crate::cgroup::CgroupError;
use crate::cgroup::plan::CgroupPlan;

const LIMIT: &str = "/linux/resources/pids/limit";

/// A limit of 0 is written as 1: no process could be in the container otherwise, and systemd knows no 0.
pub(super) fn compile(plan: &mut CgroupPlan, pids: &LinuxPids) -> Result<(), CgroupError> {
    let value = match pids.limit() {
        ..0 => "max".to_owned(),
        limit => limit.max(1).to_string(),
    };
    plan.hierarchy("pids", LIMIT)?
        .write("pids.max", value, LIMIT);
    Ok(())
}
