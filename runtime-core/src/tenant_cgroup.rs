//! How a further process gets into its container's cgroup, or into one below it.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use crate::cgroup::{Below, Cgroup};
use crate::container::Container;
use crate::error::{Attempt, Error, Result};
use crate::launch::Init;

/// Where a tenant is put.
pub(crate) struct Place<'a> {
    pub(crate) container: &'a Container,
    pub(crate) below: &'a Below,
}

impl Place<'_> {
    fn cgroup(&self) -> Option<&Cgroup> {
        self.container.record().cgroup.as_ref()
    }

    /// The `tasks` files of version 1.
    pub(crate) fn task_files(&self) -> Result<Vec<OwnedFd>> {
        self.cgroup()
            .map_or(Ok(Vec::new()), |cgroup| cgroup.task_files_of(self.below))
    }

    /// Starts a process in the cgroup of version 2, and in that of the container's init where there is no room in the
    /// container's own, or it is gone: the init may have moved itself, to give resources out below (systemd in a container
    /// does; runc issue 2356). A cgroup that was asked for has nothing in its place.
    pub(crate) fn start<T>(
        &self,
        start: impl Fn(Option<BorrowedFd<'_>>) -> Result<T>,
    ) -> Result<T> {
        let Some(cgroup) = self.cgroup() else {
            return start(None);
        };
        let opened = cgroup.v2_directory_of(self.below);
        let started = opened.and_then(|own| start(own.as_ref().map(OwnedFd::as_fd)));
        match started {
            Err(error) if is_shut(&error) && !self.below.binds_v2(cgroup) => {
                let Some(place) = self.place_of_init(cgroup) else {
                    return Err(error);
                };
                tracing::debug!("{error}; in the init's cgroup, {}", place.display());
                let place = Cgroup::open_v2(&place)
                    .host(|| format!("open the init's cgroup {}", place.display()))?;
                start(Some(place.as_fd()))
            }
            Err(error) if is_forbidden(&error) && !self.below.binds_v2(cgroup) => {
                tracing::warn!(
                    "{error}: the process stays in its caller's cgroup, where the container's limits are not"
                );
                start(None)
            }
            started => started,
        }
    }

    /// Has systemd put a process there that waits for that.
    pub(crate) fn attach(&self, init: &Init) -> Result<()> {
        let Some((cgroup, unit)) = self.cgroup().and_then(|all| Some((all, all.unit()?))) else {
            return Ok(());
        };
        let path = cgroup.v2_path_of(self.below)?;
        let attached = unit.attach(&path, init.pid()).or_else(|error| {
            let place = self.place_of_init(cgroup);
            let below = place.as_deref().and_then(|path| cgroup.v2_below_own(path));
            match below.filter(|_| !self.below.binds_v2(cgroup)) {
                Some(below) => unit.attach(below, init.pid()),
                None => Err(error),
            }
        });
        attached.map_err(crate::cgroup_error)
    }

    /// The cgroup of version 2 that the container's init is in now.
    fn place_of_init(&self, cgroup: &Cgroup) -> Option<PathBuf> {
        let place = cgroup.v2_place_of_process(self.container.pid()?).ok()??;
        // What was read is the init's only if it is still there.
        self.container.pid().map(|_| place)
    }
}

/// Whether the caller is a user who may not move a process there (cgroups(7), "Delegation containment"). For him, as in
/// runc, that is no failure.
fn is_forbidden(error: &Error) -> bool {
    !rustix::process::geteuid().is_root() && error.errno() == Some(libc::EACCES)
}

/// Whether the cgroup takes no processes, or is gone (clone(2), `CLONE_INTO_CGROUP`).
fn is_shut(error: &Error) -> bool {
    let errnos = [libc::EBUSY, libc::EOPNOTSUPP, libc::ENODEV, libc::ENOENT];
    error.errno().is_some_and(|errno| errnos.contains(&errno))
}
