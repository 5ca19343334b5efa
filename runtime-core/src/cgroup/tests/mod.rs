//! Compiling, on all kinds of host.

mod devices;
mod resources;

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
        "cannot set pids limit: container could not join or create cgroup (the pids controller's cgroups cannot be written \
         by this user)"
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
