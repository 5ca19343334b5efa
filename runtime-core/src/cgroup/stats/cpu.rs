//! Processor time: cpu and cpuacct of version 1, `cpu.stat` of version 2.

use std::io;

use super::files::Files;
use super::parse::{self, Malformed};
use super::psi::Psi;
use crate::cgroup::Cgroup;
use crate::cgroup::plan::Version;

/// `cpuacct.stat` counts in hundredths of a second on every architecture (USER_HZ).
const TICK: u64 = 10_000_000;

const MICROSECOND: u64 = 1000;

/// Processor time of a cgroup since it was made.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Cpu {
    /// What was used.
    pub usage: CpuUsage,
    /// How a quota held it back.
    pub throttling: Throttling,
    /// How it used its burst.
    pub bursts: Bursts,
    /// Who waited for a processor.
    pub psi: Option<Psi>,
}

/// Used processor time, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CpuUsage {
    /// All of it.
    pub total: u64,
    /// In the kernel.
    pub kernel: u64,
    /// In the processes' own code.
    pub user: u64,
    /// On each processor; version 1 alone.
    pub percpu: Vec<u64>,
    /// On each processor in the kernel; version 1 alone.
    pub percpu_kernel: Vec<u64>,
    /// On each processor in the processes' own code; version 1 alone.
    pub percpu_user: Vec<u64>,
}

/// How a quota held a cgroup back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Throttling {
    /// Periods of the quota that have passed.
    pub periods: u64,
    /// Those in which the quota was used up.
    pub throttled_periods: u64,
    /// For how long it was held back, in nanoseconds.
    pub throttled_time: u64,
}

/// How a cgroup used its burst (Linux 5.14).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bursts {
    /// Periods in which more than the quota was used.
    pub periods: u64,
    /// Time above the quota, in nanoseconds.
    pub time: u64,
}

pub(super) fn read(cgroup: &Cgroup) -> io::Result<Cpu> {
    let mut cpu = cgroup.files_of("cpu", throttling)?;
    cpu.usage = cgroup.files_of("cpuacct", usage)?;
    Ok(cpu)
}

fn throttling(files: &Files, version: Version) -> io::Result<Cpu> {
    let stat = files.pairs("cpu.stat")?;
    let value = |name: &str| stat.get(name).copied().unwrap_or_default();
    let time = |v1: &str, v2: &str| match version {
        Version::V1 => value(v1),
        Version::V2 => value(v2).saturating_mul(MICROSECOND),
    };
    Ok(Cpu {
        throttling: Throttling {
            periods: value("nr_periods"),
            throttled_periods: value("nr_throttled"),
            throttled_time: time("throttled_time", "throttled_usec"),
        },
        bursts: Bursts {
            periods: value("nr_bursts"),
            time: time("burst_time", "burst_usec"),
        },
        ..Cpu::default()
    })
}

fn usage(files: &Files, version: Version) -> io::Result<CpuUsage> {
    if version == Version::V2 {
        let stat = files.pairs("cpu.stat")?;
        let time = |name: &str| {
            let microseconds = stat.get(name).copied().unwrap_or_default();
            microseconds.saturating_mul(MICROSECOND)
        };
        return Ok(CpuUsage {
            total: time("usage_usec"),
            kernel: time("system_usec"),
            user: time("user_usec"),
            ..CpuUsage::default()
        });
    }
    let stat = files.pairs("cpuacct.stat")?;
    let time = |name: &str| {
        let ticks = stat.get(name).copied().unwrap_or_default();
        ticks.saturating_mul(TICK)
    };
    let (percpu_kernel, percpu_user) = files
        .read("cpuacct.usage_all", by_mode)?
        .unwrap_or_default();
    Ok(CpuUsage {
        total: files.number("cpuacct.usage")?.unwrap_or_default(),
        kernel: time("system"),
        user: time("user"),
        percpu: files
            .read("cpuacct.usage_percpu", parse::numbers)?
            .unwrap_or_default(),
        percpu_kernel,
        percpu_user,
    })
}

/// Lines of a processor, its user time and its system time, below a line of titles.
pub(super) fn by_mode(text: &str) -> Result<(Vec<u64>, Vec<u64>), Malformed> {
    let mut lines = text.lines();
    let titles = lines.next().unwrap_or_default();
    if !titles.starts_with("cpu user system") {
        return Err(Malformed::new(format!("{titles:?} has unknown columns")));
    }
    let mut both = (Vec::new(), Vec::new());
    for line in lines {
        let mut columns = line.split_whitespace().skip(1);
        if let (Some(user), Some(kernel)) = (columns.next(), columns.next()) {
            both.0.push(parse::number(kernel)?);
            both.1.push(parse::number(user)?);
        }
    }
    Ok(both)
}
