//! Limits as properties of a unit: systemd.resource-control(5).
//!
//! They are read off the writes of the plan, so that systemd is told what is written to the files. What it has no property
//! for is in the files alone, and it leaves that alone.

use super::property::Property;
use super::value::Value;
use crate::cgroup::plan::{CgroupPlan, Version, Write};
use crate::cgroup::{CgroupError, Mode};
use crate::number_list::Mask;

/// What systemd reads as no limit: CGROUP_LIMIT_MAX and USEC_INFINITY.
const INFINITY: u64 = u64::MAX;

const SECOND: u128 = 1_000_000;

/// systemd keeps a bandwidth in whole percents of a CPU: microseconds of each second.
const PERCENT: u128 = 10_000;

/// The kernel's default, in microseconds.
const DEFAULT_PERIOD: u64 = 100_000;

/// The versions of systemd that brought a property, by its NEWS.
const QUOTA_PERIOD: u32 = 242;
const CPUSETS: u32 = 244;
const IDLE: u32 = 252;
const SCOPE_OOM_POLICY: u32 = 253;

/// Rounds the CPU bandwidth up to what systemd can say, in the files too: limits of cgroups below it would not fit
/// otherwise. What `unified` says is written as it is.
pub(super) fn round(plan: &mut CgroupPlan) {
    let period = period_v1(plan);
    let writes = plan
        .directories
        .iter_mut()
        .flat_map(|planned| &mut planned.writes)
        .filter(|write| !write.origin.starts_with("/linux/resources/unified"));
    for write in writes {
        let rounded = match write.file.as_ref() {
            "cpu.cfs_quota_us" => rounded(&write.value, period).map(|quota| quota.to_string()),
            "cpu.max" => write.value.split_once(' ').and_then(|(quota, period)| {
                let rounded = rounded(quota, period.parse().ok()?)?;
                Some(format!("{rounded} {period}"))
            }),
            _ => None,
        };
        if let Some(value) = rounded {
            write.value = value;
        }
    }
}

fn period_v1(plan: &CgroupPlan) -> u64 {
    let mut writes = plan.directories.iter().flat_map(|planned| &planned.writes);
    writes
        .find(|write| write.file == "cpu.cfs_period_us")
        .and_then(|write| write.value.parse().ok())
        .unwrap_or(DEFAULT_PERIOD)
}

fn rounded(quota: &str, period: u64) -> Option<u128> {
    let quota: u64 = quota.parse().ok()?;
    Some(per_second(quota, period)? * u128::from(period) / SECOND)
}

/// Microseconds of each second, in whole percents.
fn per_second(quota: u64, period: u64) -> Option<u128> {
    let exact = (u128::from(quota) * SECOND).checked_div(period.into())?;
    Some(exact.div_ceil(PERCENT) * PERCENT)
}

/// Takes out the weight of a unit that is idle from its beginning: systemd writes `cpu.idle` before the runtime writes
/// anything, and the kernel lets no weight of an idle cgroup be set.
pub(super) fn leave_out_weight_of_idle(plan: &mut CgroupPlan, version: u32) {
    if plan.mode != Mode::V2 || version < IDLE {
        return;
    }
    for planned in &mut plan.directories {
        if planned.writes.iter().any(is_idle) {
            planned.writes.retain(|write| write.file != "cpu.weight");
        }
    }
}

fn is_idle(write: &Write) -> bool {
    write.file == "cpu.idle" && write.value.trim() == "1"
}

/// The properties of the planned limits. A later one stands for an earlier one of the same name.
pub(super) fn properties(plan: &CgroupPlan, version: u32) -> Result<Vec<Property>, CgroupError> {
    let mut properties = Properties {
        version,
        found: Vec::new(),
    };
    let period = period_v1(plan);
    for planned in &plan.directories {
        for write in &planned.writes {
            match planned.version() {
                Version::V2 if plan.mode == Mode::V2 => properties.of_v2(write)?,
                Version::V1 => properties.of_v1(write, period)?,
                Version::V2 => {}
            }
        }
    }
    let mut writes = plan.directories.iter().flat_map(|planned| &planned.writes);
    if plan.mode == Mode::V2
        && version >= IDLE
        && let Some(write) = writes.find(|write| is_idle(write))
    {
        properties.set("CPUWeight", Value::Uint64(0), write);
    }
    Ok(properties.found)
}

/// What a scope can be given when it is made, and no more once it is there.
pub(super) fn at_creation(plan: &CgroupPlan, version: u32) -> Option<Property> {
    let mut writes = plan.directories.iter().flat_map(|planned| &planned.writes);
    let write = writes.find(|write| write.file == "memory.oom.group")?;
    let policy = match write.value.trim() {
        "0" => "continue",
        "1" => "kill",
        _ => return None,
    };
    let property = Property::new("OOMPolicy", Value::text(policy), write.origin.clone());
    Some(property).filter(|_| version >= SCOPE_OOM_POLICY)
}

