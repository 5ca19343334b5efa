//! What the specification has for Linux and this version does not: each is refused by name, never ignored. Sections for
//! other platforms say nothing to this one (config.md, "Platform-specific configuration").

use oci_spec::runtime::{Linux, Spec};

use crate::error::{Error, ErrorKind, Result};

/// Refuses a configuration that asks for any of it.
pub(crate) fn check(spec: &Spec) -> Result<()> {
    spec.linux()
        .as_ref()
        .map_or(Ok(()), |linux| refuse(&of_linux(linux)))
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

fn of_linux(linux: &Linux) -> Vec<(&'static str, bool)> {
    vec![
        ("/linux/intelRdt", linux.intel_rdt().is_some()),
        (
            "/linux/netDevices",
            linux
                .net_devices()
                .as_ref()
                .is_some_and(|devices| !devices.is_empty()),
        ),
    ]
}
