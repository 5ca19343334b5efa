//! `linux.intelRdt`: shares of caches and memory bandwidth, by the resctrl file system (config-linux.md, "IntelRdt";
//! Documentation/filesystems/resctrl.rst of the kernel).

#[cfg(test)]
mod container_tests;
mod group;
#[cfg(test)]
mod group_tests;
#[cfg(not(test))]
mod kernel;
mod schemata;
#[cfg(test)]
mod stand_in;
mod stats;
mod update;

use std::fmt;
use std::path::PathBuf;

use oci_spec::runtime::LinuxIntelRdt;
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::Builder;

pub(crate) use group::{Group, Making};
#[cfg(any(test, fuzzing))]
pub(crate) use schemata::has as has_schemata;
pub use stats::{BandwidthUsage, IntelRdtStats, L3CacheInfo, MemoryBandwidthInfo};
pub(crate) use update::{Change, Changed};

pub(crate) const INTEL_RDT: &str = "/linux/intelRdt";
const CLOS_ID: &str = "/linux/intelRdt/closID";

/// Directories at the top of a resctrl file system that are no classes of service.
const RESERVED: [&str; 3] = ["info", "mon_groups", "mon_data"];

/// What is done for a container in a resctrl file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IntelRdt {
    /// Where the file system is mounted.
    resctrl: PathBuf,
    /// The directory of the class of service.
    clos: PathBuf,
    /// Whether the configuration names the class. It stays then when the container is deleted.
    named: bool,
    /// What is written to `schemata`, in this order.
    schemata: Vec<Schema>,
    /// The directory of the monitoring group, if there is to be one.
    monitoring: Option<PathBuf>,
}

/// Lines of a `schemata` file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Schema {
    origin: &'static str,
    lines: String,
    /// Whether a class that exists already has to have these.
    compared: bool,
}

impl fmt::Display for IntelRdt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "class of service {}", self.clos.display())?;
        for schema in &self.schemata {
            write!(f, ", {:?}", schema.lines)?;
        }
        match &self.monitoring {
            Some(group) => write!(f, ", monitored by {}", group.display()),
            None => Ok(()),
        }
    }
}

/// Adds what the configuration asks for to the plan.
pub(crate) fn plan(plan: &mut Builder<'_>) -> Result<()> {
    let Some(asked) = plan.linux().and_then(|linux| linux.intel_rdt().as_ref()) else {
        return Ok(());
    };
    warn_of_deprecated(asked);
    let name = asked.clos_id().as_deref().filter(|name| !name.is_empty());
    let id = plan.options.id.as_str();
    match name {
        Some("/") => {}
        Some(name) => check_name(name).map_err(|problem| Error::config(CLOS_ID, problem))?,
        None if RESERVED.contains(&id) => {
            let problem =
                format!("{id}, the container's ID, is a name of resctrl's own: set closID");
            return Err(Error::config(CLOS_ID, problem));
        }
        None => {}
    }
    let schemata = schemata_of(asked)?;
    let Some(resctrl) = plan.facts.resctrl.clone() else {
        let problem =
            "no resctrl file system is mounted (mount -t resctrl resctrl /sys/fs/resctrl)";
        return Err(Error::new(ErrorKind::Unsupported, problem).at(INTEL_RDT));
    };
    let clos = match name {
        Some("/") => resctrl.clone(),
        Some(name) => resctrl.join(name),
        None => resctrl.join(id),
    };
    let monitored = asked.enable_monitoring().unwrap_or(false);
    plan.plan.intel_rdt = Some(IntelRdt {
        monitoring: monitored.then(|| clos.join("mon_groups").join(id)),
        resctrl,
        clos,
        named: name.is_some(),
        schemata,
    });
    Ok(())
}

/// A class of service is one directory, directly under the root.
fn check_name(name: &str) -> std::result::Result<(), String> {
    // The kernel allows no newline in it (fs/resctrl/rdtgroup.c, `rdtgroup_mkdir`).
    let bad = matches!(name, "." | "..") || name.contains(['/', '\n', '\0']);
    if bad || RESERVED.contains(&name) || name.len() > 255 {
        return Err(format!("{name:?} is no name of a class of service"));
    }
    Ok(())
}

/// What is written, in the order of the specification.
fn schemata_of(asked: &LinuxIntelRdt) -> Result<Vec<Schema>> {
    let mut schemata = Vec::new();
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    if let Some(lines) = given(asked.l3_cache_schema()) {
        // It SHOULD begin with L3: and be one line; code and data prioritisation takes two, L3CODE: and L3DATA:.
        schemata.push(Schema {
            origin: "/linux/intelRdt/l3CacheSchema",
            lines,
            compared: true,
        });
    }
    if let Some(lines) = given(asked.mem_bw_schema()) {
        let origin = "/linux/intelRdt/memBwSchema";
        if !lines.starts_with("MB:") || lines.contains('\n') {
            let problem = format!("{lines:?} is not one line that begins with MB:");
            return Err(Error::config(origin, problem));
        }
        schemata.push(Schema {
            origin,
            lines,
            compared: true,
        });
    }
    let lines = asked.schemata().as_deref().unwrap_or_default();
    if let Some(number) = lines.iter().position(|line| line.contains('\n')) {
        let origin = format!("/linux/intelRdt/schemata/{number}");
        return Err(Error::config(origin, "more than one line"));
    }
    if !lines.is_empty() {
        schemata.push(Schema {
            origin: "/linux/intelRdt/schemata",
            lines: lines.join("\n"),
            compared: false,
        });
    }
    Ok(schemata)
}

