//! Who makes the cgroups: the runtime, or systemd for it.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use crate::process;

/// The two ways in which runtimes with runc's command line make cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The runtime makes directories; `cgroupsPath` is the path of one.
    Cgroupfs,
    /// With `--systemd-cgroup` systemd makes a scope; `cgroupsPath` is `slice:prefix:name`.
    Systemd,
}

/// The slice of the cases' scopes, which is there on every machine with systemd.
const SLICE: &str = "system.slice";
const PREFIX: &str = "case";

/// The one that `CGROUP_DRIVER` names, which has runc's two words for them: `cgroupfs`, the default, or `systemd`.
pub fn driver() -> Driver {
    static DRIVER: OnceLock<Driver> = OnceLock::new();
    *DRIVER.get_or_init(|| match env::var("CGROUP_DRIVER").as_deref() {
        Ok("systemd") => Driver::Systemd,
        Ok("cgroupfs" | "") | Err(_) => Driver::Cgroupfs,
        Ok(other) => panic!("CGROUP_DRIVER is {other:?}, neither cgroupfs nor systemd"),
    })
}

/// Whether systemd makes the cgroups, where the case is about the other way; prints that it is skipped, and why.
#[must_use]
pub fn is_systemd_and(why: &str) -> bool {
    let skipped = driver() == Driver::Systemd;
    if skipped {
        eprintln!("skipped: {why}");
    }
    skipped
}

impl Driver {
    /// What the runtime is told before its subcommand.
    pub(crate) fn options(self) -> &'static [&'static str] {
        match self {
            Self::Cgroupfs => &[],
            Self::Systemd => &["--systemd-cgroup"],
        }
    }

    /// The `cgroupsPath` of the case with this ID.
    pub(crate) fn cgroups_path(self, id: &str) -> String {
        match self {
            Self::Cgroupfs => format!("/{id}"),
            Self::Systemd => format!("{SLICE}:{PREFIX}:{id}"),
        }
    }

    /// The path in each hierarchy that comes of it.
    pub(crate) fn cgroup(self, id: &str) -> String {
        match self {
            Self::Cgroupfs => format!("/{id}"),
            Self::Systemd => format!("/{SLICE}/{}", scope(id)),
        }
    }

    /// The file that systemd has for the case's scope, as long as it knows the unit.
    pub(crate) fn unit(self, id: &str) -> Option<PathBuf> {
        match self {
            Self::Cgroupfs => None,
            Self::Systemd => Some(PathBuf::from("/run/systemd/transient").join(scope(id))),
        }
    }

    /// Lets systemd forget the case's scope; for cleaning up, so it reports nothing.
    pub(crate) fn forget(self, id: &str) {
        if self.unit(id).is_some_and(|unit| unit.exists()) {
            for command in ["stop", "reset-failed"] {
                let _ = process::run(Command::new("systemctl").arg(command).arg(scope(id)));
            }
        }
    }
}

fn scope(id: &str) -> String {
    format!("{PREFIX}-{id}.scope")
}
