//! Statistics from files as kernels write them: version 1 of Linux 6.18, version 2 of Linux 6.1 with a few of newer ones.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;

/// A cgroup whose directories are ordinary ones with these files.
fn cgroup(version: Version, controllers: &[&str], files: &[(&str, &str)]) -> (TempDir, Cgroup) {
    let directory = tempfile::tempdir().unwrap();
    for (file, text) in files {
        fs::write(directory.path().join(file), text).unwrap();
    }
    let directories = vec![Directory {
        version,
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: PathBuf::from("/sys/fs/cgroup"),
        path: directory.path().to_owned(),
    }];
    let cgroup = Cgroup {
        directories,
        existed: Vec::new(),
        made_parents: Vec::new(),
        unit: None,
    };
    (directory, cgroup)
}

const ALL_V1: &[&str] = &[
    "cpu", "cpuacct", "cpuset", "memory", "pids", "blkio", "hugetlb", "rdma", "misc",
];

const V1: &[(&str, &str)] = &[
    (
        "cpu.stat",
        "nr_periods 12\nnr_throttled 3\nthrottled_time 104321\nnr_bursts 1\nburst_time 2000\n",
    ),
    ("cpuacct.stat", "user 1\nsystem 2\n"),
    ("cpuacct.usage", "11418092\n"),
    ("cpuacct.usage_percpu", "392812 11025280 \n"),
    (
        "cpuacct.usage_all",
        "cpu user system\n0 0 17\n1 4000000 0\n",
    ),
    ("cpuset.cpus", "0-1,4\n"),
    ("cpuset.mems", "0\n"),
    ("cpuset.sched_load_balance", "1\n"),
    ("cpuset.sched_relax_domain_level", "-1\n"),
    (
        "memory.stat",
        "cache 4096\nrss 49152\nhierarchical_memory_limit 67108864\ntotal_rss 49152\n",
    ),
    ("memory.limit_in_bytes", "67108864\n"),
    ("memory.usage_in_bytes", "3014656\n"),
    ("memory.max_usage_in_bytes", "3014700\n"),
    ("memory.failcnt", "9\n"),
    ("memory.memsw.limit_in_bytes", "9223372036854771712\n"),
    ("memory.memsw.usage_in_bytes", "3014656\n"),
    ("memory.kmem.usage_in_bytes", "548864\n"),
    ("memory.kmem.tcp.limit_in_bytes", "1048576\n"),
    (
        "memory.oom_control",
        "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    ),
    ("pids.current", "5\n"),
    ("pids.max", "20\n"),
    ("pids.events", "max 4\n"),
    ("blkio.bfq.io_serviced_recursive", "Total 0\n"),
    ("blkio.bfq.io_service_bytes_recursive", "Total 0\n"),
    (
        "blkio.throttle.io_serviced_recursive",
        "8:0 Read 3\n8:0 Write 0\n8:0 Total 3\nTotal 3\n",
    ),
    (
        "blkio.throttle.io_service_bytes_recursive",
        "8:0 Read 12288\n8:0 Write 0\n8:0 Total 12288\nTotal 12288\n",
    ),
    ("hugetlb.2MB.limit_in_bytes", "9223372036854771712\n"),
    ("hugetlb.2MB.usage_in_bytes", "2097152\n"),
    ("hugetlb.2MB.max_usage_in_bytes", "4194304\n"),
    ("hugetlb.2MB.failcnt", "1\n"),
    ("rdma.current", "mlx4_0 hca_handle=2 hca_object=2000\n"),
    ("rdma.max", "mlx4_0 hca_handle=3 hca_object=max\n"),
];

const V2: &[(&str, &str)] = &[
    (
        "cpu.stat",
        "usage_usec 1234\nuser_usec 1000\nsystem_usec 234\nnr_periods 7\nnr_throttled 2\nthrottled_usec 55\nnr_bursts 1\nburst_usec 3\n",
    ),
    (
        "cpu.pressure",
        "some avg10=1.53 avg60=0.36 avg300=0.08 total=24552\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=17978\n",
    ),
    (
        "memory.stat",
        "anon 49152\nfile 8192\nkernel_stack 16384\npgfault 833\n",
    ),
    ("memory.current", "151552\n"),
    ("memory.max", "67108864\n"),
    ("memory.peak", "200704\n"),
    ("memory.swap.current", "4096\n"),
    ("memory.swap.max", "max\n"),
    (
        "memory.events",
        "low 0\nhigh 0\nmax 5\noom 1\noom_kill 1\noom_group_kill 0\n",
    ),
    ("pids.current", "3\n"),
    ("pids.max", "max\n"),
    ("pids.events", "max 0\n"),
    (
        "io.stat",
        "8:16 rbytes=4096 wbytes=512 rios=1 wios=2 dbytes=0 dios=0\n7:0 \n254:0 rbytes=0 wbytes=0 rios=0 wios=0 dbytes=0 dios=0 cost.usage=5\n",
    ),
    (
        "io.pressure",
        "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
    ),
    ("hugetlb.2MB.max", "max\n"),
    ("hugetlb.2MB.current", "0\n"),
    ("hugetlb.2MB.rsvd.current", "2097152\n"),
    ("hugetlb.2MB.rsvd.max", "max\n"),
    ("hugetlb.2MB.events", "max 6\n"),
    ("misc.current", "sev 3\nsev_es 0\n"),
    ("misc.events", "sev.max 1\nsev_es.max 0\n"),
];

#[test]
fn version_1_is_read_in_nanoseconds_and_bytes() {
    let (_directory, cgroup) = cgroup(Version::V1, ALL_V1, V1);
    let stats = cgroup.stats().unwrap();
    let usage = &stats.cpu.usage;
    assert_eq!(usage.total, 11_418_092);
    assert_eq!((usage.user, usage.kernel), (10_000_000, 20_000_000));
    assert_eq!(usage.percpu, [392_812, 11_025_280]);
    assert_eq!(usage.percpu_kernel, [17, 0]);
    assert_eq!(usage.percpu_user, [0, 4_000_000]);
    let throttling = &stats.cpu.throttling;
    assert_eq!((throttling.periods, throttling.throttled_periods), (12, 3));
    assert_eq!(throttling.throttled_time, 104_321);
    assert_eq!((stats.cpu.bursts.periods, stats.cpu.bursts.time), (1, 2000));
    let cpuset = stats.cpuset.unwrap();
    assert_eq!(
        (cpuset.cpus, cpuset.mems, cpuset.sched_relax_domain_level),
        (vec![0, 1, 4], vec![0], -1)
    );
    assert_eq!(stats.pids.limit, Some(20));
    assert_eq!((stats.pids.current, stats.pids.refused), (5, 4));
    let huge = stats.hugetlb["2MB"];
    assert_eq!((huge.usage, huge.max, huge.failcnt), (2 << 20, 4 << 20, 1));
    let rdma = stats.rdma["mlx4_0"];
    assert_eq!((rdma.handles, rdma.objects), (2, 2000));
    assert_eq!((rdma.handle_limit, rdma.object_limit), (3, u64::MAX));
    assert_eq!(stats.cpu.psi, None);
}

#[test]
fn memory_of_version_1_has_its_kinds_side_by_side() {
    let (_directory, cgroup) = cgroup(Version::V1, ALL_V1, V1);
    let memory = cgroup.stats().unwrap().memory;
    assert_eq!(memory.cache, 4096);
    let usage = memory.usage;
    assert_eq!(
        (usage.limit, usage.usage, usage.max, usage.failcnt),
        (67_108_864, 3_014_656, 3_014_700, 9)
    );
    assert_eq!(memory.swap.limit, 9_223_372_036_854_771_712);
    assert_eq!(memory.kernel.usage, 548_864);
    assert_eq!(memory.kernel_tcp.limit, 1 << 20);
    assert_eq!(memory.raw["total_rss"], 49_152);
    assert_eq!(memory.oom_kills, 2);
    assert_eq!(cgroup.oom_kills().unwrap(), Some(2));
}

#[test]
fn that_memory_was_refused_is_known_whoever_was_killed() {
    let (_directory, v1) = cgroup(Version::V1, ALL_V1, V1);
    assert!(v1.was_short_of_memory().unwrap());
    let events = [("memory.events", "max 3\noom 1\noom_kill 0\n")];
    let (_directory, v2) = cgroup(Version::V2, &["memory"], &events);
    assert!(v2.was_short_of_memory().unwrap());
    let (_directory, plenty) = cgroup(Version::V2, &["memory"], &[("memory.events", "oom 0\n")]);
    assert!(!plenty.was_short_of_memory().unwrap());
}

#[test]
fn the_first_account_of_block_devices_with_any_device_counts() {
    let (_directory, cgroup) = cgroup(Version::V1, ALL_V1, V1);
    let blkio = cgroup.stats().unwrap().blkio;
    let entries: Vec<_> = blkio
        .service_bytes
        .iter()
        .map(|entry| (entry.major, entry.operation.as_str(), entry.value))
        .collect();
    let expected = [(8, "Read", 12288), (8, "Write", 0), (8, "Total", 12288)];
    assert_eq!(entries, expected);
    assert_eq!(blkio.serviced.len(), 3);
    assert!(blkio.sectors.is_empty());
}

#[test]
fn version_2_is_converted_to_the_same_units() {
    let (_directory, cgroup) = cgroup(Version::V2, &["cpu", "io", "memory", "pids"], V2);
    let stats = cgroup.stats().unwrap();
    let usage = &stats.cpu.usage;
    assert_eq!(
        (usage.total, usage.user, usage.kernel),
        (1_234_000, 1_000_000, 234_000)
    );
    assert_eq!(stats.cpu.throttling.throttled_time, 55_000);
    assert_eq!((stats.cpu.bursts.periods, stats.cpu.bursts.time), (1, 3000));
    let psi = stats.cpu.psi.unwrap();
    assert_eq!((psi.some.avg10, psi.some.total), (1.53, 24_552));
    assert_eq!((psi.full.avg300, psi.full.total), (0.0, 17_978));
    assert_eq!((stats.pids.current, stats.pids.limit), (3, None));
    assert_eq!(stats.cpuset, None);
    let huge = stats.hugetlb["2MB"];
    assert_eq!((huge.usage, huge.failcnt), (2 << 20, 6));
    assert_eq!(stats.hugetlb.len(), 1, "reservations are no size");
    let misc = stats.misc["sev"];
    assert_eq!((misc.usage, misc.failcnt), (3, 1));
    assert!(stats.blkio.psi.is_some() && stats.memory.psi.is_none());
}

#[test]
fn swap_of_version_2_is_added_to_memory_as_version_1_counts_it() {
    let (_directory, cgroup) = cgroup(Version::V2, &["memory"], V2);
    let memory = cgroup.stats().unwrap().memory;
    assert_eq!(memory.cache, 8192);
    assert_eq!(memory.usage.limit, 67_108_864);
    assert_eq!(memory.usage.max, 200_704);
    assert_eq!(memory.swap.usage, 151_552 + 4096);
    assert_eq!(memory.swap.limit, u64::MAX);
    assert_eq!(memory.swap.max, 0);
    assert_eq!(memory.oom_kills, 1);
}

#[test]
fn devices_of_version_2_are_tabled_as_in_version_1() {
    let (_directory, cgroup) = cgroup(Version::V2, &["io"], V2);
    let blkio = cgroup.stats().unwrap().blkio;
    let table = |entries: &[BlkioEntry]| -> Vec<_> {
        entries
            .iter()
            .map(|entry| (entry.major, entry.operation.clone(), entry.value))
            .collect()
    };
    let read_and_write = |device, read, written| {
        [
            (device, "Read".to_owned(), read),
            (device, "Write".to_owned(), written),
        ]
    };
    let bytes = [read_and_write(8, 4096, 512), read_and_write(254, 0, 0)].concat();
    assert_eq!(table(&blkio.service_bytes), bytes);
    let operations = [read_and_write(8, 1, 2), read_and_write(254, 0, 0)].concat();
    assert_eq!(table(&blkio.serviced), operations);
}

#[test]
fn without_a_pids_controller_processes_are_counted() {
    let files = [("cgroup.procs", "17\n18\n")];
    let (_directory, cgroup) = cgroup(Version::V2, &[], &files);
    assert_eq!(cgroup.stats().unwrap().pids.current, 2);
}

#[test]
fn a_hierarchy_without_a_controllers_files_has_nothing_of_it() {
    let (_directory, cgroup) = cgroup(Version::V2, &[], &[]);
    assert_eq!(cgroup.stats().unwrap(), CgroupStats::default());
    assert_eq!(cgroup.oom_kills().unwrap(), None);
}

#[test]
fn a_cgroup_that_is_gone_has_no_statistics() {
    let (directory, cgroup) = cgroup(Version::V1, ALL_V1, V1);
    drop(directory);
    assert_eq!(cgroup.stats().unwrap(), CgroupStats::default());
}

#[test]
fn what_cannot_be_read_is_named() {
    for (version, file, text) in [
        (Version::V1, "memory.usage_in_bytes", "lots\n"),
        (Version::V1, "cpuacct.usage_all", "cpu system user\n"),
        (Version::V1, "cpuset.cpus", "3-1\n"),
        (Version::V2, "cpu.stat", "usage_usec\n"),
        (
            Version::V2,
            "cpu.pressure",
            "some avg10=x avg60=0 avg300=0 total=0\n",
        ),
    ] {
        let (_directory, cgroup) = cgroup(version, ALL_V1, &[(file, text)]);
        let error = cgroup.stats().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn a_counter_below_zero_is_zero() {
    assert_eq!(parse::number("-12\n"), Ok(0));
    assert_eq!(parse::number("max\n"), Ok(u64::MAX));
    assert!(parse::number("-").is_err() && parse::number("").is_err());
}

proptest! {
    #[test]
    fn no_content_makes_a_parser_panic(text in ".{0,200}") {
        fuzzing::files(&text);
    }

    #[test]
    fn nor_does_content_that_looks_like_the_kernels(
        text in "((8:0|Total|cpu user system|some|x|[0-9]{1,22}|max|-[0-9]{1,3})[ =:,\n-]){0,30}"
    ) {
        fuzzing::files(&text);
    }
}
