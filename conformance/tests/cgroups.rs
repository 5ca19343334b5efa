//! Cgroups: config-linux.md, "Control groups". Limits are read from the host's files, and their effect is seen.

use std::fs;

use conformance::cgroup::{self, existing, is_v1, read};
use conformance::container::output_of;
use conformance::driver;
use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::json;

fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.waits();
        change(config);
    });
    let _ = container.run_detached();
    container
}

/// Whether the controller has no hierarchy of v1, which alone has what the case is about.
fn no_v1(controller: &str) -> bool {
    let skipped = !is_v1(controller);
    if skipped {
        eprintln!("skipped: this machine has no {controller} controller of cgroup v1");
    }
    skipped
}

#[test]
fn the_program_is_in_its_cgroup_of_every_hierarchy() {
    let container = running(|_| {});
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    for line in cgroups.lines() {
        let path = line.splitn(3, ':').nth(2).unwrap();
        assert_eq!(path, container.cgroup, "{cgroups}");
    }
}

#[test]
fn the_cgroup_is_there_before_the_start_and_gone_after_the_end() {
    let container = Container::new(|config| {
        config.waits();
    });
    assert_eq!(existing(&container.cgroup).len(), 0);
    let _ = container.create().ok();
    assert_eq!(
        existing(&container.cgroup).len(),
        cgroup::hierarchies().len()
    );
    let _ = container.delete_force().ok();
    assert_eq!(existing(&container.cgroup).len(), 0);
}

#[test]
fn a_nested_cgroups_path_is_made_with_its_parents() {
    if driver::is_systemd_and("a path is for the other driver") {
        return;
    }
    let container = Container::with_path(|config, _| {
        config.waits();
    });
    let mut config = container.config();
    let inner = format!("{}/outer/inner", container.cgroup);
    config
        .set("/linux/cgroupsPath", json!(inner))
        .set("/linux/resources/pids", json!({"limit": 20}));
    config.set("/linux/resources/cpu", json!({"cpus": "0"}));
    container.write_config(&config);
    let _ = container.run_detached();
    assert_eq!(read(&inner, "pids", "pids.max", "pids.max"), "20");
    let _ = container.delete_force().ok();
    assert_eq!(existing(&inner).len(), 0);
    // The parents are the caller's to remove.
    cgroup::remove(&container.cgroup);
}

#[test]
fn a_container_without_a_cgroups_path_has_a_cgroup_of_its_own() {
    let container = running(|config| {
        config.remove("/linux/cgroupsPath");
    });
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", container.pid())).unwrap();
    let line = cgroups
        .lines()
        .find(|line| line.contains(":pids:"))
        .or(cgroups.lines().last())
        .unwrap();
    assert!(line.contains(&container.id), "{line}");
    let path = line.splitn(3, ':').nth(2).unwrap().to_owned();
    let _ = container.delete_force().ok();
    assert_eq!(existing(&path).len(), 0);
}

#[test]
fn memory_limits_are_set() {
    let container = running(|config| {
        config.set(
            "/linux/resources/memory",
            json!({"limit": 64 << 20, "reservation": 32 << 20, "swap": 128 << 20}),
        );
    });
    let value = |v1: &str, v2: &str| read(&container.cgroup, "memory", v1, v2);
    assert_eq!(
        value("memory.limit_in_bytes", "memory.max"),
        (64 << 20).to_string()
    );
    assert_eq!(
        value("memory.soft_limit_in_bytes", "memory.low"),
        (32 << 20).to_string()
    );
    let swap: u64 = if is_v1("memory") { 128 << 20 } else { 64 << 20 };
    let file = cgroup::directory("memory", &container.cgroup).join("memory.memsw.limit_in_bytes");
    if !is_v1("memory") || file.exists() {
        assert_eq!(
            value("memory.memsw.limit_in_bytes", "memory.swap.max"),
            swap.to_string()
        );
    }
}

#[test]
fn swappiness_and_the_oom_killer_are_as_given() {
    if no_v1("memory") {
        return;
    }
    let container = running(|config| {
        config.set(
            "/linux/resources/memory",
            json!({"limit": 64 << 20, "swappiness": 10, "disableOOMKiller": true}),
        );
    });
    assert_eq!(
        read(&container.cgroup, "memory", "memory.swappiness", ""),
        "10"
    );
    assert!(
        read(&container.cgroup, "memory", "memory.oom_control", "")
            .starts_with("oom_kill_disable 1")
    );
}

