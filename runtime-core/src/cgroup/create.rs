//! Executes a plan: makes the directories and writes the limits.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode as FileMode, mkdirat, unlinkat};
use rustix::io::Errno;

use super::files::{open_directory, processes, read_value, write_file};
use super::layout::Mode;
use super::path::POINTER;
use super::plan::{CgroupPlan, Directory, Planned, Version, Write};
use super::write::write_all;
use super::{Cgroup, CgroupError, cpuset, devices, freeze, owner, sys};

/// Controllers that a threaded cgroup cannot have: cgroups(7), "Thread mode".
const DOMAIN_CONTROLLERS: [&str; 3] = ["memory", "io", "hugetlb"];

/// Others may remove a parent, empty as it still is, between its creation and that of what it is for.
const ATTEMPTS: usize = 100;

/// Directories that were not there before, parents first.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) parents: Vec<PathBuf>,
    pub(super) leaves: Vec<PathBuf>,
}

/// A cgroup of which a part may be there.
#[derive(Debug, Default)]
pub(crate) struct Making {
    made: Made,
    directories: Vec<Directory>,
}

impl CgroupPlan {
    /// Makes the cgroup.
    ///
    /// A cgroup that is there already is used when no process is in it. What was made is removed when a later step fails.
    ///
    /// # Errors
    ///
    /// When the cgroup is in use or frozen, and when the kernel refuses a directory or a value: with the JSON pointer of
    /// what asked for it.
    pub fn create(&self) -> Result<Cgroup, CgroupError> {
        let mut making = Making::default();
        let made = self
            .make_birthplace(&mut making)
            .and_then(|()| self.make_rest(&mut making));
        made.inspect_err(|_| making.discard())?;
        Ok(making.into_cgroup())
    }

    /// Whether a process is born in it, rather than that it joins it later.
    pub(crate) fn has_birthplace(&self) -> bool {
        self.directories().any(is_birthplace)
    }

    /// Whether the memory that a process takes when it is born there counts as the container's.
    pub(crate) fn birthplace_counts_memory(&self) -> bool {
        let counts =
            |directory: &Directory| directory.controllers.iter().any(|name| name == "memory");
        self.directories()
            .any(|directory| is_birthplace(directory) && counts(directory))
    }

    /// The plan in two: what is done before the first process is there, and what after that, while it has other things to do.
    /// systemd makes all of it around the process.
    pub(crate) fn around_init(&self) -> [CgroupPlan; 2] {
        let is_first = |planned: &Planned| self.unit.is_none() && is_birthplace(&planned.directory);
        let (mut before, mut beside) = (self.clone(), self.clone());
        before.unit = None;
        before.ignored.clear();
        before.directories.retain(is_first);
        beside.directories.retain(|planned| !is_first(planned));
        [before, beside]
    }

    /// Makes what has to be there before its first process: the directory in the version 2 hierarchy.
    ///
    /// # Errors
    ///
    /// As for [`CgroupPlan::create`]; what was made is still to be discarded then.
    pub(crate) fn make_birthplace(&self, making: &mut Making) -> Result<(), CgroupError> {
        self.make(making, is_birthplace)
    }

    /// Makes all the rest.
    ///
    /// # Errors
    ///
    /// As for [`CgroupPlan::make_birthplace`].
    pub(crate) fn make_rest(&self, making: &mut Making) -> Result<(), CgroupError> {
        self.make(making, |directory| !is_birthplace(directory))
    }

    fn make(
        &self,
        making: &mut Making,
        is_due: impl Fn(&Directory) -> bool,
    ) -> Result<(), CgroupError> {
        let due = |planned: &&Planned| is_due(&planned.directory);
        for planned in self.directories.iter().filter(due) {
            match make(&planned.directory, &mut making.made) {
                Ok(()) => making.directories.push(planned.directory.clone()),
                Err(error) if planned.optional && error.errno().is_some() => continue,
                Err(error) => return Err(error),
            }
        }
        let mut due = self.directories.iter().filter(due);
        due.try_for_each(|planned| self.set_up(planned, &making.made))
    }

    /// Writes all limits to the directories, which are there, and gives them to their owner.
    pub(super) fn set_up_all(&self, made: &Made) -> Result<(), CgroupError> {
        let mut directories = self.directories.iter();
        directories.try_for_each(|planned| self.set_up(planned, made))
    }

