//! What the runtime makes while the init is at work already, and where the init goes into it: as late as it can.

use runtime_init::{Slot, Step};

use super::{Builder, confinement, pointer};
use crate::error::Result;
use crate::{exec_cpu_affinity, namespaces};

/// What the init has yet to go into.
#[derive(Debug, Default)]
pub(crate) struct Arrival {
    /// The socket through which the network namespace comes.
    pub(crate) network: Option<Slot>,
    /// So many cgroups of version 1.
    pub(crate) cgroups: Option<u16>,
}

/// Goes into the network namespace and the cgroups, unless that is done, and does what depends on being in the cgroups: from
/// here on a step may depend on either, or wait for the runtime.
pub(crate) fn complete(plan: &mut Builder<'_>) -> Result<()> {
    if let Some(slot) = plan.arrival.network.take() {
        plan.step(pointer("/linux/namespaces"), &Step::JoinNetwork { slot });
    }
    if let Some(count) = plan.arrival.cgroups.take() {
        confinement::join(plan, count);
        namespaces::make_cgroup_namespace(plan)?;
        exec_cpu_affinity::reset(plan);
    }
    Ok(())
}
