//! Other shares for a container that runs.

use std::fs;
use std::path::PathBuf;

use oci_spec::runtime::LinuxIntelRdt;
use serde_json::{Value, json};

#[cfg(not(test))]
use super::kernel;
#[cfg(test)]
use super::stand_in as kernel;
use super::{Group, INTEL_RDT, Schema, schemata_of};
use crate::error::{Error, ErrorKind, Result};

/// Shares that a class of service is to have. Another container may be in it, if the configuration names it.
#[derive(Debug)]
pub(crate) struct Change {
    file: PathBuf,
    schemata: Vec<Schema>,
    members: Vec<(&'static str, Value)>,
}

/// Shares that it has by now.
#[derive(Debug)]
pub(crate) struct Changed {
    file: PathBuf,
    before: String,
}

impl Change {
    /// Reads and writes nothing.
    pub(crate) fn new(group: &Group, asked: &LinuxIntelRdt) -> Result<Change> {
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let schemata = asked.schemata().as_ref().filter(|lines| !lines.is_empty());
        let members = [
            (
                "l3CacheSchema",
                given(asked.l3_cache_schema()).map(|text| json!(text)),
            ),
            (
                "memBwSchema",
                given(asked.mem_bw_schema()).map(|text| json!(text)),
            ),
            ("schemata", schemata.map(|lines| json!(lines))),
        ];
        Ok(Change {
            file: group.clos.join("schemata"),
            schemata: schemata_of(asked)?,
            members: members
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
        })
    }

    /// What is given, by its names in the configuration.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&'static str, Value)> {
        self.members.iter().cloned()
    }

    /// Writes the schemata, all or none.
    pub(crate) fn make(&self) -> Result<Changed> {
        let before = fs::read_to_string(&self.file).map_err(|cause| {
            let attempt = format!("read {}", self.file.display());
            Error::io(ErrorKind::Setup, attempt, cause).at(INTEL_RDT)
        })?;
        let changed = Changed {
            file: self.file.clone(),
            before,
        };
        for Schema { origin, lines, .. } in &self.schemata {
            if let Err(cause) = kernel::write(&self.file, &format!("{lines}\n")) {
                let attempt = format!("write {lines:?} to {}", self.explained());
                let error = Error::io(ErrorKind::Setup, attempt, cause).at(*origin);
                return Err(match changed.take_back() {
                    Ok(()) => error,
                    Err(second) => error.context(second),
                });
            }
        }
        Ok(changed)
    }

    /// The file, with the reason that the kernel gives for the last failure.
    fn explained(&self) -> String {
        let file = self.file.display();
        let status =
            self.file.ancestors().skip(1).take(2).find_map(|directory| {
                fs::read_to_string(directory.join("info/last_cmd_status")).ok()
            });
        match status.as_deref().map(str::trim) {
            None | Some("" | "ok") => file.to_string(),
            Some(status) => format!("{file} ({status})"),
        }
    }
}

impl Changed {
    /// Writes what was there before.
    pub(crate) fn take_back(self) -> Result<()> {
        self.before.lines().map(str::trim).try_for_each(|line| {
            kernel::write(&self.file, &format!("{line}\n")).map_err(|cause| {
                let attempt = format!("write {line:?} back to {}", self.file.display());
                Error::io(ErrorKind::Setup, attempt, cause).at(INTEL_RDT)
            })
        })
    }
}
