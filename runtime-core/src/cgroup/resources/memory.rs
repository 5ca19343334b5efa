//! `linux.resources.memory`.

use oci_spec::runtime::LinuxMemory;

use super::{refuse, set};
use crate::cgroup::CgroupError;
use crate::cgroup::plan::{CgroupPlan, Version};

const LIMIT: &str = "/linux/resources/memory/limit";
const RESERVATION: &str = "/linux/resources/memory/reservation";
const SWAP: &str = "/linux/resources/memory/swap";
const KERNEL_TCP: &str = "/linux/resources/memory/kernelTCP";
const SWAPPINESS: &str = "/linux/resources/memory/swappiness";
const OOM: &str = "/linux/resources/memory/disableOOMKiller";
const HIERARCHY: &str = "/linux/resources/memory/useHierarchy";

pub(super) fn compile(plan: &mut CgroupPlan, memory: &LinuxMemory) -> Result<(), CgroupError> {
    let kernel_tcp = kernel_limits(plan, memory)?;
    // Linux 5.11 removed the other way (bef8620cd8e0).
    if memory.use_hierarchy() == Some(false) {
        return refuse(HIERARCHY, "memory is always accounted hierarchically");
    }
    let limits = Limits {
        limit: bytes(memory.limit(), LIMIT)?,
        reservation: bytes(memory.reservation(), RESERVATION)?,
        swap: bytes(memory.swap(), SWAP)?,
    };
    // Some callers say "not set" with -1.
    let swappiness = memory
        .swappiness()
        .filter(|&swappiness| swappiness != u64::MAX);
    if let Some(swappiness) = swappiness.filter(|&swappiness| swappiness > 100) {
        return refuse(
            SWAPPINESS,
            format!("{swappiness} is not in the range from 0 to 100"),
        );
    }
    let disable_oom_killer = memory.disable_oom_killer() == Some(true);
    let first = [
        limits.limit.map(|_| LIMIT),
        limits.reservation.map(|_| RESERVATION),
        limits.swap.map(|_| SWAP),
        kernel_tcp.map(|_| KERNEL_TCP),
        swappiness.map(|_| SWAPPINESS),
        disable_oom_killer.then_some(OOM),
    ];
    let Some(pointer) = first.into_iter().flatten().next() else {
        return Ok(());
    };
    let hierarchy = plan.hierarchy("memory", pointer)?;
    if hierarchy.version() == Version::V2 {
        if swappiness.is_some() {
            return refuse(SWAPPINESS, "cgroup v2 has no swappiness of a cgroup");
        }
        if disable_oom_killer {
            return refuse(OOM, "cgroup v2 cannot disable the OOM killer");
        }
        return limits.write_v2(plan);
    }
    limits.write_v1(plan)?;
    let hierarchy = plan.hierarchy("memory", pointer)?;
    if let Some(limit) = kernel_tcp {
        hierarchy.write("memory.kmem.tcp.limit_in_bytes", limit, KERNEL_TCP);
    }
    if disable_oom_killer {
        hierarchy.write("memory.oom_control", 1, OOM);
    }
    if let Some(swappiness) = swappiness {
        hierarchy.write("memory.swappiness", swappiness, SWAPPINESS);
    }
    Ok(())
}

/// In bytes, or -1 for no limit.
struct Limits {
    limit: Option<i64>,
    reservation: Option<i64>,
    /// Memory and swap together.
    swap: Option<i64>,
}

impl Limits {
    fn write_v1(&self, plan: &mut CgroupPlan) -> Result<(), CgroupError> {
        let hierarchy = plan.hierarchy("memory", LIMIT)?;
        if let Some(limit) = self.limit {
            hierarchy
                .write("memory.limit_in_bytes", limit, LIMIT)
                .or_later();
            if limit == -1 && self.swap.is_none() {
                // Unlimited memory that swap limits would not be unlimited.
                hierarchy
                    .write("memory.memsw.limit_in_bytes", -1, LIMIT)
                    .or_skip();
            }
        }
        if let Some(swap) = self.swap {
            hierarchy.write("memory.memsw.limit_in_bytes", swap, SWAP);
        }
        if let Some(reservation) = self.reservation {
            hierarchy.write("memory.soft_limit_in_bytes", reservation, RESERVATION);
        }
        Ok(())
    }

    fn write_v2(&self, plan: &mut CgroupPlan) -> Result<(), CgroupError> {
        let swap = self.swap_alone()?;
        let hierarchy = plan.hierarchy("memory", LIMIT)?;
        if let Some(swap) = swap {
            let pointer = if self.swap.is_some() { SWAP } else { LIMIT };
            let write = hierarchy.write("memory.swap.max", or_max(swap), pointer);
            // A kernel without swap accounting has no such file; no swap and all swap are the same to it.
            if swap <= 0 {
                write.or_skip();
            }
        }
        if let Some(limit) = self.limit {
            hierarchy.write("memory.max", or_max(limit), LIMIT);
        }
        if let Some(reservation) = self.reservation {
            hierarchy.write("memory.low", or_max(reservation), RESERVATION);
        }
        Ok(())
    }

    /// Version 2 limits swap by itself, the specification memory and swap together.
    fn swap_alone(&self) -> Result<Option<i64>, CgroupError> {
        match (self.swap, self.limit) {
            (None, Some(-1)) => Ok(Some(-1)),
            (None, _) => Ok(None),
            (Some(swap), Some(-1)) | (Some(swap @ -1), _) => Ok(Some(swap)),
            (Some(_), None) => refuse(
                SWAP,
                "memory and swap together cannot be limited without a memory limit",
            ),
            (Some(swap), Some(limit)) if swap < limit => refuse(
                SWAP,
                format!(
                    "memory and swap together ({swap}) are less than the memory limit ({limit})"
                ),
            ),
            (Some(swap), Some(limit)) => Ok(Some(swap - limit)),
        }
    }
}

fn bytes(value: Option<i64>, pointer: &'static str) -> Result<Option<i64>, CgroupError> {
    match set(value) {
        Some(value) if value < -1 => refuse(
            pointer,
            format!("{value} is neither a number of bytes nor -1 for no limit"),
        ),
        value => Ok(value),
    }
}

fn or_max(value: i64) -> String {
    if value == -1 {
        "max".to_owned()
    } else {
        value.to_string()
    }
}

/// The limit of TCP's buffers, which is a limit of its own in version 1 alone.
#[allow(deprecated)]
fn kernel_limits(plan: &mut CgroupPlan, memory: &LinuxMemory) -> Result<Option<i64>, CgroupError> {
    if memory.kernel().is_some_and(|limit| limit > 0) {
        // Linux 5.16 removed it (58056f77502f), and the specification does not recommend it.
        let reason = "the kernel has no separate limit of its own memory";
        plan.ignore("/linux/resources/memory/kernel", reason);
    }
    let tcp = bytes(memory.kernel_tcp(), KERNEL_TCP)?;
    let version = match tcp {
        Some(_) => plan.hierarchy("memory", KERNEL_TCP)?.version(),
        None => return Ok(None),
    };
    if version == Version::V2 {
        let reason = "cgroup v2 accounts TCP's buffers with all other memory";
        plan.ignore(KERNEL_TCP, reason);
        return Ok(None);
    }
    Ok(tcp)
}
