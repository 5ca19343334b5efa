//! Compiling for systemd, on all kinds of host.

use serde_json::{Value as Json, json};

use super::*;
use crate::cgroup;

const V1: &str = "\
32 31 0:29 / /cg/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /cg/cpuset rw - cgroup cgroup rw,cpuset
34 31 0:31 / /cg/memory rw - cgroup cgroup rw,memory
35 31 0:32 / /cg/devices rw - cgroup cgroup rw,devices
36 31 0:33 / /cg/blkio rw - cgroup cgroup rw,blkio
37 31 0:34 / /cg/pids rw - cgroup cgroup rw,pids
38 31 0:35 / /cg/systemd rw - cgroup cgroup rw,name=systemd
";
const OWN: &str =
    "7:name=systemd:/\n6:pids:/\n5:blkio:/\n4:devices:/\n3:memory:/\n2:cpuset:/\n1:cpu,cpuacct:/\n";

fn systemd(version: u32) -> Systemd {
    Systemd {
        manager: Manager::System,
        version,
        control_group: "/".into(),
    }
}

fn v1() -> Layout {
    Layout::parse(V1, OWN).managed_by(systemd(252))
}

fn v2_of(version: u32) -> Layout {
    let mounts = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
    Layout::parse(mounts, "0::/init.scope\n").managed_by(systemd(version))
}

fn v2() -> Layout {
    v2_of(252)
}

fn users() -> Layout {
    let mut layout = v2();
    layout.rootless = true;
    layout.managed_by(Systemd {
        manager: Manager::User,
        version: 252,
        control_group: "/user.slice/user-1000.slice/user@1000.service".into(),
    })
}

fn spec(change: Json) -> Spec {
    let mut config = json!({"ociVersion": "1.3.0", "root": {"path": "rootfs"}});
    if let (Some(config), Json::Object(change)) = (config.as_object_mut(), change) {
        config.extend(change);
    }
    serde_json::from_value(config).unwrap()
}

fn plan(layout: &Layout, change: Json) -> Result<CgroupPlan, CgroupError> {
    cgroup::compile(&spec(change), "web", layout)
}

/// The properties of limits but those for devices.
fn limits(layout: &Layout, resources: Json) -> Vec<String> {
    let change = json!({"linux": {"cgroupsPath": "a.slice:b:c", "resources": resources}});
    let plan = plan(layout, change).unwrap();
    let resources = plan.unit().unwrap().resources().iter();
    resources
        .filter(|property| !property.name().starts_with("Device"))
        .map(ToString::to_string)
        .collect()
}

fn written(layout: &Layout, resources: Json, file: &str) -> String {
    let plan = plan(layout, json!({"linux": {"resources": resources}})).unwrap();
    let mut writes = plan.directories.iter().flat_map(|planned| &planned.writes);
    writes
        .find(|write| write.file == file)
        .unwrap()
        .value
        .clone()
}

fn refusal(layout: &Layout, resources: Json) -> (String, String) {
    let error = plan(layout, json!({"linux": {"resources": resources}})).unwrap_err();
    (error.pointer().to_owned(), error.to_string())
}

#[test]
fn the_directories_are_where_systemd_makes_them() {
    let change = json!({"linux": {"cgroupsPath": "pods-a.slice:cri:web"}});
    let paths = |layout: &Layout| -> Vec<String> {
        let plan = plan(layout, change.clone()).unwrap();
        let directories = plan.directories();
        directories
            .map(|directory| directory.path.display().to_string())
            .collect()
    };
    assert_eq!(
        paths(&v2()),
        ["/sys/fs/cgroup/pods.slice/pods-a.slice/cri-web.scope"]
    );
    let v1 = paths(&v1());
    assert_eq!(v1.len(), 7);
    assert!(
        v1.contains(&"/cg/memory/pods.slice/pods-a.slice/cri-web.scope".to_owned()),
        "{v1:?}"
    );
    assert_eq!(
        paths(&users()),
        [
            "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/pods.slice/pods-a.slice/cri-web.scope"
        ]
    );
}

