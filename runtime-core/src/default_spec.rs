//! The configuration that `bareboat spec` writes, for a shell in a root filesystem: the same as runc's.

use std::collections::HashSet;

use nix::sys::statfs::{CGROUP2_SUPER_MAGIC, statfs};
use oci_spec::runtime::{
    Capability, Linux, LinuxCapabilities, LinuxDeviceCgroup, LinuxIdMapping, LinuxIdMappingBuilder,
    LinuxNamespace, LinuxNamespaceType, LinuxResources, Mount, PosixRlimitBuilder, PosixRlimitType,
    Process, Root, Spec, User,
};

use crate::spec_version::SPEC_VERSION;

const ARGS: [&str; 1] = ["sh"];
const ENV: [&str; 2] = [
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "TERM=xterm",
];
const CAPABILITIES: [Capability; 3] = [
    Capability::AuditWrite,
    Capability::Kill,
    Capability::NetBindService,
];

/// Destination, type, source and options.
type MountRow = (
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
);

const MOUNTS: [MountRow; 7] = [
    ("/proc", "proc", "proc", &[]),
    (
        "/dev",
        "tmpfs",
        "tmpfs",
        &["nosuid", "strictatime", "mode=755", "size=65536k"],
    ),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &[
            "nosuid",
            "noexec",
            "newinstance",
            "ptmxmode=0666",
            "mode=0620",
            "gid=5",
        ],
    ),
    (
        "/dev/shm",
        "tmpfs",
        "shm",
        &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
    ),
    (
        "/dev/mqueue",
        "mqueue",
        "mqueue",
        &["nosuid", "noexec", "nodev"],
    ),
    (
        "/sys",
        "sysfs",
        "sysfs",
        &["nosuid", "noexec", "nodev", "ro"],
    ),
    (
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["nosuid", "noexec", "nodev", "relatime", "ro"],
    ),
];

/// Without a network namespace of its own the container may not mount sysfs, but it may have the host's.
const BOUND_SYS: MountRow = (
    "/sys",
    "none",
    "/sys",
    &["rbind", "nosuid", "noexec", "nodev", "ro"],
);

const MASKED_PATHS: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

const READONLY_PATHS: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

const NAMESPACES: [LinuxNamespaceType; 5] = [
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Uts,
    LinuxNamespaceType::Mount,
];

/// A configuration to start from: `sh` with few capabilities on a terminal, in namespaces of its own, on a read-only
/// root filesystem in `rootfs`. On a host with cgroup v2 alone there is a cgroup namespace too.
///
/// ```
/// let mut spec = runtime_core::default_spec();
/// if let Some(process) = spec.process_mut() {
///     process.set_args(Some(vec!["true".into()])).set_terminal(Some(false));
/// }
/// assert_eq!(spec.version(), "1.3.0");
/// ```
pub fn default_spec() -> Spec {
    let cgroup = cgroup_v2_alone().then_some(LinuxNamespaceType::Cgroup);
    let mut linux = linux(NAMESPACES.into_iter().chain(cgroup));
    linux.set_resources(Some(no_devices()));
    spec(linux, MOUNTS.iter().map(mount).collect())
}

/// The same for a user without privileges: a user namespace in which `uid` and `gid` are root, the host's network and
/// `/sys`, and no resource limits.
///
/// ```
/// let spec = runtime_core::default_spec_rootless(1000, 100);
/// let mappings = spec.linux().as_ref().and_then(|linux| linux.uid_mappings().clone()).unwrap_or_default();
/// assert_eq!(mappings[0].host_id(), 1000);
/// ```
pub fn default_spec_rootless(uid: u32, gid: u32) -> Spec {
    let cgroup = cgroup_v2_alone().then_some(LinuxNamespaceType::Cgroup);
    let without_network = NAMESPACES
        .into_iter()
        .filter(|&kind| kind != LinuxNamespaceType::Network);
    let mut linux = linux(
        without_network
            .chain(cgroup)
            .chain([LinuxNamespaceType::User]),
    );
    linux
        .set_uid_mappings(Some(root_is(uid)))
        .set_gid_mappings(Some(root_is(gid)));
    spec(linux, MOUNTS.iter().map(rootless_mount).collect())
}

fn spec(linux: Linux, mounts: Vec<Mount>) -> Spec {
    let mut root = Root::default();
    root.set_path("rootfs".into()).set_readonly(Some(true));
    let mut spec = Spec::default();
    spec.set_version(SPEC_VERSION.to_owned())
        .set_process(Some(process()))
        .set_root(Some(root))
        .set_hostname(Some("bareboat".to_owned()))
        .set_mounts(Some(mounts))
        .set_linux(Some(linux))
        .set_annotations(None)
        .set_hooks(None);
    spec
}

