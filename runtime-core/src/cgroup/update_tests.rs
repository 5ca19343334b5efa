use serde_json::{Value, json};

use crate::cgroup::Property;

use super::*;

fn directory(version: Version, controllers: &[&str]) -> Directory {
    Directory {
        version,
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: "/cg".into(),
        path: "/cg/web".into(),
    }
}

fn cgroup(directories: Vec<Directory>) -> Cgroup {
    Cgroup {
        directories,
        existed: vec![],
        made_parents: vec![],
        unit: None,
    }
}

fn v1() -> Cgroup {
    cgroup(vec![
        directory(Version::V1, &["cpu", "cpuacct"]),
        directory(Version::V1, &["memory"]),
        directory(Version::V1, &["devices"]),
    ])
}

fn v2() -> Cgroup {
    cgroup(vec![directory(Version::V2, &["cpu", "memory", "pids"])])
}

fn layout() -> Layout {
    Layout::parse(
        "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
        "0::/",
    )
}

fn compiled(cgroup: &Cgroup, resources: Value) -> Result<CgroupUpdate, CgroupError> {
    let resources = serde_json::from_value(resources).unwrap();
    let asked = Asked {
        resources: &resources,
        kept: &LinuxResources::default(),
        devices: &[],
        in_force: InForce::default(),
    };
    compile(cgroup, &layout(), &asked)
}

fn writes(cgroup: &Cgroup, resources: Value) -> Vec<String> {
    let update = compiled(cgroup, resources).unwrap();
    let planned = update.plan.directories.iter();
    planned
        .flat_map(|planned| &planned.writes)
        .map(|write| {
            assert!(write.again, "{write:?}");
            format!("{} {}", write.file, write.value)
        })
        .collect()
}

#[test]
fn only_what_is_given_is_written_by_the_names_of_the_cgroup_that_there_is() {
    let resources =
        json!({"memory": {"limit": 4096, "swap": 8192}, "cpu": {"quota": 5, "period": 10}});
    assert_eq!(
        writes(&v1(), resources.clone()),
        [
            "cpu.cfs_period_us 10",
            "cpu.cfs_quota_us 5",
            "memory.limit_in_bytes 4096",
            "memory.memsw.limit_in_bytes 8192"
        ]
    );
    assert_eq!(
        writes(&v2(), resources),
        ["cpu.max 5 10", "memory.swap.max 4096", "memory.max 4096"]
    );
    assert!(writes(&v1(), json!({})).is_empty());
}

#[test]
fn device_rules_are_touched_when_they_are_given() {
    let rules = json!({"devices": [{"allow": false, "access": "rwm"}]});
    let update = compiled(&v1(), rules.clone()).unwrap();
    assert!(update.devices.is_some());
    assert!(
        update
            .plan
            .directories
            .iter()
            .all(|planned| planned.writes.is_empty())
    );
    let update = compiled(&v2(), rules).unwrap();
    assert!(update.devices.is_none() && update.plan.directories[0].devices.is_some());
    let update = compiled(&v2(), json!({"pids": {"limit": 5}})).unwrap();
    assert!(update.plan.directories[0].devices.is_none());
}

#[test]
fn a_controller_that_the_container_has_no_cgroup_of_is_refused_by_who_asked() {
    let error = compiled(&v1(), json!({"pids": {"limit": 5}})).unwrap_err();
    assert_eq!(error.pointer(), "/linux/resources/pids/limit");
    let error = compiled(&v1(), json!({"unified": {"pids.max": "5"}})).unwrap_err();
    assert_eq!(error.pointer(), "/linux/resources/unified/pids.max");
}

#[test]
fn the_oom_killer_is_enabled_when_that_is_asked_for() {
    let memory = json!({"memory": {"disableOOMKiller": false}});
    assert_eq!(writes(&v1(), memory.clone()), ["memory.oom_control 0"]);
    assert!(writes(&v2(), memory).is_empty());
}

#[test]
fn an_idle_cgroup_gets_no_weight() {
    let cpu = json!({"cpu": {"shares": 1024, "idle": 1}});
    assert_eq!(writes(&v1(), cpu.clone()), ["cpu.idle 1"]);
    let update = compiled(&v2(), cpu).unwrap();
    let (pointer, reason) = update.ignored().next().unwrap();
    assert_eq!(pointer, "/linux/resources/cpu/shares");
    assert!(reason.starts_with("unable to apply both"));
    let cpu = json!({"cpu": {"shares": 1024, "idle": 0}});
    assert_eq!(writes(&v2(), cpu), ["cpu.weight 100", "cpu.idle 0"]);
}

fn of_unit(resources: Value, kept: Value, idle: bool) -> CgroupUpdate {
    let mut cgroup = v2();
    cgroup.unit =
        serde_json::from_value(json!({"name": "web.scope", "manager": "system"})).unwrap();
    let systemd = systemd::Systemd {
        manager: systemd::Manager::System,
        version: 252,
        control_group: "/".into(),
    };
    let asked = Asked {
        resources: &serde_json::from_value(resources).unwrap(),
        kept: &serde_json::from_value(kept).unwrap(),
        devices: &[],
        in_force: InForce {
            idle,
            ..InForce::default()
        },
    };
    compile(&cgroup, &layout().managed_by(systemd), &asked).unwrap()
}

#[test]
fn systemd_is_told_what_is_written_and_the_files_of_all_limits_stay_as_they_are() {
    let resources = json!({"cpu": {"quota": 3000, "period": 10_000}, "pids": {"limit": 5}});
    let kept = json!({"memory": {"limit": 4096}, "cpu": {"burst": 7}, "pids": {"limit": 5}});
    let unit = of_unit(resources, kept, false).unit.unwrap();
    let mut names: Vec<_> = unit.properties.iter().map(Property::name).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "TasksMax"]
    );
    let files: Vec<_> = unit.files.iter().map(|(_, file)| file.as_str()).collect();
    assert_eq!(
        files,
        ["cpu.max", "cpu.max.burst", "memory.max", "pids.max"]
    );
}

#[test]
fn device_rules_are_told_when_they_change() {
    let rules = json!({"devices": [{"allow": false, "access": "rwm"}]});
    let unit = of_unit(rules, json!({}), false).unit.unwrap();
    let is_policy = |property: &Property| property.name() == "DevicePolicy";
    assert!(unit.properties.iter().any(is_policy));
    let unit = of_unit(json!({"pids": {"limit": 5}}), json!({}), false)
        .unit
        .unwrap();
    assert!(!unit.properties.iter().any(is_policy));
}

#[test]
fn a_unit_that_gets_a_weight_is_idle_no_longer() {
    let weight = json!({"cpu": {"shares": 1024}});
    let all = |idle| {
        let update = of_unit(weight.clone(), json!({}), idle);
        let planned = update.plan.directories.into_iter();
        let writes = planned.flat_map(|planned| planned.writes);
        writes
            .map(|write| write.file.into_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(all(true), ["cpu.weight", "cpu.idle"]);
    assert_eq!(all(false), ["cpu.weight"]);
}
