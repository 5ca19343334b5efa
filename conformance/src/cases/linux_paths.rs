//! config-linux.md: sysctl, root propagation, masked and read-only paths, labels, personality, memory policy, Intel RDT.

use std::fs;

use serde_json::{Value, json};

use super::{inside, refuses, run_if_supported, run_in};
use crate::container::probe;
use crate::suite::skip;
use crate::{Container, Report};

cases! {
    Must "config-linux.md#intelrdt" ["1.0.0"] "If no mounted resctrl pseudo-filesystem is available …, the runtime MUST generate an error."
        intel_rdt_without_resctrl_is_an_error => || { no_resctrl(); refuses(|config| { config.set("/linux/intelRdt", json!({"closID": "guaranteed"})); }); };
    Must "config-linux.md#intelrdt" ["1.0.0"] "If intelRdt is not set, the runtime MUST NOT manipulate any resctrl pseudo-filesystems."
        without_intel_rdt_resctrl_is_not_needed => || { no_resctrl(); drop(probe(|_| {})); };
    Must "config-linux.md#intelrdt" ["1.3.0"] "memBwSchema: The value MUST start with MB: and MUST NOT contain newlines."
        a_memory_bandwidth_schema_of_another_kind_is_an_error => || refuses(|config| { config.version("1.3.0").set("/linux/intelRdt", json!({"memBwSchema": "L3:0=1"})); });

    Must "config-linux.md#memory-policy" ["1.3.0"] "memoryPolicy (object, OPTIONAL) sets the NUMA memory policy for the container: MPOL_BIND, nodes"
        memory_policy_bind => || policy(&json!({"mode": "MPOL_BIND", "nodes": "0"}), "bind:0");
    Must "config-linux.md#memory-policy" ["1.3.0"] "mode: MPOL_INTERLEAVE"
        memory_policy_interleave => || policy(&json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}), "interleave:0");
    Must "config-linux.md#memory-policy" ["1.3.0"] "mode: MPOL_PREFERRED"
        memory_policy_preferred => || policy(&json!({"mode": "MPOL_PREFERRED", "nodes": "0"}), "prefer:0");
    Must "config-linux.md#memory-policy" ["1.3.0"] "mode: MPOL_PREFERRED_MANY"
        memory_policy_preferred_many => || policy(&json!({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}), "prefer (many):0");
    Must "config-linux.md#memory-policy" ["1.3.0"] "mode: MPOL_WEIGHTED_INTERLEAVE"
        memory_policy_weighted_interleave => || policy(&json!({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}), "weighted interleave:0");
    Must "config-linux.md#memory-policy" ["1.3.0"] "mode: MPOL_LOCAL"
        memory_policy_local => || policy(&json!({"mode": "MPOL_LOCAL"}), "local");
    Must "config-linux.md#memory-policy" ["1.3.0"] "mode: MPOL_DEFAULT"
        memory_policy_default => || policy(&json!({"mode": "MPOL_DEFAULT"}), "default");
    Must "config-linux.md#memory-policy" ["1.3.0"] "flags: MPOL_F_STATIC_NODES"
        memory_policy_flag_static_nodes => || policy(&json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}), "bind=static:0");
    Must "config-linux.md#memory-policy" ["1.3.0"] "flags: MPOL_F_RELATIVE_NODES"
        memory_policy_flag_relative_nodes => || policy(&json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}), "bind=relative:0");
    Must "config-linux.md#memory-policy" ["1.3.0"] "mode: A valid list of constants is …"
        an_unknown_memory_policy_is_an_error => || refuses(|config| { config.version("1.3.0").set("/linux/memoryPolicy", json!({"mode": "MPOL_UNKNOWN"})); });
    Must "config-linux.md#memory-policy" ["1.3.0"] "flags: A valid list of constants is …"
        an_unknown_memory_policy_flag_is_an_error => || refuses(|config| { config.version("1.3.0").set("/linux/memoryPolicy", json!({"mode": "MPOL_DEFAULT", "flags": ["MPOL_F_UNKNOWN"]})); });
    Must "config-linux.md#memory-policy" ["1.3.0"] "nodes: Some modes require … that there is at least one node, e.g. MPOL_BIND"
        a_memory_policy_without_the_nodes_that_it_needs_is_an_error => || refuses(|config| { config.version("1.3.0").set("/linux/memoryPolicy", json!({"mode": "MPOL_BIND"})); });

    Must "config-linux.md#sysctl" ["1.0.0"] "sysctl (object, OPTIONAL) allows kernel parameters to be modified at runtime for the container. (network)"
        a_sysctl_of_the_network_namespace_is_set => || assert_eq!(sysctl("net.ipv4.ip_forward", "1").file("/proc/sys/net/ipv4/ip_forward"), "1");
    Must "config-linux.md#sysctl" ["1.0.0"] "sysctl … (ipc)"
        a_sysctl_of_the_ipc_namespace_is_set => || assert_eq!(sysctl("kernel.shmmax", "123456").file("/proc/sys/kernel/shmmax"), "123456");
    Must "config-linux.md#sysctl" ["1.0.0"] "sysctl … (config.md, Valid values)"
        a_sysctl_that_does_not_exist_is_an_error => || refuses(|config| { config.set("/linux/sysctl", json!({"net.ipv4.no_such_sysctl": "1"})); });

    Must "config-linux.md#rootfs-mount-propagation" ["1.0.0"] "shared: the rootfs mount belongs to a new peer group."
        root_propagation_shared => || propagation("shared", "shared");
    Must "config-linux.md#rootfs-mount-propagation" ["1.0.0"] "slave: the rootfs mount receives propagation events from the host … but not the other way around."
        root_propagation_slave => || propagation("slave", "master");
    Must "config-linux.md#rootfs-mount-propagation" ["1.0.0"] "private: the rootfs mount doesn't receive mount propagation events from the host"
        root_propagation_private => || propagation("private", "");
    Must "config-linux.md#rootfs-mount-propagation" ["1.0.0"] "unbindable: the rootfs mount is a private mount that cannot be bind-mounted."
        root_propagation_unbindable => || propagation("unbindable", "unbindable");
    Must "config-linux.md#rootfs-mount-propagation" ["1.0.0"] "Its value is either shared, slave, private or unbindable."
        an_unknown_propagation_is_an_error => || refuses(|config| { config.set("/linux/rootfsPropagation", json!("unknown")); });

    Must "config-linux.md#masked-paths" ["1.0.0"] "maskedPaths … will mask over the provided paths inside the container so that they cannot be read. (a file)"
        a_masked_file_cannot_be_read => || assert_eq!(masked("cat /masked/file"), "");
    Must "config-linux.md#masked-paths" ["1.0.0"] "maskedPaths … (a directory)"
        a_masked_directory_cannot_be_read => || assert_eq!(masked("ls -A /masked/directory"), "");
    Must "config-linux.md#masked-paths" ["1.0.0"] "The values MUST be absolute paths in the container namespace."
        a_relative_masked_path_is_an_error => || refuses(|config| { config.push("/linux/maskedPaths", json!("etc")); });
    Must "config-linux.md#readonly-paths" ["1.0.0"] "readonlyPaths … will set the provided paths as readonly inside the container."
        a_readonly_path_cannot_be_written;
    Must "config-linux.md#readonly-paths" ["1.0.0"] "The values MUST be absolute paths in the container namespace."
        a_relative_readonly_path_is_an_error => || refuses(|config| { config.push("/linux/readonlyPaths", json!("etc")); });

    Must "config-linux.md#mount-label" ["1.0.0"] "mountLabel (string, OPTIONAL) will set the Selinux context for the mounts in the container."
        the_mount_label_is_the_mounts;

    Must "config-linux.md#personality" ["1.0.2"] "domain: LINUX32 will set the uname system call to show a 32 bit CPU type, such as i686."
        personality_linux32 => || {
            let machine = personality("LINUX32");
            assert!(["i686", "armv8l", "armv7l"].contains(&machine.as_str()), "{machine}");
        };
    Must "config-linux.md#personality" ["1.0.2"] "domain: LINUX"
        personality_linux => || assert_eq!(personality("LINUX"), std::env::consts::ARCH);
    Must "config-linux.md#personality" ["1.0.2"] "flags: Currently no flag values are supported."
        a_personality_flag_is_an_error => || refuses(|config| { config.set("/linux/personality", json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]})); });
    Must "config-linux.md#personality" ["1.0.2"] "domain: The valid list of constants is …"
        an_unknown_personality_is_an_error => || refuses(|config| { config.set("/linux/personality", json!({"domain": "UNKNOWN"})); });
}