fn process() -> Process {
    let set: HashSet<Capability> = CAPABILITIES.into();
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(set.clone()))
        .set_effective(Some(set.clone()))
        .set_permitted(Some(set))
        .set_inheritable(None)
        .set_ambient(None);
    let descriptors = PosixRlimitBuilder::default()
        .typ(PosixRlimitType::RlimitNofile)
        .hard(1024u64)
        .soft(1024u64);
    let mut process = Process::default();
    process
        .set_terminal(Some(true))
        .set_user(User::default())
        .set_args(Some(strings(&ARGS)))
        .set_env(Some(strings(&ENV)))
        .set_cwd("/".into())
        .set_no_new_privileges(Some(true))
        .set_capabilities(Some(capabilities))
        .set_rlimits(Some(descriptors.build().into_iter().collect()));
    process
}

fn linux(namespaces: impl Iterator<Item = LinuxNamespaceType>) -> Linux {
    let namespace = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind).set_path(None);
        namespace
    };
    let mut linux = Linux::default();
    linux
        .set_masked_paths(Some(strings(&MASKED_PATHS)))
        .set_readonly_paths(Some(strings(&READONLY_PATHS)))
        .set_namespaces(Some(namespaces.map(namespace).collect()))
        .set_resources(None);
    linux
}

fn no_devices() -> LinuxResources {
    let mut all = LinuxDeviceCgroup::default();
    all.set_allow(false)
        .set_typ(None)
        .set_major(None)
        .set_minor(None)
        .set_access(Some("rwm".to_owned()));
    let mut resources = LinuxResources::default();
    resources.set_devices(Some(vec![all]));
    resources
}

fn mount(&(destination, typ, source, options): &MountRow) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some(typ.to_owned()))
        .set_source(Some(source.into()))
        .set_options((!options.is_empty()).then(|| strings(options)));
    mount
}

/// Other groups than the user's own have no number in the container.
fn rootless_mount(row: &MountRow) -> Mount {
    if row.0 == BOUND_SYS.0 {
        return mount(&BOUND_SYS);
    }
    let mut mount = mount(row);
    let names_an_id = |option: &String| option.starts_with("gid=") || option.starts_with("uid=");
    let options = mount.options().clone();
    mount.set_options(options.map(|options| {
        options
            .into_iter()
            .filter(|option| !names_an_id(option))
            .collect()
    }));
    mount
}

fn root_is(id: u32) -> Vec<LinuxIdMapping> {
    LinuxIdMappingBuilder::default()
        .host_id(id)
        .container_id(0u32)
        .size(1u32)
        .build()
        .into_iter()
        .collect()
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

/// Whether /sys/fs/cgroup is cgroup v2, with no v1 hierarchy beside it: cgroups(7).
fn cgroup_v2_alone() -> bool {
    statfs("/sys/fs/cgroup").is_ok_and(|stat| stat.filesystem_type() == CGROUP2_SUPER_MAGIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(spec: &Spec) -> Vec<LinuxNamespaceType> {
        let namespaces = spec.linux().as_ref().unwrap().namespaces().clone().unwrap();
        namespaces
            .iter()
            .map(LinuxNamespace::typ)
            .filter(|&kind| kind != LinuxNamespaceType::Cgroup)
            .collect()
    }

    #[test]
    fn no_field_is_written_that_nobody_asked_for() {
        let value = serde_json::to_value(default_spec()).unwrap();
        let names = |value: &serde_json::Value| {
            value
                .as_object()
                .unwrap()
                .keys()
                .cloned()
                .collect::<Vec<_>>()
        };
        assert_eq!(
            names(&value),
            [
                "hostname",
                "linux",
                "mounts",
                "ociVersion",
                "process",
                "root"
            ]
        );
        assert_eq!(
            names(&value["linux"]),
            ["maskedPaths", "namespaces", "readonlyPaths", "resources"]
        );
        assert_eq!(names(&value["linux"]["resources"]), ["devices"]);
        assert_eq!(
            names(&value["process"]["capabilities"]),
            ["bounding", "effective", "permitted"]
        );
    }

    #[test]
    fn a_rootless_container_shares_the_hosts_network_and_needs_no_other_id() {
        let spec = default_spec_rootless(1000, 100);
        let mut expected = NAMESPACES.to_vec();
        expected.retain(|&kind| kind != LinuxNamespaceType::Network);
        expected.push(LinuxNamespaceType::User);
        assert_eq!(kinds(&spec), expected);
        let linux = spec.linux().as_ref().unwrap();
        assert_eq!(
            (
                linux.uid_mappings().as_ref().unwrap()[0].host_id(),
                linux.resources()
            ),
            (1000, &None)
        );
        assert_eq!(linux.gid_mappings().as_ref().unwrap()[0].host_id(), 100);
        let options = spec
            .mounts()
            .iter()
            .flatten()
            .flat_map(|mount| mount.options().clone().unwrap_or_default());
        assert!(options.clone().all(|option| !option.starts_with("gid=")));
        assert!(options.clone().any(|option| option == "rbind"));
    }
}
