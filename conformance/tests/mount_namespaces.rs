//! Containers with and without a mount namespace of their own, and kernel file systems where other namespaces are shared.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;

use conformance::container::probe;
use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::json;

/// All that needs a mount is gone from the configuration, and the mount namespace, too.
fn without_mounts(config: &mut Config) {
    config
        .share("mount")
        .set("/mounts", json!([]))
        .set("/root/readonly", json!(false))
        .remove("/linux/maskedPaths")
        .remove("/linux/readonlyPaths");
}

fn shares_mounts(change: impl FnOnce(&mut Config)) -> Container {
    Container::new(|config| {
        without_mounts(config);
        change(config);
    })
}

/// The host's mounts as lines.
fn hosts_mounts() -> Vec<String> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_container_without_a_mount_namespace_has_its_root_and_mounts_nothing() {
    let container = shares_mounts(|config| {
        config.shell(
            "cat /etc/passwd && pwd && ls / && echo > /dev/null && test -c /dev/zero && echo $$",
        );
    });
    let id = &container.id;
    let before = hosts_mounts();
    let text = container.run().ok().stdout;
    assert!(
        text.contains("alice") && text.contains("\nprobe\n"),
        "{text}"
    );
    assert!(text.ends_with("\n1\n"), "it has its pid namespace: {text}");
    let new: Vec<_> = hosts_mounts()
        .into_iter()
        .filter(|mount| !before.contains(mount) && mount.contains(id.as_str()))
        .collect();
    assert!(new.is_empty(), "{new:#?}");
}

#[test]
fn exec_and_start_container_hooks_go_to_the_same_root() {
    if runtime().departs("runc", "leaves them in the host's root") {
        return;
    }
    let container = shares_mounts(|config| {
        config.waits().set(
            "/hooks",
            json!({"startContainer": [{"path": "/bin/sh", "args": ["sh", "-c", "echo > /hook-was-here"]}]}),
        );
    });
    let _ = container.run_detached().ok();
    assert!(container.rootfs().join("hook-was-here").exists());
    let listed = container.exec(&[], &["ls", "/"]).ok().stdout;
    assert!(listed.contains("probe"), "{listed}");
    let host = fs::read_link("/proc/self/ns/mnt").unwrap();
    let theirs = fs::read_link(format!("/proc/{}/ns/mnt", container.pid())).unwrap();
    assert_eq!(host, theirs);
}

/// The host's mounts at the container's root and below.
fn mounts_of(container: &Container) -> Vec<String> {
    hosts_mounts()
        .into_iter()
        .filter(|mount| mount.contains(container.rootfs().to_str().unwrap()))
        .collect()
}

#[test]
fn what_a_container_mounts_in_the_hosts_namespace_is_unmounted_with_it() {
    if runtime().departs("runc", "leaves its mounts on the host") {
        return;
    }
    let container = Container::with_path(|config, _| {
        without_mounts(config);
        config
            .mount("/tmp", "tmpfs", "own", &["size=64k"])
            .set("/root/readonly", json!(true))
            .shell("(echo > /file) 2>/dev/null || echo read-only; grep own /proc/mounts; echo > /tmp/x && echo written")
            .mount("/proc", "proc", "proc", &[]);
    });
    let before = hosts_mounts().len();
    let text = container.run().ok().stdout;
    assert!(text.starts_with("read-only\n"), "{text}");
    assert!(text.contains("own /tmp tmpfs"), "{text}");
    assert!(text.ends_with("written\n"), "{text}");
    assert_eq!(hosts_mounts().len(), before);
    container.assert_nothing_left();
}

#[test]
fn mounts_in_the_hosts_namespace_stay_below_the_root_and_go_with_a_failed_create() {
    if runtime().departs("runc", "leaves its mounts on the host") {
        return;
    }
    let running = shares_mounts(|config| {
        config.waits().mount("/tmp", "tmpfs", "own", &[]);
    });
    let rootfs = running.rootfs().display().to_string();
    let before = hosts_mounts();
    let _ = running.run_detached().ok();
    let new: Vec<_> = hosts_mounts()
        .into_iter()
        .filter(|mount| !before.contains(mount))
        .collect();
    assert_eq!(new.len(), 2, "{new:#?}");
    for mount in &new {
        assert!(mount.contains(&rootfs), "{mount}");
        let optional = mount.split(" - ").next().unwrap();
        assert!(!optional.contains("shared:"), "it would spread: {mount}");
    }
    let _ = running.delete_force().ok();
    assert_eq!(mounts_of(&running), Vec::<String>::new());

    let failing = shares_mounts(|config| {
        config.mount("/tmp", "tmpfs", "own", &[]).mount(
            "/mnt",
            "tmpfs",
            "own",
            &["no-such-option"],
        );
    });
    let _ = failing.run().refused(&["no-such-option"]);
    assert_eq!(mounts_of(&failing), Vec::<String>::new());
    failing.assert_nothing_left();
}

