//! What the runtime can do: the document of `bareboat features` (features.md and features-linux.md of the
//! specification). It tells what is built in, not what the host has.

use oci_spec::runtime::{
    Apparmor, Cgroup, Features, IDMap, IntelRdt, LinuxFeature, MemoryPolicy, MountExtensions,
    NetDevices, Seccomp, Selinux,
};

use crate::hooks::Kind;
use crate::mounts::options;
use crate::spec_version::{OLDEST_SPEC_VERSION, SPEC_VERSION};
use crate::{annotations, capabilities, memory_policy, namespaces, seccomp as filter, sys};

/// Annotations of the document itself.
const VERSION_ANNOTATION: &str = "io.github.bareboat.version";

/// What this version of the runtime recognises: every list is the one that configurations are read by.
/// `supportedFlags` of seccomp alone depends on the kernel.
///
/// ```
/// let features = runtime_core::features();
/// assert_eq!(features.oci_version_max(), "1.3.0");
/// ```
pub fn features() -> Features {
    let mut features = Features::default();
    features
        .set_oci_version_min(OLDEST_SPEC_VERSION.to_owned())
        .set_oci_version_max(SPEC_VERSION.to_owned())
        .set_hooks(strings(Kind::ALL.iter().map(|kind| kind.name())))
        .set_mount_options(strings(options::names()))
        .set_linux(Some(linux()))
        .set_annotations(Some([version()].into()))
        .set_potentially_unsafe_config_annotations(strings(annotations::HONOURED));
    features
}

fn linux() -> LinuxFeature {
    let mut linux = LinuxFeature::default();
    linux
        .set_namespaces(Some(namespaces::KINDS.to_vec()))
        .set_capabilities(Some(capabilities::names()))
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
        .set_systemd(Some(true))
        .set_systemd_user(Some(true))
        .set_rdma(Some(true));
    cgroup
}

fn seccomp() -> Seccomp {
    let flags = filter::FLAGS.iter();
    let supported = flags.clone().filter(|(_, bit)| sys::has_seccomp_flag(*bit));
    let mut seccomp = Seccomp::default();
    seccomp
        .set_enabled(Some(true))
        .set_actions(Some(filter::ACTIONS.to_vec()))
        .set_operators(strings(filter::OPERATORS.map(|name| name.to_string())))
        .set_archs(Some(filter::ARCHITECTURES.to_vec()))
        .set_known_flags(strings(flags.map(|(flag, _)| flag.to_string())))
        .set_supported_flags(strings(supported.map(|(flag, _)| flag.to_string())));
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

fn version() -> (String, String) {
    let version = env!("CARGO_PKG_VERSION");
    (VERSION_ANNOTATION.to_owned(), version.to_owned())
}

fn strings<T: Into<String>>(values: impl IntoIterator<Item = T>) -> Option<Vec<String>> {
    Some(values.into_iter().map(Into::into).collect())
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::{
        Arch, Capability, LinuxNamespaceType, LinuxSeccompAction, LinuxSeccompFilterFlag,
        LinuxSeccompOperator,
    };
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

    use super::*;

    fn document() -> Value {
        serde_json::to_value(features()).unwrap()
    }

    fn list(pointer: &str) -> Vec<String> {
        let document = document();
        let list = document.pointer(pointer).and_then(Value::as_array);
        let names = list.unwrap_or_else(|| panic!("{pointer} is a list"));
        names
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    /// The names that the parser of configurations takes: it lists them when it is given another.
    fn parsed<T: DeserializeOwned>() -> Vec<String> {
        let Err(error) = serde_json::from_value::<T>(json!("no such name")) else {
            panic!("any name is parsed");
        };
        let text = error.to_string();
        let expected = text.split_once("expected one of ");
        let (_, expected) = expected.unwrap_or_else(|| panic!("{text}"));
        let names = expected.split(", ").map(|name| name.trim_matches('`'));
        names.map(str::to_owned).collect()
    }

    fn assert_same(pointer: &str, mut expected: Vec<String>) {
        let mut names = list(pointer);
        names.sort();
        expected.sort();
        assert_eq!(names, expected, "{pointer}");
    }

    #[test]
    fn every_list_has_the_names_that_configurations_are_read_by() {
        let seccomp = |list: &str| format!("/linux/seccomp/{list}");
        assert_same("/linux/namespaces", parsed::<LinuxNamespaceType>());
        assert_same(&seccomp("actions"), parsed::<LinuxSeccompAction>());
        assert_same(&seccomp("operators"), parsed::<LinuxSeccompOperator>());
        assert_same(&seccomp("knownFlags"), parsed::<LinuxSeccompFilterFlag>());
        // The specification does not have it.
        let mut archs = parsed::<Arch>();
        archs.retain(|name| name != "SCMP_ARCH_NATIVE");
        assert_same(&seccomp("archs"), archs);
    }

    #[test]
    fn capabilities_are_the_kernels_in_its_order_and_can_all_be_asked_for() {
        let names = list("/linux/capabilities");
        assert_eq!(names.first().unwrap(), "CAP_CHOWN");
        assert_eq!(names.last().unwrap(), "CAP_CHECKPOINT_RESTORE");
        assert_eq!(names.len(), 41);
        for name in names {
            let parsed = serde_json::from_value::<Capability>(json!(name));
            assert!(parsed.is_ok(), "{name}");
        }
    }

    #[test]
    fn a_supported_flag_is_a_known_one_and_the_oldest_are_supported() {
        let known = list("/linux/seccomp/knownFlags");
        let supported = list("/linux/seccomp/supportedFlags");
        assert!(supported.iter().all(|flag| known.contains(flag)));
        // Linux 4.14 and 4.17 have them.
        for flag in [
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_TSYNC",
        ] {
            assert!(supported.contains(&flag.to_owned()), "{flag}");
        }
    }

    #[test]
    fn nothing_is_unknown_in_the_document() {
        let document = document();
        assert!(!document.to_string().contains("null"));
        let sections = document["linux"].as_object().unwrap();
        for section in [
            "namespaces",
            "capabilities",
            "cgroup",
            "seccomp",
            "apparmor",
            "selinux",
            "intelRdt",
            "memoryPolicy",
            "mountExtensions",
            "netDevices",
        ] {
            assert!(sections.contains_key(section), "{section}");
        }
    }
}
