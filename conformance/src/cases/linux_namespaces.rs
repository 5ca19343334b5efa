//! config-linux.md: default file systems, namespaces, mappings and time offsets.

use std::fs;
use std::os::unix::fs::MetadataExt;

use serde_json::json;

use super::{inside, refuses, run_in, running};
use crate::container::probe;
use crate::process::{spawn, until};
use crate::suite::skip;
use crate::{Config, Container, Report};

cases! {
    Should "config-linux.md#default-filesystems" ["1.0.0"] "The following filesystems SHOULD be made available in each container's filesystem: /proc proc"
        proc_is_made_available => || available("/proc", "proc");
    Should "config-linux.md#default-filesystems" ["1.0.0"] "… /sys sysfs"
        sys_is_made_available => || available("/sys", "sysfs");
    Should "config-linux.md#default-filesystems" ["1.0.0"] "… /dev/pts devpts"
        dev_pts_is_made_available => || available("/dev/pts", "devpts");
    Should "config-linux.md#default-filesystems" ["1.0.0"] "… /dev/shm tmpfs"
        dev_shm_is_made_available => || available("/dev/shm", "tmpfs");

    Should "config-linux.md#namespaces" ["1.0.0"] "pid: processes inside the container will only be able to see other processes inside the same container"
        a_pid_namespace_is_supported;
    Should "config-linux.md#namespaces" ["1.0.0"] "network: the container will have its own network stack."
        a_network_namespace_is_supported;
    Should "config-linux.md#namespaces" ["1.0.0"] "mount: the container will have an isolated mount table."
        a_mount_namespace_is_supported => || new("mount", "mnt");
    Should "config-linux.md#namespaces" ["1.0.0"] "ipc: processes inside the container will only be able to communicate … via system level IPC."
        an_ipc_namespace_is_supported => || new("ipc", "ipc");
    Should "config-linux.md#namespaces" ["1.0.0"] "uts: the container will be able to have its own hostname and domain name."
        a_uts_namespace_is_supported => || new("uts", "uts");
    Should "config-linux.md#namespaces" ["1.0.0"] "user: the container will be able to remap user and group IDs"
        a_user_namespace_is_supported => || new("user", "user");
    Should "config-linux.md#namespaces" ["1.0.0"] "cgroup: the container will have an isolated view of the cgroup hierarchy."
        a_cgroup_namespace_is_supported;
    Should "config-linux.md#namespaces" ["1.1.0"] "time: the container will be able to have its own clocks."
        a_time_namespace_is_supported => || new("time", "time");

    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST place the container process in the namespace associated with that path. (pid)"
        a_pid_namespace_is_joined => || joins("pid", "pid");
    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST place the container process in the namespace associated with that path. (network)"
        a_network_namespace_is_joined => || joins("network", "net");
    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST place the container process in the namespace associated with that path. (mount)"
        a_mount_namespace_is_joined;
    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST place the container process in the namespace associated with that path. (ipc)"
        an_ipc_namespace_is_joined => || joins("ipc", "ipc");
    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST place the container process in the namespace associated with that path. (uts)"
        a_uts_namespace_is_joined => || joins("uts", "uts");
    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST place the container process in the namespace associated with that path. (user)"
        a_user_namespace_is_joined => || joins("user", "user");
    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST place the container process in the namespace associated with that path. (cgroup)"
        a_cgroup_namespace_is_joined => || joins("cgroup", "cgroup");
    Must "config-linux.md#namespaces" ["1.1.0"] "The runtime MUST place the container process in the namespace associated with that path. (time)"
        a_time_namespace_is_joined => || joins("time", "time");
    Must "config-linux.md#namespaces" ["1.0.0"] "This value MUST be an absolute path in the runtime mount namespace."
        a_relative_path_of_a_namespace_is_an_error => || refuses(|config| { config.namespace("network", Some("proc/self/ns/net")); });
    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST generate an error if path is not associated with a namespace of type type."
        a_path_to_a_namespace_of_another_type_is_an_error => || refuses(|config| { config.namespace("network", Some("/proc/self/ns/uts")); });
    Must "config-linux.md#namespaces" ["1.0.0"] "The runtime MUST generate an error if path is not associated with a namespace of type type."
        a_path_to_something_else_is_an_error => || refuses(|config| { config.namespace("network", Some("/etc/passwd")); });
    Must "config-linux.md#namespaces" ["1.0.0"] "If path is not specified, the runtime MUST create a new container namespace of type type."
        a_namespace_without_a_path_is_new;
    Must "config-linux.md#namespaces" ["1.0.0"] "If a namespace type is not specified …, the container MUST inherit the runtime namespace of that type. (pid)"
        the_runtimes_pid_namespace_is_inherited => || inherits("pid", "pid");
    Must "config-linux.md#namespaces" ["1.0.0"] "… the container MUST inherit the runtime namespace of that type. (network)"
        the_runtimes_network_namespace_is_inherited => || inherits("network", "net");
    Must "config-linux.md#namespaces" ["1.0.0"] "… the container MUST inherit the runtime namespace of that type. (mount)"
        the_runtimes_mount_namespace_is_inherited;
    Must "config-linux.md#namespaces" ["1.0.0"] "… the container MUST inherit the runtime namespace of that type. (ipc)"
        the_runtimes_ipc_namespace_is_inherited => || inherits("ipc", "ipc");
    Must "config-linux.md#namespaces" ["1.0.0"] "… the container MUST inherit the runtime namespace of that type. (uts)"
        the_runtimes_uts_namespace_is_inherited => || inherits("uts", "uts");
    Must "config-linux.md#namespaces" ["1.0.0"] "… the container MUST inherit the runtime namespace of that type. (user)"
        the_runtimes_user_namespace_is_inherited => || inherits("user", "user");
    Must "config-linux.md#namespaces" ["1.0.0"] "… the container MUST inherit the runtime namespace of that type. (cgroup)"
        the_runtimes_cgroup_namespace_is_inherited => || inherits("cgroup", "cgroup");
    Must "config-linux.md#namespaces" ["1.0.0"] "… the container MUST inherit the runtime namespace of that type. (time)"
        the_runtimes_time_namespace_is_inherited => || inherits("time", "time");
    Must "config-linux.md#namespaces" ["1.0.0"] "If a namespaces field contains duplicated namespaces with same type, the runtime MUST generate an error."
        a_namespace_that_is_given_twice_is_an_error => || refuses(|config| { config.push("/linux/namespaces", json!({"type": "uts"})); });
    Must "config-linux.md#namespaces" ["1.0.0"] "type (string, REQUIRED) - namespace type. (config.md, Valid values)"
        a_namespace_of_an_unknown_type_is_an_error => || refuses(|config| { config.push("/linux/namespaces", json!({"type": "unknown"})); });

    Must "config-linux.md#user-namespace-mappings" ["1.0.0"] "uidMappings (array of objects, OPTIONAL) describes the user namespace uid mappings from the host to the container."
        the_uid_mappings_are_set => || assert_eq!(mapped().file("/proc/self/uid_map").split_whitespace().collect::<Vec<_>>(), ["0", "100000", "1000", "1000", "200000", "500"]);
    Must "config-linux.md#user-namespace-mappings" ["1.0.0"] "gidMappings (array of objects, OPTIONAL) describes the user namespace gid mappings from the host to the container."
        the_gid_mappings_are_set => || assert_eq!(mapped().file("/proc/self/gid_map").split_whitespace().collect::<Vec<_>>(), ["0", "100000", "1000", "1000", "200000", "500"]);
    Should "config-linux.md#user-namespace-mappings" ["1.0.0"] "The runtime SHOULD NOT modify the ownership of referenced filesystems to realize the mapping."
        a_mapping_leaves_the_ownership_of_files_alone;

    Must "config-linux.md#offset-for-time-namespace" ["1.1.0"] "secs (int64, OPTIONAL) - is the offset of clock (in seconds) in the container. (boottime)"
        the_boottime_clock_has_its_offset => || offset("boottime", json!({"secs": 604800}), "604800 0");
    Must "config-linux.md#offset-for-time-namespace" ["1.1.0"] "nanosecs (uint32, OPTIONAL) - is the offset of clock (in nanoseconds) in the container. (monotonic)"
        the_monotonic_clock_has_its_offset => || offset("monotonic", json!({"secs": 1000, "nanosecs": 42}), "1000 42");
    Must "config-linux.md#offset-for-time-namespace" ["1.1.0"] "The name of the clock is the entry key. (config.md, Valid values)"
        an_offset_of_an_unknown_clock_is_an_error => || refuses(|config| {
            config.version("1.1.0").namespace("time", None).set("/linux/timeOffsets", json!({"sundial": {"secs": 1}}));
        });
}

