//! Limits: what is written, why, and what is refused.

use serde_json::json;

use super::{Layout, hybrid, plan, refusal, v1, v2, writes};

#[test]
fn memory_limits_are_written_as_each_version_takes_them() {
    let memory = json!({"memory": {"limit": 1000, "swap": 3000, "reservation": 500, "swappiness": 0, "disableOOMKiller": true}});
    assert_eq!(
        writes(&v1(), memory),
        [
            "memory.limit_in_bytes 1000 memory/limit or later",
            "memory.memsw.limit_in_bytes 3000 memory/swap",
            "memory.soft_limit_in_bytes 500 memory/reservation",
            "memory.oom_control 1 memory/disableOOMKiller",
            "memory.swappiness 0 memory/swappiness",
        ]
    );
    let memory = json!({"memory": {"limit": 1000, "swap": 3000, "reservation": -1, "disableOOMKiller": false}});
    assert_eq!(
        writes(&v2(), memory),
        [
            "memory.swap.max 2000 memory/swap",
            "memory.max 1000 memory/limit",
            "memory.low max memory/reservation"
        ]
    );
}

#[test]
fn swap_is_what_is_left_of_memory_and_swap() {
    let swap =
        |limit: i64, swap: i64| writes(&v2(), json!({"memory": {"limit": limit, "swap": swap}}));
    assert_eq!(
        swap(1000, 1000)[0],
        "memory.swap.max 0 memory/swap if there"
    );
    assert_eq!(
        swap(1000, -1)[0],
        "memory.swap.max max memory/swap if there"
    );
    assert_eq!(
        swap(-1, 0),
        [
            "memory.swap.max max memory/limit if there",
            "memory.max max memory/limit"
        ]
    );
    assert_eq!(swap(-1, 70)[0], "memory.swap.max 70 memory/swap");
    let problem = refusal(&v2(), json!({"memory": {"swap": 7}}));
    assert_eq!(
        problem,
        (
            "memory/swap".into(),
            "memory and swap together cannot be limited without a memory limit".into()
        )
    );
    assert_eq!(
        refusal(&v2(), json!({"memory": {"limit": 8, "swap": 7}})).0,
        "memory/swap"
    );
    let unlimited = writes(&v1(), json!({"memory": {"limit": -1}}));
    assert_eq!(
        unlimited[1],
        "memory.memsw.limit_in_bytes -1 memory/limit if there"
    );
}

#[test]
fn what_memory_cannot_do_is_refused_where_it_is_asked_for() {
    let cases = [
        (v2(), json!({"swappiness": 60}), "memory/swappiness"),
        (
            v2(),
            json!({"disableOOMKiller": true}),
            "memory/disableOOMKiller",
        ),
        (v1(), json!({"swappiness": 101}), "memory/swappiness"),
        (v1(), json!({"limit": -2}), "memory/limit"),
        (v1(), json!({"useHierarchy": false}), "memory/useHierarchy"),
    ];
    for (layout, memory, pointer) in cases {
        assert_eq!(refusal(&layout, json!({"memory": memory})).0, pointer);
    }
}

#[test]
fn limits_that_the_kernel_does_not_have_are_listed_as_ignored() {
    let memory = json!({"memory": {"kernel": 1 << 20, "kernelTCP": 1 << 20, "useHierarchy": true}});
    let kernel = "/linux/resources/memory/kernel";
    let tcp = "/linux/resources/memory/kernelTCP";
    let ignored_by = |layout: &Layout| -> Vec<String> {
        let plan = plan(layout, memory.clone()).unwrap();
        plan.ignored()
            .map(|(pointer, _)| pointer.to_owned())
            .collect()
    };
    assert_eq!(ignored_by(&v1()), [kernel]);
    assert_eq!(ignored_by(&v2()), [kernel, tcp]);
    let text = plan(&v2(), memory.clone()).unwrap().to_string();
    assert!(text.contains(&format!("{tcp}  ignored: ")), "{text}");
}

#[test]
fn tcps_buffers_have_a_limit_in_version_1() {
    for limit in [1 << 20, -1] {
        let memory = json!({"memory": {"kernelTCP": limit}});
        let wanted = format!("memory.kmem.tcp.limit_in_bytes {limit} memory/kernelTCP");
        assert_eq!(writes(&v1(), memory), [wanted]);
    }
}

