//! Where a container's cgroup is, and what is there already: config-linux.md, "Cgroups Path"; cgroups(7).

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use conformance::cgroup::{self, directory, is_v1};
use conformance::driver::is_systemd_and;
use conformance::runtime::runtime;
use conformance::{Config, Container, rootfs};
use serde_json::{Value, json};

const MIB: u64 = 1 << 20;

/// A process in a cgroup of the case's own.
struct Inhabitant(Child);

impl Inhabitant {
    fn of(cgroup: &[PathBuf]) -> Self {
        let child = Command::new("sleep")
            .arg("60")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        for directory in cgroup {
            for file in ["cpuset.cpus", "cpuset.mems"].map(|name| directory.join(name)) {
                if file.exists() && is_v1("cpuset") {
                    fs::write(file, "0").unwrap();
                }
            }
            fs::write(directory.join("cgroup.procs"), child.id().to_string()).unwrap();
        }
        Self(child)
    }
}

impl Drop for Inhabitant {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Makes the cgroup, with nothing in it, in the hierarchy of each of these controllers.
fn made(path: &str, controllers: &[&str]) -> Vec<PathBuf> {
    let directories: Vec<_> = controllers
        .iter()
        .map(|name| directory(name, path))
        .collect();
    for directory in &directories {
        fs::create_dir_all(directory).unwrap();
    }
    directories
}

#[test]
fn a_cgroup_with_processes_is_refused_whichever_hierarchy_they_are_in() {
    if is_systemd_and("a path is for the other driver") {
        return;
    }
    for controller in ["devices", "pids", "unified"] {
        let container = Container::new(|_| {});
        let inhabitant = Inhabitant::of(&made(&container.cgroup, &[controller]));
        let phrase = "container's cgroup is not empty: 1 process(es) found";
        let _ = container.create().refused(&[phrase, "/linux/cgroupsPath"]);
        drop(inhabitant);
        cgroup::remove(&container.cgroup);
    }
}

#[test]
fn a_frozen_cgroup_is_refused() {
    if is_systemd_and("a path is for the other driver") {
        return;
    }
    let container = Container::new(|_| {});
    let directories = made(&container.cgroup, &["freezer"]);
    let (file, frozen, thawed) = match is_v1("freezer") {
        true => ("freezer.state", "FROZEN", "THAWED"),
        false => ("cgroup.freeze", "1", "0"),
    };
    fs::write(directories[0].join(file), frozen).unwrap();
    let phrase = "container's cgroup unexpectedly frozen";
    let _ = container.create().refused(&[phrase, "/linux/cgroupsPath"]);
    fs::write(directories[0].join(file), thawed).unwrap();
    cgroup::remove(&container.cgroup);
}

/// A controller of version 2, what it limits, and the file that shows it.
fn v2_limit() -> (&'static str, Value, &'static str) {
    if is_v1("memory") {
        let limit = json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}]});
        ("hugetlb", limit, "hugetlb.2MB.max")
    } else {
        (
            "memory",
            json!({"memory": {"limit": 64 * MIB}}),
            "memory.max",
        )
    }
}

fn has_v2(controller: &str) -> bool {
    let file = directory("unified", "/").join("cgroup.controllers");
    let has = fs::read_to_string(file)
        .is_ok_and(|text| text.split_whitespace().any(|name| name == controller));
    if !has {
        eprintln!("skipped: this machine has no {controller} controller in cgroup v2");
    }
    has
}

#[test]
fn controllers_are_enabled_all_the_way_down() {
    if is_systemd_and("a path is for the other driver") {
        return;
    }
    let (controller, resources, file) = v2_limit();
    if !has_v2(controller) {
        return;
    }
    let container = Container::new(|_| {});
    let mut config = container.config();
    let path = format!("{}/a/b/c", container.cgroup);
    config
        .set("/linux/cgroupsPath", json!(path))
        .set("/linux/resources", resources);
    container.write_config(&config);
    let _ = container.create().ok();
    let cgroup = directory("unified", &path);
    assert!(cgroup.join(file).exists());
    let own = fs::read_to_string(cgroup.join("cgroup.subtree_control")).unwrap();
    assert_eq!(
        own.trim(),
        "",
        "the container's own may have processes: nothing is enabled below it"
    );
    let _ = container.delete_force().ok();
    cgroup::remove(&container.cgroup);
}

#[test]
fn a_parent_with_processes_cannot_have_controllers_and_the_error_says_so() {
    if is_systemd_and("a path is for the other driver") {
        return;
    }
    let (controller, resources, _) = v2_limit();
    if !has_v2(controller) {
        return;
    }
    let container = Container::new(|_| {});
    let inhabitant = Inhabitant::of(&made(&container.cgroup, &["unified"]));
    let mut config = container.config();
    let path = format!("{}/inner", container.cgroup);
    config
        .set("/linux/cgroupsPath", json!(path))
        .set("/linux/resources", resources);
    container.write_config(&config);
    // Where the parent's processes have controllers of threads, the cgroup is no domain.
    let phrases = [
        format!("the {controller} controller"),
        "a parent has processes".to_owned(),
    ];
    let _ = container
        .create()
        .refused(&phrases.each_ref().map(String::as_str));
    drop(inhabitant);
    cgroup::remove(&container.cgroup);
}

