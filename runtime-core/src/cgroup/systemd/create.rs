//! Executes a plan with a unit: systemd makes the cgroup around the container's init.

use crate::cgroup::create::{Made, make_unless_there};
use crate::cgroup::error::shown;
use crate::cgroup::files::{open_directory, write_file};
use crate::cgroup::path::POINTER;
use crate::cgroup::plan::{CgroupPlan, Directory, Version};
use crate::cgroup::{Cgroup, CgroupError};

use super::UnitPlan;

/// The hierarchy of version 1 that is systemd's own.
const OWN: &str = "name=systemd";

impl CgroupPlan {
    /// Starts the plan's unit around this process. The limits are not all in force before [`CgroupPlan::fill`].
    ///
    /// # Errors
    ///
    /// When systemd cannot start the unit: with the JSON pointer of what asked for it, where systemd says as much. There is
    /// no unit then.
    pub fn start_unit(&self, pid: i32) -> Result<Cgroup, CgroupError> {
        let Some(plan) = &self.unit else {
            return Err(CgroupError::host(POINTER, "the plan has no systemd unit"));
        };
        Ok(Cgroup {
            directories: self.directories().cloned().collect(),
            existed: Vec::new(),
            made_parents: Vec::new(),
            unit: Some(plan.start(pid)?),
        })
    }

    /// Completes the cgroup of a unit that was started around this process. systemd makes a directory in the hierarchies
    /// that it knows; in the others that is done here, and what it has no property for is written.
    ///
    /// # Errors
    ///
    /// When the kernel refuses a directory or a value: with the JSON pointer of what asked for it.
    pub fn fill(&self, cgroup: &mut Cgroup, pid: i32) -> Result<(), CgroupError> {
        let mut made = Made::default();
        let result = self.make_and_join(cgroup, &mut made, pid);
        cgroup.made_parents = made.parents;
        result
    }

    fn make_and_join(
        &self,
        cgroup: &mut Cgroup,
        made: &mut Made,
        pid: i32,
    ) -> Result<(), CgroupError> {
        for planned in &self.directories {
            match make_unless_there(&planned.directory, made) {
                Err(error) if planned.optional && error.errno().is_some() => cgroup
                    .directories
                    .retain(|directory| *directory != planned.directory),
                result => drop(result?),
            }
        }
        self.set_up_all(made)?;
        let is_slice = self.unit.as_ref().is_some_and(UnitPlan::is_slice);
        let is_mine = |directory: &&Directory| match directory.version {
            Version::V1 => !directory.controllers.iter().any(|name| name == OWN),
            Version::V2 => is_slice,
        };
        let mut mine = cgroup.directories.iter().filter(is_mine);
        mine.try_for_each(|directory| join(directory, pid))
    }
}

fn join(directory: &Directory, pid: i32) -> Result<(), CgroupError> {
    let written = open_directory(&directory.path)
        .and_then(|path| write_file(path, "cgroup.procs", &pid.to_string()));
    written.map_err(|errno| {
        let file = shown(&directory.path, "cgroup.procs");
        CgroupError::failed(POINTER, format_args!("write {pid} to {file}"), errno)
    })
}
