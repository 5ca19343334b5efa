//! config-linux.md: control groups. Limits are read from the host's files; a limit whose file this machine lacks is skipped.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{created, errs, inside, refuses, running};
use crate::cgroup::{self, directory, existing, hierarchies, is_v1};
use crate::driver::{Driver, driver};
use crate::process::until;
use crate::suite::skip;
use crate::{Config, Container};

cases! {
    Must "config-linux.md#cgroups-path" ["1.0.0"] "In the case of an absolute path, the runtime MUST take the path to be relative to the cgroups mount point."
        an_absolute_cgroups_path_is_below_the_mount_point;
    Must "config-linux.md#cgroups-path" ["1.0.0"] "the runtime MUST consistently attach to the same place in the cgroups hierarchy given the same value of cgroupsPath."
        the_same_cgroups_path_is_the_same_place => || assert_eq!(place(), place());
    Must "config-linux.md#cgroups-path" ["1.0.0"] "The value of cgroupsPath MUST be either an absolute path or a relative path."
        a_relative_cgroups_path_is_a_place_or_an_error;
    Must "config-linux.md#cgroups-path" ["1.0.0"] "If the value is not specified, the runtime MAY define the default cgroups path."
        a_container_needs_no_cgroups_path;
    Must "config-linux.md#cgroups-path" ["1.0.0"] "The cgroups will be created if they don't exist."
        a_nested_cgroups_path_is_made;
    Must "config-linux.md#cgroups-path" ["1.0.0"] "Runtimes MAY consider certain cgroupsPath values to be invalid, and MUST generate an error if this is the case."
        a_cgroups_path_does_not_leave_the_mount_point;
    Must "config-linux.md#control-groups" ["1.1.0"] "A runtime MAY … check if the container cgroup is fit for purpose, and MUST generate an error if such a check fails."
        a_cgroup_of_another_container_is_an_error_or_left_alone;

    Should "config-linux.md#cgroup-ownership" ["1.1.0"] "Runtimes SHOULD NOT change the ownership of container cgroups when cgroups v1 is in use."
        the_owner_of_a_v1_cgroup_is_not_changed => || owned("cgroup", true);
    Should "config-linux.md#cgroup-ownership" ["1.1.0"] "SHOULD NOT change the ownership … unless it will also create a new cgroup namespace for the container."
        the_owner_is_not_changed_without_a_cgroup_namespace => || owned("none", true);
    Should "config-linux.md#cgroup-ownership" ["1.1.0"] "If the configuration does not specify such a [writable cgroup] mount, the runtime SHOULD NOT change the cgroup ownership."
        the_owner_is_not_changed_without_a_writable_mount => || owned("cgroup", false);
    Should "config-linux.md#cgroup-ownership" ["1.1.0"] "Runtimes SHOULD change the cgroup ownership if … the cgroup filesystem is to be mounted read/write"
        the_owner_of_a_v2_cgroup_is_the_containers_user;
    Should "config-linux.md#cgroup-ownership" ["1.1.0"] "SHOULD only change the ownership of the container's cgroup directory and files within that directory that are listed in /sys/kernel/cgroup/delegate"
        only_delegated_files_change_their_owner;

    Must "config-linux.md#allowed-device-list" ["1.0.0"] "devices (array of objects, OPTIONAL) configures the allowed device list."
        a_device_that_is_not_allowed_cannot_be_opened => || assert_eq!(opens(&[json!({"allow": false, "access": "rwm"})]), "no");
    Must "config-linux.md#allowed-device-list" ["1.0.0"] "allow (boolean, REQUIRED) - whether the entry is allowed or denied."
        a_device_that_is_allowed_can_be_opened => || assert_eq!(opens(&[json!({"allow": false, "access": "rwm"}), loop_device(true, "rwm")]), "yes");
    Must "config-linux.md#allowed-device-list" ["1.0.0"] "The runtime MUST apply entries in the listed order."
        the_entries_are_applied_in_the_listed_order => || assert_eq!(opens(&[json!({"allow": false, "access": "rwm"}), loop_device(true, "rwm"), loop_device(false, "rwm")]), "no");
    Must "config-linux.md#allowed-device-list" ["1.0.0"] "access: A composition of r (read), w (write), and m (mknod)."
        the_access_of_an_entry_counts => || assert_eq!(opens(&[json!({"allow": false, "access": "rwm"}), loop_device(true, "w")]), "no");
    Must "config-linux.md#allowed-device-list" ["1.0.0"] "type: Unset values mean \"all\"; major, minor: Unset values mean \"all\""
        unset_values_mean_all => || assert_eq!(opens(&[json!({"allow": false, "access": "rwm"}), json!({"allow": true, "access": "r"})]), "yes");
    Must "config-linux.md#allowed-device-list" ["1.0.0"] "access (string, OPTIONAL)"
        an_entry_needs_no_access => || drop(inside("true", |config| { config.push("/linux/resources/devices", json!({"allow": true, "type": "c", "major": 10, "minor": 237})); }));
    Must "config-linux.md#allowed-device-list" ["1.0.0"] "type - type of device: a (all), c (char), or b (block). (config.md, Valid values)"
        an_entry_of_an_unknown_type_is_an_error => || refuses(|config| { config.set("/linux/resources/devices", json!([{"allow": true, "type": "x"}])); });
    Must "config-linux.md#allowed-device-list" ["1.0.0"] "access (config.md, Valid values)"
        an_unknown_access_is_an_error => || refuses(|config| { config.set("/linux/resources/devices", json!([{"allow": true, "type": "c", "access": "x"}])); });

    Must "config-linux.md#memory" ["1.0.0"] "limit - sets limit of memory usage"
        memory_limit => || limit("memory", json!({"memory": {"limit": 64 << 20}}), ("memory.limit_in_bytes", "67108864"), ("memory.max", "67108864"));
    Must "config-linux.md#memory" ["1.0.0"] "reservation - sets soft limit of memory usage"
        memory_reservation => || limit("memory", json!({"memory": {"reservation": 32 << 20}}), ("memory.soft_limit_in_bytes", "33554432"), ("memory.low", "33554432"));
    Must "config-linux.md#memory" ["1.0.0"] "swap - sets limit of memory+Swap usage"
        memory_swap => || limit("memory", json!({"memory": {"limit": 64 << 20, "swap": 128 << 20}}), ("memory.memsw.limit_in_bytes", "134217728"), ("memory.swap.max", "67108864"));
    Must "config-linux.md#memory" ["1.0.0"] "-1 for unlimited memory"
        memory_unlimited => || limit("memory", json!({"memory": {"limit": -1}}), ("memory.limit_in_bytes", "9223372036854771712"), ("memory.max", "max"));
    Must "config-linux.md#memory" ["1.0.0"] "kernelTCP (NOT RECOMMENDED) - sets hard limit for kernel TCP buffer memory"
        memory_kernel_tcp;
    Must "config-linux.md#memory" ["1.0.0"] "swappiness - sets swappiness parameter of vmscan"
        memory_swappiness => || limit("memory", json!({"memory": {"swappiness": 17}}), ("memory.swappiness", "17"), NONE);
    Must "config-linux.md#memory" ["1.0.0"] "swappiness: The values are from 0 to 100. (config.md, Valid values)"
        memory_swappiness_of_1000_is_an_error => || refuses(|config| { config.set("/linux/resources/memory", json!({"swappiness": 1000})); });
    Must "config-linux.md#memory" ["1.0.0"] "disableOOMKiller - enables or disables the OOM killer."
        memory_disable_oom_killer => || limit("memory", json!({"memory": {"limit": 64 << 20, "disableOOMKiller": true}}), ("memory.oom_control", "oom_kill_disable 1"), NONE);
    Must "config-linux.md#memory" ["1.0.2"] "useHierarchy - enables or disables hierarchical memory accounting."
        memory_use_hierarchy => || limit("memory", json!({"memory": {"useHierarchy": true}}), ("memory.use_hierarchy", "1"), NONE);
    Must "config-linux.md#memory" ["1.1.0"] "checkBeforeUpdate - enables container memory usage check before setting a new limit. … MUST reject the new limit."
        memory_check_before_update;

    Must "config-linux.md#cpu" ["1.0.0"] "shares - specifies a relative share of CPU time"
        cpu_shares => || limit("cpu", json!({"cpu": {"shares": 512}}), ("cpu.shares", "512"), ("cpu.weight", ""));
    Must "config-linux.md#cpu" ["1.0.0"] "quota - specifies the total amount of time in microseconds … during one period"
        cpu_quota => || limit("cpu", json!({"cpu": {"quota": 40000, "period": 80000}}), ("cpu.cfs_quota_us", "40000"), ("cpu.max", "40000 80000"));
    Must "config-linux.md#cpu" ["1.0.0"] "period - specifies a period of time in microseconds"
        cpu_period => || limit("cpu", json!({"cpu": {"period": 80000}}), ("cpu.cfs_period_us", "80000"), ("cpu.max", "max 80000"));
    Must "config-linux.md#cpu" ["1.1.0"] "burst - specifies the maximum amount of accumulated time"
        cpu_burst => || limit("cpu", json!({"cpu": {"quota": 40000, "period": 80000, "burst": 10000}}), ("cpu.cfs_burst_us", "10000"), ("cpu.max.burst", "10000"));
    Must "config-linux.md#cpu" ["1.1.0"] "burst: this value MUST be no larger than any positive quota (the kernel refuses it)"
        cpu_burst_above_the_quota_is_an_error => || refuses(|config| { config.version("1.1.0").set("/linux/resources/cpu", json!({"quota": 40000, "period": 80000, "burst": 90000})); });
    Must "config-linux.md#cpu" ["1.0.0"] "realtimeRuntime, realtimePeriod"
        cpu_realtime => || limit("cpu", json!({"cpu": {"realtimeRuntime": 1000, "realtimePeriod": 500_000}}), ("cpu.rt_runtime_us", "1000"), NONE);
    Must "config-linux.md#cpu" ["1.0.0"] "cpus - list of CPUs the container will run on."
        cpu_cpus => || limit("cpuset", json!({"cpu": {"cpus": "0"}}), ("cpuset.cpus", "0"), ("cpuset.cpus", "0"));
    Must "config-linux.md#cpu" ["1.0.0"] "cpus: the container will run on them"
        cpu_cpus_are_where_the_program_runs => || {
            let text = inside("grep Cpus_allowed_list /proc/self/status", |config| { config.set("/linux/resources/cpu", json!({"cpus": "0"})); });
            assert!(text.trim().ends_with("\t0"), "{text}");
        };
    Must "config-linux.md#cpu" ["1.0.0"] "mems - list of memory nodes the container will run on."
        cpu_mems => || limit("cpuset", json!({"cpu": {"mems": "0"}}), ("cpuset.mems", "0"), ("cpuset.mems", "0"));
    Must "config-linux.md#cpu" ["1.1.0"] "idle - cgroups are configured with minimum weight, 0: default behavior, 1: SCHED_IDLE."
        cpu_idle => || limit("cpu", json!({"cpu": {"idle": 1}}), ("cpu.idle", "1"), ("cpu.idle", "1"));

    Must "config-linux.md#block-io" ["1.0.0"] "weight - specifies per-cgroup weight."
        block_io_weight => || limit("blkio", json!({"blockIO": {"weight": 300}}), (BLKIO_WEIGHT, "300"), NONE);
    Must "config-linux.md#block-io" ["1.0.0"] "leafWeight - equivalents of weight for … tasks in the given cgroup"
        block_io_leaf_weight => || limit("blkio", json!({"blockIO": {"leafWeight": 300}}), ("blkio.leaf_weight", "300"), NONE);
    Must "config-linux.md#block-io" ["1.0.0"] "weightDevice - an array of per-device bandwidth weights."
        block_io_weight_of_a_device => || per_device("weightDevice", "weight", 300, "blkio.weight_device", "300");
    Must "config-linux.md#block-io" ["1.0.0"] "You MUST specify at least one of weight or leafWeight in a given entry"
        a_device_without_a_weight_is_an_error => || refuses(|config| { config.set("/linux/resources/blockIO", json!({"weightDevice": [{"major": 8, "minor": 0}]})); });
    Must "config-linux.md#block-io" ["1.0.0"] "throttleReadBpsDevice - an array of per-device bandwidth rate limits."
        block_io_throttle_read_bps => || per_device("throttleReadBpsDevice", "rate", 1_048_576, "blkio.throttle.read_bps_device", "1048576");
    Must "config-linux.md#block-io" ["1.0.0"] "throttleWriteBpsDevice - an array of per-device bandwidth rate limits."
        block_io_throttle_write_bps => || per_device("throttleWriteBpsDevice", "rate", 1_048_576, "blkio.throttle.write_bps_device", "1048576");
    Must "config-linux.md#block-io" ["1.0.0"] "throttleReadIOPSDevice - an array of per-device IO rate limits."
        block_io_throttle_read_iops => || per_device("throttleReadIOPSDevice", "rate", 300, "blkio.throttle.read_iops_device", "300");
    Must "config-linux.md#block-io" ["1.0.0"] "throttleWriteIOPSDevice - an array of per-device IO rate limits."
        block_io_throttle_write_iops => || per_device("throttleWriteIOPSDevice", "rate", 300, "blkio.throttle.write_iops_device", "300");

    Must "config-linux.md#huge-page-limits" ["1.0.0"] "hugepageLimits: pageSize, limit"
        huge_page_limits => || limit("hugetlb", json!({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]}), ("hugetlb.2MB.limit_in_bytes", "4194304"), ("hugetlb.2MB.max", "4194304"));
    Must "config-linux.md#huge-page-limits" ["1.0.0"] "pageSize … must match the <hugepagesize> of the corresponding control file"
        an_unknown_huge_page_size_is_an_error => || refuses(|config| { config.set("/linux/resources/hugepageLimits", json!([{"pageSize": "3MB", "limit": 1}])); });
    Must "config-linux.md#network" ["1.0.0"] "classID - is the network class identifier the cgroup's network packets will be tagged with"
        network_class_id => || limit("net_cls", json!({"network": {"classID": 1_048_577}}), ("net_cls.classid", "1048577"), NONE);
    Must "config-linux.md#network" ["1.0.0"] "priorities: name, priority"
        network_priorities => || limit("net_prio", json!({"network": {"priorities": [{"name": "lo", "priority": 5}]}}), ("net_prio.ifpriomap", "lo 5"), NONE);
    Must "config-linux.md#pids" ["1.0.0"] "limit - specifies the maximum number of tasks in the cgroup"
        pids_limit => || limit("pids", json!({"pids": {"limit": 44}}), ("pids.max", "44"), ("pids.max", "44"));
    Must "config-linux.md#pids" ["1.0.0"] "with -1 indicating no limit (max)."
        pids_unlimited => || limit("pids", json!({"pids": {"limit": -1}}), ("pids.max", "max"), ("pids.max", "max"));
    Should "config-linux.md#pids" ["1.3.0"] "0 is a valid limit value … and SHOULD be treated as such by runtimes."
        pids_limit_of_0;
    Must "config-linux.md#rdma" ["1.0.2"] "hcaHandles - specifies the maximum number of hca_handles in the cgroup; hcaObjects"
        rdma_limits;

    Must "config-linux.md#rdma" ["1.0.2"] "You MUST specify at least one of the hcaHandles or hcaObjects in a given entry"
        an_rdma_device_without_limits_is_an_error => || refuses(|config| { config.set("/linux/resources/rdma", json!({"mlx5_1": {}})); });
    Must "config-linux.md#unified" ["1.1.0"] "Configuration unknown to the runtime MUST still be written to the relevant file."
        unified_files_are_written;
    Must "config-linux.md#unified" ["1.1.0"] "The OCI runtime MUST ensure that the needed cgroup controllers are enabled for the cgroup."
        unified_controllers_are_enabled;
    Must "config-linux.md#unified" ["1.1.0"] "The runtime MUST generate an error when the configuration refers to a cgroup controller that is not present or that cannot be enabled."
        a_unified_file_of_an_absent_controller_is_an_error => || refuses(|config| { config.version("1.1.0").set("/linux/resources/unified", json!({"nosuchcontroller.max": "1"})); });
    Must "config-linux.md#unified" ["1.1.0"] "If the conversion [from v1] is not possible the runtime MUST generate an error."
        a_v1_limit_that_v2_lacks_is_an_error;
}

