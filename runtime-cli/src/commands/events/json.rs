//! Events as runc prints them: the names, the order and what is left out of `types/events.go` there, which containerd and
//! cAdvisor read.

use std::collections::BTreeMap;

use runtime_core::Stats;
use runtime_core::cgroup::stats::{self, BlkioEntry, CgroupStats};
use serde::{Serialize, Serializer};

use super::intel_rdt::IntelRdt;

/// A line of `events`.
#[derive(Debug, Serialize)]
pub(super) struct Event<'a> {
    r#type: &'static str,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
}

/// The line that says that the kernel was out of memory.
pub(super) fn oom(id: &str) -> Event<'_> {
    Event {
        r#type: "oom",
        id,
        data: None,
    }
}

/// A line of statistics.
pub(super) fn statistics<'a>(id: &'a str, stats: &'a Stats) -> Event<'a> {
    Event {
        r#type: "stats",
        id,
        data: Some(Data::new(stats)),
    }
}

#[derive(Debug, Serialize)]
struct Data<'a> {
    cpu: Cpu<'a>,
    cpuset: Cpuset<'a>,
    memory: Memory<'a>,
    pids: Pids,
    blkio: Blkio<'a>,
    hugetlb: BTreeMap<&'a str, Hugetlb>,
    intel_rdt: IntelRdt<'a>,
    /// runc knows those of its own networks alone, and no configuration has any.
    network_interfaces: Option<()>,
}

impl<'a> Data<'a> {
    fn new(stats: &'a Stats) -> Self {
        let CgroupStats {
            cpu,
            cpuset,
            memory,
            pids,
            blkio,
            hugetlb,
            ..
        } = &stats.cgroup;
        Data {
            cpu: Cpu::new(cpu),
            cpuset: cpuset.as_ref().map(Cpuset::new).unwrap_or_default(),
            memory: Memory::new(memory),
            pids: Pids {
                current: pids.current,
                limit: pids.limit.unwrap_or_default(),
            },
            blkio: Blkio::new(blkio),
            hugetlb: hugetlb
                .iter()
                .map(|(size, pages)| (size.as_str(), Hugetlb::new(*pages)))
                .collect(),
            intel_rdt: stats
                .intel_rdt
                .as_ref()
                .map(IntelRdt::new)
                .unwrap_or_default(),
            network_interfaces: None,
        }
    }
}

/// Go's `omitempty` and, on a structure, `omitzero`.
pub(super) fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

#[derive(Debug, Serialize)]
struct Cpu<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    usage: CpuUsage<'a>,
    #[serde(skip_serializing_if = "is_zero")]
    throttling: Throttling,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct CpuUsage<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    total: u64,
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    percpu: &'a [u64],
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    percpu_kernel: &'a [u64],
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    percpu_user: &'a [u64],
    kernel: u64,
    user: u64,
}

#[derive(Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Throttling {
    #[serde(skip_serializing_if = "is_zero")]
    periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_periods: u64,
    #[serde(skip_serializing_if = "is_zero")]
    throttled_time: u64,
}

impl<'a> Cpu<'a> {
    fn new(cpu: &'a stats::Cpu) -> Self {
        let stats::CpuUsage {
            total,
            kernel,
            user,
            percpu,
            percpu_kernel,
            percpu_user,
            ..
        } = &cpu.usage;
        Cpu {
            usage: CpuUsage {
                total: *total,
                percpu,
                percpu_kernel,
                percpu_user,
                kernel: *kernel,
                user: *user,
            },
            throttling: Throttling {
                periods: cpu.throttling.periods,
                throttled_periods: cpu.throttling.throttled_periods,
                throttled_time: cpu.throttling.throttled_time,
            },
            psi: cpu.psi.map(Psi::new),
        }
    }
}

#[derive(Debug, Serialize)]
struct Psi {
    #[serde(skip_serializing_if = "is_zero")]
    some: Pressure,
    #[serde(skip_serializing_if = "is_zero")]
    full: Pressure,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Pressure {
    #[serde(serialize_with = "float")]
    avg10: f64,
    #[serde(serialize_with = "float")]
    avg60: f64,
    #[serde(serialize_with = "float")]
    avg300: f64,
    total: u64,
}

/// Go writes a whole number without a fraction.
fn float<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if value.fract() == 0.0 && value.abs() < 1e9 {
        serializer.serialize_i64(*value as i64)
    } else {
        serializer.serialize_f64(*value)
    }
}

