//! Takes back what there is of a container whose making has failed.

use super::Creation;
use crate::cgroup::{Cgroup, CgroupError};
use crate::error::Error;
use crate::hooks::{self, Kind};
use crate::status::{Status, state_json};

impl Creation<'_> {
    /// Takes everything back, and gives the error that was the reason.
    pub(super) fn undo(&mut self, error: Error) -> Error {
        tracing::debug!("take everything back: {error}");
        let mut error = error;
        if let Some(init) = &self.init {
            init.kill();
        }
        if let Some(moves) = self.net_devices.take() {
            moves.undo();
        }
        if let Some(cgroup) = &self.cgroup
            && let Err(cause) = discard(cgroup)
        {
            tracing::warn!("the cgroup of {} is left behind: {cause}", self.builder.id);
        }
        self.making.discard();
        if let Some(making) = &self.intel_rdt {
            making.undo();
        }
        if let Some(mount) = self.root_mount
            && let Err(cause) = mount.unmount(&self.builder.record().rootfs)
        {
            tracing::warn!("the root of {} stays mounted: {cause}", self.builder.id);
        }
        if self.init.is_some() {
            self.run_poststop_hooks();
            self.builder.wishes.remove_pid_file();
        }
        if let Err(cause) = self.directory.remove() {
            tracing::warn!("{cause}");
            error = error.context("and the state directory is left behind");
        }
        error
    }

    fn run_poststop_hooks(&self) {
        let record = self.builder.record();
        let spec = self.builder.bundle.spec();
        let Ok(state) = state_json(&record, Status::Stopped, None) else {
            return;
        };
        for hook in hooks::of(spec, Kind::Poststop) {
            if let Err(error) = hook.run(&state, &record.bundle) {
                tracing::warn!("{error}");
            }
        }
    }
}

/// Ends who is in the cgroup and removes it; again for those whom others let in meanwhile, as `exec` does once the container
/// is known.
fn discard(cgroup: &Cgroup) -> std::result::Result<(), CgroupError> {
    for _ in 0..2 {
        let _ = cgroup.kill_all(libc::SIGKILL);
        if cgroup.discard().is_ok() {
            return Ok(());
        }
    }
    let _ = cgroup.kill_all(libc::SIGKILL);
    cgroup.discard()
}