const NONE: (&str, &str) = ("", "");

/// The kernel takes limits for a device that there is.
fn rdma_limits() {
    let devices = fs::read_dir("/sys/class/infiniband").into_iter().flatten();
    let Some(device) = devices.flatten().next() else {
        skip("this machine has no RDMA device");
    };
    let name = device.file_name().into_string().unwrap();
    let line = format!("{name} hca_handle=3 hca_object=100");
    let limits = json!({"rdma": {name: {"hcaHandles": 3, "hcaObjects": 100}}});
    limit("rdma", limits, ("rdma.max", &line), ("rdma.max", &line));
}

const BLKIO_WEIGHT: &str = "blkio.weight|blkio.bfq.weight";

fn an_absolute_cgroups_path_is_below_the_mount_point() {
    if driver() == Driver::Systemd {
        skip("a path is for the other driver");
    }
    let container = created(|_| {});
    let missing: Vec<_> = hierarchies()
        .into_iter()
        .map(|(_, mount)| mount.join(&container.id))
        .filter(|directory| !directory.exists())
        .collect();
    assert!(
        existing(&container.cgroup).len() > missing.len(),
        "{missing:?}"
    );
    let tasks = directory("pids", &container.cgroup).join("cgroup.procs");
    let tasks = fs::read_to_string(&tasks).unwrap();
    assert!(
        tasks.lines().any(|pid| pid == container.pid().to_string()),
        "{tasks}"
    );
}