impl Psi {
    fn new(psi: stats::Psi) -> Self {
        let pressure = |pressure: stats::Pressure| Pressure {
            avg10: pressure.avg10,
            avg60: pressure.avg60,
            avg300: pressure.avg300,
            total: pressure.total,
        };
        Psi {
            some: pressure(psi.some),
            full: pressure(psi.full),
        }
    }
}

#[derive(Debug, Default, Serialize)]
struct Cpuset<'a> {
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    cpus: &'a [u16],
    cpu_exclusive: u64,
    #[serde(skip_serializing_if = "<[u16]>::is_empty")]
    mems: &'a [u16],
    mem_hardwall: u64,
    mem_exclusive: u64,
    memory_migrate: u64,
    memory_spread_page: u64,
    memory_spread_slab: u64,
    memory_pressure: u64,
    sched_load_balance: u64,
    sched_relax_domain_level: i64,
}

impl<'a> Cpuset<'a> {
    fn new(cpuset: &'a stats::Cpuset) -> Self {
        Cpuset {
            cpus: &cpuset.cpus,
            cpu_exclusive: cpuset.cpu_exclusive,
            mems: &cpuset.mems,
            mem_hardwall: cpuset.mem_hardwall,
            mem_exclusive: cpuset.mem_exclusive,
            memory_migrate: cpuset.memory_migrate,
            memory_spread_page: cpuset.memory_spread_page,
            memory_spread_slab: cpuset.memory_spread_slab,
            memory_pressure: cpuset.memory_pressure,
            sched_load_balance: cpuset.sched_load_balance,
            sched_relax_domain_level: cpuset.sched_relax_domain_level,
        }
    }
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Memory<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    cache: u64,
    #[serde(skip_serializing_if = "is_zero")]
    usage: MemoryUsage,
    #[serde(skip_serializing_if = "is_zero")]
    swap: MemoryUsage,
    #[serde(skip_serializing_if = "is_zero")]
    kernel: MemoryUsage,
    #[serde(rename = "kernelTCP", skip_serializing_if = "is_zero")]
    kernel_tcp: MemoryUsage,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    raw: &'a BTreeMap<String, u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct MemoryUsage {
    limit: u64,
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

impl<'a> Memory<'a> {
    fn new(memory: &'a stats::Memory) -> Self {
        let usage = |usage: stats::MemoryUsage| MemoryUsage {
            limit: usage.limit,
            usage: usage.usage,
            max: usage.max,
            failcnt: usage.failcnt,
        };
        Memory {
            cache: memory.cache,
            usage: usage(memory.usage),
            swap: usage(memory.swap),
            kernel: usage(memory.kernel),
            kernel_tcp: usage(memory.kernel_tcp),
            raw: &memory.raw,
            psi: memory.psi.map(Psi::new),
        }
    }
}

#[derive(Debug, Serialize)]
struct Pids {
    #[serde(skip_serializing_if = "is_zero")]
    current: u64,
    #[serde(skip_serializing_if = "is_zero")]
    limit: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Blkio<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_bytes_recursive: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_serviced_recursive: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_queue_recursive: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_service_time_recursive: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_wait_time_recursive: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_merged_recursive: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    io_time_recursive: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sectors_recursive: Vec<Entry<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    psi: Option<Psi>,
}

#[derive(Debug, Serialize)]
struct Entry<'a> {
    #[serde(skip_serializing_if = "is_zero")]
    major: u64,
    #[serde(skip_serializing_if = "is_zero")]
    minor: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    op: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    value: u64,
}

impl<'a> Blkio<'a> {
    fn new(blkio: &'a stats::Blkio) -> Self {
        let entry = |entry: &'a BlkioEntry| Entry {
            major: entry.major,
            minor: entry.minor,
            op: &entry.operation,
            value: entry.value,
        };
        let table = |table: &'a [BlkioEntry]| table.iter().map(entry).collect();
        Blkio {
            io_service_bytes_recursive: table(&blkio.service_bytes),
            io_serviced_recursive: table(&blkio.serviced),
            io_queue_recursive: table(&blkio.queued),
            io_service_time_recursive: table(&blkio.service_time),
            io_wait_time_recursive: table(&blkio.wait_time),
            io_merged_recursive: table(&blkio.merged),
            io_time_recursive: table(&blkio.time),
            sectors_recursive: table(&blkio.sectors),
            psi: blkio.psi.map(Psi::new),
        }
    }
}

