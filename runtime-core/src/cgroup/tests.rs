//! Compiling: writes and their origins on all kinds of host.

use std::path::Path;

use oci_spec::runtime::Spec;
use serde_json::{Value, json};

use super::plan::{Missing, Write};
use super::*;

const V1_MOUNTS: &str = "\
32 31 0:29 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /cg/cpuset rw - cgroup cgroup rw,cpuset
34 31 0:31 / /cg/memory rw - cgroup cgroup rw,memory
35 31 0:32 / /cg/devices rw - cgroup cgroup rw,devices
36 31 0:33 / /cg/blkio rw - cgroup cgroup rw,blkio
37 31 0:34 / /cg/pids rw - cgroup cgroup rw,pids
38 31 0:35 / /cg/net_cls,net_prio rw - cgroup cgroup rw,net_cls,net_prio
39 31 0:36 / /cg/systemd rw - cgroup cgroup rw,name=systemd
";

const V1_OWN: &str = "\
8:name=systemd:/\n7:net_cls,net_prio:/\n6:pids:/\n5:blkio:/\n4:devices:/\n3:memory:/shell\n2:cpuset:/\n1:cpu,cpuacct:/\n";

fn v1() -> Layout {
    Layout::parse(V1_MOUNTS, V1_OWN)
}

fn v2() -> Layout {
    Layout::parse(
        "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "0::/shell\n",
    )
}

/// With a controller in version 2 that version 1 does not have.
fn hybrid() -> Layout {
    let mounts = format!("{V1_MOUNTS}41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n");
    let mut layout = Layout::parse(&mounts, &format!("{V1_OWN}0::/shell\n"));
    layout.v2.as_mut().unwrap().controllers = vec!["hugetlb".to_owned()];
    layout
}