/// Of the process in the pids hierarchy, without the ID.
fn place() -> String {
    let container = created(|_| {});
    lines(container.pid()).replace(&container.id, "ID")
}

fn lines(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap()
}

fn a_relative_cgroups_path_is_a_place_or_an_error() {
    let container = Container::new(|config| {
        config.waits();
    });
    let mut config = container.config();
    config.set("/linux/cgroupsPath", json!(container.id));
    container.write_config(&config);
    if container.create().code() == 0 {
        let cgroups = lines(container.pid());
        assert!(cgroups.contains(&container.id), "{cgroups}");
    }
}

fn a_container_needs_no_cgroups_path() {
    let container = created(|config| {
        config.remove("/linux/cgroupsPath");
    });
    let _ = container.start().ok();
    assert_eq!(container.status(), "running");
}

fn a_nested_cgroups_path_is_made() {
    if driver() == Driver::Systemd {
        skip("a path is for the other driver");
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let inner = format!("{}/outer/inner", container.cgroup);
    let mut config = container.config();
    config
        .set("/linux/cgroupsPath", json!(inner))
        .set("/linux/resources/pids", json!({"limit": 20}));
    container.write_config(&config);
    let _ = container.create().ok();
    assert_eq!(cgroup::read(&inner, "pids", "pids.max", "pids.max"), "20");
    let _ = container.delete_force().ok();
    cgroup::remove(&container.cgroup);
}

/// A path with `..` is either an error or taken to be below the mount point.
fn a_cgroups_path_does_not_leave_the_mount_point() {
    let container = Container::new(|config| {
        config.waits();
    });
    let mut config = container.config();
    let path = format!("/../../../../../../tmp/{}", container.id);
    config.set("/linux/cgroupsPath", json!(path));
    container.write_config(&config);
    let created = container.create().code() == 0;
    let outside = Path::new("/tmp").join(&container.id);
    let escaped = outside.exists();
    drop(fs::remove_dir_all(outside));
    assert!(!escaped, "a directory was made outside of the mount point");
    if created {
        let inside = format!("/tmp/{}", container.id);
        let found = existing(&inside).len();
        let _ = container.delete_force().ok();
        cgroup::remove(&inside);
        for directory in existing("/tmp") {
            drop(fs::remove_dir(directory));
        }
        assert!(found > 0, "not below the mount point");
    }
}

/// Where the runtime shares the cgroup it does no harm to who is in it.
fn a_cgroup_of_another_container_is_an_error_or_left_alone() {
    let first = running(|_| {});
    let second = Container::new(|config| {
        config
            .args(&["true"])
            .set("/linux/cgroupsPath", json!(first.cgroups_path));
    });
    if second.run().code() == 0 {
        let _ = second.delete_force();
        assert_eq!(first.status(), "running");
        assert!(!existing(&first.cgroup).is_empty());
    }
}

fn owners(path: &str, v1: bool) -> Vec<(PathBuf, u32)> {
    let kind = |names: &[String]| names.iter().any(|name| name == "unified");
    hierarchies()
        .into_iter()
        .filter(|(names, _)| kind(names) != v1)
        .map(|(_, mount)| mount.join(path.trim_start_matches('/')))
        .filter_map(|directory| Some((directory.clone(), fs::metadata(directory).ok()?.uid())))
        .collect()
}

/// The container's user is 1000; `namespace` is a cgroup namespace or none.
fn delegated(namespace: &str, writable: bool) -> Container {
    created(|config| {
        config
            .version("1.1.0")
            .set("/process/user", json!({"uid": 1000, "gid": 1000}));
        if namespace == "cgroup" {
            config.namespace("cgroup", None);
        }
        if writable {
            let mounts = config.0["mounts"].as_array_mut().unwrap();
            for mount in mounts.iter_mut().filter(|mount| mount["type"] == "cgroup") {
                mount["options"] = json!(["nosuid", "noexec", "nodev", "relatime"]);
            }
        }
    })
}

fn owned(namespace: &str, writable: bool) {
    let container = delegated(namespace, writable);
    let mut all = owners(&container.cgroup, true);
    if namespace != "cgroup" || !writable {
        all.extend(owners(&container.cgroup, false));
    }
    if all.is_empty() {
        skip("this machine has no cgroup v1");
    }
    let changed: Vec<_> = all.iter().filter(|(_, owner)| *owner != 0).collect();
    assert!(changed.is_empty(), "{changed:?}");
}

/// Where v2 is all that there is: on a hybrid machine the container's cgroup mount is of v1.
fn v2_only() {
    if hierarchies()
        .iter()
        .any(|(names, _)| !names.iter().any(|name| name == "unified"))
    {
        skip("this machine has cgroup v1, too");
    }
}

fn the_owner_of_a_v2_cgroup_is_the_containers_user() {
    v2_only();
    let container = delegated("cgroup", true);
    for (directory, owner) in owners(&container.cgroup, false) {
        assert_eq!(owner, 1000, "{}", directory.display());
    }
}

fn only_delegated_files_change_their_owner() {
    v2_only();
    let container = delegated("cgroup", true);
    let list = fs::read_to_string("/sys/kernel/cgroup/delegate").unwrap();
    for (directory, _) in owners(&container.cgroup, false) {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let name = entry.file_name().into_string().unwrap();
            let expected = if list.lines().any(|line| line == name) {
                1000
            } else {
                0
            };
            assert_eq!(entry.metadata().unwrap().uid(), expected, "{name}");
        }
    }
}

