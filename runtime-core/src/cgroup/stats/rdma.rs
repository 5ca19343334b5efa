//! RDMA resources: the same files in both versions.

use std::collections::BTreeMap;
use std::io;

use super::files::Files;
use super::parse::{self, Malformed};
use crate::cgroup::plan::Version;

/// Resources of one RDMA device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rdma {
    /// HCA handles in use.
    pub handles: u64,
    /// HCA objects in use.
    pub objects: u64,
    /// How many handles there may be; [`u64::MAX`] is no limit.
    pub handle_limit: u64,
    /// How many objects there may be; [`u64::MAX`] is no limit.
    pub object_limit: u64,
}

pub(super) fn read(files: &Files, _: Version) -> io::Result<BTreeMap<String, Rdma>> {
    let current = files.read("rdma.current", table)?.unwrap_or_default();
    let limits = files.read("rdma.max", table)?.unwrap_or_default();
    let device = |(name, (handles, objects)): (String, (u64, u64))| {
        let &(handle_limit, object_limit) = limits.get(&name).unwrap_or(&(u64::MAX, u64::MAX));
        let rdma = Rdma {
            handles,
            objects,
            handle_limit,
            object_limit,
        };
        (name, rdma)
    };
    Ok(current.into_iter().map(device).collect())
}

/// Lines such as `mlx4_0 hca_handle=2 hca_object=2000`: handles and objects of each device.
pub(super) fn table(text: &str) -> Result<BTreeMap<String, (u64, u64)>, Malformed> {
    let mut table = BTreeMap::new();
    for line in text.lines() {
        let mut fields = line.split_whitespace();
        let Some(name) = fields.next() else { continue };
        let mut both = (0, 0);
        for field in fields {
            match field.split_once('=') {
                Some(("hca_handle", value)) => both.0 = parse::number(value)?,
                Some(("hca_object", value)) => both.1 = parse::number(value)?,
                _ => {}
            }
        }
        table.insert(name.to_owned(), both);
    }
    Ok(table)
}
