//! `linux.resources.cpu`: shares, bandwidth, realtime and cpusets.

use oci_spec::runtime::LinuxCpu;

use super::{refuse, set};
use crate::cgroup::CgroupError;
use crate::cgroup::plan::{CgroupPlan, Planned, Version};

const SHARES: &str = "/linux/resources/cpu/shares";
const QUOTA: &str = "/linux/resources/cpu/quota";
const PERIOD: &str = "/linux/resources/cpu/period";
const BURST: &str = "/linux/resources/cpu/burst";
const IDLE: &str = "/linux/resources/cpu/idle";
const REALTIME_PERIOD: &str = "/linux/resources/cpu/realtimePeriod";
const REALTIME_RUNTIME: &str = "/linux/resources/cpu/realtimeRuntime";
const CPUS: &str = "/linux/resources/cpu/cpus";
const MEMS: &str = "/linux/resources/cpu/mems";

/// MIN_SHARES and MAX_SHARES of the kernel, which it enforces silently.
const SHARES_RANGE: std::ops::RangeInclusive<u64> = 2..=262_144;

/// The period of cpu.max when nothing is said: Documentation/admin-guide/cgroup-v2.rst.
const DEFAULT_PERIOD: u64 = 100_000;

pub(super) fn compile(plan: &mut CgroupPlan, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let first = [
        set(cpu.shares()).map(|_| SHARES),
        set(cpu.quota()).map(|_| QUOTA),
        set(cpu.period()).map(|_| PERIOD),
        cpu.burst().map(|_| BURST),
        cpu.idle().map(|_| IDLE),
        set(cpu.realtime_period()).map(|_| REALTIME_PERIOD),
        set(cpu.realtime_runtime()).map(|_| REALTIME_RUNTIME),
    ];
    let Some(pointer) = first.into_iter().flatten().next() else {
        return Ok(());
    };
    if let Some(idle) = cpu.idle().filter(|idle| !(0..=1).contains(idle)) {
        return refuse(IDLE, format!("{idle} is neither 0 nor 1"));
    }
    let hierarchy = plan.hierarchy("cpu", pointer)?;
    match hierarchy.version() {
        Version::V1 => write_v1(hierarchy, cpu),
        Version::V2 => write_v2(hierarchy, cpu),
    }
}

fn write_v1(hierarchy: &mut Planned, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    // Before a realtime process joins, which it may not without a share of realtime.
    if let Some(period) = set(cpu.realtime_period()) {
        hierarchy
            .write("cpu.rt_period_us", period, REALTIME_PERIOD)
            .or_later();
    }
    if let Some(runtime) = set(cpu.realtime_runtime()) {
        hierarchy.write("cpu.rt_runtime_us", runtime, REALTIME_RUNTIME);
    }
    if let Some(shares) = set(cpu.shares()) {
        if !SHARES_RANGE.contains(&shares) {
            let (least, most) = (SHARES_RANGE.start(), SHARES_RANGE.end());
            return refuse(
                SHARES,
                format!("{shares} is not in the range from {least} to {most}"),
            );
        }
        hierarchy.write("cpu.shares", shares, SHARES);
    }
    if let Some(period) = set(cpu.period()) {
        hierarchy
            .write("cpu.cfs_period_us", period, PERIOD)
            .or_later();
    }
    if let Some(quota) = set(cpu.quota()) {
        hierarchy.write("cpu.cfs_quota_us", quota, QUOTA).or_later();
    }
    if let Some(burst) = cpu.burst() {
        hierarchy.write("cpu.cfs_burst_us", burst, BURST);
    }
    if let Some(idle) = cpu.idle() {
        hierarchy.write("cpu.idle", idle, IDLE);
    }
    Ok(())
}

fn write_v2(hierarchy: &mut Planned, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    let realtime = [
        set(cpu.realtime_period()).map(|_| REALTIME_PERIOD),
        set(cpu.realtime_runtime()).map(|_| REALTIME_RUNTIME),
    ];
    if let Some(pointer) = realtime.into_iter().flatten().next() {
        return refuse(pointer, "cgroup v2 does not divide realtime");
    }
    if let Some(shares) = set(cpu.shares()) {
        hierarchy.write("cpu.weight", weight(shares), SHARES);
    }
    let (quota, period) = (set(cpu.quota()), set(cpu.period()));
    if quota.is_some() || period.is_some() {
        let pointer = if quota.is_some() { QUOTA } else { PERIOD };
        let period = period.unwrap_or(DEFAULT_PERIOD);
        let value = match quota.filter(|&quota| quota > 0) {
            Some(quota) => format!("{quota} {period}"),
            None => format!("max {period}"),
        };
        hierarchy.write("cpu.max", value, pointer).or_later();
    }
    if let Some(burst) = cpu.burst() {
        hierarchy.write("cpu.max.burst", burst, BURST);
    }
    // An idle cgroup's weight cannot be changed, so this is last.
    if let Some(idle) = cpu.idle() {
        hierarchy.write("cpu.idle", idle, IDLE);
    }
    Ok(())
}

/// Version 1 shares (2, 1024, 262144) as a version 2 weight (1, 100, 10000): least, default and most fall on one
/// another, by a curve through these points that engines and runtimes agreed on.
fn weight(shares: u64) -> u64 {
    if shares <= *SHARES_RANGE.start() {
        return 1;
    }
    if shares >= *SHARES_RANGE.end() {
        return 10_000;
    }
    let log = (shares as f64).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    10f64.powf(exponent).ceil() as u64
}

pub(super) fn cpuset(plan: &mut CgroupPlan, cpu: &LinuxCpu) -> Result<(), CgroupError> {
    for (list, file, pointer) in [
        (cpu.cpus(), "cpuset.cpus", CPUS),
        (cpu.mems(), "cpuset.mems", MEMS),
    ] {
        let Some(list) = list.as_deref().filter(|list| !list.is_empty()) else {
            continue;
        };
        // The kernel takes more than the specification has, such as `all` and `0-7:1/2`: bitmap_parselist().
        let is_list = |c: char| c.is_ascii_alphanumeric() || ",-:/ \n".contains(c);
        if !list.chars().all(is_list) {
            return refuse(pointer, format!("{list:?} is not a list such as 0-3,7"));
        }
        plan.hierarchy("cpuset", pointer)?
            .write(file, list.trim(), pointer);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::weight;

    #[test]
    fn shares_become_weights_on_the_agreed_curve() {
        let pairs = [
            (1, 1),
            (2, 1),
            (3, 2),
            (100, 17),
            (512, 59),
            (1024, 100),
            (2048, 174),
            (262_143, 10_000),
            (262_144, 10_000),
        ];
        for (shares, expected) in pairs {
            assert_eq!(weight(shares), expected, "{shares}");
        }
        assert_eq!(weight(u64::MAX), 10_000);
    }
}