fn loop_device(allow: bool, access: &str) -> Value {
    json!({"allow": allow, "type": "c", "major": 10, "minor": 237, "access": access})
}

/// Whether the loop control device, which no runtime allows by itself, can be opened for reading.
fn opens(entries: &[Value]) -> String {
    if !Path::new("/dev/loop-control").exists() {
        skip("this machine has no /dev/loop-control");
    }
    let script = "(exec 3< /dev/the-device) 2> /dev/null && echo yes || echo no";
    let text = inside(script, |config| {
        // Bound, and not of /linux/devices: those are the runtime's to allow.
        config.set("/linux/resources/devices", json!(entries));
        config.bind("/dev/loop-control", "/dev/the-device", &["bind"]);
    });
    text.trim().to_owned()
}

/// The first of the file's names, apart by `|`, that the controller has here.
fn file_of(controller: &str, path: &str, names: &str) -> Option<PathBuf> {
    let present = is_v1(controller) || on_v2(controller);
    let directory = present.then(|| directory(controller, path))?;
    names
        .split('|')
        .map(|name| directory.join(name))
        .find(|file| file.exists())
}

/// On a hybrid machine it is v1 that limits.
fn on_v2(controller: &str) -> bool {
    if is_v1("memory") || is_v1("cpu") {
        return false;
    }
    hierarchies().iter().any(|(names, mount)| {
        let enabled = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
        names.iter().any(|name| name == "unified")
            && enabled.split_whitespace().any(|name| name == controller)
    })
}

