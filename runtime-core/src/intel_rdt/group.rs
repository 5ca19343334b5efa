//! The host's part: the directories of a resctrl file system, and the files that the kernel puts into them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

#[cfg(not(test))]
use super::kernel;
#[cfg(test)]
use super::stand_in as kernel;
use super::{CLOS_ID, INTEL_RDT, IntelRdt, Schema, schemata};
use crate::error::{Error, ErrorKind, Result};

const MONITORING: &str = "/linux/intelRdt/enableMonitoring";

/// Where the processes of a container are, as its state has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(super) clos: PathBuf,
    /// Whether the class of service is made for this container alone, and goes with it.
    pub(super) own: bool,
    pub(super) monitoring: Option<PathBuf>,
}

/// A group in the making.
#[derive(Debug)]
pub(crate) struct Making {
    plan: IntelRdt,
    /// What it will be.
    pub(crate) group: Group,
    /// Whether the class of service is yet to be made.
    absent: bool,
    /// What was made by now.
    made: Vec<PathBuf>,
}

impl IntelRdt {
    /// Sees what is there already, and changes nothing.
    pub(crate) fn prepare(&self) -> Result<Making> {
        let there = fs::exists(&self.clos);
        let absent = !there.map_err(|cause| self.failed(CLOS_ID, "look for", &self.clos, cause))?;
        if self.named && absent && self.schemata.is_empty() {
            let problem = format!(
                "there is no class of service {}, and no schema to make it with",
                self.clos.display()
            );
            return Err(Error::new(ErrorKind::Setup, problem).at(CLOS_ID));
        }
        if self.named && !absent {
            self.compare()?;
        }
        Ok(Making {
            plan: self.clone(),
            group: Group {
                clos: self.clos.clone(),
                own: absent && !self.named,
                monitoring: self.monitoring.clone(),
            },
            absent,
            made: Vec::new(),
        })
    }

    /// A class of service that others may be in has to be what is asked for.
    fn compare(&self) -> Result<()> {
        let compared: Vec<&Schema> = self.schemata.iter().filter(|s| s.compared).collect();
        let Some(first) = compared.first() else {
            return Ok(());
        };
        let path = self.clos.join("schemata");
        let file = fs::read_to_string(&path)
            .map_err(|cause| self.failed(first.origin, "read", &path, cause))?;
        // Without that file there is no bandwidth to ask for.
        let granularity = fs::read_to_string(self.resctrl.join("info/MB/bandwidth_gran"));
        let granularity = granularity.map_or(1, |text| text.trim().parse().unwrap_or(1));
        for schema in compared {
            if !schemata::has(&file, &schema.lines, granularity) {
                let problem = format!(
                    "the class of service {} exists, and its schemata are not {:?} but {:?}",
                    self.clos.display(),
                    schema.lines,
                    file.trim()
                );
                return Err(Error::new(ErrorKind::Setup, problem).at(schema.origin));
            }
        }
        Ok(())
    }

    /// The error of what the kernel refused, with the reason that it gives in `info/last_cmd_status`.
    fn failed(&self, origin: &str, attempt: &str, path: &Path, cause: io::Error) -> Error {
        let mut attempt = format!("{attempt} {}", path.display());
        if let Ok(status) = fs::read_to_string(self.resctrl.join("info/last_cmd_status")) {
            let status = status.trim();
            if !matches!(status, "" | "ok") {
                attempt = format!("{attempt} ({status})");
            }
        }
        Error::io(ErrorKind::Setup, attempt, cause).at(origin)
    }
}

impl Making {
    /// Makes the directories and writes the schemata.
    pub(crate) fn make(&mut self) -> Result<()> {
        if self.absent {
            self.make_directory(self.plan.clos.clone(), INTEL_RDT)?;
        }
        let path = self.plan.clos.join("schemata");
        for Schema { origin, lines, .. } in &self.plan.schemata {
            let written = kernel::write(&path, &format!("{lines}\n"));
            let attempt = format!("write {lines:?} to");
            written.map_err(|cause| self.plan.failed(origin, &attempt, &path, cause))?;
        }
        match self.plan.monitoring.clone() {
            Some(group) => self.make_directory(group, MONITORING),
            None => Ok(()),
        }
    }

    fn make_directory(&mut self, path: PathBuf, origin: &str) -> Result<()> {
        let made = kernel::create_dir(&path);
        made.map_err(|cause| self.plan.failed(origin, "make", &path, cause))?;
        self.made.push(path);
        Ok(())
    }

    /// Takes back what was made, for a container that is not to be. A class that others have joined meanwhile stays.
    pub(crate) fn undo(&self) {
        for path in self.made.iter().rev() {
            let tasks = fs::read_to_string(path.join("tasks")).unwrap_or_default();
            if tasks.trim().is_empty()
                && let Err(cause) = kernel::remove_dir(path)
            {
                tracing::warn!("{} is left behind: {cause}", path.display());
            }
        }
    }
}

impl Group {
    /// Puts a process there, with all that it will start.
    pub(crate) fn join(&self, pid: i32) -> Result<()> {
        // A monitoring group takes tasks of its own class only.
        let directories = [Some(&self.clos), self.monitoring.as_ref()];
        directories.into_iter().flatten().try_for_each(|directory| {
            let tasks = directory.join("tasks");
            kernel::write(&tasks, &pid.to_string()).map_err(|cause| {
                let attempt = format!("write {pid} to {}", tasks.display());
                Error::io(ErrorKind::Setup, attempt, cause).at(INTEL_RDT)
            })
        })
    }

    /// Puts one more process of a running container there, unless somebody has removed the group. Then the kernel has moved
    /// the container to the default class, where new processes are as well.
    pub(crate) fn join_running(&self, pid: i32) -> Result<()> {
        match self.join(pid) {
            Err(error) if error.errno() == Some(libc::ENOENT) => {
                tracing::warn!("{error}");
                Ok(())
            }
            answer => answer,
        }
    }

    /// Removes what was made for the container, which is no more.
    pub(crate) fn remove(&self) -> Result<()> {
        let own = self.own.then_some(&self.clos);
        self.monitoring.iter().chain(own).try_for_each(|directory| {
            match kernel::remove_dir(directory) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                    let attempt = format!("remove {}", directory.display());
                    Err(Error::io(ErrorKind::Host, attempt, cause).at(INTEL_RDT))
                }
                _ => Ok(()),
            }
        })
    }
}
