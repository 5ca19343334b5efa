//! Cgroups for real: made, joined, frozen, signalled and removed on this machine. Needs root and writable hierarchies.
#![allow(clippy::unwrap_used)]

#[path = "cgroups/version_1.rs"]
mod version_1;

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use runtime_core::cgroup::{Cgroup, CgroupPlan, Directory, Layout, Mode, Version, compile};
use runtime_core::oci_spec::runtime::Spec;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

/// A name of its own for each test, below one that is this run's.
fn parent() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!(
        "/bareboat-test-{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    )
}

/// The host's layout, when cgroups can be made there.
fn layout() -> Option<Layout> {
    let layout = Layout::detect().unwrap();
    let plan = plan(&layout, &parent(), json!({}));
    let writable = rustix::process::geteuid().is_root() && plan.directories().next().is_some() && {
        let is_writable = |directory: &Directory| {
            fs::create_dir(&directory.path).and_then(|()| fs::remove_dir(&directory.path))
        };
        plan.directories()
            .all(|directory| is_writable(directory).is_ok())
    };
    if !writable {
        println!("skipped: this needs root and cgroup hierarchies that can be written");
    }
    writable.then_some(layout)
}

/// Runs a test on the host as it is, and on a hybrid one as if it had version 2 alone: in a cgroup that plays the root.
fn on_each_layout(test: impl Fn(&Layout)) {
    let Some(layout) = layout() else { return };
    test(&layout);
    if layout.mode() == Mode::Hybrid {
        let plan = plan(&layout, &parent(), json!({}));
        let root = plan
            .directories()
            .find(|directory| directory.version == Version::V2)
            .unwrap()
            .path
            .clone();
        fs::create_dir(&root).unwrap();
        let mountinfo = format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw", root.display());
        test(&Layout::parse(&mountinfo, "0::/"));
        fs::remove_dir(&root).unwrap();
    }
}

fn spec(cgroups_path: &str, resources: Value) -> Spec {
    let linux = json!({"cgroupsPath": cgroups_path, "resources": resources});
    serde_json::from_value(
        json!({"ociVersion": "1.3.0", "root": {"path": "rootfs"}, "linux": linux}),
    )
    .unwrap()
}

fn plan(layout: &Layout, path: &str, resources: Value) -> CgroupPlan {
    compile(&spec(path, resources), "test", layout).unwrap()
}

fn place<'a>(cgroup: &'a Cgroup, controller: &str) -> &'a Directory {
    let has = |directory: &&Directory| directory.controllers.iter().any(|name| name == controller);
    cgroup.directories().iter().find(has).unwrap()
}

fn content(cgroup: &Cgroup, controller: &str, file: &str) -> String {
    fs::read_to_string(place(cgroup, controller).path.join(file))
        .unwrap()
        .trim()
        .to_owned()
}

fn assert_gone(cgroup: &Cgroup) {
    for directory in cgroup.directories() {
        assert!(!directory.path.exists(), "{}", directory.path.display());
    }
}

/// Removes what is left of a test, whatever became of it.
struct Cleanup(Cgroup);

impl Drop for Cleanup {
    fn drop(&mut self) {
        let _ = self.0.kill_all(libc::SIGKILL);
        let _ = self.0.discard();
    }
}

fn create(plan: &CgroupPlan) -> Cleanup {
    Cleanup(plan.create().unwrap())
}

/// A shell that joins by itself before it runs a script.
fn start(cgroup: &Cgroup, script: &str) -> Child {
    let tasks = cgroup.task_files().unwrap();
    assert_eq!(tasks.len(), cgroup.task_file_count());
    let procs = cgroup
        .directories()
        .iter()
        .find(|directory| directory.version == Version::V2);
    let procs = procs.map(|directory| directory.path.join("cgroup.procs"));
    let procs = procs.map(|path| fs::OpenOptions::new().write(true).open(path).unwrap());
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let join = move || {
        for file in tasks
            .iter()
            .map(AsFd::as_fd)
            .chain(procs.iter().map(AsFd::as_fd))
        {
            rustix::io::write(file, b"0").map_err(std::io::Error::from)?;
        }
        Ok(())
    };
    // SAFETY: write(2) is all that the child calls before it executes the shell.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(join);
    }
    command.spawn().unwrap()
}