#[test]
fn a_scope_has_what_every_container_has() {
    let unit = |layout: &Layout, path: &str| {
        let plan = plan(layout, json!({"linux": {"cgroupsPath": path}})).unwrap();
        let unit = plan.unit().unwrap();
        let lines: Vec<String> = unit.properties.iter().map(ToString::to_string).collect();
        (unit.name().to_owned(), lines)
    };
    let (name, properties) = unit(&v2(), "machine.slice:podman:1");
    assert_eq!(name, "podman-1.scope");
    assert_eq!(
        properties,
        [
            "Description=\"bareboat container 1\"",
            "Slice=\"machine.slice\"",
            "Delegate=true",
            "MemoryAccounting=true",
            "CPUAccounting=true",
            "IOAccounting=true",
            "TasksAccounting=true",
            "DefaultDependencies=false",
        ]
    );
    let (_, properties) = unit(&v1(), "machine.slice:podman:1");
    assert_eq!(properties[5], "BlockIOAccounting=true");
    let (name, properties) = unit(&v2(), "machine.slice:podman:machine-a.slice");
    assert_eq!(name, "machine-a.slice");
    assert_eq!(
        properties[1..3],
        ["Wants=[\"machine.slice\"]", "MemoryAccounting=true"]
    );
}

#[test]
fn limits_of_version_2_are_properties() {
    let lines = limits(
        &v2(),
        json!({
            "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swap": 96 << 20},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000, "cpus": "0-2,8", "mems": "0"},
            "pids": {"limit": 20},
        }),
    );
    let mut sorted = lines;
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "AllowedCPUs=[byte 0x07, byte 0x01]",
            "AllowedMemoryNodes=[byte 0x01]",
            "CPUQuotaPerSecUSec=uint64 500000",
            "CPUQuotaPeriodUSec=uint64 100000",
            "CPUWeight=uint64 59",
            "MemoryLow=uint64 33554432",
            "MemoryMax=uint64 67108864",
            "MemorySwapMax=uint64 33554432",
            "TasksMax=uint64 20",
        ]
    );
}

#[test]
fn limits_of_version_1_are_properties() {
    let lines = limits(
        &v1(),
        json!({
            "memory": {"limit": 64 << 20, "reservation": 32 << 20},
            "cpu": {"shares": 512, "quota": 50_000, "period": 200_000, "cpus": "1"},
            "pids": {"limit": -1},
            "blockIO": {"weight": 300},
        }),
    );
    let mut sorted = lines;
    sorted.sort();
    assert_eq!(
        sorted,
        [
            "AllowedCPUs=[byte 0x02]",
            "BlockIOWeight=uint64 300",
            "CPUQuotaPerSecUSec=uint64 250000",
            "CPUQuotaPeriodUSec=uint64 200000",
            "CPUShares=uint64 512",
            "MemoryLimit=uint64 67108864",
            "TasksMax=uint64 18446744073709551615",
        ]
    );
}

#[test]
fn no_limit_is_infinity() {
    for layout in [v1(), v2()] {
        let lines = limits(
            &layout,
            json!({"memory": {"limit": -1}, "cpu": {"quota": -1}}),
        );
        let infinite = |name: &str| lines.contains(&format!("{name}=uint64 18446744073709551615"));
        assert!(
            infinite("MemoryLimit") || infinite("MemoryMax"),
            "{lines:?}"
        );
        assert!(infinite("CPUQuotaPerSecUSec"), "{lines:?}");
    }
    assert!(limits(&v2(), json!({})).is_empty());
}

#[test]
fn a_period_alone_sets_no_quota() {
    for layout in [v1(), v2()] {
        assert_eq!(
            limits(&layout, json!({"cpu": {"period": 50_000}})),
            [
                "CPUQuotaPeriodUSec=uint64 50000",
                "CPUQuotaPerSecUSec=uint64 18446744073709551615"
            ]
        );
    }
}

