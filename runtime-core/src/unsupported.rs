//! What the specification has for Linux and this version does not: each is refused by name, never ignored. Sections for
//! other platforms say nothing to this one (config.md, "Platform-specific configuration").

use oci_spec::runtime::Spec;

use crate::error::{Error, ErrorKind, Result};

/// Refuses a configuration that asks for any of it.
pub(crate) fn check(spec: &Spec) -> Result<()> {
    for (pointer, asked) in process(spec).into_iter().chain(linux(spec)) {
        if asked {
            return Err(
                Error::new(ErrorKind::Unsupported, "not supported by this version").at(pointer),
            );
        }
    }
    Ok(())
}

fn named(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

fn process(spec: &Spec) -> Vec<(&'static str, bool)> {
    let Some(process) = spec.process() else {
        return Vec::new();
    };
    vec![
        (
            "/process/apparmorProfile",
            named(process.apparmor_profile().as_ref()),
        ),
        (
            "/process/selinuxLabel",
            named(process.selinux_label().as_ref()),
        ),
        ("/process/ioPriority", process.io_priority().is_some()),
        ("/process/scheduler", process.scheduler().is_some()),
        (
            "/process/execCPUAffinity",
            process.exec_cpu_affinity().is_some(),
        ),
    ]
}

fn linux(spec: &Spec) -> Vec<(&'static str, bool)> {
    let Some(linux) = spec.linux() else {
        return Vec::new();
    };
    vec![
        ("/linux/mountLabel", named(linux.mount_label().as_ref())),
        ("/linux/intelRdt", linux.intel_rdt().is_some()),
        ("/linux/memoryPolicy", linux.memory_policy().is_some()),
        (
            "/linux/netDevices",
            linux
                .net_devices()
                .as_ref()
                .is_some_and(|devices| !devices.is_empty()),
        ),
    ]
}