fn available(path: &str, kind: &str) {
    assert_eq!(probe(|_| {}).mount(path).kind, kind);
}

fn host(kind: &str) -> String {
    link("self", kind)
}

fn link(process: &str, kind: &str) -> String {
    let path = format!("/proc/{process}/ns/{kind}");
    match fs::read_link(&path) {
        Ok(link) => link.display().to_string(),
        Err(_) => skip(format!("this kernel has no {kind} namespaces")),
    }
}

/// With a namespace of its own of this kind.
fn with(config: &mut Config, kind: &str) {
    if kind == "user" {
        config.user_namespace(&[(0, 100_000, 65536)]);
    } else {
        config.version("1.1.0").namespace(kind, None);
    }
}

fn new(kind: &str, name: &str) {
    let host = host(name);
    let report = probe(|config| with(config, kind));
    assert_ne!(report.namespaces[name], host);
}

fn a_pid_namespace_is_supported() {
    new("pid", "pid");
    let processes = inside("ls /proc | grep -c '^[0-9]'; true", |_| {});
    let count: u32 = processes.trim().parse().unwrap();
    assert!(count < 5, "{count} processes are seen");
}

fn a_network_namespace_is_supported() {
    new("network", "net");
    let devices = probe(|_| {}).file("/proc/net/dev").to_owned();
    assert_eq!(devices.lines().skip(2).count(), 1, "lo alone: {devices}");
}

