//! linux.resources in full: config-linux.md, "Control groups". Every value is read back from the file that it goes to, on
//! whichever version of cgroups the machine has.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;

use conformance::Container;
use conformance::agreement::block_device;
use conformance::cgroup::{self, directory, is_v1};
use conformance::driver::{Driver, driver};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

/// Controller; file and value in v1; in v2.
type Expected<'a> = (&'a str, (&'a str, &'a str), (&'a str, &'a str));

/// Whether the machine has the file in cgroups of this controller: the root of a hierarchy has no limits, so one below it
/// is looked into.
fn is_there(cgroup: &str, (controller, v1, v2): &Expected<'_>) -> bool {
    let (file, _) = if is_v1(controller) { v1 } else { v2 };
    let enable = directory(controller, "/").join("cgroup.subtree_control");
    drop(fs::write(enable, format!("+{controller}")));
    let example = directory(controller, cgroup);
    fs::create_dir(&example).unwrap();
    let is_there = !file.is_empty() && example.join(file).exists();
    fs::remove_dir(&example).unwrap();
    is_there
}

/// Creates a container with the resources and expects each file to have its value, where the machine has it.
fn assert_files(resources: &Value, expected: &[Expected<'_>]) {
    let container = Container::new(|config| {
        config.set("/linux/resources", resources.clone());
    });
    let missing = expected
        .iter()
        .find(|expected| !is_there(&container.cgroup, expected));
    if let Some((controller, v1, v2)) = missing {
        eprintln!(
            "skipped: this machine has neither {} nor {} of {controller}",
            v1.0, v2.0
        );
        return;
    }
    let _ = container.create().ok();
    for (controller, v1, v2) in expected {
        let (_, value) = if is_v1(controller) { v1 } else { v2 };
        let text = cgroup::read(&container.cgroup, controller, v1.0, v2.0);
        assert!(
            text.lines().any(|line| line == *value),
            "{v1:?} {v2:?}: {text}"
        );
    }
}

#[test]
fn memory_is_limited_in_all_ways() {
    assert_files(
        &json!({"memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB, "disableOOMKiller": false}}),
        &[
            (
                "memory",
                ("memory.limit_in_bytes", "67108864"),
                ("memory.max", "67108864"),
            ),
            (
                "memory",
                ("memory.memsw.limit_in_bytes", "100663296"),
                ("memory.swap.max", "33554432"),
            ),
            (
                "memory",
                ("memory.soft_limit_in_bytes", "33554432"),
                ("memory.low", "33554432"),
            ),
        ],
    );
}

#[test]
fn processors_are_divided_in_all_ways() {
    assert_files(
        &json!({"cpu": {"shares": 512, "quota": 50_000, "period": 20_000, "burst": 7000, "cpus": "0", "mems": "0"}}),
        &[
            ("cpu", ("cpu.shares", "512"), ("cpu.weight", "59")),
            (
                "cpu",
                ("cpu.cfs_quota_us", "50000"),
                ("cpu.max", "50000 20000"),
            ),
            (
                "cpu",
                ("cpu.cfs_burst_us", "7000"),
                ("cpu.max.burst", "7000"),
            ),
            ("cpuset", ("cpuset.cpus", "0"), ("cpuset.cpus", "0")),
            ("cpuset", ("cpuset.mems", "0"), ("cpuset.mems", "0")),
        ],
    );
}

#[test]
fn an_idle_cgroup_may_be_given_shares_as_well() {
    assert_files(
        &json!({"cpu": {"shares": 512, "idle": 1}}),
        &[("cpu", ("cpu.idle", "1"), ("cpu.idle", "1"))],
    );
}

#[test]
fn shares_become_weights_by_the_current_formula() {
    for (shares, weight) in [
        (2, "1"),
        (3, "2"),
        (100, "17"),
        (1024, "100"),
        (4096, "303"),
        (262_144, "10000"),
    ] {
        let shown = shares.to_string();
        assert_files(
            &json!({"cpu": {"shares": shares}}),
            &[("cpu", ("cpu.shares", &shown), ("cpu.weight", weight))],
        );
    }
}

#[test]
fn block_devices_are_limited_in_all_ways() {
    let (major, minor) = block_device();
    let rate = |rate: u64| json!([{"major": major, "minor": minor, "rate": rate}]);
    let line = |value: &str| format!("{major}:{minor} {value}");
    let resources = json!({"blockIO": {
        "throttleReadBpsDevice": rate(MIB),
        "throttleWriteBpsDevice": rate(2 * MIB),
        "throttleReadIOPSDevice": rate(100),
        "throttleWriteIOPSDevice": rate(0),
    }});
    let v2 = line("rbps=1048576 wbps=2097152 riops=100 wiops=max");
    let (read, write, operations) = (line("1048576"), line("2097152"), line("100"));
    assert_files(
        &resources,
        &[
            (
                "blkio",
                ("blkio.throttle.read_bps_device", &read),
                ("io.max", &v2),
            ),
            (
                "blkio",
                ("blkio.throttle.write_bps_device", &write),
                ("io.max", &v2),
            ),
            (
                "blkio",
                ("blkio.throttle.read_iops_device", &operations),
                ("io.max", &v2),
            ),
        ],
    );
}

#[test]
fn block_weights_go_to_whichever_file_there_is() {
    let resources = json!({"blockIO": {"weight": 500}});
    assert_files(
        &resources,
        &[(
            "blkio",
            ("blkio.bfq.weight", "500"),
            ("io.bfq.weight", "default 500"),
        )],
    );
    if !directory("blkio", "/").join("io.bfq.weight").exists() {
        assert_files(
            &resources,
            &[(
                "blkio",
                ("blkio.weight", "500"),
                ("io.weight", "default 4950"),
            )],
        );
    }
}

#[test]
fn huge_pages_and_their_reservations_are_limited() {
    assert_files(
        &json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]}),
        &[
            (
                "hugetlb",
                ("hugetlb.2MB.limit_in_bytes", "4194304"),
                ("hugetlb.2MB.max", "4194304"),
            ),
            (
                "hugetlb",
                ("hugetlb.2MB.rsvd.limit_in_bytes", "4194304"),
                ("hugetlb.2MB.rsvd.max", "4194304"),
            ),
        ],
    );
}