#[test]
fn a_program_that_takes_more_memory_than_its_limit_is_killed() {
    let container = Container::new(|config| {
        // dd allocates its buffer at once, and fills it.
        config.args(&["dd", "if=/dev/zero", "of=/dev/null", "bs=100M", "count=1"]);
        config.set(
            "/linux/resources/memory",
            json!({"limit": 16 << 20, "swap": 16 << 20}),
        );
    });
    assert_eq!(container.run().code(), 137);
    container.assert_nothing_left();
}

#[test]
fn cpu_limits_are_set() {
    let container = running(|config| {
        config.set(
            "/linux/resources/cpu",
            json!({"shares": 512, "quota": 50_000, "period": 200_000}),
        );
    });
    if is_v1("cpu") {
        let value = |name: &str| read(&container.cgroup, "cpu", name, "");
        assert_eq!(value("cpu.shares"), "512");
        assert_eq!(value("cpu.cfs_quota_us"), "50000");
        assert_eq!(value("cpu.cfs_period_us"), "200000");
    } else {
        assert_eq!(
            read(&container.cgroup, "cpu", "", "cpu.max"),
            "50000 200000"
        );
    }
}

#[test]
fn a_quota_below_the_default_period_is_taken_with_a_period_that_allows_it() {
    // `docker run --cpus 0.01`
    let container = running(|config| {
        config.set(
            "/linux/resources/cpu",
            json!({"quota": 1000, "period": 100_000}),
        );
    });
    assert_eq!(
        read(&container.cgroup, "cpu", "cpu.cfs_quota_us", "cpu.max")
            .split(' ')
            .next(),
        Some("1000")
    );
}

#[test]
fn cpusets_are_set() {
    let container = running(|config| {
        config.set("/linux/resources/cpu", json!({"cpus": "0", "mems": "0"}));
    });
    assert_eq!(
        read(&container.cgroup, "cpuset", "cpuset.cpus", "cpuset.cpus"),
        "0"
    );
    assert_eq!(
        read(&container.cgroup, "cpuset", "cpuset.mems", "cpuset.mems"),
        "0"
    );
    let report = container.exec_probe(&[]);
    assert_eq!(report.status("Cpus_allowed_list"), "0");
}

#[test]
fn the_pids_limit_is_set_and_holds() {
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do sleep 5 & done 2>&1; echo $(cat /sys/fs/cgroup/pids/pids.max)";
    let container = Container::new(|config| {
        config
            .shell(script)
            .set("/linux/resources/pids", json!({"limit": 5}));
    });
    let finished = container.run();
    assert!(finished.stdout.contains("can't fork"), "{finished:?}");
}

#[test]
fn a_pids_limit_of_minus_one_is_none() {
    let container = running(|config| {
        config.set("/linux/resources/pids", json!({"limit": -1}));
    });
    assert_eq!(
        read(&container.cgroup, "pids", "pids.max", "pids.max"),
        "max"
    );
}

#[test]
fn a_pids_section_without_a_limit_limits_nothing() {
    if runtime().predates("runc", [1, 4, 0], "an absent pids.limit")
        || driver::is_systemd_and("it limits what says nothing of a limit: DefaultTasksMax")
    {
        return;
    }
    let container = running(|config| {
        config.set("/linux/resources/pids", json!({}));
    });
    assert_eq!(
        read(&container.cgroup, "pids", "pids.max", "pids.max"),
        "max"
    );
}

/// Whether a device with this number can be opened in a container with these rules.
fn opens(rules: serde_json::Value) -> bool {
    let text = output_of("cat /dev/own 2>&1 | head -c 200", |config| {
        // 1:11 would need CAP_SYSLOG; a minor that no driver has gives ENXIO once the cgroup lets it through.
        config.push(
            "/linux/devices",
            json!({"path": "/dev/own", "type": "c", "major": 1, "minor": 99, "fileMode": 0o666}),
        );
        config.set("/linux/resources/devices", rules);
    });
    let denied = text.contains("Operation not permitted");
    assert!(denied || text.contains("No such device"), "{text}");
    !denied
}

#[test]
fn device_rules_hold_in_their_order() {
    let deny_all = json!({"allow": false, "access": "rwm"});
    let allow = |access: &str| json!({"allow": true, "type": "c", "major": 1, "minor": 99, "access": access});
    let allow_major = json!({"allow": true, "type": "c", "major": 1, "access": "rwm"});
    let deny_one = json!({"allow": false, "type": "c", "major": 1, "minor": 99, "access": "rwm"});
    assert!(!opens(json!([deny_all])));
    assert!(opens(json!([deny_all, allow("rwm")])));
    assert!(opens(json!([deny_all, allow("r")])));
    assert!(!opens(json!([deny_all, allow("w")])));
    assert!(opens(json!([deny_all, allow_major])));
    assert!(!opens(json!([deny_all, allow("rwm"), deny_one])));
}