fn line(child: &mut Child) -> String {
    let mut line = Vec::new();
    let mut byte = [0];
    let output = child.stdout.as_mut().unwrap();
    while output.read(&mut byte).unwrap() == 1 && byte != *b"\n" {
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap()
}

/// Limits of all controllers that this host has in version 1.
#[test]
fn limits_are_what_was_asked_for() {
    let Some(layout) = layout().filter(|layout| layout.mode() != Mode::V2) else {
        return;
    };
    let resources = json!({
        "memory": {"limit": 64 << 20, "reservation": 32 << 20, "swappiness": 10},
        "cpu": {"shares": 512, "quota": 30_000, "period": 60_000, "burst": 5000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 17},
    });
    let parent = parent();
    let cleanup = create(&plan(&layout, &format!("{parent}/deep/er"), resources));
    let cgroup = &cleanup.0;
    assert_eq!(
        content(cgroup, "memory", "memory.limit_in_bytes"),
        (64 << 20).to_string()
    );
    assert_eq!(
        content(cgroup, "memory", "memory.soft_limit_in_bytes"),
        (32 << 20).to_string()
    );
    assert_eq!(content(cgroup, "memory", "memory.swappiness"), "10");
    assert_eq!(content(cgroup, "cpu", "cpu.shares"), "512");
    assert_eq!(content(cgroup, "cpu", "cpu.cfs_quota_us"), "30000");
    assert_eq!(content(cgroup, "cpu", "cpu.cfs_period_us"), "60000");
    assert_eq!(content(cgroup, "cpu", "cpu.cfs_burst_us"), "5000");
    assert_eq!(content(cgroup, "cpuset", "cpuset.cpus"), "0");
    assert_eq!(content(cgroup, "pids", "pids.max"), "17");
    let devices = content(cgroup, "devices", "devices.list");
    assert!(
        devices.contains("c 1:3 rwm") && !devices.contains("a *:*"),
        "{devices}"
    );
    cgroup.discard().unwrap();
    assert_gone(cgroup);
    let top = place(cgroup, "memory")
        .mount_point
        .join(parent.trim_start_matches('/'));
    assert!(
        !top.exists(),
        "parents that were made are gone: {}",
        top.display()
    );
}

#[test]
fn processors_and_memory_nodes_are_the_parents_where_nothing_is_said() {
    let Some(layout) = layout().filter(|layout| layout.mode() != Mode::V2) else {
        return;
    };
    let cleanup = create(&plan(&layout, &format!("{}/a", parent()), json!({})));
    let cpuset = place(&cleanup.0, "cpuset");
    let read = |path: PathBuf| fs::read_to_string(path).unwrap();
    for file in ["cpuset.cpus", "cpuset.mems"] {
        assert_eq!(
            read(cpuset.path.join(file)),
            read(cpuset.mount_point.join(file))
        );
    }
}

#[test]
fn a_process_that_joins_is_in_all_hierarchies_and_under_their_limits() {
    let Some(layout) = layout() else { return };
    let path = parent();
    let cleanup = create(&plan(&layout, &path, json!({"pids": {"limit": 1}})));
    // Another process would be one too many, so the shell does all by itself.
    let script = "while read line; do echo \"$line\"; done </proc/self/cgroup; echo end; (:) 2>/dev/null; echo survived";
    let mut child = start(&cleanup.0, script);
    let memberships: Vec<String> =
        std::iter::from_fn(|| Some(line(&mut child)).filter(|line| line != "end")).collect();
    for directory in cleanup.0.directories() {
        let name = match directory.version {
            Version::V1 => format!(":{}:{path}", directory.controllers.join(",")),
            Version::V2 => format!("0::{path}"),
        };
        assert!(
            memberships.iter().any(|line| line.ends_with(&name)),
            "{name} in {memberships:?}"
        );
    }
    assert_ne!(line(&mut child), "survived", "a second process is refused");
    child.wait().unwrap();
    cleanup.0.remove().unwrap();
    assert_gone(&cleanup.0);
}

#[test]
fn device_rules_hold() {
    on_each_layout(|layout| {
        let devices = json!({"devices": [{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 1, "minor": 11, "access": "w"}]});
        let cleanup = create(&plan(layout, &parent(), devices));
        let directory = tempfile::tempdir().unwrap();
        let node = |name: &str, minor: u32| {
            let path = directory.path().join(name);
            let made = Command::new("mknod")
                .arg(&path)
                .args(["c", "1", &minor.to_string()])
                .status()
                .unwrap();
            assert!(made.success());
            path.display().to_string()
        };
        let (null, port, log) = (node("null", 3), node("port", 4), node("kmsg", 11));
        let script = format!(
            "(: <{null}) && echo null read; (: <{port}) && echo port read; (: >{log}) && echo log written; (: <{log}) && echo log read; \
         mknod {}/new c 1 4 && echo made",
            directory.path().display()
        );
        let mut child = start(&cleanup.0, &format!("({script}) 2>/dev/null"));
        let mut output = String::new();
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_to_string(&mut output)
            .unwrap();
        child.wait().unwrap();
        assert_eq!(output, "null read\nlog written\nmade\n");
    });
}

#[test]
fn a_frozen_cgroup_stands_still_until_it_is_thawed() {
    on_each_layout(|layout| {
        let cleanup = create(&plan(layout, &parent(), json!({})));
        let cgroup = &cleanup.0;
        let mut child = start(cgroup, "echo ready; while read line; do echo $line; done");
        assert_eq!(line(&mut child), "ready");
        assert_eq!(cgroup.pids().unwrap(), [child.id() as i32]);
        assert!(!cgroup.is_frozen().unwrap());
        cgroup.freeze().unwrap();
        assert!(cgroup.is_frozen().unwrap());
        child.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
        assert!(
            !is_readable(&child, Duration::from_millis(100)),
            "it is frozen"
        );
        cgroup.thaw().unwrap();
        assert_eq!(line(&mut child), "one");
        assert!(!cgroup.is_frozen().unwrap());
        child.kill().unwrap();
        child.wait().unwrap();
        cgroup.remove().unwrap();
        assert!(
            !cgroup.is_frozen().unwrap()
                && cgroup.pids().unwrap().is_empty()
                && !cgroup.exists().unwrap()
        );
    });
}

fn is_readable(child: &Child, patience: Duration) -> bool {
    let output = child.stdout.as_ref().unwrap();
    let timeout = Timespec::try_from(patience).unwrap();
    poll(&mut [PollFd::new(output, PollFlags::IN)], Some(&timeout)).unwrap() == 1
}

#[test]
fn all_processes_are_killed_frozen_ones_and_those_further_down_too() {
    on_each_layout(|layout| {
        let cleanup = create(&plan(layout, &parent(), json!({})));
        let cgroup = &cleanup.0;
        let mut child = start(cgroup, "sleep 1000 & sleep 1000 & echo ready; wait");
        assert_eq!(line(&mut child), "ready");
        for directory in cgroup
            .directories()
            .iter()
            .filter(|directory| directory.controllers != ["cpuset"])
        {
            let below = directory.path.join("below");
            fs::create_dir(&below).unwrap();
            if directory.version == Version::V1 {
                fs::write(below.join("cgroup.procs"), child.id().to_string()).unwrap();
            }
        }
        assert_eq!(cgroup.pids().unwrap().len(), 3);
        let error = plan_error(layout, cgroup);
        assert!(
            error.contains("the container's cgroup is not empty: 3 process(es) found"),
            "{error}"
        );
        cgroup.freeze().unwrap();
        cgroup.kill_all(libc::SIGKILL).unwrap();
        child.wait().unwrap();
        let start = Instant::now();
        cgroup.remove().unwrap();
        assert!(start.elapsed() < Duration::from_secs(2));
        assert_gone(cgroup);
    });
}

#[test]
fn a_cgroup_that_is_there_already_gets_the_new_device_rules_in_place_of_the_old() {
    on_each_layout(|layout| {
        let path = parent();
        let _first = create(&plan(
            layout,
            &path,
            json!({"devices": [{"allow": true, "access": "rwm"}]}),
        ));
        let second = create(&plan(
            layout,
            &path,
            json!({"devices": [{"allow": false, "access": "rwm"}]}),
        ));
        let _third = create(&plan(
            layout,
            &path,
            json!({"devices": [{"allow": true, "access": "rwm"}]}),
        ));
        let mut child = start(&second.0, "(: >/dev/kmsg) && echo open; echo end");
        assert_eq!(line(&mut child), "open", "the last rules hold");
        child.wait().unwrap();
    });
}

#[test]
fn a_controller_that_is_not_enabled_is_named() {
    on_each_layout(|layout| {
        if layout.mode() != Mode::V2 || Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
            return;
        }
        let error = plan(layout, &parent(), json!({"pids": {"limit": 5}}))
            .create()
            .unwrap_err();
        assert_eq!(error.pointer(), "/linux/resources/pids/limit");
        assert!(
            error
                .to_string()
                .contains("the pids controller is not enabled here"),
            "{error}"
        );
    });
}