/// Skips the case where a cgroup has no such file.
fn needs(controller: &str, names: &str) {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    if is_v1(controller) || on_v2(controller) {
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = format!("/conformance-look-{}-{number}", std::process::id());
        let look = directory(controller, &path);
        fs::create_dir(&look).unwrap();
        let found = file_of(controller, &path, names).is_some();
        fs::remove_dir(&look).unwrap();
        if found {
            return;
        }
    }
    skip(format!("this machine's cgroups have no {names}"));
}

/// Creates a container with these resources, and compares a line of the controller's file.
fn limit(controller: &str, resources: Value, v1: (&str, &str), v2: (&str, &str)) {
    let (names, expected) = if is_v1(controller) { v1 } else { v2 };
    if names.is_empty() {
        skip("cgroup v2 has no such limit");
    }
    needs(controller, names);
    let container = created(|config: &mut Config| {
        config.version("1.1.0");
        for (name, value) in resources.as_object().unwrap() {
            config.set(&format!("/linux/resources/{name}"), value.clone());
        }
    });
    let file = file_of(controller, &container.cgroup, names).expect("the cgroup has the file");
    let text = fs::read_to_string(&file).unwrap();
    let holds = expected.is_empty() || text.lines().any(|line| line.trim() == expected);
    assert!(holds, "{}: {text:?}, not {expected:?}", file.display());
}

