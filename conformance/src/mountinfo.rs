//! `/proc/PID/mountinfo`, proc_pid_mountinfo(5).

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Path in its own file system that is the mount's root.
    pub root: String,
    /// Where it is mounted.
    pub target: String,
    /// Options of this mount.
    pub options: Vec<String>,
    /// Propagation: `shared:N`, `master:N`, `propagate_from:N`, `unbindable`.
    pub propagation: Vec<String>,
    /// File system type.
    pub kind: String,
    /// Source, or any word.
    pub source: String,
    /// Options of the file system.
    pub super_options: Vec<String>,
}

impl Mount {
    /// Whether the mount has the option, or its file system.
    #[must_use]
    pub fn has(&self, option: &str) -> bool {
        self.options
            .iter()
            .chain(&self.super_options)
            .any(|found| found == option)
    }

    /// Whether a propagation tag starts so: `shared`, `master`, `unbindable`.
    #[must_use]
    pub fn propagates(&self, tag: &str) -> bool {
        self.propagation.iter().any(|found| found.starts_with(tag))
    }
}

/// Reads a mountinfo file; one that cannot be read has no mounts.
#[must_use]
pub fn read(path: impl AsRef<Path>) -> Vec<Mount> {
    fs::read_to_string(path)
        .unwrap_or_default()
        .lines()
        .filter_map(parse)
        .collect()
}

fn parse(line: &str) -> Option<Mount> {
    let (own, file_system) = line.split_once(" - ")?;
    let own: Vec<_> = own.split(' ').collect();
    let file_system: Vec<_> = file_system.splitn(3, ' ').collect();
    Some(Mount {
        root: (*own.get(3)?).to_owned(),
        target: own.get(4)?.replace("\\040", " "),
        options: list(own.get(5)?),
        propagation: own.get(6..)?.iter().map(|&tag| tag.to_owned()).collect(),
        kind: (*file_system.first()?).to_owned(),
        source: (*file_system.get(1)?).to_owned(),
        super_options: list(file_system.get(2)?),
    })
}

fn list(options: &str) -> Vec<String> {
    options.split(',').map(str::to_owned).collect()
}
