//! The part of an update that systemd has to know, where the cgroup is a unit's.
//!
//! It is told after the kernel has taken the values. As it writes to the files whatever it holds to be the unit's limits,
//! what it has no property for is written again where it changed that.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

use super::device_transition::Current;
use super::files::{open_directory, read_file, write_file};
use super::plan::{CgroupPlan, Missing};
use super::systemd::{Property, Unit};
use super::{Cgroup, CgroupError, devices};

/// What is to be told.
#[derive(Debug)]
pub(super) struct UnitUpdate {
    pub(super) unit: Unit,
    pub(super) properties: Vec<Property>,
    /// Files with values that are to be as they are: directories and names.
    pub(super) files: Vec<(PathBuf, String)>,
}

/// The files that these limits are in.
pub(super) fn files_of(plans: [&CgroupPlan; 2]) -> Vec<(PathBuf, String)> {
    let directories = plans.into_iter().flat_map(|plan| &plan.directories);
    let mut files: Vec<(PathBuf, String)> = directories
        .flat_map(|planned| {
            let path = &planned.directory.path;
            planned.writes.iter().flat_map(move |write| {
                let other = match &write.missing {
                    Missing::Instead(file, _) => Some((*file).to_owned()),
                    Missing::Fail | Missing::Skip => None,
                };
                let names = std::iter::once(write.file.clone().into_owned()).chain(other);
                names.map(move |name| (path.clone(), name))
            })
        })
        .collect();
    files.sort();
    files.dedup();
    files
}

impl Cgroup {
    /// Sets the unit's properties. On version 1 systemd may write device rules anew, one by one, so the processes stand
    /// still meanwhile.
    pub(super) fn tell_systemd(&self, update: &UnitUpdate) -> Result<(), CgroupError> {
        let values: Vec<_> = update.files.iter().map(read).collect();
        let rules = self.devices_in_force();
        let pause = rules.is_some() && self.has_freezer() && !self.is_frozen().unwrap_or(false);
        if pause {
            self.freeze().map_err(|cause| {
                let problem = format!("stop the processes while systemd sets limits: {cause}");
                CgroupError::host(devices::POINTER, problem)
            })?;
        }
        let told = update.unit.set_properties(&update.properties);
        let files = update.files.iter().zip(&values);
        let mut kept = files.filter_map(|(file, before)| Some((file, before.as_ref()?)));
        let mut result = told.and(kept.try_for_each(|(file, before)| keep(file, before)));
        if let Some((path, before)) = &rules {
            result = result.and(self.keep_devices(path, before));
        }
        if pause && let Err(cause) = self.thaw() {
            let problem = format!("let the processes go on: {cause}");
            result = result.and(Err(CgroupError::host(devices::POINTER, problem)));
        }
        result
    }

    /// The rules of version 1, where the kernel tells them.
    fn devices_in_force(&self) -> Option<(PathBuf, Current)> {
        let directory = self.with_controller("devices")?;
        let handle = open_directory(&directory.path).ok()?;
        let list = read_file(handle.as_fd(), "devices.list").ok()?;
        let current = Current::parse(&list)?;
        matches!(current, Current::Only(_)).then(|| (directory.path.clone(), current))
    }

    fn keep_devices(&self, path: &Path, before: &Current) -> Result<(), CgroupError> {
        match self.devices_in_force() {
            Some((_, now)) if now == *before => Ok(()),
            _ => super::update::restore_devices(path, before),
        }
    }
}

fn read((directory, file): &(PathBuf, String)) -> Option<String> {
    read_file(open_directory(directory).ok()?, file).ok()
}

fn keep(file: &(PathBuf, String), before: &str) -> Result<(), CgroupError> {
    if read(file).is_none_or(|now| now == before) {
        return Ok(());
    }
    let (directory, name) = file;
    let write = |line: &str| write_file(open_directory(directory)?, name, line);
    let lines: Vec<&str> = before.lines().filter(|line| !line.is_empty()).collect();
    let written: Result<(), Errno> = match lines.as_slice() {
        [] => write("\n"),
        lines => lines.iter().try_for_each(|line| write(line)),
    };
    written.map_err(|errno| {
        let path = directory.join(name);
        let attempt = format_args!(
            "write {:?} to {} after systemd",
            before.trim(),
            path.display()
        );
        CgroupError::failed(super::path::POINTER, attempt, errno)
    })
}
