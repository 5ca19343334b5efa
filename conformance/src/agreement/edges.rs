//! Values at their edges, and beyond them.

use serde_json::{Value, json};

use super::configurations::{MIB, block_device};

/// Each value alone, and those that only mean something together.
pub(super) fn edges() -> Vec<Value> {
    let mut all = vec![json!({})];
    all.extend(memory().into_iter().map(|memory| json!({"memory": memory})));
    all.extend(cpu().into_iter().map(|cpu| json!({"cpu": cpu})));
    all.extend(
        pids()
            .into_iter()
            .map(|limit| json!({"pids": {"limit": limit}})),
    );
    all.extend(block_io().into_iter().map(|io| json!({"blockIO": io})));
    all.extend(
        huge_pages()
            .into_iter()
            .map(|limits| json!({"hugepageLimits": limits})),
    );
    all.extend(
        network()
            .into_iter()
            .map(|network| json!({"network": network})),
    );
    all.extend(
        unified()
            .into_iter()
            .map(|unified| json!({"unified": unified})),
    );
    all.extend(
        devices()
            .into_iter()
            .map(|devices| json!({"devices": devices})),
    );
    all.push(json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10_000}}}));
    all
}

fn memory() -> Vec<Value> {
    let mut all = Vec::new();
    for limit in [
        -2,
        -1,
        0,
        1,
        4096,
        MIB,
        32 * MIB,
        32 * MIB + 1,
        1 << 40,
        i64::MAX,
    ] {
        all.push(json!({"limit": limit}));
    }
    for (limit, swap) in [
        (64, 64),
        (64, 96),
        (64, 32),
        (64, 0),
        (64, -1),
        (-1, 0),
        (-1, -1),
        (-1, 96),
        (0, 96),
        (0, -1),
        (64, -2),
    ] {
        let bytes = |mib: i64| if mib > 0 { mib * MIB } else { mib };
        all.push(json!({"limit": bytes(limit), "swap": bytes(swap)}));
    }
    all.push(json!({"swap": 96 * MIB}));
    for reservation in [-2, -1, 0, 4096, 16 * MIB, 16 * MIB + 7, 128 * MIB] {
        all.push(json!({"limit": 64 * MIB, "reservation": reservation}));
        all.push(json!({"reservation": reservation}));
    }
    for swappiness in [0u64, 1, 60, 100, 101, 200, u64::MAX] {
        all.push(json!({"swappiness": swappiness}));
    }
    for limit in [-1, 0, MIB, 64 * MIB] {
        all.push(json!({"kernel": limit}));
        all.push(json!({"kernelTCP": limit}));
    }
    for value in [true, false] {
        all.push(json!({"disableOOMKiller": value}));
        all.push(json!({"useHierarchy": value}));
        all.push(json!({"checkBeforeUpdate": value, "limit": 64 * MIB}));
    }
    // The specification's own example, and what Docker and containerd send.
    all.push(json!({"limit": 512 * MIB, "reservation": 512 * MIB, "swap": 512 * MIB, "kernel": -1, "kernelTCP": -1,
        "swappiness": 0, "disableOOMKiller": false}));
    all.push(json!({"limit": 64 * MIB, "swap": 128 * MIB, "checkBeforeUpdate": true}));
    all
}

fn cpu() -> Vec<Value> {
    let mut all = Vec::new();
    for shares in [
        0u64,
        1,
        2,
        3,
        4,
        10,
        26,
        52,
        100,
        102,
        256,
        512,
        768,
        1023,
        1024,
        1025,
        2048,
        4096,
        10_000,
        65_536,
        200_000,
        262_143,
        262_144,
        262_145,
        1 << 32,
    ] {
        all.push(json!({"shares": shares}));
    }
    for (quota, period) in [
        (-2, 0),
        (-1, 0),
        (0, 0),
        (1, 0),
        (999, 0),
        (1000, 0),
        (50_000, 0),
        (100_000, 0),
        (250_000, 0),
        (1000, 1000),
        (50_000, 20_000),
        (20_000, 500_000),
        (1_000_000, 1_000_000),
        (1000, 100_000),
        (-1, 50_000),
        (50_000, 999),
        (50_000, 1_000_001),
        (0, 1000),
        (0, 999),
        (0, 100_000),
        (0, 1_000_000),
        (0, 1_000_001),
        (1 << 44, 100_000),
        (i64::MAX, 100_000),
    ] {
        all.push(json!({"quota": quota, "period": period}));
    }
    all.push(json!({"quota": 50_000}));
    all.push(json!({"period": 50_000}));
    for burst in [0u64, 1, 1000, 50_000, 50_001, 100_000, u64::MAX] {
        all.push(json!({"burst": burst}));
        all.push(json!({"quota": 50_000, "period": 100_000, "burst": burst}));
    }
    for idle in [-1, 0, 1, 2] {
        all.push(json!({"idle": idle}));
        all.push(json!({"idle": idle, "shares": 512}));
    }
    for (runtime, period) in [
        (0, 0),
        (100_000, 1_000_000),
        (1000, 0),
        (0, 500_000),
        (-1, 1_000_000),
        (20_000, 10_000),
    ] {
        all.push(json!({"realtimeRuntime": runtime, "realtimePeriod": period}));
    }
    for list in [
        "", "0", "0-1", "1", "0,1", "1,0", "0-0", "0,0-1", " 0", "0 ", "0\n", "4095", "100000",
        "0-", "x", "-1", "0-1:1/2", "all",
    ] {
        all.push(json!({"cpus": list}));
    }
    for list in ["", "0", "0-0", "1", "0 ", "63", "x"] {
        all.push(json!({"mems": list}));
    }
    all.push(json!({"cpus": "0", "mems": "0"}));
    all
}

