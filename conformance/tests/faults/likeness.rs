//! What a container is like, as far as it is the same each time it is made.

use std::collections::BTreeMap;
use std::fs;

use conformance::Report;
use serde_json::{Value, json};

/// Lines of /proc/self/status that say what a process may do.
const STATUS: [&str; 16] = [
    "Uid",
    "Gid",
    "Groups",
    "Umask",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
    "Seccomp",
    "Seccomp_filters",
    "SigBlk",
    "SigIgn",
    "SigCgt",
    "NStgid",
];

/// Files whose content is another each time.
const OTHER_EACH_TIME: [&str; 1] = ["/proc/self/stat"];

/// The part of a [`Report`] that says how well the container is closed.
#[derive(Debug)]
pub(crate) struct Likeness(BTreeMap<String, Value>);

impl Likeness {
    /// None as long as there is no whole report.
    pub(crate) fn of(output: &str) -> Option<Self> {
        let mut report: Report = serde_json::from_str(output).ok()?;
        report
            .files
            .retain(|path, _| !OTHER_EACH_TIME.contains(&path.as_str()));
        let cgroups = report.files.entry("/proc/self/cgroup".to_owned());
        let cgroups = cgroups.or_default();
        *cgroups = without_hierarchy_beside(cgroups);
        let status: BTreeMap<_, _> = STATUS
            .iter()
            .map(|name| (*name, report.status.get(*name)))
            .collect();
        let mounts: Vec<_> = report
            .mounts
            .iter()
            .map(|mount| json!([mount.root, mount.target, mount.kind, mount.options]))
            .collect();
        let descriptors: Vec<_> = report.descriptors.keys().collect();
        let own: BTreeMap<_, _> = report
            .namespaces
            .iter()
            .map(|(name, link)| (name, !is_the_hosts(name, link)))
            .collect();
        let parts = [
            ("status", json!(status)),
            ("mounts", json!(mounts)),
            ("descriptors", json!(descriptors)),
            ("own namespaces", json!(own)),
            ("arguments", json!(report.args)),
            ("environment", json!(report.env)),
            ("working directory", json!(report.cwd)),
            ("limits", json!(report.limits)),
            ("files", json!(report.files)),
            ("devices", json!(report.devices)),
        ];
        Some(Self(
            parts.map(|(name, part)| (name.to_owned(), part)).into(),
        ))
    }

    pub(crate) fn assert_same(&self, other: &Self) {
        for (name, part) in &self.0 {
            assert_eq!(
                Some(part),
                other.0.get(name),
                "not the container that was asked for: its {name}"
            );
        }
    }
}

/// Where version 1 has the controllers, a container may do without a cgroup of version 2.
fn without_hierarchy_beside(cgroups: &str) -> String {
    let lines: Vec<_> = cgroups.lines().collect();
    let is_kept = |line: &&&str| lines.len() == 1 || !line.starts_with("0::");
    let kept: Vec<_> = lines.iter().filter(is_kept).copied().collect();
    kept.join("\n")
}

fn is_the_hosts(name: &str, link: &str) -> bool {
    fs::read_link(format!("/proc/self/ns/{name}")).is_ok_and(|own| own.to_string_lossy() == link)
}