#[test]
fn the_number_of_processes_is_limited() {
    for (limit, value) in [(-1, "max"), (0, "1"), (77, "77")] {
        assert_files(
            &json!({"pids": {"limit": limit}}),
            &[("pids", ("pids.max", value), ("pids.max", value))],
        );
    }
}

#[test]
fn network_packets_have_a_class_and_priorities_in_version_1() {
    assert_files(
        &json!({"network": {"classID": 1_048_577, "priorities": [{"name": "lo", "priority": 5}]}}),
        &[
            ("net_cls", ("net_cls.classid", "1048577"), NOWHERE),
            ("net_prio", ("net_prio.ifpriomap", "lo 5"), NOWHERE),
        ],
    );
}

#[test]
fn an_rdma_device_that_is_not_there_is_an_error() {
    let container = Container::new(|config| {
        let limits = json!({"nosuch0": {"hcaHandles": 3}});
        config.set("/linux/resources/rdma", limits);
    });
    container.assert_refused_at("/linux/resources/rdma/nosuch0");
}

#[test]
fn files_of_version_2_are_written_by_their_names_line_by_line() {
    if is_v1("memory") {
        eprintln!("skipped: this machine's controllers are in cgroup v1");
        return;
    }
    // systemd is told numbers.
    let high = match driver() {
        Driver::Cgroupfs => "32M",
        Driver::Systemd => "33554432",
    };
    let (major, minor) = block_device();
    let io = format!("{major}:{minor} rbps=1048576\n{major}:{minor} wiops=120\n");
    let line = format!("{major}:{minor} rbps=1048576 wbps=max riops=max wiops=120");
    assert_files(
        &json!({"unified": {"memory.high": high, "io.max": io, "cgroup.max.depth": "3"}, "memory": {"limit": 64 * MIB}}),
        &[
            ("memory", NOWHERE, ("memory.high", "33554432")),
            ("memory", NOWHERE, ("memory.max", "67108864")),
            ("io", NOWHERE, ("io.max", &line)),
            ("cgroup", NOWHERE, ("cgroup.max.depth", "3")),
        ],
    );
}

const NOWHERE: (&str, &str) = ("", "");

#[test]
fn what_a_version_of_cgroups_does_not_have_is_refused_where_it_is_asked_for() {
    let v1: [(&str, Value); 2] = [
        (
            "/memory/useHierarchy",
            json!({"memory": {"useHierarchy": false}}),
        ),
        (
            "/unified/memory.max",
            json!({"unified": {"memory.max": "max"}}),
        ),
    ];
    let v2: [(&str, Value); 7] = [
        ("/memory/swappiness", json!({"memory": {"swappiness": 60}})),
        (
            "/memory/disableOOMKiller",
            json!({"memory": {"disableOOMKiller": true}}),
        ),
        (
            "/cpu/realtimeRuntime",
            json!({"cpu": {"realtimeRuntime": 1000}}),
        ),
        (
            "/blockIO/leafWeight",
            json!({"blockIO": {"leafWeight": 300}}),
        ),
        ("/network/classID", json!({"network": {"classID": 1}})),
        (
            "/unified/nosuch.max",
            json!({"unified": {"nosuch.max": "1"}}),
        ),
        (
            "/unified/memory.nosuch",
            json!({"unified": {"memory.nosuch": "1"}}),
        ),
    ];
    let cases: &[(&str, Value)] = if is_v1("memory") { &v1 } else { &v2 };
    for (pointer, resources) in cases {
        let container = Container::new(|config| {
            config.set("/linux/resources", resources.clone());
        });
        container.assert_refused_at(&format!("/linux/resources{pointer}"));
    }
}
