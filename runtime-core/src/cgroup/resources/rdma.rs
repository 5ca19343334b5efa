//! `linux.resources.rdma`.

use std::collections::{BTreeMap, HashMap};

use oci_spec::runtime::LinuxRdma;

use super::word;
use crate::cgroup::CgroupError;
use crate::cgroup::plan::CgroupPlan;
use crate::cgroup::pointer_token;

pub(super) fn compile(
    plan: &mut CgroupPlan,
    limits: &HashMap<String, LinuxRdma>,
) -> Result<(), CgroupError> {
    for (device, limits) in limits.iter().collect::<BTreeMap<_, _>>() {
        let pointer = format!("/linux/resources/rdma/{}", pointer_token(device));
        let mut line = word(&pointer, device)?.to_owned();
        for (key, limit) in [
            ("hca_handle", limits.hca_handles()),
            ("hca_object", limits.hca_objects()),
        ] {
            if let Some(limit) = limit {
                line.push_str(&format!(" {key}={limit}"));
            }
        }
        plan.hierarchy("rdma", &pointer)?
            .write("rdma.max", line, pointer);
    }
    Ok(())
}
