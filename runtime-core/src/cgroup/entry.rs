//! How a process gets into a container's cgroup.

use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::Cgroup;
use super::files::read_file;
use super::plan::Directory;
use super::systemd::Manager;

/// Who puts a new process into a cgroup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The kernel at its birth in version 2, and the process itself in this many hierarchies of version 1.
    Itself { hierarchies: usize },
    /// systemd, at the process's first rendezvous.
    Moved,
}

impl Cgroup {
    /// How the caller can have a process in it. A user may not take one out of a session into a cgroup of his systemd's
    /// himself: the cgroup above both is not his.
    pub(crate) fn entry(&self) -> Entry {
        let users = self
            .unit()
            .is_some_and(|unit| unit.manager() == Manager::User);
        match self.in_v2().filter(|_| users) {
            Some(directory) if !may_enter(directory) => Entry::Moved,
            _ => Entry::Itself {
                hierarchies: self.task_file_count(),
            },
        }
    }
}

/// cgroups(7), "Delegation containment": the cgroup's cgroup.procs has to be writable, and that of the closest cgroup that
/// is above both it and the caller's own.
fn may_enter(directory: &Directory) -> bool {
    let own = read_file(CWD, "/proc/self/cgroup").unwrap_or_default();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/"));
    let own = directory.mount_point.join(own.unwrap_or_default());
    is_writable(&directory.path) && is_writable(&common(&own, &directory.path))
}

fn common(one: &Path, other: &Path) -> PathBuf {
    let parts = one.components().zip(other.components());
    parts
        .take_while(|(one, other)| one == other)
        .map(|(part, _)| part)
        .collect()
}

fn is_writable(directory: &Path) -> bool {
    let file = directory.join("cgroup.procs");
    accessat(CWD, file, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_cgroup_above_both() {
        let above = |one: &str, other: &str| common(Path::new(one), Path::new(other));
        assert_eq!(above("/cg/user/a/b", "/cg/user/c"), Path::new("/cg/user"));
        assert_eq!(above("/cg/user/a", "/cg/user/a/b"), Path::new("/cg/user/a"));
        assert_eq!(above("/cg/aa", "/cg/a"), Path::new("/cg"));
    }
}