#[test]
fn cpu_limits_are_written_as_each_version_takes_them() {
    let cpu = json!({"cpu": {"shares": 512, "quota": 50_000, "period": 20_000, "burst": 1000, "idle": 0, "cpus": "0-1", "mems": "0"}});
    assert_eq!(
        writes(&v1(), cpu.clone()),
        [
            "cpuset.cpus 0-1 cpu/cpus",
            "cpuset.mems 0 cpu/mems",
            "cpu.shares 512 cpu/shares",
            "cpu.cfs_period_us 20000 cpu/period or later",
            "cpu.cfs_quota_us 50000 cpu/quota or later",
            "cpu.cfs_burst_us 1000 cpu/burst",
            "cpu.idle 0 cpu/idle",
        ]
    );
    assert_eq!(
        writes(&v2(), cpu),
        [
            "cpuset.cpus 0-1 cpu/cpus",
            "cpuset.mems 0 cpu/mems",
            "cpu.weight 59 cpu/shares",
            "cpu.max 50000 20000 cpu/quota or later",
            "cpu.max.burst 1000 cpu/burst",
            "cpu.idle 0 cpu/idle",
        ]
    );
    assert_eq!(
        writes(&v2(), json!({"cpu": {"quota": -1}})),
        ["cpu.max max 100000 cpu/quota or later"]
    );
    assert_eq!(
        writes(&v2(), json!({"cpu": {"period": 7000}})),
        ["cpu.max max 7000 cpu/period or later"]
    );
    assert!(
        writes(
            &v2(),
            json!({"cpu": {"shares": 0, "quota": 0, "realtimeRuntime": 0, "cpus": ""}})
        )
        .is_empty()
    );
    let realtime = json!({"cpu": {"realtimePeriod": 9000, "realtimeRuntime": 1000}});
    assert_eq!(
        writes(&v1(), realtime.clone()),
        [
            "cpu.rt_period_us 9000 cpu/realtimePeriod or later",
            "cpu.rt_runtime_us 1000 cpu/realtimeRuntime"
        ]
    );
    assert_eq!(refusal(&v2(), realtime).0, "cpu/realtimePeriod");
    assert_eq!(
        refusal(&v1(), json!({"cpu": {"shares": 1}})).0,
        "cpu/shares"
    );
    assert_eq!(refusal(&v1(), json!({"cpu": {"idle": 2}})).0, "cpu/idle");
    assert_eq!(
        refusal(&v1(), json!({"cpu": {"cpus": "0;1"}})).0,
        "cpu/cpus"
    );
}

#[test]
fn a_limit_of_no_processes_is_one_and_a_negative_one_is_none() {
    for (limit, value) in [(5, "5"), (0, "1"), (-1, "max")] {
        assert_eq!(
            writes(&v1(), json!({"pids": {"limit": limit}})),
            [format!("pids.max {value} pids/limit")]
        );
    }
}

#[test]
fn block_io_limits_are_written_as_each_version_takes_them() {
    let block_io = json!({"blockIO": {
        "weight": 500,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 100}],
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 600}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 16, "rate": 0}],
    }});
    assert_eq!(
        writes(&v1(), block_io.clone()),
        [
            "blkio.weight 500 blockIO/weight or blkio.bfq.weight 500",
            "blkio.weight_device 8:0 100 blockIO/weightDevice/0/weight or blkio.bfq.weight_device 8:0 100",
            "blkio.throttle.read_bps_device 8:0 600 blockIO/throttleReadBpsDevice/0",
            "blkio.throttle.write_iops_device 8:16 0 blockIO/throttleWriteIOPSDevice/0",
        ]
    );
    assert_eq!(
        writes(&v2(), block_io),
        [
            "io.bfq.weight 500 blockIO/weight or io.weight 4950",
            "io.bfq.weight 8:0 100 blockIO/weightDevice/0/weight or io.weight 8:0 910",
            "io.max 8:0 rbps=600 blockIO/throttleReadBpsDevice/0",
            "io.max 8:16 wiops=max blockIO/throttleWriteIOPSDevice/0",
        ]
    );
    let nothing = json!({"blockIO": {"weightDevice": [{"major": 8, "minor": 0}]}});
    assert_eq!(refusal(&v1(), nothing).0, "blockIO/weightDevice/0");
    assert_eq!(
        refusal(&v2(), json!({"blockIO": {"leafWeight": 10}})).0,
        "blockIO/leafWeight"
    );
    assert_eq!(
        refusal(&v1(), json!({"blockIO": {"weight": 1001}})).0,
        "blockIO/weight"
    );
    assert_eq!(
        writes(&v2(), json!({"blockIO": {"weight": 9}})),
        ["io.bfq.weight 9 blockIO/weight or io.weight 1"]
    );
    let nowhere =
        json!({"blockIO": {"throttleReadBpsDevice": [{"major": -1, "minor": 0, "rate": 1}]}});
    assert_eq!(refusal(&v1(), nowhere).0, "blockIO/throttleReadBpsDevice/0");
}