    fn set_up(&self, planned: &Planned, made: &Made) -> Result<(), CgroupError> {
        set_up(planned, self.mode, made)?;
        match self.owner {
            Some(user) => owner::change(&planned.directory.path, user),
            None => Ok(()),
        }
    }
}

/// A process is moved within version 1 without much ado, and within version 2 by a lock that stops the whole machine: see
/// [`Cgroup::task_files`].
fn is_birthplace(directory: &Directory) -> bool {
    directory.version == Version::V2
}

impl Making {
    /// The directory that a process is to be born in.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub(crate) fn birthplace(&self) -> io::Result<Option<OwnedFd>> {
        let mut directories = self.directories.iter();
        let birthplace = directories.find(|directory| is_birthplace(directory));
        let opened = birthplace.map(|directory| open_directory(&directory.path));
        Ok(opened.transpose()?)
    }

    /// Removes what was made. Nobody may be in it any more.
    pub(crate) fn discard(&self) {
        remove_empty(
            self.made
                .leaves
                .iter()
                .chain(self.made.parents.iter().rev()),
        );
    }

    /// The cgroup, which is whole now.
    pub(crate) fn into_cgroup(self) -> Cgroup {
        let is_found = |directory: &&Directory| !self.made.leaves.contains(&directory.path);
        let found = self.directories.iter().filter(is_found);
        Cgroup {
            existed: found.map(|directory| directory.path.clone()).collect(),
            directories: self.directories,
            made_parents: self.made.parents,
            unit: None,
        }
    }
}

/// Removes directories that were made for nothing; one that somebody else uses by now stays.
pub(super) fn remove_empty<'a>(directories: impl Iterator<Item = &'a PathBuf>) {
    for directory in directories {
        let _ = unlinkat(CWD, directory, AtFlags::REMOVEDIR);
    }
}

fn make(directory: &Directory, made: &mut Made) -> Result<(), CgroupError> {
    match make_unless_there(directory, made)? {
        true => Ok(()),
        false => check_unused(directory),
    }
}

/// Makes the directory, with its parents. Whether it was not there before.
pub(super) fn make_unless_there(
    directory: &Directory,
    made: &mut Made,
) -> Result<bool, CgroupError> {
    let path = &directory.path;
    for _ in 0..ATTEMPTS {
        match mkdirat(CWD, path, FileMode::from_raw_mode(0o755)) {
            Ok(()) => {
                made.leaves.push(path.clone());
                return Ok(true);
            }
            Err(Errno::EXIST) => return Ok(false),
            Err(Errno::NOENT) => make_parents(directory, made)?,
            Err(errno) => return Err(cannot_make(path, errno)),
        }
    }
    Err(cannot_make(path, Errno::NOENT))
}

fn make_parents(directory: &Directory, made: &mut Made) -> Result<(), CgroupError> {
    for parent in parents(directory).into_iter().skip(1) {
        match mkdirat(CWD, parent, FileMode::from_raw_mode(0o755)) {
            Ok(()) => made.parents.push(parent.to_owned()),
            Err(Errno::EXIST) => {}
            // One above it is gone again: from the top.
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(cannot_make(parent, errno)),
        }
    }
    Ok(())
}

/// The mount point and all cgroups between it and the container's, from the top.
fn parents(directory: &Directory) -> Vec<&Path> {
    let mut parents: Vec<&Path> = directory.path.ancestors().skip(1).collect();
    parents.retain(|parent| parent.starts_with(&directory.mount_point));
    parents.reverse();
    parents
}

fn cannot_make(path: &Path, errno: Errno) -> CgroupError {
    let error = CgroupError::failed(
        POINTER,
        format_args!("make the cgroup {}", path.display()),
        errno,
    );
    let not_applied = |why: &str| {
        let path = path.display();
        let attempt =
            format_args!("unable to apply cgroup configuration{why}: make the cgroup {path}");
        CgroupError::failed(POINTER, attempt, errno)
    };
    match errno {
        // The phrases are runc's.
        Errno::ACCESS | Errno::PERM => not_applied(" (permission denied)"),
        Errno::ROFS => not_applied(""),
        Errno::AGAIN => error
            .explained("cgroup.max.depth or cgroup.max.descendants of a parent does not let it"),
        Errno::OPNOTSUPP => {
            error.explained("the parent is threaded, or of an invalid type: see cgroup.type in it")
        }
        _ => error,
    }
}