/// Recent kernels have the file, and take no value.
fn memory_kernel_tcp() {
    const FILE: &str = "memory.kmem.tcp.limit_in_bytes";
    needs("memory", FILE);
    let look = created(|_| {});
    let file = directory("memory", &look.cgroup).join(FILE);
    let _ = fs::write(&file, "16777216");
    if fs::read_to_string(&file).unwrap_or_default().trim() != "16777216" {
        skip("this kernel has no limit of kernel TCP memory");
    }
    let resources = json!({"memory": {"kernelTCP": 16 << 20}});
    limit("memory", resources, (FILE, "16777216"), NONE);
}

/// By its effect: a cgroup with one process and a limit of 0 (or 1) has no other.
fn pids_limit_of_0() {
    let container = Container::new(|config| {
        config
            .version("1.3.0")
            .shell("echo started; (true; true); echo forked")
            .set("/linux/resources/pids", json!({"limit": 0}));
    });
    let text = container.run().stdout;
    assert_eq!(text, "started\n");
}

fn memory_check_before_update() {
    let container = running(|config| {
        config.version("1.1.0").set(
            "/linux/resources/memory",
            json!({"limit": 64 << 20, "checkBeforeUpdate": true}),
        );
        // The last command would be executed in the shell's own place, and its memory be free.
        config.shell("x=$(head -c 8000000 /dev/zero | tr '\\0' x); sleep 60; : $x");
    });
    let resources = json!({"memory": {"limit": 1 << 20, "checkBeforeUpdate": true}});
    let file = container.file("resources.json", &resources.to_string());
    let usage = match is_v1("memory") {
        true => "memory.usage_in_bytes",
        false => "memory.current",
    };
    let usage = directory("memory", &container.cgroup).join(usage);
    until("the program has taken its memory", || {
        let text = fs::read_to_string(&usage).unwrap_or_default();
        text.trim()
            .parse()
            .is_ok_and(|bytes: u64| bytes > 8_000_000)
            .then_some(())
    });
    let mut update = container.subcommand(["update", "--resources"]);
    errs(&crate::process::run(update.arg(file).arg(&container.id)));
    assert_eq!(container.status(), "running");
}