/// What another container is told that wants the same cgroup.
fn plan_error(layout: &Layout, cgroup: &Cgroup) -> String {
    let devices = cgroup
        .directories()
        .iter()
        .find(|directory| directory.path.exists())
        .unwrap();
    let path = Path::new("/").join(devices.path.strip_prefix(&devices.mount_point).unwrap());
    let error = plan(layout, path.to_str().unwrap(), json!({}))
        .create()
        .unwrap_err();
    assert_eq!(error.pointer(), "/linux/cgroupsPath");
    error.to_string()
}

#[test]
fn other_signals_reach_all_processes_too() {
    on_each_layout(|layout| {
        let cleanup = create(&plan(layout, &parent(), json!({})));
        let mut child = start(
            &cleanup.0,
            "trap 'echo caught; exit' TERM; echo ready; while :; do sleep 0.01; done",
        );
        assert_eq!(line(&mut child), "ready");
        cleanup.0.kill_all(libc::SIGTERM).unwrap();
        assert_eq!(line(&mut child), "caught");
        child.wait().unwrap();
    });
}

#[test]
fn an_empty_cgroup_that_is_there_already_is_used_and_a_frozen_one_refused() {
    let Some(layout) = layout() else { return };
    let path = parent();
    let first = create(&plan(&layout, &path, json!({})));
    let second = plan(&layout, &path, json!({"pids": {"limit": 9}}))
        .create()
        .unwrap();
    assert_eq!(content(&second, "pids", "pids.max"), "9");
    first.0.freeze().unwrap();
    assert!(plan_error(&layout, &first.0).contains("unexpectedly frozen"));
    first.0.thaw().unwrap();
}