#[test]
fn device_rules_are_listed_in_their_order() {
    if no_v1("devices") || runtime().departs("runc", "sorts the rules") {
        return;
    }
    let container = running(|config| {
        let rules = json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"},
            {"allow": true, "type": "b", "major": 8, "minor": 20, "access": "rw"},
        ]);
        config.set("/linux/resources/devices", rules);
    });
    let listed = read(&container.cgroup, "devices", "devices.list", "");
    let first: Vec<_> = listed.lines().take(2).collect();
    assert_eq!(first, ["c 10:229 rwm", "b 8:20 rw"], "{listed}");
}

#[test]
fn tcps_buffers_are_limited() {
    if no_v1("memory") || runtime().departs("runc", "ignores kernelTCP") {
        return;
    }
    let container = running(|config| {
        config.set("/linux/resources/memory", json!({"kernelTCP": 1 << 20}));
    });
    let limit = read(
        &container.cgroup,
        "memory",
        "memory.kmem.tcp.limit_in_bytes",
        "",
    );
    assert_eq!(limit, "1048576");
}

#[test]
fn the_default_devices_are_allowed_whatever_the_rules_say() {
    let script = "for d in null zero full random urandom tty; do
        head -c 1 /dev/$d 2>&1 >/dev/null | grep 'not permitted'; done; echo done";
    assert_eq!(output_of(script, |_| {}), "done\n");
}

#[test]
fn making_nodes_is_allowed_and_opening_them_is_not() {
    let script = "mknod /tmp/node c 1 99 && cat /tmp/node 2>&1";
    let container = Container::new(|config| {
        config
            .shell(script)
            .capabilities(&["CAP_MKNOD"])
            .mount("/tmp", "tmpfs", "tmpfs", &[]);
    });
    let text = container.run().stdout;
    assert!(text.contains("Operation not permitted"), "{text}");
}

#[test]
fn the_container_sees_its_own_cgroup_read_only() {
    let file = if is_v1("pids") {
        "/sys/fs/cgroup/pids/cgroup.procs"
    } else {
        "/sys/fs/cgroup/cgroup.procs"
    };
    // Version 2 is mounted as it is: without a namespace the mount shows the root of the hierarchy.
    for namespace in [false, true]
        .into_iter()
        .filter(|&namespace| namespace || is_v1("pids"))
    {
        let text = output_of(
            &format!("head -1 {file}; (echo 1 > {file}) 2>&1 | grep -c 'Read-only'"),
            |config| {
                if namespace {
                    config.namespace("cgroup", None);
                }
            },
        );
        assert_eq!(text, "1\n1\n", "with a cgroup namespace: {namespace}");
    }
}

#[test]
fn cgroups_that_the_container_made_are_removed_with_it() {
    let directory = if is_v1("pids") {
        "/sys/fs/cgroup/pids"
    } else {
        "/sys/fs/cgroup"
    };
    let container = Container::new(|config| {
        config.shell(&format!("mkdir -p {directory}/a/b {directory}/c"));
        let mounts = config.0["mounts"].as_array_mut().unwrap();
        let cgroup = mounts
            .iter_mut()
            .find(|mount| mount["type"] == "cgroup")
            .unwrap();
        cgroup["options"] = json!(["nosuid", "noexec", "nodev", "rw"]);
        config.namespace("cgroup", None);
    });
    let _ = container.run().ok();
    container.assert_nothing_left();
}

#[test]
fn processes_that_a_container_left_are_gone_with_its_cgroup() {
    // Background processes of a container in the runtime's own pid namespace outlive its program.
    let container = Container::new(|config| {
        config
            .share("pid")
            .shell("sleep 60 >/dev/null 2>&1 & sleep 60 >/dev/null 2>&1 &");
    });
    let _ = container.run_detached();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn a_limit_of_a_controller_file_that_is_given_as_unified_needs_cgroup_v2() {
    let container = Container::new(|config| {
        config.args(&["true"]).set(
            "/linux/resources/unified",
            json!({"memory.max": "67108864"}),
        );
    });
    let finished = run(&mut container.run_command(&[]));
    assert!(
        finished.code() == 0
            || finished.stderr.contains("v2")
            || finished.stderr.contains("unified"),
        "{finished:?}"
    );
    container.assert_nothing_left();
}