struct Properties {
    version: u32,
    found: Vec<Property>,
}

impl Properties {
    fn set(&mut self, name: &'static str, value: Value, write: &Write) {
        self.found.retain(|property| property.name() != name);
        self.found
            .push(Property::new(name, value, write.origin.clone()));
    }

    fn of_v2(&mut self, write: &Write) -> Result<(), CgroupError> {
        match write.file.as_ref() {
            "memory.max" => self.limit("MemoryMax", write),
            "memory.low" => self.limit("MemoryLow", write),
            "memory.high" => self.limit("MemoryHigh", write),
            "memory.min" => self.limit("MemoryMin", write),
            "memory.swap.max" => self.limit("MemorySwapMax", write),
            "cpu.weight" => self.limit("CPUWeight", write),
            "cpu.max" => self.bandwidth(write),
            _ => self.of_both(write),
        }
    }

    fn of_v1(&mut self, write: &Write, period: u64) -> Result<(), CgroupError> {
        match write.file.as_ref() {
            "memory.limit_in_bytes" => self.limit("MemoryLimit", write),
            "cpu.shares" => self.limit("CPUShares", write),
            "blkio.weight" => self.limit("BlockIOWeight", write),
            "cpu.cfs_period_us" => {
                self.period(period, write);
                Ok(())
            }
            "cpu.cfs_quota_us" => self.quota(&write.value, period, write),
            _ => self.of_both(write),
        }
    }

    fn of_both(&mut self, write: &Write) -> Result<(), CgroupError> {
        match write.file.as_ref() {
            "pids.max" => self.tasks(write),
            "cpuset.cpus" => self.list("AllowedCPUs", write),
            "cpuset.mems" => self.list("AllowedMemoryNodes", write),
            _ => Ok(()),
        }
    }

    fn limit(&mut self, name: &'static str, write: &Write) -> Result<(), CgroupError> {
        let value = number(write)?;
        self.set(name, Value::Uint64(value), write);
        Ok(())
    }

    /// systemd has no 0.
    fn tasks(&mut self, write: &Write) -> Result<(), CgroupError> {
        let value = number(write)?.max(1);
        self.set("TasksMax", Value::Uint64(value), write);
        Ok(())
    }

    fn bandwidth(&mut self, write: &Write) -> Result<(), CgroupError> {
        let fields: Vec<&str> = write.value.split_whitespace().collect();
        let (quota, period) = match fields.as_slice() {
            [quota] => (quota, DEFAULT_PERIOD),
            [quota, period] => (quota, period.parse().map_err(|_| not_a_number(write))?),
            _ => return Err(not_a_number(write)),
        };
        self.period(period, write);
        self.quota(quota, period, write)
    }

    fn period(&mut self, period: u64, write: &Write) {
        if self.version >= QUOTA_PERIOD {
            self.set("CPUQuotaPeriodUSec", Value::Uint64(period), write);
        }
        // A quota that is written as well comes after the period.
        self.set("CPUQuotaPerSecUSec", Value::Uint64(INFINITY), write);
    }

    fn quota(&mut self, quota: &str, period: u64, write: &Write) -> Result<(), CgroupError> {
        let quota = match quota {
            "max" | "-1" => INFINITY,
            quota => {
                let quota = quota.parse().map_err(|_| not_a_number(write))?;
                let each = per_second(quota, period).and_then(|each| u64::try_from(each).ok());
                each.ok_or_else(|| not_a_number(write))?
            }
        };
        self.set("CPUQuotaPerSecUSec", Value::Uint64(quota), write);
        Ok(())
    }

    /// As a mask of bytes, the lowest first.
    fn list(&mut self, name: &'static str, write: &Write) -> Result<(), CgroupError> {
        if self.version < CPUSETS {
            return Ok(());
        }
        let refuse = |problem: String| {
            let problem = format!("{:?} is no list that systemd takes: {problem}", write.value);
            CgroupError::refused(write.origin.clone(), problem)
        };
        let parts = write.value.split(',').map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| !part.is_empty()).collect();
        let mask = Mask::parse(&parts.join(",")).map_err(refuse)?;
        let mut bytes = mask.to_bytes();
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        if bytes.is_empty() {
            return Err(refuse("nothing is in it".to_owned()));
        }
        self.set(name, Value::bytes(bytes), write);
        Ok(())
    }
}

/// `max`, and in version 1 -1, are no limit.
fn number(write: &Write) -> Result<u64, CgroupError> {
    match write.value.trim() {
        "max" | "-1" => Ok(INFINITY),
        value => value.parse().map_err(|_| not_a_number(write)),
    }
}

fn not_a_number(write: &Write) -> CgroupError {
    let problem = format!(
        "{:?} is not a value of {} that systemd takes",
        write.value, write.file
    );
    CgroupError::refused(write.origin.clone(), problem)
}
