//! Huge pages.

use std::collections::BTreeMap;
use std::io;

use super::files::Files;
use crate::cgroup::plan::Version;

/// Huge pages of one size, in bytes. Where the kernel counts reservations (Linux 5.7), they are what is counted, as a
/// process that was promised a page is not killed for want of it later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hugetlb {
    /// What is used.
    pub usage: u64,
    /// The most that was ever used; version 1 alone.
    pub max: u64,
    /// How often the limit was hit.
    pub failcnt: u64,
}

pub(super) fn read(files: &Files, version: Version) -> io::Result<BTreeMap<String, Hugetlb>> {
    let names = files.names()?;
    sizes(&names, version)
        .map(|size| {
            let rsvd = format!("hugetlb.{size}.rsvd");
            let plain = format!("hugetlb.{size}");
            let usage = match version {
                Version::V1 => "usage_in_bytes",
                Version::V2 => "current",
            };
            let counted = match names.contains(&format!("{rsvd}.{usage}")) {
                true => rsvd,
                false => plain.clone(),
            };
            let number = |name: &str| {
                let number = files.number(&format!("{counted}.{name}"))?;
                Ok::<_, io::Error>(number.unwrap_or_default())
            };
            let hugetlb = match version {
                Version::V1 => Hugetlb {
                    usage: number(usage)?,
                    max: number("max_usage_in_bytes")?,
                    failcnt: number("failcnt")?,
                },
                Version::V2 => Hugetlb {
                    usage: number(usage)?,
                    max: 0,
                    failcnt: files
                        .pairs(&format!("{plain}.events"))?
                        .get("max")
                        .copied()
                        .unwrap_or_default(),
                },
            };
            Ok((size.to_owned(), hugetlb))
        })
        .collect()
}

/// The sizes that there are files for.
fn sizes(names: &[String], version: Version) -> impl Iterator<Item = &str> {
    let suffix = match version {
        Version::V1 => ".limit_in_bytes",
        Version::V2 => ".max",
    };
    names.iter().filter_map(move |name| {
        let size = name.strip_prefix("hugetlb.")?.strip_suffix(suffix)?;
        (!size.contains('.')).then_some(size)
    })
}
