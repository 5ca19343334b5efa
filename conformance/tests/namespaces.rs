//! Namespaces, new and joined: config-linux.md, "Namespaces", "User namespace mappings", "Offset for Time Namespace".

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;

use conformance::container::probe;
use conformance::process::spawn;
use conformance::runtime::runtime;
use conformance::{Container, Report};
use serde_json::json;

/// Names in config.json, and in /proc/PID/ns.
const KINDS: [(&str, &str); 7] = [
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("user", "user"),
];

fn host(kind: &str) -> String {
    fs::read_link(format!("/proc/self/ns/{kind}"))
        .unwrap()
        .display()
        .to_string()
}

/// A container whose namespaces others can join.
fn holder(user: bool) -> Container {
    let container = Container::new(|config| {
        config.waits().namespace("cgroup", None);
        if user {
            config.user_namespace(&[(0, 100_000, 65536)]);
        }
    });
    let _ = container.run_detached();
    container
}

#[test]
fn a_namespace_in_the_configuration_is_new_and_one_that_is_not_is_the_runtimes() {
    let all = probe(|config| {
        config
            .namespace("cgroup", None)
            .user_namespace(&[(0, 100_000, 65536)]);
    });
    for (_, link) in KINDS {
        assert_ne!(all.namespaces[link], host(link), "{link}");
    }
    for shared in ["pid", "network", "ipc", "uts"] {
        let report = probe(|config| {
            config.share(shared).remove("/hostname");
        });
        for (kind, link) in KINDS
            .iter()
            .filter(|(kind, _)| !["cgroup", "user"].contains(kind))
        {
            assert_eq!(
                report.namespaces[*link] == host(link),
                *kind == shared,
                "{kind}, when {shared} is shared"
            );
        }
    }
}

#[test]
fn a_namespace_with_a_path_is_joined() {
    let holder = holder(false);
    let pid = holder.pid();
    for (kind, link) in [
        ("network", "net"),
        ("ipc", "ipc"),
        ("uts", "uts"),
        ("pid", "pid"),
        ("cgroup", "cgroup"),
    ] {
        if kind == "cgroup" && runtime().departs("runc", "cannot join a cgroup namespace") {
            continue;
        }
        let path = format!("/proc/{pid}/ns/{link}");
        let report = probe(|config| {
            config.namespace(kind, Some(&path)).remove("/hostname");
        });
        assert_eq!(
            report.namespaces[link],
            fs::read_link(&path).unwrap().display().to_string(),
            "{kind}"
        );
    }
}

#[test]
fn several_namespaces_are_joined_together() {
    // A pod: network, ipc and uts of the sandbox.
    let holder = holder(false);
    let pid = holder.pid();
    let report = probe(|config| {
        for (kind, link) in [("network", "net"), ("ipc", "ipc"), ("uts", "uts")] {
            config.namespace(kind, Some(&format!("/proc/{pid}/ns/{link}")));
        }
        config.remove("/hostname");
    });
    for link in ["net", "ipc", "uts"] {
        assert_eq!(
            report.namespaces[link],
            fs::read_link(format!("/proc/{pid}/ns/{link}"))
                .unwrap()
                .to_str()
                .unwrap()
        );
    }
    assert_eq!(report.file("/proc/sys/kernel/hostname"), "conformance");
}

#[test]
fn in_a_joined_pid_namespace_the_program_is_not_pid_1_and_ends_alone() {
    let holder = holder(false);
    let pid = holder.pid();
    let container = Container::new(|config| {
        config.namespace("pid", Some(&format!("/proc/{pid}/ns/pid")));
    });
    assert!(container.report().pid > 1);
    container.assert_nothing_left();
    assert_eq!(holder.status(), "running");
}

#[test]
fn a_detached_container_in_a_joined_pid_namespace_is_killed_and_deleted() {
    let holder = holder(false);
    let pid = holder.pid();
    let container = Container::new(|config| {
        config
            .waits()
            .namespace("pid", Some(&format!("/proc/{pid}/ns/pid")));
    });
    let _ = container.run_detached();
    assert_eq!(container.status(), "running");
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
    assert_eq!(holder.status(), "running");
}

#[test]
fn a_user_namespace_with_a_path_is_joined() {
    if runtime().predates(
        "runc",
        [1, 2, 0],
        "joining a user namespace without mappings",
    ) {
        return;
    }
    let holder = holder(true);
    let pid = holder.pid();
    let report = probe(|config| {
        config.namespace("user", Some(&format!("/proc/{pid}/ns/user")));
    });
    assert_eq!(
        report.namespaces["user"],
        fs::read_link(format!("/proc/{pid}/ns/user"))
            .unwrap()
            .to_str()
            .unwrap()
    );
    assert_eq!(report.status("Uid"), "0 0 0 0");
}

#[test]
fn network_of_a_container_with_a_user_namespace_is_joined_together_with_it() {
    if runtime().predates(
        "runc",
        [1, 2, 0],
        "joining a user namespace without mappings",
    ) {
        return;
    }
    let holder = holder(true);
    let pid = holder.pid();
    let report = probe(|config| {
        config.namespace("network", Some(&format!("/proc/{pid}/ns/net")));
        config.namespace("user", Some(&format!("/proc/{pid}/ns/user")));
    });
    for link in ["net", "user"] {
        assert_eq!(
            report.namespaces[link],
            fs::read_link(format!("/proc/{pid}/ns/{link}"))
                .unwrap()
                .to_str()
                .unwrap()
        );
    }
}