/// A container whose cgroup is threaded, or cannot be anything else beside a threaded one.
fn among_threads(threaded: &str, kind: &str) -> Container {
    let container = Container::new(|_| {});
    let directories = made(&format!("{}/{threaded}", container.cgroup), &["unified"]);
    fs::write(directories[0].join("cgroup.type"), "threaded").unwrap();
    let path = format!("{}/inner", container.cgroup);
    let inner = made(&path, &["unified"]).remove(0).join("cgroup.type");
    assert_eq!(fs::read_to_string(inner).unwrap().trim(), kind);
    let mut config = container.config();
    config.set("/linux/cgroupsPath", json!(path));
    container.write_config(&config);
    container
}

#[test]
fn a_threaded_cgroup_has_no_controllers_of_domains_and_the_error_says_so() {
    if is_systemd_and("a path is for the other driver") {
        return;
    }
    let (controller, resources, _) = v2_limit();
    if !has_v2(controller) {
        return;
    }
    for (threaded, kind) in [("inner", "threaded"), ("beside", "domain invalid")] {
        let container = among_threads(threaded, kind);
        let mut config = container.config();
        config.set("/linux/resources", resources.clone());
        container.write_config(&config);
        let phrase = format!("is of type \"{kind}\", where the {controller} controller cannot be");
        let _ = container.create().refused(&[&phrase]);
        cgroup::remove(&container.cgroup);
    }
}

#[test]
fn a_container_that_needs_no_such_controller_lives_among_threads() {
    if is_systemd_and("a path is for the other driver") {
        return;
    }
    if cgroup::hierarchies()
        .iter()
        .all(|(names, _)| names != &["unified"])
    {
        eprintln!("skipped: this machine has no cgroup v2");
        return;
    }
    for (threaded, kind) in [("inner", "threaded"), ("beside", "domain invalid")] {
        let container = among_threads(threaded, kind);
        let mut config = container.config();
        config.remove("/linux/resources/devices");
        container.write_config(&config);
        let _ = container.create().ok();
        let file = directory("unified", &container.cgroup).join("inner/cgroup.threads");
        assert_eq!(
            fs::read_to_string(file).unwrap().trim(),
            container.pid().to_string()
        );
        let _ = container.delete_force().ok();
        cgroup::remove(&container.cgroup);
    }
}

#[test]
fn a_relative_path_is_below_where_the_runtime_is_and_the_same_again() {
    if is_systemd_and("a path is for the other driver") {
        return;
    }
    let container = Container::new(|_| {});
    let relative = container.cgroup.trim_start_matches('/').to_owned();
    let mut config = container.config();
    config.set("/linux/cgroupsPath", json!(relative));
    container.write_config(&config);
    let place = || {
        let _ = container.create().ok();
        let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
        let _ = container.delete_force().ok();
        cgroups
    };
    let first = place();
    assert!(
        first
            .lines()
            .all(|line| line.ends_with(&relative) || line.ends_with(":/")),
        "{first}"
    );
    assert!(
        first.lines().any(|line| line.ends_with(&relative)),
        "{first}"
    );
    assert_eq!(place(), first);
}

const CAPABILITIES: [&str; 13] = [
    "CAP_SYS_ADMIN",
    "CAP_MKNOD",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_SETUID",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SYS_CHROOT",
    "CAP_NET_ADMIN",
    "CAP_AUDIT_WRITE",
    "CAP_NET_BIND_SERVICE",
];

/// Prints the limit as the inner container sees it.
const SHOW: &str = "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true";

/// On version 2 a cgroup with processes cannot give its controllers on: who starts containers goes to a cgroup beside.
const NEST: &str = "set -e
    if test -e /sys/fs/cgroup/cgroup.controllers; then
        mkdir /sys/fs/cgroup/own; echo $$ > /sys/fs/cgroup/own/cgroup.procs
    fi
    exec /runtime --root /tmp/state run --bundle /inner inner";

#[test]
fn a_container_runs_containers_in_its_own_cgroup() {
    let container = Container::with_path(|config, path| {
        let inner = path.join("inner");
        rootfs::fill(&inner.join("rootfs"));
        let mut nested = Config::default();
        nested
            .shell(SHOW)
            .namespace("cgroup", None)
            .remove("/linux/maskedPaths")
            .remove("/linux/readonlyPaths")
            .set("/linux/cgroupsPath", json!("/nested/inner"))
            .set("/linux/resources/pids", json!({"limit": 33}));
        fs::write(inner.join("config.json"), nested.0.to_string()).unwrap();
        config
            .shell(NEST)
            .capabilities(&CAPABILITIES)
            .namespace("cgroup", None)
            .mount("/tmp", "tmpfs", "tmpfs", &[])
            .bind(&inner, "/inner", &["rbind"])
            .bind(&runtime().path, "/runtime", &["bind", "ro"])
            .remove("/linux/maskedPaths")
            .remove("/linux/readonlyPaths");
        fs::create_dir(path.join("bundle/rootfs/inner")).unwrap();
        let mounts = config.0["mounts"].as_array_mut().unwrap();
        for mount in mounts.iter_mut().filter(|mount| mount["type"] == "cgroup") {
            mount["options"] = json!(["nosuid", "noexec", "nodev", "relatime", "rw"]);
        }
        config.set("/root/readonly", json!(false));
    });
    assert_eq!(container.run().ok().stdout, "33\n");
    container.assert_nothing_left();
}
