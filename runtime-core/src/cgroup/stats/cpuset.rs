//! The cpuset of version 1: cpuset(7).

use std::io;

use super::files::Files;
use super::parse::Malformed;
use crate::cgroup::plan::Version;

/// Which processors and memory nodes a cgroup may use. Flags are 0 or 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cpuset {
    /// Processors, by number.
    pub cpus: Vec<u16>,
    /// Whether no sibling may have them too.
    pub cpu_exclusive: u64,
    /// Memory nodes, by number.
    pub mems: Vec<u16>,
    /// Whether the kernel's own memory comes from these nodes as well.
    pub mem_hardwall: u64,
    /// Whether no sibling may have these nodes too.
    pub mem_exclusive: u64,
    /// Whether pages move when the nodes change.
    pub memory_migrate: u64,
    /// Whether the page cache is spread over the nodes.
    pub memory_spread_page: u64,
    /// Whether slabs are spread over the nodes.
    pub memory_spread_slab: u64,
    /// How hard memory is to come by, a running average.
    pub memory_pressure: u64,
    /// Whether the scheduler balances load between these processors.
    pub sched_load_balance: u64,
    /// How far the scheduler looks for an idle processor; -1 is the system's default.
    pub sched_relax_domain_level: i64,
}

pub(super) fn read(files: &Files, version: Version) -> io::Result<Option<Cpuset>> {
    if version == Version::V2 {
        return Ok(None);
    }
    let list = |file: &str| Ok::<_, io::Error>(files.read(file, list)?.unwrap_or_default());
    let number = |file: &str| Ok::<_, io::Error>(files.number(file)?.unwrap_or_default());
    Ok(Some(Cpuset {
        cpus: list("cpuset.cpus")?,
        cpu_exclusive: number("cpuset.cpu_exclusive")?,
        mems: list("cpuset.mems")?,
        mem_hardwall: number("cpuset.mem_hardwall")?,
        mem_exclusive: number("cpuset.mem_exclusive")?,
        memory_migrate: number("cpuset.memory_migrate")?,
        memory_spread_page: number("cpuset.memory_spread_page")?,
        memory_spread_slab: number("cpuset.memory_spread_slab")?,
        memory_pressure: number("cpuset.memory_pressure")?,
        sched_load_balance: number("cpuset.sched_load_balance")?,
        sched_relax_domain_level: files
            .read("cpuset.sched_relax_domain_level", level)?
            .unwrap_or_default(),
    }))
}

/// A list such as `0-3,7`. An empty one, which a cgroup has before anybody is in it, has no numbers.
pub(super) fn list(text: &str) -> Result<Vec<u16>, Malformed> {
    let mut numbers = Vec::new();
    for range in text.trim().split(',').filter(|range| !range.is_empty()) {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else {
            return Err(Malformed::new(format!("{range:?} is no range of numbers")));
        };
        if first > last {
            return Err(Malformed::new(format!("{range:?} ends before it begins")));
        }
        numbers.extend(first..=last);
    }
    Ok(numbers)
}

pub(super) fn level(text: &str) -> Result<i64, Malformed> {
    let text = text.trim();
    text.parse()
        .map_err(|_| Malformed::new(format!("{text:?} is not a number")))
}