fn pids() -> Vec<i64> {
    vec![
        -1000,
        -2,
        -1,
        0,
        1,
        2,
        5,
        100,
        32_771,
        65_536,
        4_194_304,
        4_194_305,
        i64::MAX,
    ]
}

fn block_io() -> Vec<Value> {
    let (major, minor) = block_device();
    let mut all = Vec::new();
    for weight in [
        0, 1, 9, 10, 11, 50, 100, 101, 300, 500, 555, 750, 999, 1000, 1001, 65_535,
    ] {
        all.push(json!({"weight": weight}));
        all.push(json!({"weightDevice": [{"major": major, "minor": minor, "weight": weight}]}));
    }
    all.push(json!({"leafWeight": 300}));
    all.push(json!({"leafWeight": 0}));
    all.push(json!({"weightDevice": [{"major": major, "minor": minor, "leafWeight": 300}]}));
    all.push(json!({"weightDevice": [{"major": major, "minor": minor}]}));
    all.push(json!({"weightDevice": [{"major": 8, "minor": 77, "weight": 300}]}));
    all.push(json!({"weightDevice": [{"major": -1, "minor": 0, "weight": 300}]}));
    all.push(
        json!({"weight": 200, "weightDevice": [{"major": major, "minor": minor, "weight": 300}]}),
    );
    for kind in ["ReadBps", "WriteBps", "ReadIOPS", "WriteIOPS"] {
        for rate in [
            0u64,
            1,
            600,
            1 << 20,
            u64::from(u32::MAX),
            1 << 32,
            1 << 40,
            u64::MAX,
        ] {
            all.push(json!({format!("throttle{kind}Device"): [{"major": major, "minor": minor, "rate": rate}]}));
        }
    }
    all.push(json!({"throttleReadBpsDevice": [{"major": 8, "minor": 77, "rate": 600}]}));
    all.push(json!({
        "throttleReadBpsDevice": [{"major": major, "minor": minor, "rate": 1_048_576}],
        "throttleWriteBpsDevice": [{"major": major, "minor": minor, "rate": 2_097_152}],
        "throttleReadIOPSDevice": [{"major": major, "minor": minor, "rate": 100}],
        "throttleWriteIOPSDevice": [{"major": major, "minor": minor, "rate": 200}],
    }));
    all
}

fn huge_pages() -> Vec<Value> {
    let limit = |size: &str, limit: u64| json!([{"pageSize": size, "limit": limit}]);
    let mut all: Vec<_> = [
        0,
        1,
        2 << 20,
        (2 << 20) + 1,
        64 << 20,
        1 << 40,
        i64::MAX as u64,
        u64::MAX,
    ]
    .into_iter()
    .map(|bytes| limit("2MB", bytes))
    .collect();
    all.extend(["1GB", "64KB", "2mb", "3MB", "2M", "", "../2MB"].map(|size| limit(size, 2 << 20)));
    all.push(json!([{"pageSize": "2MB", "limit": 4 << 20}, {"pageSize": "1GB", "limit": 1 << 30}]));
    all.push(json!([{"pageSize": "2MB", "limit": 4 << 20}, {"pageSize": "2MB", "limit": 8 << 20}]));
    all
}

fn network() -> Vec<Value> {
    let mut all: Vec<_> = [0u32, 1, 1_048_577, u32::MAX]
        .map(|class| json!({"classID": class}))
        .into();
    for (name, priority) in [("lo", 0), ("lo", 5), ("nosuch0", 5), ("lo 3", 5)] {
        all.push(json!({"priorities": [{"name": name, "priority": priority}]}));
    }
    all
}