fn no_resctrl() {
    if fs::read_to_string("/proc/self/mountinfo")
        .unwrap_or_default()
        .contains(" - resctrl ")
    {
        skip("resctrl is mounted here");
    }
}

/// The policy of the process's own memory: numa(7), /proc/PID/numa_maps.
fn policy(value: &Value, expected: &str) {
    if !std::path::Path::new("/proc/self/numa_maps").exists() {
        skip("this kernel has no NUMA");
    }
    let container = Container::new(|config| {
        config
            .version("1.3.0")
            .shell("cut -d' ' -f2- /proc/self/numa_maps | head -1")
            .set("/linux/memoryPolicy", value.clone());
    });
    if expected.starts_with("weighted") && crate::runtime::kernel() < (6, 9) {
        skip("weighted interleaving is of Linux 6.9");
    }
    let text = run_if_supported(&container).ok().stdout;
    assert!(text.starts_with(expected), "{expected}: {text}");
}

fn sysctl(name: &str, value: &str) -> Report {
    probe(|config| {
        config.set("/linux/sysctl", json!({name: value}));
    })
}

/// In a mount namespace of its own, so that what the host's mounts are does not matter: they are all shared there.
fn propagation(value: &str, tag: &str) {
    let container = Container::new(|config| {
        config.set("/linux/rootfsPropagation", json!(value));
    });
    let finished = run_in(
        &["-m", "--propagation", "shared"],
        "exec \"$@\"",
        &container,
        &[],
    );
    let report = Report::parse(&finished.ok());
    let root = report.mount("/");
    let holds = if tag.is_empty() {
        root.propagation.is_empty()
    } else {
        root.propagates(tag)
    };
    assert!(holds, "{value}: {root:?}");
}