#[test]
fn a_mount_namespace_with_a_path_is_joined() {
    let container = Container::with_path(|_, _| {});
    let held = container.path().join("held");
    let mut command = std::process::Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", "touch \"$0\"; sleep 30"])
        .arg(&held);
    let holder = spawn(&mut command);
    conformance::process::until("the namespace", || held.exists().then_some(()));
    let path = format!("/proc/{}/ns/mnt", holder.id());
    let mut config = container.config();
    config.namespace("mount", Some(&path));
    container.write_config(&config);
    let report = container.report();
    assert_eq!(
        report.namespaces["mnt"],
        fs::read_link(path).unwrap().to_str().unwrap()
    );
}

#[test]
fn a_user_namespace_has_the_mappings_of_the_configuration() {
    let report = probe(|config| {
        config.user_namespace(&[(0, 100_000, 1000), (1000, 200_000, 500), (5000, 0, 1)]);
    });
    let words = |file| {
        report
            .file(file)
            .split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let expected = [
        "0", "100000", "1000", "1000", "200000", "500", "5000", "0", "1",
    ];
    assert_eq!(words("/proc/self/uid_map"), expected);
    assert_eq!(words("/proc/self/gid_map"), expected);
    assert_eq!(report.status("Uid"), "0 0 0 0");
    assert_eq!(report.status("Gid"), "0 0 0 0");
}

#[test]
fn a_user_namespace_owns_the_other_namespaces() {
    let container = Container::new(|config| {
        config.shell("hostname changed && hostname && mount -t tmpfs tmpfs /tmp && echo mounted");
        config
            .user_namespace(&[(0, 100_000, 65536)])
            .capabilities(&["CAP_SYS_ADMIN"]);
    });
    assert_eq!(container.run().ok().stdout, "changed\nmounted\n");
}

#[test]
fn root_of_a_user_namespace_is_nobody_outside() {
    let container = Container::new(|config| {
        config.waits().user_namespace(&[(0, 100_000, 65536)]);
    });
    let _ = container.run_detached();
    let status = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
    assert!(
        status.contains("Uid:\t100000\t100000\t100000\t100000"),
        "{status}"
    );
}

#[test]
fn devices_in_a_user_namespace_are_the_hosts_own() {
    let report = probe(|config| {
        config.user_namespace(&[(0, 100_000, 65536)]);
    });
    for (name, minor) in [
        ("null", 3),
        ("zero", 5),
        ("full", 7),
        ("random", 8),
        ("urandom", 9),
    ] {
        let node = &report.devices[name];
        assert_eq!((node.kind, node.device), ('c', (1, minor)), "{name}");
        assert!(
            report.is_mounted(&format!("/dev/{name}")),
            "{name} cannot be made there, so it is bound"
        );
    }
}

#[test]
fn mappings_without_a_user_namespace_and_one_without_mappings_are_refused() {
    let container = Container::new(|config| {
        config.set(
            "/linux/uidMappings",
            json!([{"containerID": 0, "hostID": 0, "size": 1}]),
        );
        config.namespace("user", None);
    });
    let _ = container.run().refused(&[]);
    container.assert_nothing_left();
}

#[test]
fn a_time_namespace_has_its_offsets() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    let report = probe(|config| {
        config.namespace("time", None);
        config.set(
            "/linux/timeOffsets",
            json!({"monotonic": {"secs": 1000, "nanosecs": 5}, "boottime": {"secs": 2000}}),
        );
    });
    assert_ne!(report.namespaces["time"], host("time"));
    let words: Vec<_> = report
        .file("/proc/self/timens_offsets")
        .split_whitespace()
        .collect();
    assert_eq!(words, ["monotonic", "1000", "5", "boottime", "2000", "0"]);
}

#[test]
fn a_joined_time_namespace_is_the_holders() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    let holder = Container::new(|config| {
        config.waits().namespace("time", None);
    });
    let _ = holder.run_detached();
    let path = format!("/proc/{}/ns/time", holder.pid());
    let report = probe(|config| {
        config.namespace("time", Some(&path));
    });
    assert_eq!(
        report.namespaces["time"],
        fs::read_link(path).unwrap().to_str().unwrap()
    );
}

#[test]
fn a_cgroup_namespace_starts_at_the_containers_cgroup() {
    let report = probe(|config| {
        config.namespace("cgroup", None);
    });
    for line in report.file("/proc/self/cgroup").lines() {
        assert!(line.ends_with(":/"), "{line}");
    }
}

#[test]
fn a_new_network_namespace_has_a_loopback_that_is_up() {
    let container = Container::new(|config| {
        config.shell("ifconfig lo && ls /sys/class/net");
    });
    let text = container.run().ok().stdout;
    assert!(text.contains("UP LOOPBACK RUNNING"), "{text}");
    assert!(text.ends_with("lo\n"), "{text}");
}

#[test]
fn without_a_network_namespace_the_hosts_interfaces_are_there() {
    let container = Container::new(|config| {
        config.share("network");
    });
    let inside = Report::parse(&container.run().ok());
    let interfaces = |text: &str| {
        text.lines()
            .skip(2)
            .filter(|line| !line.contains("veth"))
            .count()
    };
    assert!(interfaces(inside.file("/proc/net/dev")) >= 1);
    assert_eq!(inside.namespaces["net"], host("net"));
}