#[test]
fn bandwidth_is_rounded_up_to_whole_percents_in_the_files_too() {
    let resources = |quota: i64, period: u64| json!({"cpu": {"quota": quota, "period": period}});
    for (quota, period, each, file) in [
        (50_000, 100_000, 500_000, 50_000),
        (12_345, 100_000, 130_000, 13_000),
        (2_500, 3_000, 840_000, 2_520),
        (1_000, 1_000_000, 10_000, 10_000),
    ] {
        let property = format!("CPUQuotaPerSecUSec=uint64 {each}");
        for layout in [v1(), v2()] {
            assert!(
                limits(&layout, resources(quota, period)).contains(&property),
                "{quota}"
            );
        }
        assert_eq!(
            written(&v2(), resources(quota, period), "cpu.max"),
            format!("{file} {period}")
        );
        assert_eq!(
            written(&v1(), resources(quota, period), "cpu.cfs_quota_us"),
            file.to_string()
        );
    }
    let own = json!({"unified": {"cpu.max": "12345 100000"}});
    assert_eq!(written(&v2(), own.clone(), "cpu.max"), "12345 100000");
    assert!(limits(&v2(), own).contains(&"CPUQuotaPerSecUSec=uint64 130000".to_owned()));
}

#[test]
fn unified_entries_are_properties_where_systemd_has_one() {
    let mut lines = limits(
        &v2(),
        json!({"unified": {
            "memory.high": "1000000",
            "memory.min": "4096",
            "memory.swap.max": "max",
            "cpu.weight": "50",
            "cpuset.cpus": "0-1",
            "pids.max": "0",
            "hugetlb.2MB.max": "0",
        }}),
    );
    lines.sort();
    assert_eq!(
        lines,
        [
            "AllowedCPUs=[byte 0x03]",
            "CPUWeight=uint64 50",
            "MemoryHigh=uint64 1000000",
            "MemoryMin=uint64 4096",
            "MemorySwapMax=uint64 18446744073709551615",
            "TasksMax=uint64 1",
        ]
    );
}

#[test]
fn of_two_that_set_the_same_the_later_counts() {
    let both = json!({"memory": {"limit": 4096}, "unified": {"memory.max": "8192"}});
    assert_eq!(limits(&v2(), both), ["MemoryMax=uint64 8192"]);
}

#[test]
fn an_idle_cgroup_has_no_weight() {
    let idle = json!({"cpu": {"shares": 512, "idle": 1}});
    assert_eq!(limits(&v2(), idle.clone()), ["CPUWeight=uint64 0"]);
    assert_eq!(limits(&v2_of(251), idle.clone()), ["CPUWeight=uint64 59"]);
    assert_eq!(limits(&v2(), json!({"cpu": {"idle": 0}})), [""; 0]);
    // systemd has written cpu.idle by the time that the runtime could write a weight.
    let writes_weight = |layout: &Layout| {
        let plan = plan(layout, json!({"linux": {"resources": idle}})).unwrap();
        let mut writes = plan.directories.iter().flat_map(|planned| &planned.writes);
        writes.any(|write| write.file == "cpu.weight")
    };
    assert!(!writes_weight(&v2()));
    assert!(writes_weight(&v2_of(251)));
}

#[test]
fn what_an_older_systemd_lacks_is_in_the_files_alone() {
    let resources = json!({"cpu": {"quota": 50_000, "period": 50_000, "cpus": "0"}});
    assert_eq!(
        limits(&v2_of(241), resources.clone()),
        ["CPUQuotaPerSecUSec=uint64 1000000"]
    );
    assert_eq!(written(&v2_of(241), resources, "cpuset.cpus"), "0");
    let policy = |version: u32, value: &str| {
        let resources = json!({"unified": {"memory.oom.group": value}});
        let plan = plan(&v2_of(version), json!({"linux": {"resources": resources}})).unwrap();
        let last = plan.unit().unwrap().properties.last().unwrap();
        last.to_string()
    };
    assert_eq!(policy(253, "1"), "OOMPolicy=\"kill\"");
    assert_eq!(policy(253, "0"), "OOMPolicy=\"continue\"");
    assert_eq!(policy(252, "1"), "DefaultDependencies=false");
}

