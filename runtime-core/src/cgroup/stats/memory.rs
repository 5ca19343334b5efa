//! Memory and swap.

use std::collections::BTreeMap;
use std::io;

use super::files::Files;
use super::psi::Psi;
use crate::cgroup::plan::Version;

/// Memory of a cgroup.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Memory {
    /// Page cache, in bytes.
    pub cache: u64,
    /// Memory of all kinds.
    pub usage: MemoryUsage,
    /// Memory and swap together, as version 1 counts them. In version 2, which counts swap by itself, they are added up,
    /// and there is no maximum.
    pub swap: MemoryUsage,
    /// Memory of the kernel's; version 1 alone.
    pub kernel: MemoryUsage,
    /// Buffers of TCP; version 1 alone.
    pub kernel_tcp: MemoryUsage,
    /// All of `memory.stat`, by the kernel's names, which differ between the versions.
    pub raw: BTreeMap<String, u64>,
    /// How many processes the kernel has killed for want of memory.
    pub oom_kills: u64,
    /// Who waited for memory.
    pub psi: Option<Psi>,
}

/// Memory of one kind, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUsage {
    /// What may be used. No limit is [`u64::MAX`] in version 2 and a number close to [`i64::MAX`] in version 1.
    pub limit: u64,
    /// What is used.
    pub usage: u64,
    /// The most that was ever used (version 2: Linux 5.19, for swap 6.5).
    pub max: u64,
    /// How often the limit was hit; version 1 alone.
    pub failcnt: u64,
}

pub(super) fn read(files: &Files, version: Version) -> io::Result<Memory> {
    let raw = files.pairs("memory.stat")?;
    let mut memory = match version {
        Version::V1 => v1(files)?,
        Version::V2 => v2(files)?,
    };
    let cache = match version {
        Version::V1 => "cache",
        Version::V2 => "file",
    };
    memory.cache = raw.get(cache).copied().unwrap_or_default();
    memory.raw = raw;
    memory.oom_kills = oom_kills(files, version)?.unwrap_or_default();
    Ok(memory)
}

/// `oom_kill` is there since Linux 4.13. In version 2 it counts the cgroups below as well.
pub(super) fn oom_kills(files: &Files, version: Version) -> io::Result<Option<u64>> {
    let file = match version {
        Version::V1 => "memory.oom_control",
        Version::V2 => "memory.events",
    };
    Ok(files.pairs(file)?.get("oom_kill").copied())
}

/// Version 1 counts in `failcnt` what was found by reclaiming as well.
pub(super) fn was_short(files: &Files, version: Version) -> io::Result<bool> {
    let count = match version {
        Version::V1 => files.number("memory.failcnt")?,
        Version::V2 => files.pairs("memory.events")?.get("oom").copied(),
    };
    Ok(count.is_some_and(|count| count > 0))
}

fn v1(files: &Files) -> io::Result<Memory> {
    Ok(Memory {
        usage: usage_v1(files, "memory")?,
        swap: usage_v1(files, "memory.memsw")?,
        kernel: usage_v1(files, "memory.kmem")?,
        kernel_tcp: usage_v1(files, "memory.kmem.tcp")?,
        ..Memory::default()
    })
}

fn usage_v1(files: &Files, kind: &str) -> io::Result<MemoryUsage> {
    let number = |name: &str| {
        let number = files.number(&format!("{kind}.{name}"))?;
        Ok::<_, io::Error>(number.unwrap_or_default())
    };
    Ok(MemoryUsage {
        limit: number("limit_in_bytes")?,
        usage: number("usage_in_bytes")?,
        max: number("max_usage_in_bytes")?,
        failcnt: number("failcnt")?,
    })
}

fn v2(files: &Files) -> io::Result<Memory> {
    let usage = usage_v2(files, "memory")?;
    let mut swap = usage_v2(files, "memory.swap")?;
    swap.usage = swap.usage.saturating_add(usage.usage);
    swap.limit = swap.limit.saturating_add(usage.limit);
    // The two had their maximums at different times.
    swap.max = 0;
    Ok(Memory {
        usage,
        swap,
        ..Memory::default()
    })
}

fn usage_v2(files: &Files, kind: &str) -> io::Result<MemoryUsage> {
    let number = |name: &str| {
        let number = files.number(&format!("{kind}.{name}"))?;
        Ok::<_, io::Error>(number.unwrap_or_default())
    };
    Ok(MemoryUsage {
        limit: number("max")?,
        usage: number("current")?,
        max: number("peak")?,
        failcnt: 0,
    })
}