#[test]
fn a_controller_is_found_in_whichever_version_has_it() {
    let hugepages = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4096}]});
    assert_eq!(
        writes(&hybrid(), hugepages.clone()),
        [
            "hugetlb.2MB.max 4096 hugepageLimits/0",
            "hugetlb.2MB.rsvd.max 4096 hugepageLimits/0 if there"
        ]
    );
    let hybrid = plan(&hybrid(), hugepages.clone()).unwrap();
    assert!(
        !hybrid.directories.last().unwrap().optional,
        "it is needed now"
    );
    let problem = refusal(&v1(), hugepages);
    assert_eq!(
        problem,
        (
            "hugepageLimits/0".into(),
            "this host has no cgroup hierarchy with the hugetlb controller".into()
        )
    );
    assert_eq!(
        refusal(
            &v2(),
            json!({"hugepageLimits": [{"pageSize": "../2MB", "limit": 1}]})
        )
        .0,
        "hugepageLimits/0/pageSize"
    );
}

#[test]
fn a_controller_has_the_name_of_the_version_that_lacks_it() {
    let mut layout = v2();
    if let Some(v2) = &mut layout.v2 {
        v2.controllers.retain(|name| name != "io");
    }
    let (_, problem) = refusal(&layout, json!({"blockIO": {"weight": 100}}));
    assert_eq!(
        problem,
        "this host has no cgroup hierarchy with the io controller"
    );
}

#[test]
fn network_and_rdma_limits_are_lines_that_names_cannot_break_out_of() {
    let network =
        json!({"network": {"classID": 1_048_577, "priorities": [{"name": "eth0", "priority": 5}]}});
    assert_eq!(
        writes(&v1(), network.clone()),
        [
            "net_cls.classid 1048577 network/classID",
            "net_prio.ifpriomap eth0 5 network/priorities/0"
        ]
    );
    assert_eq!(refusal(&v2(), network).0, "network/classID");
    let broken = json!({"network": {"priorities": [{"name": "eth0 5\neth1", "priority": 5}]}});
    assert_eq!(refusal(&v1(), broken).0, "network/priorities/0/name");
    let rdma = json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10_000}, "b/c~": {}}});
    assert_eq!(refusal(&v2(), rdma).0, "rdma/b~1c~0");
    let rdma = json!({"rdma": {"mlx5_1": {"hcaHandles": 3, "hcaObjects": 10_000}, "a": {"hcaObjects": 0}}});
    assert_eq!(
        writes(&v2(), rdma),
        [
            "rdma.max a hca_object=0 rdma/a",
            "rdma.max mlx5_1 hca_handle=3 hca_object=10000 rdma/mlx5_1"
        ]
    );
}

#[test]
fn unified_files_are_written_line_by_line_on_version_2_alone() {
    let unified = json!({"unified": {"memory.high": "1000", "io.max": "8:0 rbps=1\n8:16 rbps=2", "cgroup.max.depth": "3"}});
    assert_eq!(
        writes(&v2(), unified.clone()),
        [
            "cgroup.max.depth 3 unified/cgroup.max.depth",
            "io.max 8:0 rbps=1 unified/io.max",
            "io.max 8:16 rbps=2 unified/io.max",
            "memory.high 1000 unified/memory.high",
        ]
    );
    assert_eq!(
        writes(
            &v2(),
            json!({"unified": {"cpuset.cpus": "\n", "memory.max": ""}})
        ),
        ["cpuset.cpus \n unified/cpuset.cpus"]
    );
    assert_eq!(
        refusal(&v1(), unified.clone()).0,
        "unified/cgroup.max.depth"
    );
    assert_eq!(
        refusal(&hybrid(), unified).1,
        "invalid configuration: this host's controllers are in cgroup v1"
    );
    for file in ["../memory.max", "memory", ".max", "memory.", "dmem.max"] {
        let pointer = format!("unified/{}", file.replace('/', "~1"));
        assert_eq!(refusal(&v2(), json!({"unified": {file: "1"}})).0, pointer);
    }
}