fn a_cgroup_namespace_is_supported() {
    new("cgroup", "cgroup");
    let report = probe(|config| with(config, "cgroup"));
    let lines: Vec<_> = report.file("/proc/self/cgroup").lines().collect();
    assert!(lines.iter().all(|line| line.ends_with(":/")), "{lines:?}");
}

/// Of two containers that live at the same time.
fn a_namespace_without_a_path_is_new() {
    let holder = running(|_| {});
    let first = holder.pid().to_string();
    let second = probe(|_| {});
    for kind in ["pid", "net", "ipc", "uts", "mnt"] {
        assert_ne!(second.namespaces[kind], host(kind));
        assert_ne!(second.namespaces[kind], link(&first, kind), "{kind}");
    }
}

fn joins(kind: &str, name: &str) {
    let _ = host(name);
    let holder = running(|config| with(config, kind));
    let pid = holder.pid().to_string();
    let path = format!("/proc/{pid}/ns/{name}");
    let report = probe(|config| {
        config
            .version("1.1.0")
            .namespace(kind, Some(&path))
            .remove("/hostname");
    });
    assert_eq!(report.namespaces[name], link(&pid, name));
}

/// A container that waits, with no more mounted or hidden than a runtime needs.
fn without_mounts(change: impl FnOnce(&mut Config)) -> Container {
    Container::new(|config| {
        config
            .args(&["sleep", "60"])
            .set("/mounts", json!([]))
            .mount("/proc", "proc", "proc", &[]);
        config
            .remove("/linux/maskedPaths")
            .remove("/linux/readonlyPaths")
            .set("/root/readonly", json!(false));
        change(config);
    })
}

/// One that has the host's files: the root file system has to be there.
fn a_mount_namespace_is_joined() {
    let mut command = std::process::Command::new("unshare");
    command.args(["-m", "--propagation", "private", "sleep", "60"]);
    let holder = spawn(&mut command);
    let holder_pid = holder.id().to_string();
    until("unshare", || {
        (link(&holder_pid, "mnt") != host("mnt")).then_some(())
    });
    let path = format!("/proc/{holder_pid}/ns/mnt");
    let container = without_mounts(|config| {
        config.namespace("mount", Some(&path));
    });
    let _ = container.run_detached();
    let joined = link(&container.pid().to_string(), "mnt");
    assert_eq!(joined, link(&holder_pid, "mnt"));
}

fn inherits(kind: &str, name: &str) {
    let host = host(name);
    let report = probe(|config| {
        config.share(kind).remove("/hostname");
    });
    assert_eq!(report.namespaces[name], host);
}

/// In a mount namespace of the case's own: what is mounted for the container must not reach the host.
fn the_runtimes_mount_namespace_is_inherited() {
    let container = without_mounts(|config| {
        config.share("mount");
    });
    let script = "readlink /proc/self/ns/mnt; \"$@\"";
    let unshare = ["-m", "--propagation", "private"];
    let finished = run_in(&unshare, script, &container, &["--detach"]).ok();
    let inherited = link(&container.pid().to_string(), "mnt");
    assert_eq!(inherited, finished.stdout.trim());
}

fn mapped() -> Report {
    probe(|config| {
        config.user_namespace(&[(0, 100_000, 1000), (1000, 200_000, 500)]);
    })
}

fn a_mapping_leaves_the_ownership_of_files_alone() {
    let container = Container::new(|config| {
        config.user_namespace(&[(0, 100_000, 65536)]);
    });
    let owner = |name: &str| {
        let metadata = fs::metadata(container.rootfs().join(name)).unwrap();
        (metadata.uid(), metadata.gid())
    };
    let names = [".", "probe", "bin", "etc/passwd", "tmp"];
    let before = names.map(owner);
    let _ = container.report();
    assert_eq!(names.map(owner), before);
}

fn offset(clock: &str, value: serde_json::Value, expected: &str) {
    let _ = host("time");
    let report = probe(|config| {
        config
            .version("1.1.0")
            .namespace("time", None)
            .set("/linux/timeOffsets", json!({clock: value}));
    });
    let offsets = report.file("/proc/self/timens_offsets");
    let words: Vec<_> = offsets
        .lines()
        .find_map(|line| line.strip_prefix(clock))
        .expect("the clock")
        .split_whitespace()
        .collect();
    assert_eq!(words.join(" "), expected, "{offsets}");
}
