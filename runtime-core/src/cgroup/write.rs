//! Writes the values of a plan to the files of a cgroup.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;

use super::CgroupError;
use super::error::shown;
use super::files::{open_to_write, put, read_value};
use super::plan::{Missing, Planned, Version, Write};

/// A file that several lines in a row go to, opened once.
type LastFile<'a> = Option<(&'a str, OwnedFd)>;

/// Follows the writes that are made.
pub(super) trait Journal {
    /// A value is about to be written.
    fn before(&mut self, file: &str, value: &str);
    /// The kernel did not take it.
    fn refused(&mut self);
}

/// For a new cgroup, which goes as a whole when a write fails.
impl Journal for () {
    fn before(&mut self, _file: &str, _value: &str) {}
    fn refused(&mut self) {}
}

pub(super) fn write_all(planned: &Planned, directory: BorrowedFd<'_>) -> Result<(), CgroupError> {
    write_each(planned, directory, &mut ())
}

/// Writes all values. Limits that bound one another are tried in turns, as long as one more of them is taken: which has to
/// be first depends on what is in force.
pub(super) fn write_each(
    planned: &Planned,
    directory: BorrowedFd<'_>,
    journal: &mut impl Journal,
) -> Result<(), CgroupError> {
    let mut last = None;
    let mut pending: Vec<&Write> = planned.writes.iter().collect();
    loop {
        let (count, mut later) = (pending.len(), Vec::new());
        for write in pending {
            match write_one(write, directory, &mut last, journal) {
                Err(Errno::INVAL) if write.again => later.push(write),
                result => result.map_err(|errno| cannot_write(planned, directory, write, errno))?,
            }
        }
        match later.first() {
            None => return Ok(()),
            Some(write) if later.len() == count => {
                return Err(cannot_write(planned, directory, write, Errno::INVAL));
            }
            Some(_) => pending = later,
        }
    }
}

fn write_one<'a>(
    write: &'a Write,
    directory: BorrowedFd<'_>,
    last: &mut LastFile<'a>,
    journal: &mut impl Journal,
) -> rustix::io::Result<()> {
    let mut put = |file: &OwnedFd, name: &str, value: &str| {
        journal.before(name, value);
        put(file, value).inspect_err(|_| journal.refused())
    };
    if let Some((name, file)) = last.as_ref().filter(|(name, _)| *name == write.file) {
        return put(file, name, &write.value);
    }
    match (open_to_write(directory, &*write.file), &write.missing) {
        (Ok(file), _) => {
            let (name, file) = last.insert((&write.file, file));
            put(file, name, &write.value)
        }
        (Err(Errno::NOENT), Missing::Skip) => Ok(()),
        (Err(Errno::NOENT), Missing::Instead(name, value)) => {
            put(&open_to_write(directory, *name)?, name, value)
        }
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
        Missing::Instead(other, value) if open_to_write(directory, &*write.file).is_err() => {
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
            error.explained(&in_use(directory, &write.file))
        }
        Errno::INVAL => match refusal(directory, &write.file) {
            Some(why) => error.explained(&why),
            None => error,
        },
        _ => error,
    }
}

/// A limit of version 1 below what is used already, and cannot be had back.
fn in_use(directory: BorrowedFd<'_>, file: &str) -> String {
    let prefix = file.strip_suffix("limit_in_bytes").unwrap_or("memory.");
    let value = |name: &str| read_value(directory, format!("{prefix}{name}"));
    match (value("usage_in_bytes"), value("max_usage_in_bytes")) {
        (Ok(now), Ok(peak)) => format!(
            "its processes use more already: {} bytes, at most {}",
            now.trim(),
            peak.trim()
        ),
        _ => "its processes use more already".to_owned(),
    }
}

/// What bounds a value that the kernel finds wrong, as it says nothing of it itself.
fn refusal(directory: BorrowedFd<'_>, file: &str) -> Option<String> {
    let value = |name: &str| Some(read_value(directory, name).ok()?.trim().to_owned());
    match file {
        "memory.limit_in_bytes" => {
            let swap = value("memory.memsw.limit_in_bytes")?;
            Some(format!(
                "it cannot be more than memory and swap together, {swap}"
            ))
        }
        "memory.memsw.limit_in_bytes" => {
            let memory = value("memory.limit_in_bytes")?;
            Some(format!("it cannot be less than memory alone, {memory}"))
        }
        "cpu.weight" | "cpu.shares" if value("cpu.idle")? == "1" => {
            Some("an idle cgroup has no weight: set idle to 0".to_owned())
        }
        "cpu.cfs_quota_us" | "cpu.cfs_period_us" | "cpu.cfs_burst_us" | "cpu.max"
        | "cpu.max.burst" => Some(
            "a time is from 1 ms to 1 s, a burst at most the quota, and the share at most the parent's"
                .to_owned(),
        ),
        _ => None,
    }
}
