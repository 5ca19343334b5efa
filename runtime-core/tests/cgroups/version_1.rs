//! Killing where there is version 1 alone: the kernel does not do it as a whole.

use std::fs;
use std::time::{Duration, Instant};

use runtime_core::cgroup::{Cgroup, Directory, Layout, compile};
use runtime_core::oci_spec::runtime::Spec;
use serde_json::json;

use super::{assert_gone, create, line, parent, plan, start};

/// The host's hierarchies of version 1, as of a host that has nothing else.
fn version_1_alone() -> Option<Layout> {
    super::layout()?;
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let v1: String = mountinfo
        .lines()
        .filter(|line| !line.contains(" - cgroup2 "))
        .map(|line| format!("{line}\n"))
        .collect();
    let layout = Layout::parse(&v1, &fs::read_to_string("/proc/self/cgroup").unwrap());
    let is_v1 = compile(&Spec::default(), "x", &layout)
        .unwrap()
        .directories()
        .any(|directory| directory.controllers.iter().any(|name| name == "freezer"));
    if !is_v1 {
        println!("skipped: this host has no freezer of version 1");
    }
    is_v1.then_some(layout)
}

fn until_empty(cgroup: &Cgroup) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !cgroup.is_empty().unwrap() {
        assert!(Instant::now() < deadline, "{:?}", cgroup.pids());
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn kills_processes_that_fork_and_exit_all_the_time() {
    let Some(layout) = version_1_alone() else {
        return;
    };
    let cleanup = create(&plan(&layout, &parent(), json!({})));
    let script = "walk() { walk & }; walk; walk; echo ready; while :; do sleep 0.05; done";
    let mut child = start(&cleanup.0, script);
    assert_eq!(line(&mut child), "ready");
    cleanup.0.kill_all(libc::SIGKILL).unwrap();
    until_empty(&cleanup.0);
    child.wait().unwrap();
}

#[test]
fn kills_what_is_frozen_in_a_cgroup_below() {
    let Some(layout) = version_1_alone() else {
        return;
    };
    let cleanup = create(&plan(&layout, &parent(), json!({})));
    let mut child = start(&cleanup.0, "echo ready; read line");
    assert_eq!(line(&mut child), "ready");
    let is_freezer = |directory: &&Directory| directory.controllers.contains(&"freezer".to_owned());
    let freezer = cleanup.0.directories().iter().find(is_freezer).unwrap();
    let below = freezer.path.join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("cgroup.procs"), child.id().to_string()).unwrap();
    fs::write(below.join("freezer.state"), "FROZEN").unwrap();
    cleanup.0.kill_all(libc::SIGKILL).unwrap();
    child.wait().unwrap();
    cleanup.0.remove().unwrap();
    assert_gone(&cleanup.0);
}
