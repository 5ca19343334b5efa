//! What the probe saw inside a container.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::mountinfo::Mount;
use crate::process::Finished;

/// The probe's answer. Text is as the kernel's files have it; a file that cannot be read is empty.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// Arguments, the program's name first.
    pub args: Vec<String>,
    /// Environment, in its order.
    pub env: Vec<String>,
    /// Working directory.
    pub cwd: String,
    /// PID as the container knows it.
    pub pid: u32,
    /// `/proc/self/status`.
    pub status: BTreeMap<String, String>,
    /// `/proc/self/limits`: soft and hard limit.
    pub limits: BTreeMap<String, (String, String)>,
    /// `/proc/self/mountinfo`.
    pub mounts: Vec<Mount>,
    /// `/proc/self/ns/*`: where the links point.
    pub namespaces: BTreeMap<String, String>,
    /// Files of /proc that hold one thing, by their path.
    pub files: BTreeMap<String, String>,
    /// Open descriptors and what they are.
    pub descriptors: BTreeMap<i32, String>,
    /// Entries of /dev, without its directories' contents.
    pub devices: BTreeMap<String, Node>,
    /// Columns and rows of the terminal on standard input.
    pub window: Option<(u16, u16)>,
}

/// A file's metadata: stat(2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// `c`, `b`, `p`, `f`, `d`, `l`.
    pub kind: char,
    /// Major and minor number of a device.
    pub device: (u64, u64),
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Where a symbolic link points.
    pub link: Option<String>,
}

impl Report {
    /// Reads the report that a container printed.
    #[must_use]
    pub fn parse(finished: &Finished) -> Self {
        serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
    }

    /// The topmost mount at the path.
    #[must_use]
    pub fn mount(&self, target: &str) -> &Mount {
        let found = self
            .mounts
            .iter()
            .rev()
            .find(|mount| mount.target == target);
        found.unwrap_or_else(|| panic!("nothing is mounted on {target}: {:#?}", self.mounts))
    }

    /// Whether something is mounted on the path.
    #[must_use]
    pub fn is_mounted(&self, target: &str) -> bool {
        self.mounts.iter().any(|mount| mount.target == target)
    }

    /// A line of `/proc/self/status`, its words apart by single blanks.
    #[must_use]
    pub fn status(&self, name: &str) -> &str {
        self.status
            .get(name)
            .unwrap_or_else(|| panic!("/proc/self/status has no {name}"))
    }

    /// A set of capabilities: `CapEff` and so on.
    #[must_use]
    pub fn capabilities(&self, set: &str) -> u64 {
        u64::from_str_radix(self.status(set), 16).unwrap()
    }

    /// A file of /proc that holds one thing.
    #[must_use]
    pub fn file(&self, path: &str) -> &str {
        self.files
            .get(path)
            .unwrap_or_else(|| panic!("the probe does not read {path}"))
    }
}
