//! What a container's processes use of caches and memory bandwidth, and what they may use.

use std::fs;
use std::io;
use std::path::Path;

use super::{Group, INTEL_RDT};
use crate::error::{Error, ErrorKind, Result};

/// Shares and use of caches and memory bandwidth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntelRdtStats {
    /// What the machine's caches can be told, where they can be told anything.
    pub l3_cache: Option<L3CacheInfo>,
    /// The line `L3:` of the default class.
    pub l3_schema_root: String,
    /// The line `L3:` of the container's class.
    pub l3_schema: String,
    /// What the machine's memory bandwidth can be told.
    pub memory_bandwidth: Option<MemoryBandwidthInfo>,
    /// The line `MB:` of the default class.
    pub mb_schema_root: String,
    /// The line `MB:` of the container's class.
    pub mb_schema: String,
    /// All lines of the container's class.
    pub schemata: Vec<String>,
    /// Memory bandwidth of each L3 domain, where the machine counts it: of the container's monitoring group, or of all that
    /// is in its class.
    pub bandwidth: Option<Vec<BandwidthUsage>>,
    /// Occupied cache of each L3 domain in bytes, where the machine counts it; of the same processes.
    pub occupancy: Option<Vec<u64>>,
}

/// `info/L3` (Documentation/filesystems/resctrl.rst of the kernel).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct L3CacheInfo {
    /// The bits that a share may have, in hexadecimal.
    pub cbm_mask: String,
    /// How many of them at least.
    pub min_cbm_bits: u64,
    /// How many classes there can be.
    pub num_closids: u64,
}

/// `info/MB`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryBandwidthInfo {
    /// The step between two shares, in percent.
    pub bandwidth_gran: u64,
    /// 1 when the delay grows in proportion with the share that is withheld.
    pub delay_linear: u64,
    /// The least share, in percent.
    pub min_bandwidth: u64,
    /// How many classes there can be.
    pub num_closids: u64,
}

/// Bytes that went between an L3 domain and memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BandwidthUsage {
    /// To and from all memory; 0 while the hardware has no number.
    pub total: u64,
    /// To and from memory of the same node; 0 while the hardware has no number.
    pub local: u64,
}

impl Group {
    /// What the processes of the class, or of the monitoring group where there is one, use and may use.
    pub(crate) fn stats(&self) -> Result<IntelRdtStats> {
        // The class is the root of the file system, or right under it.
        let root = match self.clos.join("info").is_dir() {
            true => self.clos.as_path(),
            false => self.clos.parent().unwrap_or(&self.clos),
        };
        let (schemata_root, schemata) = (schemata(root)?, schemata(&self.clos)?);
        let mut stats = IntelRdtStats::default();
        let cache = root.join("info/L3");
        if cache.is_dir() {
            stats.l3_cache = Some(L3CacheInfo {
                cbm_mask: text(&cache, "cbm_mask")?,
                min_cbm_bits: number(&cache, "min_cbm_bits")?,
                num_closids: number(&cache, "num_closids")?,
            });
            stats.l3_schema_root = line(&schemata_root, "L3");
            stats.l3_schema = line(&schemata, "L3");
        }
        let bandwidth = root.join("info/MB");
        if bandwidth.is_dir() {
            stats.memory_bandwidth = Some(MemoryBandwidthInfo {
                bandwidth_gran: number(&bandwidth, "bandwidth_gran")?,
                delay_linear: number(&bandwidth, "delay_linear")?,
                min_bandwidth: number(&bandwidth, "min_bandwidth")?,
                num_closids: number(&bandwidth, "num_closids")?,
            });
            stats.mb_schema_root = line(&schemata_root, "MB");
            stats.mb_schema = line(&schemata, "MB");
        }
        stats.schemata = schemata;
        self.read_monitors(root, &mut stats)?;
        Ok(stats)
    }

    fn read_monitors(&self, root: &Path, stats: &mut IntelRdtStats) -> Result<()> {
        let features = fs::read_to_string(root.join("info/L3_MON/mon_features"));
        let features = features.unwrap_or_default();
        let has = |feature: &str| features.lines().any(|line| line.trim() == feature);
        let (total, local) = (has("mbm_total_bytes"), has("mbm_local_bytes"));
        let occupancy = has("llc_occupancy");
        if !(total || local || occupancy) {
            return Ok(());
        }
        let group = self.monitoring.as_ref().unwrap_or(&self.clos);
        let domains = domains(&group.join("mon_data"))?;
        let counter = |counts: bool, domain: &Path, file: &str| match counts {
            true => counter(domain, file),
            false => Ok(0),
        };
        if total || local {
            let usage = domains.iter().map(|domain| {
                Ok(BandwidthUsage {
                    total: counter(total, domain, "mbm_total_bytes")?,
                    local: counter(local, domain, "mbm_local_bytes")?,
                })
            });
            stats.bandwidth = Some(usage.collect::<Result<_>>()?);
        }
        if occupancy {
            let usage = domains
                .iter()
                .map(|domain| counter(true, domain, "llc_occupancy"));
            stats.occupancy = Some(usage.collect::<Result<_>>()?);
        }
        Ok(())
    }
}

fn schemata(group: &Path) -> Result<Vec<String>> {
    let text = text(group, "schemata")?;
    Ok(text.lines().map(|line| line.trim().to_owned()).collect())
}

