//! What compiling a plan has to know of the host's systemd, and whose systemd it is.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::bus::{self, BusError};
use crate::cgroup::CgroupError;
use crate::cgroup::path::POINTER;

/// sd_booted(3) looks for this directory.
const BOOTED: &str = "/run/systemd/system";

/// Which systemd manages a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Manager {
    /// The machine's, on the system bus.
    System,
    /// The calling user's own, on the user's bus.
    User,
}

/// The systemd that makes a container's cgroup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Systemd {
    /// Whose it is.
    pub manager: Manager,
    /// Its version: properties that it does not know are left to the files.
    pub version: u32,
    /// Its own cgroup, which the units of a user's are below.
    pub control_group: PathBuf,
}

impl Systemd {
    /// Asks the systemd that the calling process is to use: the machine's for its root, and the user's own for anybody
    /// else.
    ///
    /// # Errors
    ///
    /// When the host does not run systemd, or its bus cannot be reached.
    pub fn read() -> Result<Systemd, CgroupError> {
        let refuse = |problem| CgroupError::host(POINTER, problem);
        let Ok(booted) = fs::metadata(BOOTED) else {
            return Err(refuse(format!(
                "systemd does not run on this host ({BOOTED} is not there), and the systemd cgroup driver needs it"
            )));
        };
        // Where a user namespace has root's name on another user, the machine's root is nobody in it.
        let is_root = rustix::process::geteuid().is_root() && booted.uid() == 0;
        let manager = match is_root {
            true => Manager::System,
            false => Manager::User,
        };
        let asked = bus::with(manager, async |bus| {
            let version = bus.manager_property("Version").await?;
            let control_group = bus.manager_property("ControlGroup").await?;
            Ok((version, control_group))
        });
        let (version, control_group) = asked
            .map_err(|error: BusError| refuse(format!("ask systemd for its version: {error}")))?;
        Ok(Systemd {
            manager,
            version: parse_version(&version).unwrap_or(0),
            control_group: control_group.into(),
        })
    }

    /// The cgroup below which its slices are, relative to a hierarchy's root.
    pub(super) fn control_group(&self) -> &Path {
        match self.manager {
            // Whatever it is called from in here, what is mounted begins there.
            Manager::System => Path::new(""),
            Manager::User => {
                let relative = self.control_group.strip_prefix("/");
                relative.unwrap_or(&self.control_group)
            }
        }
    }
}

/// The number in `252.39-1~deb12u1`, `v245.4-1.fc32` and their like.
fn parse_version(text: &str) -> Option<u32> {
    let text = text.trim_start_matches('v');
    let digits = text.find(|c: char| !c.is_ascii_digit());
    text.get(..digits.unwrap_or(text.len()))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_first_number() {
        for (text, version) in [
            ("252.39-1~deb12u1", Some(252)),
            ("v245.4-1.fc32", Some(245)),
            ("257", Some(257)),
            ("", None),
            ("rc1", None),
        ] {
            assert_eq!(parse_version(text), version, "{text}");
        }
    }

    #[test]
    fn without_systemd_the_driver_says_what_is_missing() {
        if Path::new(BOOTED).is_dir() {
            eprintln!("skipped: systemd runs here");
            return;
        }
        let error = Systemd::read().unwrap_err();
        assert!(!error.is_config());
        assert!(
            error
                .to_string()
                .starts_with("systemd does not run on this host"),
            "{error}"
        );
    }
}
