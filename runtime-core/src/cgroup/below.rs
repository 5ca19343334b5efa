//! Cgroups below a container's own, into which a further process is put: runc's `exec --cgroup`.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use super::Cgroup;
use super::files::{open_directory, open_to_write, read_file};
use super::plan::Directory;
use crate::error::{Error, ErrorKind, Result};

/// What runc says of a process that does not get into a cgroup; callers look for it.
pub(crate) const CANNOT_ENTER: &str = "error adding pid of the new process to cgroups";

/// Which cgroups below the container's own were asked for. None was where nothing is said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Below {
    everywhere: Option<PathBuf>,
    of_controllers: Vec<(String, PathBuf)>,
}

impl Below {
    /// In each hierarchy.
    pub(crate) fn everywhere(&mut self, path: PathBuf) {
        self.everywhere = Some(path);
    }

    /// In the hierarchy of a controller.
    pub(crate) fn of_controller(&mut self, controller: String, path: PathBuf) {
        self.of_controllers.push((controller, path));
    }

    /// Whether a cgroup of version 2 was asked for, be it the container's own. Where that hierarchy stands beside those of
    /// version 1, it takes its controller's name for that.
    pub(crate) fn binds_v2(&self, cgroup: &Cgroup) -> bool {
        let named = |directory: &Directory| {
            let mut controllers = self.of_controllers.iter();
            controllers.any(|(name, _)| directory.controllers.contains(name))
        };
        let alone = cgroup.task_file_count() == 0;
        alone && self.everywhere.is_some() || cgroup.in_v2().is_some_and(named)
    }

    /// Where in the cgroup of this directory; empty where the container's own is meant.
    fn within(&self, directory: &Directory) -> Result<PathBuf> {
        let mut found: Option<(&str, PathBuf)> = None;
        let of_it = self.of_controllers.iter();
        for (name, path) in of_it.filter(|(name, _)| directory.controllers.contains(name)) {
            let path = inner(path)?;
            if let Some((other, there)) = &found
                && *there != path
            {
                let problem = format!(
                    "the controllers {other} and {name} share a hierarchy, where a process is in one cgroup: {there:?} or \
                     {path:?}"
                );
                return Err(Error::new(ErrorKind::InvalidArgument, problem));
            }
            found = Some((name, path));
        }
        match (found, &self.everywhere) {
            (Some((_, path)), _) => Ok(path),
            (None, Some(path)) => inner(path),
            (None, None) => Ok(PathBuf::new()),
        }
    }

    /// Whether the container's cgroup has all controllers that were named.
    fn check(&self, cgroup: &Cgroup) -> Result<()> {
        let known = |name: &String| {
            let mut directories = cgroup.directories.iter();
            directories.any(|directory| directory.controllers.contains(name))
        };
        let Some((name, _)) = self.of_controllers.iter().find(|(name, _)| !known(name)) else {
            return Ok(());
        };
        let all = cgroup.directories.iter().flat_map(|one| &one.controllers);
        let all: Vec<&str> = all.map(String::as_str).collect();
        let problem = format!(
            "unknown controller {name}: the container's cgroup has {}",
            all.join(", ")
        );
        Err(Error::new(ErrorKind::InvalidArgument, problem))
    }
}

impl Cgroup {
    /// The `tasks` files of [`Cgroup::task_files`], in the cgroups that were asked for. These have to be there.
    pub(crate) fn task_files_of(&self, below: &Below) -> Result<Vec<OwnedFd>> {
        below.check(self)?;
        let open = |directory: &Directory| {
            let inner = below.within(directory)?;
            open_tasks(&directory.path, &inner)
                .map_err(|cause| cannot_enter(directory, &inner, cause))
        };
        self.in_v1().map(open).collect()
    }

    /// The directory of [`Cgroup::v2_directory`], of the cgroup that was asked for.
    pub(crate) fn v2_directory_of(&self, below: &Below) -> Result<Option<OwnedFd>> {
        below.check(self)?;
        let Some(directory) = self.in_v2() else {
            return Ok(None);
        };
        let inner = below.within(directory)?;
        let opened = match open_below(&directory.path, &inner) {
            // What is meant for all hierarchies of version 1 need not be in the one beside them.
            Err(Errno::NOENT) if !below.binds_v2(self) => open_directory(&directory.path),
            opened => opened,
        };
        opened
            .map(Some)
            .map_err(|cause| cannot_enter(directory, &inner, cause))
    }

    /// The same, below the container's own, for systemd to resolve.
    pub(crate) fn v2_path_of(&self, below: &Below) -> Result<PathBuf> {
        below.check(self)?;
        self.in_v2()
            .map_or(Ok(PathBuf::new()), |directory| below.within(directory))
    }

    /// The cgroup of version 2 that a process is in, as a path.
    pub(crate) fn v2_place_of_process(&self, pid: i32) -> io::Result<Option<PathBuf>> {
        let text = read_file(CWD, &format!("/proc/{pid}/cgroup"))?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"));
        Ok(self
            .in_v2()
            .zip(path)
            .map(|(directory, path)| directory.mount_point.join(path)))
    }

    /// The part of such a path that is below the container's own.
    pub(crate) fn v2_below_own<'a>(&self, path: &'a Path) -> Option<&'a Path> {
        path.strip_prefix(&self.in_v2()?.path).ok()
    }

    /// Opens such a path.
    pub(crate) fn open_v2(path: &Path) -> io::Result<OwnedFd> {
        Ok(open_directory(path)?)
    }
}

/// Relative to the container's own cgroup, wherever the path starts.
fn inner(path: &Path) -> Result<PathBuf> {
    let mut inner = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inner.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                let problem = format!(
                    "bad sub cgroup path: {}: \"..\" may lead out of the container's cgroup",
                    path.display()
                );
                return Err(Error::new(ErrorKind::InvalidArgument, problem));
            }
        }
    }
    Ok(inner)
}

/// A cgroup below another, and nothing else.
fn open_below(own: &Path, inner: &Path) -> rustix::io::Result<OwnedFd> {
    let own = open_directory(own)?;
    if inner.as_os_str().is_empty() {
        return Ok(own);
    }
    openat2(
        own.as_fd(),
        inner,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV,
    )
}

/// The `tasks` file of such a cgroup.
fn open_tasks(own: &Path, inner: &Path) -> rustix::io::Result<OwnedFd> {
    if inner.as_os_str().is_empty() {
        return open_to_write(CWD, own.join("tasks"));
    }
    open_to_write(open_below(own, inner)?, "tasks")
}

fn cannot_enter(directory: &Directory, inner: &Path, cause: Errno) -> Error {
    let path = if inner.as_os_str().is_empty() {
        directory.path.clone()
    } else {
        directory.path.join(inner)
    };
    let attempt = format!("{CANNOT_ENTER}: open {}", path.display());
    Error::io(ErrorKind::Setup, attempt, cause)
}

#[cfg(test)]
#[path = "below_tests.rs"]
mod tests;
