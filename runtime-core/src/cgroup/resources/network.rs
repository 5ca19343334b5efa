//! `linux.resources.network`.

use oci_spec::runtime::LinuxNetwork;

use super::{refuse, set, word};
use crate::cgroup::CgroupError;
use crate::cgroup::layout::Mode;
use crate::cgroup::plan::CgroupPlan;

const CLASS: &str = "/linux/resources/network/classID";

pub(super) fn compile(plan: &mut CgroupPlan, network: &LinuxNetwork) -> Result<(), CgroupError> {
    if let Some(class) = set(network.class_id()) {
        refuse_v2(plan, CLASS)?;
        plan.hierarchy("net_cls", CLASS)?
            .write("net_cls.classid", class, CLASS);
    }
    for (number, priority) in network.priorities().iter().flatten().enumerate() {
        let pointer = format!("/linux/resources/network/priorities/{number}");
        refuse_v2(plan, &pointer)?;
        let line = format!(
            "{} {}",
            word(&format!("{pointer}/name"), priority.name())?,
            priority.priority()
        );
        plan.hierarchy("net_prio", &pointer)?
            .write("net_prio.ifpriomap", line, pointer);
    }
    Ok(())
}

fn refuse_v2(plan: &CgroupPlan, pointer: &str) -> Result<(), CgroupError> {
    match plan.mode {
        Mode::V2 => refuse(pointer, "cgroup v2 has no network controllers"),
        Mode::V1 | Mode::Hybrid => Ok(()),
    }
}