fn masked(script: &str) -> String {
    let container = Container::new(|config| {
        config
            .shell(&format!("{script} 2> /dev/null; true"))
            .push("/linux/maskedPaths", json!("/masked/file"))
            .push("/linux/maskedPaths", json!("/masked/directory"))
            .push("/linux/maskedPaths", json!("/masked/nosuch"));
    });
    fs::create_dir_all(container.rootfs().join("masked/directory/inner")).unwrap();
    fs::write(container.rootfs().join("masked/file"), "secret").unwrap();
    container.run().ok().stdout
}

fn a_readonly_path_cannot_be_written() {
    let script =
        "touch /etc/new /tmp/new 2> /dev/null; echo x >> /etc/passwd; ls /etc/new /tmp/new";
    let text = inside(&format!("({script}) 2> /dev/null; true"), |config| {
        config.push("/linux/readonlyPaths", json!("/etc"));
    });
    assert_eq!(text, "/tmp/new\n");
}

fn the_mount_label_is_the_mounts() {
    if !std::path::Path::new("/sys/fs/selinux/enforce").exists() {
        skip("this kernel has no SELinux");
    }
    refuses(|config| {
        config.set("/linux/mountLabel", json!("no:such:label"));
    });
}

fn personality(domain: &str) -> String {
    let container = Container::new(|config| {
        config
            .args(&["uname", "-m"])
            .set("/linux/personality", json!({"domain": domain}));
    });
    let text = run_if_supported(&container).ok().stdout;
    text.trim().to_owned()
}
