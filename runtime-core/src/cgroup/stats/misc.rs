//! Scalar resources of the misc controller (Linux 5.13), such as address space identifiers of encrypted guests.

use std::collections::BTreeMap;
use std::io;

use super::files::Files;
use crate::cgroup::plan::Version;

/// One resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misc {
    /// How much of it is used.
    pub usage: u64,
    /// How often its limit was hit.
    pub failcnt: u64,
}

pub(super) fn read(files: &Files, _: Version) -> io::Result<BTreeMap<String, Misc>> {
    let mut resources: BTreeMap<String, Misc> = BTreeMap::new();
    for (name, usage) in files.pairs("misc.current")? {
        resources.entry(name).or_default().usage = usage;
    }
    for (name, failcnt) in files.pairs("misc.events")? {
        if let Some(name) = name.strip_suffix(".max") {
            resources.entry(name.to_owned()).or_default().failcnt = failcnt;
        }
    }
    Ok(resources)
}
