//! What is found of a container whose record was damaged or lost, so that it can be ended.
//!
//! The copy of the configuration says where the cgroup is. It is written after the record, so that there is none unless the
//! container, or its `create`, got as far as that cgroup.

use std::thread::sleep;
use std::time::{Duration, Instant};

use oci_spec::runtime::Spec;

use crate::cgroup::{self, Cgroup, Layout, Systemd};
use crate::cgroup_error;
use crate::error::{Attempt, Result};
use crate::state::{self, Directory};

/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Ends all processes in the cgroups that may be the container's, and removes these and the directory.
pub(crate) fn remove(directory: &Directory, id: &str) -> Result<()> {
    match state::read_config(directory.path()) {
        Ok(spec) => cgroups(&spec, id)?.iter().try_for_each(end_cgroup)?,
        Err(error) if error.is_for_want_of_resources() => return Err(error),
        // It was not written yet.
        Err(error)
            if error.errno() == Some(libc::ENOENT) && !state::awaits_start(directory.path()) => {}
        Err(error) => tracing::warn!(
            "{error}: what container {id} had beside its state directory is not known, and left behind if there is any"
        ),
    }
    directory.remove()
}

/// Which driver made the cgroup is not known: systemd's way to name one is a path as well.
fn cgroups(spec: &Spec, id: &str) -> Result<Vec<Cgroup>> {
    let layout = Layout::detect().host(|| "read the cgroup hierarchies".to_owned())?;
    let managed = Systemd::read()
        .ok()
        .map(|systemd| layout.clone().managed_by(systemd));
    let plans = [Some(layout), managed]
        .into_iter()
        .flatten()
        .filter_map(|layout| cgroup::compile(spec, id, &layout).ok());
    Ok(plans
        .map(|plan| plan.made())
        .filter(|cgroup| cgroup.exists().unwrap_or(true))
        .collect())
}

fn end_cgroup(cgroup: &Cgroup) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Again, for one that was just being started.
        let _ = cgroup.kill_all(libc::SIGKILL);
        let _ = cgroup.thaw();
        if cgroup.is_empty().unwrap_or(false) || Instant::now() > deadline {
            return cgroup.remove().map_err(cgroup_error);
        }
        sleep(Duration::from_millis(10));
    }
}