#[test]
fn what_would_change_the_hosts_mounts_is_refused_without_a_mount_namespace() {
    for (pointer, value) in [
        ("/linux/maskedPaths", json!(["/proc/kcore"])),
        ("/linux/readonlyPaths", json!(["/etc"])),
        ("/linux/rootfsPropagation", json!("private")),
    ] {
        if !pointer.contains("Paths") && runtime().departs("runc", "changes the host's") {
            continue;
        }
        let container = shares_mounts(|config| {
            config.set(pointer, value);
        });
        let _ = container.run().refused(&[]);
        container.assert_nothing_left();
    }
}

#[test]
fn a_mount_namespace_that_is_joined_gets_the_containers_mounts() {
    // One in which the host's files can be seen.
    let script = "mount -t tmpfs kept /mnt && echo ready && exec sleep 60";
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sh", "-c", script]);
    let holder = conformance::process::spawn(&mut command);
    conformance::process::until("the namespace", || {
        holder.printed().contains("ready").then_some(())
    });
    let namespace = format!("/proc/{}/ns/mnt", holder.id());
    let report = probe(|config| {
        config
            .namespace("mount", Some(&namespace))
            .mount("/tmp", "tmpfs", "own", &[]);
    });
    assert_eq!(report.mount("/tmp").source, "own");
    assert_eq!(
        report.namespaces["mnt"],
        fs::read_link(&namespace).unwrap().display().to_string()
    );
    holder.signal(nix::sys::signal::Signal::SIGKILL);
}

#[test]
fn the_hosts_network_goes_with_a_new_sysfs_and_the_hosts_processes_with_a_new_procfs() {
    let report = probe(|config| {
        config.share("network").share("pid");
    });
    assert_eq!(report.mount("/sys").kind, "sysfs");
    assert_eq!(report.mount("/proc").kind, "proc");
    assert!(report.pid > 1);
}

#[test]
fn a_user_namespace_with_the_hosts_network_binds_the_hosts_sysfs() {
    // As engines write it (`runc spec --rootless`): a new sysfs needs a network namespace of the user namespace's.
    let bound = |config: &mut Config| {
        config
            .share("network")
            .user_namespace(&[(0, 100_000, 65536)])
            .set(
                "/mounts/5",
                json!({"destination": "/sys", "type": "none", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", "ro"]}),
            )
            .remove("/linux/maskedPaths");
    };
    let report = probe(bound);
    let sys = report.mount("/sys");
    assert!(sys.kind == "sysfs" && sys.has("ro"), "{sys:?}");
    let container = Container::new(|config| {
        config
            .share("network")
            .user_namespace(&[(0, 100_000, 65536)]);
    });
    let refused = container.run().refused(&["/sys"]);
    if runtime().is_bareboat() {
        assert!(refused.stderr.contains("network namespace"), "{refused:?}");
    }
    container.assert_nothing_left();
}

#[test]
fn the_cgroup_mount_is_there_in_each_combination_of_namespaces() {
    let hierarchies = conformance::cgroup::hierarchies();
    let v1 = hierarchies
        .iter()
        .any(|(controllers, _)| controllers != &["unified"]);
    for (own, user, option) in [
        (false, false, "ro"),
        (true, false, "ro"),
        (true, false, "rw"),
        (false, false, "rw"),
        (true, true, "ro"),
        (false, true, "ro"),
    ] {
        let report = probe(|config| {
            config.set(
                "/mounts/6/options",
                json!(["nosuid", "noexec", "nodev", "relatime", option]),
            );
            if own {
                config.namespace("cgroup", None);
            }
            if user {
                config.user_namespace(&[(0, 100_000, 65536)]);
            }
        });
        let what = format!("cgroup namespace {own}, user namespace {user}, {option}");
        let mounts: Vec<_> = report
            .mounts
            .iter()
            .filter(|mount| mount.target.starts_with("/sys/fs/cgroup"))
            .collect();
        assert!(!mounts.is_empty(), "{what}");
        for mount in &mounts {
            assert!(
                mount.has("nosuid") && mount.has("noexec") && mount.has("nodev"),
                "{what}: {mount:?}"
            );
            assert_eq!(
                mount.options.iter().any(|o| o == "ro"),
                option == "ro",
                "{what}: {mount:?}"
            );
            // Nothing of other cgroups is in view: the root of the mount is the container's cgroup, or the namespace's.
            let in_view = mount.kind == "tmpfs"
                || mount.root == "/" && own
                || mount.root.contains("conformance-");
            assert!(in_view || !v1 && !user, "{what}: {mount:?}");
        }
    }
}

#[test]
fn a_container_can_be_made_from_other_pid_and_mount_namespaces() {
    // As far as it concerns mounts: another pid namespace, and its procfs in place of the host's.
    let outer = Container::new(|config| {
        config.args(&["/probe"]);
    });
    let mut inner = std::process::Command::new("unshare");
    inner.args([
        "--mount",
        "--pid",
        "--fork",
        "--mount-proc",
        "--propagation",
        "private",
    ]);
    let command = outer.run_command(&[]);
    inner.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        inner.env(name, value.unwrap_or_default());
    }
    let report = conformance::Report::parse(&run(&mut inner).ok());
    assert_eq!(report.mount("/proc").kind, "proc");
}