/// Another container's processes would be limited, frozen and killed with this one's. The phrases are runc's.
fn check_unused(directory: &Directory) -> Result<(), CgroupError> {
    let path = &directory.path;
    let cannot_read = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        CgroupError::failed(
            POINTER,
            format_args!("read the cgroup {}, which exists", path.display()),
            errno,
        )
    };
    let count = processes(path).map_err(cannot_read)?.len();
    if count > 0 {
        let problem = format!(
            "the container's cgroup is not empty: {count} process(es) found in {}",
            path.display()
        );
        return Err(CgroupError::refused(POINTER, problem));
    }
    if freeze::is_directory_frozen(directory).map_err(cannot_read)? {
        let problem = format!(
            "the container's cgroup unexpectedly frozen: {}",
            path.display()
        );
        return Err(CgroupError::refused(POINTER, problem));
    }
    Ok(())
}

fn set_up(planned: &Planned, mode: Mode, made: &Made) -> Result<(), CgroupError> {
    let Planned {
        directory,
        writes,
        devices,
        ..
    } = planned;
    let is_new = made.leaves.contains(&directory.path);
    let has_cpuset = directory.version == Version::V1
        && directory.controllers.iter().any(|name| name == "cpuset");
    if has_cpuset {
        return cpuset::set_up(planned, is_new);
    }
    if directory.version == Version::V2 {
        if mode == Mode::V2 || !writes.is_empty() {
            enable_controllers(directory);
        }
        check_type(planned)?;
    }
    if !writes.is_empty() {
        let fd =
            open_directory(&directory.path).map_err(|errno| cannot_make(&directory.path, errno))?;
        write_all(planned, fd.as_fd())?;
    }
    let Some(program) = devices else {
        return Ok(());
    };
    sys::attach_device_filter(&directory.path, program.instructions(), is_new).map_err(|errno| {
        let operation = format_args!("attach the device filter to {}", directory.path.display());
        CgroupError::failed(devices::POINTER, operation, errno)
    })
}

/// Enables all controllers down the tree, so that there are statistics of them too. Where that cannot be, the write that
/// needs a controller fails, and says so.
pub(super) fn enable_controllers(directory: &Directory) {
    let is_enabled = |parent: &Path| {
        let enabled =
            open_directory(parent).and_then(|parent| read_value(parent, "cgroup.subtree_control"));
        let enabled = enabled.unwrap_or_default();
        directory
            .controllers
            .iter()
            .all(|name| enabled.split_whitespace().any(|enabled| enabled == name))
    };
    if directory.path.parent().is_none_or(is_enabled) {
        return;
    }
    let each: Vec<String> = directory
        .controllers
        .iter()
        .map(|name| format!("+{name}"))
        .collect();
    for parent in parents(directory) {
        let Ok(parent) = open_directory(parent) else {
            return;
        };
        if write_file(&parent, "cgroup.subtree_control", &each.join(" ")).is_err() {
            for one in &each {
                let _ = write_file(&parent, "cgroup.subtree_control", one);
            }
        }
    }
}

/// Beside threads, or below a cgroup that has both processes and controllers, a cgroup is no domain.
fn check_type(planned: &Planned) -> Result<(), CgroupError> {
    let path = &planned.directory.path;
    let Ok(directory) = open_directory(path) else {
        return Ok(());
    };
    let Ok(kind) = read_value(&directory, "cgroup.type") else {
        return Ok(());
    };
    if kind.trim() == "domain" {
        return Ok(());
    }
    let needs_domain = |write: &&Write| {
        DOMAIN_CONTROLLERS
            .iter()
            .any(|name| write.controller() == *name)
    };
    if let Some(write) = planned.writes.iter().find(needs_domain) {
        let (kind, controller) = (kind.trim(), write.controller());
        let why = match kind {
            "domain invalid" => ": a parent has processes, or a cgroup beside it is threaded",
            _ => "",
        };
        let problem = format!(
            "the cgroup {} is of type {kind:?}, where the {controller} controller cannot be{why}",
            path.display()
        );
        return Err(CgroupError::refused(write.origin.clone(), problem));
    }
    if kind.trim() == "domain invalid" {
        let _ = write_file(&directory, "cgroup.type", "threaded");
    }
    Ok(())
}