#[test]
fn what_is_no_value_for_systemd_is_refused_by_its_pointer() {
    for (resources, pointer, problem) in [
        (
            json!({"unified": {"memory.max": "1x"}}),
            "/linux/resources/unified/memory.max",
            "\"1x\" is not a value of memory.max that systemd takes",
        ),
        (
            json!({"unified": {"cpu.max": "1 2 3"}}),
            "/linux/resources/unified/cpu.max",
            "is not a value of cpu.max",
        ),
        (
            json!({"unified": {"cpu.max": "1 0"}}),
            "/linux/resources/unified/cpu.max",
            "is not a value of cpu.max",
        ),
        (
            json!({"cpu": {"cpus": "0-70000"}}),
            "/linux/resources/cpu/cpus",
            "70000 is more than",
        ),
        (
            json!({"cpu": {"cpus": ","}}),
            "/linux/resources/cpu/cpus",
            "nothing is in it",
        ),
    ] {
        let (found, text) = refusal(&v2(), resources);
        assert_eq!(found, pointer);
        assert!(text.contains(problem), "{text}");
    }
}

#[test]
fn annotations_come_before_limits_which_win() {
    let plan = plan(
        &v2(),
        json!({
            "annotations": {"org.systemd.property.MemoryMax": "uint64 1", "other": "x"},
            "linux": {"resources": {"memory": {"limit": 4096}}},
        }),
    )
    .unwrap();
    let unit = plan.unit().unwrap();
    let set: Vec<_> = unit
        .properties()
        .filter(|property| property.name() == "MemoryMax")
        .map(|property| (property.origin(), property.value.to_string()))
        .collect();
    assert_eq!(
        set,
        [
            (
                "/annotations/org.systemd.property.MemoryMax",
                "uint64 1".to_owned()
            ),
            ("/linux/resources/memory/limit", "uint64 4096".to_owned()),
        ]
    );
}

#[test]
fn a_users_systemd_restricts_no_devices_and_needs_version_2() {
    let change = json!({"linux": {"resources": {"devices": [{"allow": false, "access": "rwm"}]}}});
    let plan = plan(&users(), change.clone()).unwrap();
    assert!(plan.unit().unwrap().resources().is_empty());
    assert_eq!(plan.ignored().next().unwrap().0, "/linux/resources/devices");
    let layout = v1().managed_by(Systemd {
        manager: Manager::User,
        ..systemd(252)
    });
    let error = cgroup::compile(&spec(change), "web", &layout).unwrap_err();
    assert!(error.to_string().contains("on cgroup v2 alone"), "{error}");
}

#[test]
fn a_plan_shows_the_unit_with_its_properties_and_no_directories_to_make() {
    let resources = json!({"pids": {"limit": 3}});
    let plan = plan(
        &v2(),
        json!({"linux": {"cgroupsPath": "a.slice:b:c", "resources": resources}}),
    )
    .unwrap();
    let text = plan.to_string();
    for line in [
        "/linux/cgroupsPath                 property Slice=\"a.slice\"\n",
        "default unit properties            property Delegate=true\n",
        "/linux/resources/devices           property DevicePolicy=\"strict\"\n",
        "/linux/resources/pids/limit        property TasksMax=uint64 3\n",
        "/linux/cgroupsPath                 systemd starts b-c.scope with the init in it\n",
        "/linux/resources/pids/limit        write \"3\" to /sys/fs/cgroup/a.slice/b-c.scope/pids.max\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    assert!(!text.contains("mkdir"), "{text}");
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["unit"]["name"], "b-c.scope");
    assert_eq!(json["unit"]["kind"], "scope");
    assert_eq!(json["unit"]["manager"], "system");
    let last = json["unit"]["resources"]
        .as_array()
        .unwrap()
        .last()
        .unwrap();
    assert_eq!(
        *last,
        json!({"name": "TasksMax", "value": "uint64 3", "origin": "/linux/resources/pids/limit"})
    );
}

#[test]
fn without_systemd_nothing_of_it_is_in_a_plan() {
    let mounts = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw";
    let change = json!({"annotations": {"org.systemd.property.Foo": "no value"}});
    let plan = plan(&Layout::parse(mounts, "0::/\n"), change).unwrap();
    assert!(plan.unit().is_none());
    assert!(serde_json::to_value(&plan).unwrap().get("unit").is_none());
}