#[allow(
    deprecated,
    reason = "configurations of versions 1.1 to 1.2 may have what this version of the specification took out"
)]
fn warn_of_deprecated(asked: &LinuxIntelRdt) {
    let asked = [
        ("enableCMT", asked.enable_cmt()),
        ("enableMBM", asked.enable_mbm()),
    ];
    for (name, _) in asked.iter().filter(|(_, asked)| **asked == Some(true)) {
        tracing::warn!(
            "{INTEL_RDT}/{name} has no effect: version 1.3 of the specification replaced it with enableMonitoring"
        );
    }
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::Spec;
    use serde_json::{Value, json};

    use super::*;
    use crate::plan::{HostFacts, Options, compile_with};

    pub(super) fn compile(
        id: &str,
        asked: Value,
        resctrl: Option<&str>,
    ) -> Result<Option<IntelRdt>> {
        let mut spec = serde_json::to_value(crate::default_spec()).unwrap();
        spec["linux"]["intelRdt"] = asked;
        let spec: Spec = serde_json::from_value(spec).unwrap();
        let facts = HostFacts {
            resctrl: resctrl.map(PathBuf::from),
            ..HostFacts::typical()
        };
        let options = Options {
            id: id.to_owned(),
            ..Options::default()
        };
        compile_with(&spec, &facts, &options).map(|plan| plan.intel_rdt)
    }

    fn compiled(asked: Value) -> IntelRdt {
        compile("web", asked, Some("/resctrl")).unwrap().unwrap()
    }

    #[test]
    fn the_class_is_the_one_that_is_named_or_the_containers() {
        let none = compiled(json!({}));
        assert_eq!(
            (none.clos.to_str(), none.named),
            (Some("/resctrl/web"), false)
        );
        let empty = compiled(json!({"closID": ""}));
        assert_eq!(none, empty);
        let named = compiled(json!({"closID": "gold"}));
        assert_eq!(
            (named.clos.to_str(), named.named),
            (Some("/resctrl/gold"), true)
        );
        let default = compiled(json!({"closID": "/", "enableMonitoring": true}));
        assert_eq!(
            (default.clos.to_str(), default.named),
            (Some("/resctrl"), true)
        );
        let group = default.monitoring.unwrap();
        assert_eq!(group.to_str(), Some("/resctrl/mon_groups/web"));
    }

    #[test]
    fn schemata_are_written_cache_first_and_bandwidth_next_and_all_others_last() {
        let asked = json!({"schemata": ["L2:0=f0", "MB:0=10"], "memBwSchema": "MB:0=20;1=70", "l3CacheSchema": "L3:0=7f0;1=1f"});
        let written = compiled(asked).schemata.into_iter();
        let written: Vec<_> = written
            .map(|schema| (schema.lines, schema.compared))
            .collect();
        let expected = [
            ("L3:0=7f0;1=1f", true),
            ("MB:0=20;1=70", true),
            ("L2:0=f0\nMB:0=10", false),
        ];
        assert_eq!(
            written,
            expected.map(|(lines, compared)| (lines.to_owned(), compared))
        );
        assert!(
            compiled(json!({"closID": "a", "schemata": []}))
                .schemata
                .is_empty()
        );
    }

    #[test]
    fn what_no_class_or_schema_can_be_is_refused_by_its_pointer() {
        let refused = |id: &str, asked: Value, pointer: &str| {
            for resctrl in [Some("/resctrl"), None] {
                let error = compile(id, asked.clone(), resctrl).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{asked}");
                assert_eq!(error.origin(), Some(pointer), "{asked}");
            }
        };
        for name in [
            ".",
            "..",
            "a/b",
            "/a",
            "a/",
            "//",
            "a\nb",
            "info",
            "mon_groups",
            "mon_data",
        ] {
            refused("web", json!({"closID": name}), "/linux/intelRdt/closID");
        }
        refused(
            "web",
            json!({"closID": "x".repeat(256)}),
            "/linux/intelRdt/closID",
        );
        refused("info", json!({}), "/linux/intelRdt/closID");
        for schema in ["0=20", "L3:0=f", " MB:0=20", "MB:0=20\nMB:1=20"] {
            refused(
                "web",
                json!({"memBwSchema": schema}),
                "/linux/intelRdt/memBwSchema",
            );
        }
        let lines = json!({"schemata": ["L3:0=f", "MB:0=20\nL2:0=1"]});
        refused("web", lines, "/linux/intelRdt/schemata/1");
    }

    #[test]
    fn without_a_resctrl_file_system_it_is_not_supported() {
        let error = compile("web", json!({}), None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.origin(), Some("/linux/intelRdt"));
        let problem = error.to_string();
        assert!(
            problem.contains("no resctrl file system is mounted"),
            "{problem}"
        );
    }
}