#[derive(Debug, Serialize)]
struct Hugetlb {
    #[serde(skip_serializing_if = "is_zero")]
    usage: u64,
    #[serde(skip_serializing_if = "is_zero")]
    max: u64,
    failcnt: u64,
}

impl Hugetlb {
    fn new(hugetlb: stats::Hugetlb) -> Self {
        Hugetlb {
            usage: hugetlb.usage,
            max: hugetlb.max,
            failcnt: hugetlb.failcnt,
        }
    }
}

#[cfg(test)]
mod tests {
    use runtime_core::IntelRdtStats;

    use super::*;

    fn line(change: impl FnOnce(&mut Stats)) -> String {
        let mut stats = Stats::default();
        change(&mut stats);
        serde_json::to_string(&statistics("web", &stats)).unwrap()
    }

    #[test]
    fn of_a_container_that_used_nothing_runc_prints_this() {
        assert_eq!(
            line(|_| {}),
            r#"{"type":"stats","id":"web","data":{"cpu":{},"cpuset":{"cpu_exclusive":0,"mem_hardwall":0,"mem_exclusive":0,"memory_migrate":0,"memory_spread_page":0,"memory_spread_slab":0,"memory_pressure":0,"sched_load_balance":0,"sched_relax_domain_level":0},"memory":{},"pids":{},"blkio":{},"hugetlb":{},"intel_rdt":{},"network_interfaces":null}}"#
        );
    }

    #[test]
    fn an_oom_event_has_no_data() {
        assert_eq!(
            serde_json::to_string(&oom("web")).unwrap(),
            r#"{"type":"oom","id":"web"}"#
        );
    }

    #[test]
    fn numbers_of_zero_are_left_out_where_runc_leaves_them_out() {
        let text = line(|stats| {
            stats.cgroup.cpu.usage.total = 5;
            stats.cgroup.cpu.throttling.periods = 2;
            stats.cgroup.memory.usage.limit = u64::MAX;
            stats.cgroup.pids.current = 1;
            let mut entry = BlkioEntry::default();
            entry.major = 8;
            entry.operation = "Read".to_owned();
            stats.cgroup.blkio.service_bytes = vec![entry];
            stats
                .cgroup
                .hugetlb
                .insert("2MB".to_owned(), stats::Hugetlb::default());
        });
        for part in [
            r#""cpu":{"usage":{"total":5,"kernel":0,"user":0},"throttling":{"periods":2}}"#,
            r#""memory":{"usage":{"limit":18446744073709551615,"failcnt":0}}"#,
            r#""pids":{"current":1}"#,
            r#""blkio":{"ioServiceBytesRecursive":[{"major":8,"op":"Read"}]}"#,
            r#""hugetlb":{"2MB":{"failcnt":0}}"#,
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn pressure_is_written_as_go_writes_numbers() {
        let text = line(|stats| {
            let mut psi = stats::Psi::default();
            psi.some.avg10 = 12.5;
            psi.some.avg60 = 3.0;
            psi.some.total = 99;
            stats.cgroup.cpu.psi = Some(psi);
        });
        let part = r#""cpu":{"psi":{"some":{"avg10":12.5,"avg60":3,"avg300":0,"total":99}}}"#;
        assert!(text.contains(part), "{text}");
    }

    #[test]
    fn shares_of_caches_and_bandwidth_have_runcs_names() {
        let text = line(|stats| {
            let mut rdt = IntelRdtStats::default();
            rdt.l3_schema = "L3:0=f".to_owned();
            rdt.schemata = vec!["L3:0=f".to_owned()];
            rdt.bandwidth = Some(vec![runtime_core::BandwidthUsage::default()]);
            rdt.occupancy = Some(vec![7]);
            stats.intel_rdt = Some(rdt);
        });
        let part = r#""intel_rdt":{"l3_cache_schema":"L3:0=f","schemata":["L3:0=f"],"mbm_stats":[{"mbm_total_bytes":0,"mbm_local_bytes":0}],"cmt_stats":[{"llc_occupancy":7}]}"#;
        assert!(text.contains(part), "{text}");
    }
}