fn spec(linux: Value) -> Spec {
    serde_json::from_value(
        json!({"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "linux": linux}),
    )
    .unwrap()
}

fn plan(layout: &Layout, resources: Value) -> Result<CgroupPlan, CgroupError> {
    compile(
        &spec(json!({"cgroupsPath": "/pods/web", "resources": resources})),
        "web",
        layout,
    )
}

/// All writes but those for devices, as `FILE VALUE ORIGIN`, where the origin's common beginning is left out.
fn writes(layout: &Layout, resources: Value) -> Vec<String> {
    let plan = plan(layout, resources).unwrap();
    let line = |write: &Write| {
        let origin = write
            .origin
            .strip_prefix("/linux/resources/")
            .unwrap_or(&write.origin);
        let again = if write.again { " or later" } else { "" };
        let missing = match &write.missing {
            Missing::Fail => String::new(),
            Missing::Skip => " if there".to_owned(),
            Missing::Instead(file, value) => format!(" or {file} {value}"),
        };
        format!("{} {} {origin}{missing}{again}", write.file, write.value)
    };
    let all = plan.directories.iter().flat_map(|planned| &planned.writes);
    all.filter(|write| !write.file.starts_with("devices."))
        .map(line)
        .collect()
}

fn refusal(layout: &Layout, resources: Value) -> (String, String) {
    let error = plan(layout, resources).unwrap_err();
    assert!(error.is_config());
    (
        error
            .pointer()
            .strip_prefix("/linux/resources/")
            .unwrap_or(error.pointer())
            .to_owned(),
        error.to_string(),
    )
}

#[test]
fn a_container_gets_a_directory_in_each_version_1_hierarchy() {
    let plan = compile(&spec(json!({})), "web", &v1()).unwrap();
    let paths: Vec<_> = plan
        .directories()
        .map(|directory| directory.path.to_str().unwrap())
        .collect();
    assert_eq!(plan.task_file_count(), 8);
    assert!(
        paths.contains(&"/cg/memory/shell/web"),
        "relative to the runtime's own cgroup: {paths:?}"
    );
    assert!(paths.contains(&"/cg/cpu,cpuacct/web"));
    let devices = plan
        .directories()
        .find(|directory| directory.controllers == ["devices"])
        .unwrap();
    assert_eq!(
        (devices.version, devices.mount_point.as_path()),
        (Version::V1, Path::new("/cg/devices"))
    );
}

#[test]
fn on_a_hybrid_host_it_gets_one_in_version_2_too() {
    let plan = compile(&spec(json!({"cgroupsPath": "/pods/web"})), "web", &hybrid()).unwrap();
    assert_eq!(plan.task_file_count(), 8);
    let last = plan.directories().last().unwrap();
    assert_eq!(
        (last.version, last.path.as_path()),
        (Version::V2, Path::new("/cg/unified/pods/web"))
    );
    assert!(plan.directories.last().unwrap().optional);
}

#[test]
fn on_version_2_it_gets_one_and_a_device_filter() {
    let plan = compile(&spec(json!({})), "web", &v2()).unwrap();
    let [only] = plan.directories.as_slice() else {
        panic!("{plan}")
    };
    assert_eq!(only.directory.path, Path::new("/sys/fs/cgroup/web"));
    assert!(only.devices.is_some() && !only.optional);
}

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
fn limits_of_the_kernels_memory_are_listed_as_ignored() {
    let plan = plan(
        &v1(),
        json!({"memory": {"kernel": 1 << 20, "kernelTCP": -1, "useHierarchy": true}}),
    )
    .unwrap();
    let ignored: Vec<_> = plan.ignored().map(|(pointer, _)| pointer).collect();
    assert_eq!(ignored, ["/linux/resources/memory/kernel"]);
    assert!(
        plan.to_string()
            .contains("/linux/resources/memory/kernel     ignored: "),
        "{plan}"
    );
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
        refusal(&v1(), json!({"cpu": {"cpus": "all"}})).0,
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
    assert_eq!(
        refusal(&v2(), json!({"blockIO": {"leafWeight": 10}})).0,
        "blockIO/leafWeight"
    );
    assert_eq!(
        refusal(&v1(), json!({"blockIO": {"weight": 9}})).0,
        "blockIO/weight"
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
        refusal(&v1(), unified.clone()).0,
        "unified/cgroup.max.depth"
    );
    assert_eq!(
        refusal(&hybrid(), unified).1,
        "this host's controllers are in cgroup v1"
    );
    for file in ["../memory.max", "memory", ".max", "memory.", "dmem.max"] {
        let pointer = format!("unified/{}", file.replace('/', "~1"));
        assert_eq!(refusal(&v2(), json!({"unified": {file: "1"}})).0, pointer);
    }
}

fn device_writes(devices: Value) -> Vec<String> {
    let plan = plan(&v1(), json!({"devices": devices})).unwrap();
    let all = plan.directories.iter().flat_map(|planned| &planned.writes);
    all.map(|write| format!("{} {} {}", write.file, write.value, write.origin))
        .collect()
}

#[test]
fn devices_begin_with_the_default_and_go_on_with_exceptions_in_order() {
    let writes = device_writes(json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "r"},
        {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "mw"},
    ]));
    assert_eq!(
        writes,
        [
            "devices.deny a /linux/resources/devices",
            "devices.allow b *:* m default devices",
            "devices.allow c *:* m default devices",
            "devices.allow c 1:3 rwm default devices",
            "devices.allow c 1:5 rwm default devices",
            "devices.allow c 1:7 rwm default devices",
            "devices.allow c 1:8 rwm default devices",
            "devices.allow c 1:9 rwm default devices",
            "devices.allow c 5:0 rwm default devices",
            "devices.allow c 5:2 rwm default devices",
            "devices.allow b 8:0 rwm /linux/resources/devices/2",
            "devices.allow c 10:200 rwm default devices",
            "devices.allow c 136:* rwm default devices",
        ]
    );
}

