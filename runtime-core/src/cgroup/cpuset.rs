//! Processors and memory nodes in version 1, where a cgroup begins without, and nothing can join it then. What the
//! configuration does not say is the parent's: cpuset(7).

use std::os::fd::AsFd;
use std::path::Path;

use rustix::io::Errno;

use super::CgroupError;
use super::files::{open_directory, read_value, write_file};
use super::path::POINTER;
use super::plan::Planned;
use super::write::write_all;

const FILES: [&str; 2] = ["cpuset.cpus", "cpuset.mems"];

/// Writes what the configuration says, and the parent's values for the rest.
pub(super) fn set_up(planned: &Planned, is_new: bool) -> Result<(), CgroupError> {
    let path = &planned.directory.path;
    let parent = path.parent().unwrap_or(path);
    let inherited = fill(parent, &planned.directory.mount_point)?;
    let directory = open_directory(path).map_err(|errno| cannot_inherit(path, errno))?;
    write_all(planned, directory.as_fd())?;
    for (file, value) in FILES.into_iter().zip(inherited) {
        let is_written = planned.writes.iter().any(|write| write.file == file);
        let is_there = || read_value(&directory, file).is_ok_and(|value| !value.trim().is_empty());
        if !is_written && (is_new || !is_there()) {
            write_file(&directory, file, &value).map_err(|errno| cannot_inherit(path, errno))?;
        }
    }
    Ok(())
}

/// The values of a cgroup, after it got its parent's where it had none.
fn fill(path: &Path, mount_point: &Path) -> Result<[String; 2], CgroupError> {
    let failed = |errno| cannot_inherit(path, errno);
    let directory = open_directory(path).map_err(failed)?;
    let [cpus, mems] = FILES.map(|file| read_value(&directory, file));
    let mut values = [cpus.map_err(failed)?, mems.map_err(failed)?];
    let is_complete = values.iter().all(|value| !value.trim().is_empty());
    let parent = path
        .parent()
        .filter(|_| path != mount_point && !is_complete);
    let Some(parent) = parent else {
        return Ok(values);
    };
    for ((file, value), inherited) in FILES
        .into_iter()
        .zip(&mut values)
        .zip(fill(parent, mount_point)?)
    {
        if value.trim().is_empty() {
            write_file(&directory, file, &inherited).map_err(failed)?;
            *value = inherited;
        }
    }
    Ok(values)
}

fn cannot_inherit(path: &Path, errno: Errno) -> CgroupError {
    let operation = format_args!(
        "give {} the parent's processors and memory nodes",
        path.display()
    );
    CgroupError::failed(POINTER, operation, errno)
}