/// A device with a request queue, whole: a limit needs one.
fn disk() -> (u64, u64) {
    let entries = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let number = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    match entries.filter_map(number).max() {
        Some(number) => number,
        None => skip("this machine has no block device"),
    }
}

fn per_device(field: &str, key: &str, value: u64, file: &str, expected: &str) {
    let (major, minor) = disk();
    let entry = json!({"major": major, "minor": minor, key: value});
    let line = format!("{major}:{minor} {expected}");
    limit(
        "blkio",
        json!({"blockIO": {field: [entry]}}),
        (file, &line),
        NONE,
    );
}

fn unified_files_are_written() {
    v2_only();
    let container = created(|config| {
        config
            .version("1.1.0")
            .set("/linux/resources/unified", json!({"cgroup.max.depth": "7"}));
    });
    let file = directory("unified", &container.cgroup).join("cgroup.max.depth");
    assert_eq!(fs::read_to_string(file).unwrap().trim(), "7");
}

fn unified_controllers_are_enabled() {
    v2_only();
    if !on_v2("pids") {
        skip("this machine's cgroup v2 has no pids controller");
    }
    let container = created(|config| {
        config
            .version("1.1.0")
            .set("/linux/resources/unified", json!({"pids.max": "66"}));
    });
    let file = directory("unified", &container.cgroup).join("pids.max");
    assert_eq!(fs::read_to_string(file).unwrap().trim(), "66");
}

fn a_v1_limit_that_v2_lacks_is_an_error() {
    v2_only();
    refuses(|config| {
        config
            .version("1.1.0")
            .set("/linux/resources/network", json!({"classID": 1}));
    });
}