#[test]
fn a_privileged_container_may_use_all_devices() {
    assert_eq!(
        device_writes(json!([{"allow": true, "access": "rwm"}])),
        ["devices.allow a /linux/resources/devices"]
    );
}

#[test]
fn a_container_without_rules_may_use_the_default_devices_alone() {
    assert_eq!(
        device_writes(json!([]))[0],
        "devices.deny a /linux/resources/devices"
    );
}

#[test]
fn wrong_device_rules_are_refused_where_they_are() {
    let rule = |rule: Value| {
        refusal(
            &v2(),
            json!({"devices": [{"allow": false, "access": "rwm"}, rule]}),
        )
        .0
    };
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "access": ""})),
        "devices/1/access"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "c"})),
        "devices/1/access"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "access": "rx"})),
        "devices/1/access"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "p", "access": "r"})),
        "devices/1/type"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "major": -2, "access": "r"})),
        "devices/1/major"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "minor": 1_i64 << 32, "access": "r"})),
        "devices/1/minor"
    );
    let hole = json!({"devices": [
        {"allow": true, "type": "c", "major": 4, "access": "rw"},
        {"allow": false, "type": "c", "major": 4, "minor": 1, "access": "w"},
    ]});
    let problem = refusal(&v1(), hole);
    assert_eq!(
        problem,
        (
            "devices/1".into(),
            "c 4:1 w cannot be taken out of the wider c 4:* rw".into()
        )
    );
}

#[test]
fn a_rootless_container_that_asks_for_nothing_goes_without_cgroups_it_cannot_make() {
    let mut layout = v1();
    layout.rootless = true;
    for hierarchy in &mut layout.v1 {
        hierarchy.place.writable = hierarchy.controllers == ["memory"];
    }
    let without = compile(
        &spec(json!({"resources": {"devices": [{"allow": false, "access": "rwm"}]}})),
        "web",
        &layout,
    )
    .unwrap();
    assert_eq!(without.task_file_count(), 1);
    assert_eq!(
        without.ignored().next().unwrap().0,
        "/linux/resources/devices"
    );
    let error = compile(
        &spec(json!({"resources": {"pids": {"limit": 3}}})),
        "web",
        &layout,
    )
    .unwrap_err();
    assert_eq!(error.pointer(), "/linux/resources/pids/limit");
    assert_eq!(
        error.to_string(),
        "the pids controller's cgroups cannot be written by this user"
    );
    let asked = compile(&spec(json!({"cgroupsPath": "/pods/web"})), "web", &layout).unwrap();
    assert_eq!(
        asked.task_file_count(),
        8,
        "a path that is asked for is tried, and fails loudly"
    );
}

#[test]
fn a_host_without_cgroups_runs_containers_without_limits() {
    let none = Layout::parse("", "");
    assert!(
        compile(&spec(json!({})), "web", &none)
            .unwrap()
            .directories
            .is_empty()
    );
    assert_eq!(
        refusal(&none, json!({"pids": {"limit": 3}})).0,
        "pids/limit"
    );
}

#[test]
fn a_plan_is_text_with_origins_and_json() {
    let plan = plan(&v2(), json!({"pids": {"limit": 3}})).unwrap();
    let text = plan.to_string();
    assert!(
        text.starts_with("/linux/cgroupsPath                 mkdir /sys/fs/cgroup/pods/web\n"),
        "{text}"
    );
    assert!(
        text.contains(
            "/linux/resources/pids/limit        write \"3\" to /sys/fs/cgroup/pods/web/pids.max\n"
        ),
        "{text}"
    );
    let value = serde_json::to_value(&plan).unwrap();
    assert_eq!(value["directories"][0]["path"], "/sys/fs/cgroup/pods/web");
    let write = json!({"file": "pids.max", "value": "3", "origin": "/linux/resources/pids/limit"});
    assert_eq!(value["directories"][0]["writes"][0], write);
    assert!(value["directories"][0]["devices"].as_array().unwrap().len() > 10);
}