fn unified() -> Vec<Value> {
    let (major, minor) = block_device();
    [
        ("memory.max", "67108864"),
        ("memory.max", "64M"),
        ("memory.max", "max"),
        ("memory.high", "33554432"),
        ("memory.low", "1"),
        ("memory.min", "4096"),
        ("memory.max", "-1"),
        ("memory.max", "x"),
        ("memory.max", ""),
        ("memory.oom.group", "1"),
        ("memory.swap.high", "67108864"),
        ("memory.nosuch", "1"),
        ("cpu.weight", "42"),
        ("cpu.weight.nice", "5"),
        ("cpu.max", "50000 100000"),
        ("cpu.max", "50000"),
        ("cpu.idle", "1"),
        ("cpuset.cpus", "0"),
        ("cpuset.cpus.partition", "member"),
        ("pids.max", "77"),
        ("io.weight", "default 321"),
        ("io.weight", "321"),
        ("hugetlb.2MB.max", "4194304"),
        ("cgroup.max.depth", "3"),
        ("cgroup.max.descendants", "9"),
        ("cgroup.freeze", "0"),
        ("misc.max", "sev 1"),
        ("rdma.max", "nosuch hca_handle=1"),
        ("nosuch.max", "1"),
        ("nosuch", "1"),
        (".max", "1"),
        ("memory.", "1"),
        ("../memory.max", "67108864"),
        ("a/b", "1"),
        ("memory.current", "1"),
    ]
    .into_iter()
    .map(|(file, value)| json!({file: value}))
    .chain([
        json!({}),
        json!({"io.max": format!("{major}:{minor} rbps=1048576 wiops=120")}),
        json!({"io.max": format!("{major}:{minor} rbps=1048576\n{major}:{minor} wiops=120\n")}),
        json!({"memory.high": "33554432", "pids.max": "55", "cpu.weight": "7"}),
    ])
    .collect()
}

fn devices() -> Vec<Value> {
    let rule = |allow: bool, kind: &str, major: i64, minor: i64, access: &str| json!({"allow": allow, "type": kind, "major": major, "minor": minor, "access": access});
    let none = json!({"allow": false, "access": "rwm"});
    let all = json!({"allow": true, "access": "rwm"});
    vec![
        json!([]),
        json!([none]),
        json!([all]),
        json!([none, all]),
        json!([all, none]),
        json!([none, rule(true, "c", 1, 99, "r")]),
        json!([none, rule(true, "c", 1, -1, "rw")]),
        json!([none, rule(true, "b", -1, -1, "r")]),
        json!([none, rule(true, "c", -1, 99, "rwm")]),
        json!([
            none,
            rule(true, "c", 1, 99, "r"),
            rule(true, "c", 1, 99, "w")
        ]),
        json!([
            none,
            rule(true, "c", 1, 99, "rwm"),
            rule(false, "c", 1, 99, "w")
        ]),
        json!([
            none,
            rule(true, "c", 1, -1, "rwm"),
            rule(false, "c", 1, 99, "w")
        ]),
        json!([none, rule(false, "c", 1, 99, "w")]),
        json!([none, rule(false, "c", 1, 3, "w")]),
        json!([all, rule(false, "c", 1, 3, "w")]),
        json!([all, rule(false, "b", 8, -1, "w")]),
        json!([
            all,
            rule(false, "b", 8, -1, "rwm"),
            rule(true, "b", 8, 0, "r")
        ]),
        json!([
            all,
            rule(false, "b", 8, 5, "rwm"),
            rule(true, "b", 8, 5, "r")
        ]),
        json!([rule(true, "a", 1, 99, "r")]),
        json!([rule(false, "a", 1, 99, "r"), rule(true, "c", 1, 98, "m")]),
        json!([{"allow": true, "type": "c", "major": 1, "access": "rw"}]),
        json!([{"allow": true, "type": "c", "minor": 5, "access": "rw"}]),
        json!([{"allow": false}]),
        json!([none, {"allow": true, "type": "c", "major": 1, "minor": 99}]),
        json!([rule(true, "c", 1, 99, "")]),
        json!([rule(true, "c", 1, 99, "x")]),
        json!([rule(true, "c", 1, 99, "rr")]),
        json!([rule(true, "p", 1, 99, "r")]),
        json!([rule(true, "u", 1, 99, "r")]),
        json!([rule(true, "", 1, 99, "r")]),
        json!([rule(true, "c", -2, 99, "r")]),
        json!([rule(true, "c", 1 << 32, 99, "r")]),
        json!([rule(true, "c", 4_294_967_295, 4_294_967_295, "r")]),
    ]
}
