//! What the runtime can do: the document of `bareboat features` (features.md and features-linux.md of the
//! specification). It tells what is built in, not what the host has.

use oci_spec::runtime::{
    Apparmor, Arch, Cgroup, Features, IDMap, IntelRdt, LinuxFeature, LinuxNamespaceType,
    LinuxSeccompAction, MemoryPolicy, MountExtensions, NetDevices, Seccomp, Selinux,
};

use crate::memory_policy;
use crate::mounts::options;
use crate::spec_version::SPEC_VERSION;

const HOOKS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

const NAMESPACES: [LinuxNamespaceType; 8] = [
    LinuxNamespaceType::Cgroup,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Time,
    LinuxNamespaceType::User,
    LinuxNamespaceType::Uts,
];

/// In the kernel's order: linux/capability.h.
const CAPABILITIES: [&str; 41] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
];

const SECCOMP_ACTIONS: [LinuxSeccompAction; 8] = [
    LinuxSeccompAction::ScmpActAllow,
    LinuxSeccompAction::ScmpActErrno,
    LinuxSeccompAction::ScmpActKill,
    LinuxSeccompAction::ScmpActKillProcess,
    LinuxSeccompAction::ScmpActKillThread,
    LinuxSeccompAction::ScmpActLog,
    LinuxSeccompAction::ScmpActTrace,
    LinuxSeccompAction::ScmpActTrap,
];

const SECCOMP_OPERATORS: [&str; 7] = [
    "SCMP_CMP_EQ",
    "SCMP_CMP_GE",
    "SCMP_CMP_GT",
    "SCMP_CMP_LE",
    "SCMP_CMP_LT",
    "SCMP_CMP_MASKED_EQ",
    "SCMP_CMP_NE",
];

const SECCOMP_ARCHITECTURES: [Arch; 5] = [
    Arch::ScmpArchAarch64,
    Arch::ScmpArchArm,
    Arch::ScmpArchX32,
    Arch::ScmpArchX86,
    Arch::ScmpArchX86_64,
];

const SECCOMP_FLAGS: [&str; 4] = [
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
];

/// What this version of the runtime recognises.
///
/// ```
/// let features = runtime_core::features();
/// assert_eq!(features.oci_version_max(), "1.3.0");
/// ```
pub fn features() -> Features {
    let mut features = Features::default();
    features
        .set_oci_version_min("1.0.0".to_owned())
        .set_oci_version_max(SPEC_VERSION.to_owned())
        .set_hooks(strings(&HOOKS))
        .set_mount_options(Some(options::names().map(str::to_owned).collect()))
        .set_linux(Some(linux()))
        .set_annotations(Some(Default::default()))
        .set_potentially_unsafe_config_annotations(Some(Vec::new()));
    features
}

fn linux() -> LinuxFeature {
    let mut linux = LinuxFeature::default();
    linux
        .set_namespaces(Some(NAMESPACES.to_vec()))
        .set_capabilities(strings(&CAPABILITIES))
        .set_cgroup(Some(cgroup()))
        .set_seccomp(Some(seccomp()))
        .set_apparmor(Some(Apparmor::default().set_enabled(Some(true)).clone()))
        .set_selinux(Some(Selinux::default().set_enabled(Some(true)).clone()))
        .set_intel_rdt(Some(intel_rdt()))
        .set_memory_policy(Some(memory_policy()))
        .set_mount_extensions(Some(mount_extensions()))
        .set_net_devices(Some(NetDevices::default().set_enabled(Some(true)).clone()));
    linux
}

fn cgroup() -> Cgroup {
    let mut cgroup = Cgroup::default();
    cgroup
        .set_v1(Some(true))
        .set_v2(Some(true))
        .set_systemd(Some(false))
        .set_systemd_user(Some(false))
        .set_rdma(Some(false));
    cgroup
}

fn seccomp() -> Seccomp {
    let mut seccomp = Seccomp::default();
    seccomp
        .set_enabled(Some(true))
        .set_actions(Some(SECCOMP_ACTIONS.to_vec()))
        .set_operators(strings(&SECCOMP_OPERATORS))
        .set_archs(Some(SECCOMP_ARCHITECTURES.to_vec()))
        .set_known_flags(strings(&SECCOMP_FLAGS))
        .set_supported_flags(strings(&SECCOMP_FLAGS));
    seccomp
}

fn intel_rdt() -> IntelRdt {
    let mut intel_rdt = IntelRdt::default();
    intel_rdt
        .set_enabled(Some(true))
        .set_schemata(Some(true))
        .set_monitoring(Some(true));
    intel_rdt
}

fn memory_policy() -> MemoryPolicy {
    let mut policy = MemoryPolicy::default();
    policy
        .set_modes(Some(memory_policy::modes().map(str::to_owned).collect()))
        .set_flags(Some(memory_policy::flags().map(str::to_owned).collect()));
    policy
}

fn mount_extensions() -> MountExtensions {
    let mut id_map = IDMap::default();
    id_map.set_enabled(Some(true));
    let mut extensions = MountExtensions::default();
    extensions.set_idmap(Some(id_map));
    extensions
}

fn strings(values: &[&str]) -> Option<Vec<String>> {
    Some(values.iter().map(|&value| value.to_owned()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_has_the_specifications_names() {
        let value = serde_json::to_value(features()).unwrap();
        assert_eq!(value["linux"]["seccomp"]["archs"][0], "SCMP_ARCH_AARCH64");
        assert_eq!(value["linux"]["seccomp"]["actions"][0], "SCMP_ACT_ALLOW");
        assert_eq!(value["linux"]["namespaces"][2], "mount");
        assert_eq!(value["linux"]["mountExtensions"]["idmap"]["enabled"], true);
        assert!(
            value["mountOptions"]
                .as_array()
                .unwrap()
                .iter()
                .any(|option| option == "rro")
        );
        let policy = &value["linux"]["memoryPolicy"];
        assert_eq!(policy["modes"][2], "MPOL_INTERLEAVE");
        assert_eq!(policy["flags"][2], "MPOL_F_STATIC_NODES");
        assert!(!value.to_string().contains("null"));
    }
}
