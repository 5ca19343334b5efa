//! The cgroup of a container, as it is kept in the container's state.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::CWD;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::files::{open_directory, open_to_write, processes};
use super::plan::{Directory, Version};
use super::systemd::Unit;

/// A container's cgroup: a directory in each hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cgroup {
    pub(super) directories: Vec<Directory>,
    /// Those of them that were there before: they are not the container's to remove (runtime.md, "Delete").
    pub(super) existed: Vec<PathBuf>,
    /// Parents of them that were made with them.
    #[serde(skip)]
    pub(super) made_parents: Vec<PathBuf>,
    /// Whose cgroup it is, when systemd made it.
    pub(super) unit: Option<Unit>,
}

impl Cgroup {
    /// The container's place in each hierarchy.
    pub fn directories(&self) -> &[Directory] {
        &self.directories
    }

    /// The systemd unit whose cgroup it is, if it is one's.
    pub fn unit(&self) -> Option<&Unit> {
        self.unit.as_ref()
    }

    /// How many descriptors [`Cgroup::task_files`] gives.
    pub fn task_file_count(&self) -> usize {
        self.in_v1().count()
    }

    /// The `tasks` files of the version 1 hierarchies, open for writing, close-on-exec. A process that writes `0` to each
    /// is in the cgroup. It has to have one thread, and to do so itself: the kernel lets a lone task move without the
    /// lock that stops all forks and exits of the machine for a grace period.
    ///
    /// # Errors
    ///
    /// When a file cannot be opened.
    pub fn task_files(&self) -> io::Result<Vec<OwnedFd>> {
        let open = |directory: &Directory| Ok(open_to_write(CWD, directory.path.join("tasks"))?);
        self.in_v1().map(open).collect()
    }

    /// The directory in the version 2 hierarchy, for a process to be born in with `CLONE_INTO_CGROUP` (clone(2)); nothing
    /// on a host that has version 1 alone.
    ///
    /// # Errors
    ///
    /// When the directory cannot be opened.
    pub fn v2_directory(&self) -> io::Result<Option<OwnedFd>> {
        let directory = self
            .in_v2()
            .map(|directory| open_directory(&directory.path));
        Ok(directory.transpose()?)
    }

    /// The processes in it and in the cgroups below it, as numbers of the caller's pid namespace, in order. None when the
    /// cgroup is gone.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn pids(&self) -> io::Result<Vec<i32>> {
        self.main()
            .map_or(Ok(Vec::new()), |directory| processes(&directory.path))
    }

    /// Whether no process is in it.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn is_empty(&self) -> io::Result<bool> {
        Ok(self.pids()?.is_empty())
    }

    /// Whether it is there.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    pub fn exists(&self) -> io::Result<bool> {
        let Some(directory) = self.main() else {
            return Ok(false);
        };
        match open_directory(&directory.path) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether all of it was made for the container.
    pub(crate) fn is_new(&self) -> bool {
        self.existed.is_empty()
    }

    pub(super) fn in_v1(&self) -> impl Iterator<Item = &Directory> {
        self.directories
            .iter()
            .filter(|directory| directory.version == Version::V1)
    }

    pub(super) fn in_v2(&self) -> Option<&Directory> {
        self.directories
            .iter()
            .find(|directory| directory.version == Version::V2)
    }

    /// The version 1 hierarchy of a controller.
    pub(super) fn with_controller(&self, controller: &str) -> Option<&Directory> {
        self.in_v1()
            .find(|directory| directory.controllers.iter().any(|name| name == controller))
    }

    /// The hierarchy that speaks for all: processes are in the same place in each.
    fn main(&self) -> Option<&Directory> {
        self.with_controller("devices").or(self.directories.first())
    }
}