#[test]
fn nothing_is_left_when_a_value_is_refused() {
    let Some(layout) = layout() else { return };
    let path = parent();
    let plan = plan(
        &layout,
        &format!("{path}/a"),
        json!({"cpu": {"cpus": "4095"}}),
    );
    let error = plan.create().unwrap_err();
    assert_eq!(error.pointer(), "/linux/resources/cpu/cpus");
    let text = error.to_string();
    assert!(
        text.starts_with("write \"4095\" to /") && text.contains("/a/cpuset.cpus: "),
        "{text}"
    );
    for directory in plan.directories() {
        assert!(
            !directory
                .mount_point
                .join(path.trim_start_matches('/'))
                .exists()
        );
    }
}

#[test]
fn removal_names_the_process_that_holds_a_cgroup() {
    on_each_layout(|layout| {
        let cleanup = create(&plan(layout, &parent(), json!({})));
        let mut child = start(&cleanup.0, "echo ready; read line");
        assert_eq!(line(&mut child), "ready");
        let error = cleanup.0.remove().unwrap_err().to_string();
        assert!(
            error.contains(&format!("process {} (sh) is in it", child.id())),
            "{error}"
        );
        drop(child.stdin.take());
        child.wait().unwrap();
    });
}

#[test]
fn a_cgroup_is_kept_as_json() {
    on_each_layout(|layout| {
        let cleanup = create(&plan(layout, &parent(), json!({})));
        let text = serde_json::to_string(&cleanup.0).unwrap();
        let kept: Cgroup = serde_json::from_str(&text).unwrap();
        assert_eq!(kept.directories(), cleanup.0.directories());
        kept.remove().unwrap();
        assert_gone(&cleanup.0);
    });
}