/// The line of a resource; with code and data apart (`L3CODE`, `L3DATA`) the last of the two.
fn line(schemata: &[String], resource: &str) -> String {
    let of_resource = |line: &&String| line.starts_with(resource);
    schemata
        .iter()
        .rfind(of_resource)
        .cloned()
        .unwrap_or_default()
}

/// The directories of the L3 domains, in order.
fn domains(mon_data: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(mon_data).map_err(|cause| failed(mon_data, cause))?;
    let mut domains: Vec<_> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    domains.sort();
    Ok(domains)
}

/// A counter may say `Unavailable` or `Error` for a while.
fn counter(domain: &Path, file: &str) -> Result<u64> {
    Ok(text(domain, file)?.parse().unwrap_or_default())
}

fn number(directory: &Path, file: &str) -> Result<u64> {
    text(directory, file)?.parse().map_err(|_| {
        let problem = "the file has no number";
        let cause = io::Error::new(io::ErrorKind::InvalidData, problem);
        failed(&directory.join(file), cause)
    })
}

fn text(directory: &Path, file: &str) -> Result<String> {
    let path = directory.join(file);
    let text = fs::read_to_string(&path).map_err(|cause| failed(&path, cause))?;
    Ok(text.trim().to_owned())
}

fn failed(path: &Path, cause: io::Error) -> Error {
    let attempt = format!("read {}", path.display());
    Error::io(ErrorKind::Host, attempt, cause).at(INTEL_RDT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A directory with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const ROOT: &[(&str, &str)] = &[
        ("schemata", "    MB:0=100;1=100\n    L3:0=fffff;1=fffff\n"),
        ("info/L3/cbm_mask", "fffff\n"),
        ("info/L3/min_cbm_bits", "1\n"),
        ("info/L3/num_closids", "16\n"),
        ("info/MB/bandwidth_gran", "10\n"),
        ("info/MB/delay_linear", "1\n"),
        ("info/MB/min_bandwidth", "10\n"),
        ("info/MB/num_closids", "8\n"),
        (
            "info/L3_MON/mon_features",
            "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes\n",
        ),
        ("web/schemata", "    MB:0=50;1=100\n    L3:0=f;1=fffff\n"),
        ("web/mon_data/mon_L3_00/llc_occupancy", "123456\n"),
        ("web/mon_data/mon_L3_00/mbm_total_bytes", "2361\n"),
        ("web/mon_data/mon_L3_00/mbm_local_bytes", "2361\n"),
        ("web/mon_data/mon_L3_01/llc_occupancy", "0\n"),
        ("web/mon_data/mon_L3_01/mbm_total_bytes", "Unavailable\n"),
        ("web/mon_data/mon_L3_01/mbm_local_bytes", "7\n"),
    ];

    fn group(clos: &Path) -> Group {
        Group {
            clos: clos.to_owned(),
            own: true,
            monitoring: None,
        }
    }

    #[test]
    fn a_class_has_the_machines_numbers_its_own_shares_and_its_use() {
        let root = tree(ROOT);
        let stats = group(&root.path().join("web")).stats().unwrap();
        assert_eq!(stats.l3_cache.as_ref().unwrap().cbm_mask, "fffff");
        assert_eq!(stats.l3_schema_root, "L3:0=fffff;1=fffff");
        assert_eq!(stats.l3_schema, "L3:0=f;1=fffff");
        assert_eq!(stats.memory_bandwidth.unwrap().num_closids, 8);
        assert_eq!(stats.mb_schema, "MB:0=50;1=100");
        assert_eq!(stats.schemata, ["MB:0=50;1=100", "L3:0=f;1=fffff"]);
        let usage = stats.bandwidth.unwrap();
        assert_eq!((usage[0].total, usage[0].local), (2361, 2361));
        assert_eq!((usage[1].total, usage[1].local), (0, 7));
        assert_eq!(stats.occupancy.unwrap(), [123_456, 0]);
    }

    #[test]
    fn a_monitoring_group_is_what_is_counted_where_there_is_one() {
        let root = tree(ROOT);
        let own = root.path().join("web/mon_groups/c");
        fs::create_dir_all(own.join("mon_data/mon_L3_00")).unwrap();
        for file in ["llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"] {
            fs::write(own.join("mon_data/mon_L3_00").join(file), "42\n").unwrap();
        }
        let mut group = group(&root.path().join("web"));
        group.monitoring = Some(own);
        assert_eq!(group.stats().unwrap().occupancy.unwrap(), [42]);
    }

    #[test]
    fn the_default_class_is_the_root_and_a_machine_without_monitors_counts_nothing() {
        let root = tree(&[
            ("schemata", "L3:0=f\n"),
            ("info/L3/cbm_mask", "f"),
            ("info/L3/min_cbm_bits", "1"),
            ("info/L3/num_closids", "4"),
        ]);
        let stats = group(root.path()).stats().unwrap();
        assert_eq!(stats.l3_schema, "L3:0=f");
        assert_eq!((stats.memory_bandwidth, stats.bandwidth), (None, None));
    }

    #[test]
    fn a_file_that_is_not_as_documented_is_named() {
        let root = tree(ROOT);
        fs::write(root.path().join("info/MB/min_bandwidth"), "many\n").unwrap();
        let error = group(&root.path().join("web")).stats().unwrap_err();
        assert!(
            error.to_string().contains("info/MB/min_bandwidth"),
            "{error}"
        );
    }
}
