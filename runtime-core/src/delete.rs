//! `delete`: takes back what `create` made, once its processes are gone.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

use crate::cgroup::Cgroup;
use crate::container::Container;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::hooks::{self, Kind};
use crate::state::{self, Directory};
use crate::status::{Status, state_json};
use crate::{cgroup_error, salvage};

/// How long `delete` waits for processes that it killed. Each gives up its mount namespace on its way out, which waits for
/// a grace period of the kernel (synchronize_rcu_expedited): where hundreds end at once on a busy machine, that was seen to
/// take more than ten seconds.
const KILL_TIMEOUT: Duration = Duration::from_secs(30);

/// When it kills again; each time after twice as long. To be killed, processes are frozen in version 1, and cannot end
/// meanwhile: on a machine with more to do than it can, they need their time between two rounds.
const KILL_INTERVAL: Duration = Duration::from_millis(250);

impl Container {
    /// Removes the container and all that it holds: cgroup, state directory, ID. With `force` its processes are killed
    /// first; without, it has to be stopped or not yet started.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] when it runs and `force` is not given, [`ErrorKind::Host`] when a process or its cgroup
    /// does not go away.
    pub fn delete(&self, force: bool) -> Result<()> {
        let _span = self.timings.span_of(|| format!("delete {}", self.id()));
        let directory = match force {
            true => Directory::open(&self.root, self.id())?,
            false => Directory::open_created(&self.root, self.id(), "delete")?,
        };
        let container = Container::load(&self.root, self.id())?.timed(&self.timings);
        let status = container.status()?;
        if !force && !matches!(status, Status::Stopped | Status::Created) {
            let problem = format!(
                "cannot delete container {} that is not stopped: {status}",
                self.id()
            );
            return Err(Error::new(ErrorKind::InvalidState, problem));
        }
        container.destroy(&directory, status, force)
    }

    /// Takes back what `create` made, whose directory this is, and runs the poststop hooks.
    pub(crate) fn destroy(&self, directory: &Directory, status: Status, force: bool) -> Result<()> {
        let span = self
            .timings
            .span("end what is left in it, and remove its cgroup");
        if !self.left_an_empty_cgroup(status) {
            self.end_all(status, force)
                .map_err(|error| error.context(format_args!("delete {}", self.id())))?;
            if let Some(cgroup) = &self.record.cgroup {
                cgroup.remove().map_err(cgroup_error)?;
            }
        }
        drop(span);
        if let Some(cgroup) = &self.record.intended_cgroup
            && let Err(cause) = cgroup.remove()
        {
            tracing::warn!("{cause}");
        }
        if let Some(group) = &self.record.intel_rdt {
            group.remove()?;
        }
        if let Some(mount) = self.record.root_mount {
            let rootfs = self.rootfs();
            mount
                .unmount(rootfs)
                .host(|| format!("unmount {}", rootfs.display()))?;
        }
        let _span = self.timings.span("remove the state directory");
        // The copy of the configuration goes with the directory.
        let spec = self.spec_with_later_hooks();
        directory.remove()?;
        match spec {
            Ok(Some(spec)) => self.run_poststop_hooks(&spec),
            Ok(None) => Ok(()),
            Err(error) => {
                tracing::warn!("the poststop hooks of {} do not run: {error}", self.id());
                Ok(())
            }
        }
    }

    /// Deletes a container by force, also one whose state cannot be read, such as one whose `create` was killed before it
    /// had written any. One whose `create` is not done is waited for.
    ///
    /// Of a state that was damaged or lost, the copy of the configuration tells where the container's cgroup is: what is in
    /// it is killed, and it is removed. Hooks do not run then, as what they are told is lost.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is no such directory, and as for [`Container::delete`].
    pub fn remove_leftovers(state_root: impl AsRef<Path>, id: &str) -> Result<()> {
        let root = crate::builder::absolute(state_root.as_ref())?;
        let directory = Directory::open(&root, id)?;
        match state::read_locked(&root, id) {
            Ok(Some(record)) => {
                let container = Container::new(root, record, None);
                container.destroy(&directory, container.status()?, true)
            }
            Ok(None) => salvage::remove(&directory, id, false),
            // It may be all right.
            Err(error) if error.is_for_want_of_resources() => Err(error),
            Err(error) => {
                tracing::warn!("{error}");
                salvage::remove(&directory, id, true)
            }
        }
    }

    /// Whether it has ended, and nobody was in its cgroup any more, which is removed then: the kernel knows that without
    /// being asked who is there, and in most cases it is so.
    fn left_an_empty_cgroup(&self, status: Status) -> bool {
        let cgroup = self.record.cgroup.as_ref();
        status == Status::Stopped && cgroup.is_some_and(Cgroup::remove_if_empty)
    }

    /// Kills what is left in the container, and waits until it is gone.
    ///
    /// The first process takes the others of its own PID namespace with it. Who is in the cgroup besides these is none of the
    /// container's, and dies by force alone; without, the cgroup cannot be removed, and the error says who holds it.
    fn end_all(&self, status: Status, force: bool) -> Result<()> {
        let all = force || !self.has_own_pid_namespace();
        if status == Status::Stopped && (!all || !force && self.is_empty()) {
            return Ok(());
        }
        // That it has ended is all right, and not that nothing can be done.
        if let Err(error) = self.signal_init(libc::SIGKILL)
            && error.is_for_want_of_resources()
        {
            return Err(error);
        }
        let deadline = Instant::now() + KILL_TIMEOUT;
        let mut interval = KILL_INTERVAL;
        loop {
            if let Some(cgroup) = &self.record.cgroup {
                if all {
                    let _ = cgroup.kill_all(libc::SIGKILL);
                }
                let _ = cgroup.thaw();
            }
            // Where the kernel does not kill a cgroup as a whole, one more may have been started.
            let again = deadline.min(Instant::now() + interval);
            interval *= 2;
            if self.has_ended_by(again, all) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        match self.living()? {
            Some(pid) => Err(Error::new(
                ErrorKind::Host,
                format!(
                    "process {pid} is still there {} s after it was killed",
                    KILL_TIMEOUT.as_secs()
                ),
            )),
            // The cgroup's removal says who is left.
            None => Ok(()),
        }
    }

    /// Waits for the end of its first process, or of all in its cgroup.
    fn has_ended_by(&self, deadline: Instant, all: bool) -> bool {
        let mut wait = Duration::from_millis(1);
        while !matches!(self.living(), Ok(None)) || all && !self.is_empty() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(wait);
            wait = (wait * 2).min(Duration::from_millis(20));
        }
        true
    }

    fn is_empty(&self) -> bool {
        self.pids().is_ok_and(|pids| pids.is_empty())
    }

    /// A poststop hook that fails is worth a warning (runtime.md, "Lifecycle").
    fn run_poststop_hooks(&self, spec: &Spec) -> Result<()> {
        let state = state_json(&self.record, Status::Stopped, None)?;
        for hook in hooks::of(spec, Kind::Poststop) {
            if let Err(error) = hook.run(&state, &self.record.bundle) {
                tracing::warn!("{error}");
            }
        }
        Ok(())
    }
}
