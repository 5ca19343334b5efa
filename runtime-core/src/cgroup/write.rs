//! Writes the values of a plan to the files of a cgroup.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::CgroupError;
use super::error::shown;
use super::files::{open_to_write, put, read_value, write_file};
use super::plan::{Missing, Planned, Version, Write};

/// A file that several lines in a row go to, opened once.
type LastFile<'a> = Option<(&'a str, OwnedFd)>;

pub(super) fn write_all(planned: &Planned, directory: BorrowedFd<'_>) -> Result<(), CgroupError> {
    let mut last = None;
    let mut later = Vec::new();
    for write in &planned.writes {
        match write_one(write, directory, &mut last) {
            Err(Errno::INVAL) if write.again => later.push(write),
            result => result.map_err(|errno| cannot_write(planned, directory, write, errno))?,
        }
    }
    for write in later {
        write_one(write, directory, &mut last)
            .map_err(|errno| cannot_write(planned, directory, write, errno))?;
    }
    Ok(())
}

fn write_one<'a>(
    write: &'a Write,
    directory: BorrowedFd<'_>,
    last: &mut LastFile<'a>,
) -> rustix::io::Result<()> {
    if let Some((_, file)) = last.as_ref().filter(|(name, _)| *name == write.file) {
        return put(file, &write.value);
    }
    match (open_to_write(directory, &write.file), &write.missing) {
        (Ok(file), _) => {
            let (_, file) = last.insert((&write.file, file));
            put(file, &write.value)
        }
        (Err(Errno::NOENT), Missing::Skip) => Ok(()),
        (Err(Errno::NOENT), Missing::Instead(file, value)) => write_file(directory, file, value),
        (Err(errno), _) => Err(errno),
    }
}

fn cannot_write(
    planned: &Planned,
    directory: BorrowedFd<'_>,
    write: &Write,
    errno: Errno,
) -> CgroupError {
    let (file, value) = match &write.missing {
        Missing::Instead(other, value) if open_to_write(directory, &write.file).is_err() => {
            (*other, value)
        }
        _ => (write.file.as_ref(), &write.value),
    };
    let path = shown(&planned.directory.path, file);
    let error = CgroupError::failed(
        write.origin.clone(),
        format_args!("write {value:?} to {path}"),
        errno,
    );
    match errno {
        Errno::NOENT if planned.version() == Version::V2 => {
            let controllers = read_value(directory, "cgroup.controllers").unwrap_or_default();
            let controller = write.controller();
            match controllers.split_whitespace().any(|name| name == controller) {
                true => error.explained("the kernel has no such file"),
                false => error.explained(&format!(
                    "the {controller} controller is not enabled here: a parent has processes, or does not have it"
                )),
            }
        }
        Errno::NOENT => error.explained("the kernel has no such file"),
        Errno::OPNOTSUPP if file.ends_with("weight") || file.ends_with("weight_device") => {
            error.explained("the device has no such weights: its scheduler is not BFQ, and io.cost is not enabled")
        }
        Errno::BUSY if write.file.starts_with("memory.") => {
            error.explained("its processes use more already")
        }
        _ => error,
    }
}
