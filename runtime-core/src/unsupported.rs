//! What the specification has for Linux and this version does not: each is refused by name, never ignored. Sections for
//! other platforms say nothing to this one (config.md, "Platform-specific configuration").

use oci_spec::runtime::{Linux, Process, Spec};

use crate::error::{Error, ErrorKind, Result};

/// Refuses a configuration that asks for any of it.
pub(crate) fn check(spec: &Spec) -> Result<()> {
    if let Some(process) = spec.process() {
        check_process(process)?;
    }
    spec.linux()
        .as_ref()
        .map_or(Ok(()), |linux| refuse(&of_linux(linux)))
}

/// Refuses a process that asks for any of it.
pub(crate) fn check_process(process: &Process) -> Result<()> {
    refuse(&of_process(process))
}

fn refuse(asked: &[(&'static str, bool)]) -> Result<()> {
    match asked.iter().find(|(_, asked)| *asked) {
        None => Ok(()),
        Some((pointer, _)) => {
            let problem = "not supported by this version";
            Err(Error::new(ErrorKind::Unsupported, problem).at(*pointer))
        }
    }
}

fn named(text: Option<&String>) -> bool {
    text.is_some_and(|text| !text.is_empty())
}

fn of_process(process: &Process) -> Vec<(&'static str, bool)> {
    vec![
        (
            "/process/apparmorProfile",
            // "unconfined" is what a process is that nobody confines.
            named(
                process
                    .apparmor_profile()
                    .as_ref()
                    .filter(|profile| *profile != "unconfined"),
            ),
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

fn of_linux(linux: &Linux) -> Vec<(&'static str, bool)> {
    vec![
        ("/linux/mountLabel", named(linux.mount_label().as_ref())),
        ("/linux/memoryPolicy", linux.memory_policy().is_some()),
    ]
}
