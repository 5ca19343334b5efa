//! Cgroups: `linux.cgroupsPath` and `linux.resources` (config-linux.md, "Control Groups"; cgroups(7)).
//!
//! [`compile`] is pure: from the configuration and the host's [`Layout`] it makes a [`CgroupPlan`], whose `create` makes
//! the directories and writes the limits. The [`Cgroup`] that comes of it is kept in the container's state: it is what
//! processes join, what is frozen, signalled and removed.
//!
//! Controllers are looked for in version 1 first, then in version 2, each by itself: a hybrid host has some here and
//! some there. On such a host the container gets a cgroup in the version 2 hierarchy too, whether or not that controls
//! anything: it is what the kernel's network filters and `cgroup.kill` go by.
//!
//! A process enters version 1 cgroups by its own writes to their `tasks` files ([`Cgroup::task_files`]), and version 2 at
//! its birth ([`Cgroup::v2_directory`]): another process that moved it would wait for the kernel's global lock.

mod below;
mod bpf;
mod cpuset;
mod create;
mod detect;
mod device_transition;
mod devices;
mod entry;
mod error;
mod files;
mod freeze;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod handle;
#[cfg(any(test, fuzzing))]
mod interpreter;
mod kill;
mod layout;
mod owner;
mod path;
mod plan;
mod remove;
mod resources;
mod restore;
pub mod stats;
mod stuck;
mod sys;
mod systemd;
#[cfg(test)]
mod tests;
mod update;
mod update_unit;
pub(crate) mod watch;
mod write;

use oci_spec::runtime::Spec;

pub(crate) use below::{Below, CANNOT_ENTER};
pub(crate) use create::Making;
pub(crate) use entry::Entry;
pub use error::CgroupError;
pub use handle::Cgroup;
pub use layout::{Layout, Mode};
pub use plan::{CgroupPlan, Directory, Version};
pub use systemd::{Manager, Property, Systemd, Unit, UnitPlan};
pub(crate) use update::{Asked, InForce, compile as compile_update};

/// Compiles `linux.cgroupsPath` and `linux.resources`. Nothing is read or written.
///
/// # Errors
///
/// When the configuration asks for what this host's cgroups cannot do, with the JSON pointer of what does.
///
/// ```
/// use runtime_core::cgroup::{Layout, compile};
/// use runtime_core::oci_spec::runtime::Spec;
///
/// let layout = Layout::parse("29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "0::/");
/// let plan = compile(&Spec::default(), "web", &layout)?;
/// assert!(plan.to_string().contains("mkdir /sys/fs/cgroup/web"));
/// # Ok::<(), runtime_core::cgroup::CgroupError>(())
/// ```
pub fn compile(
    spec: &Spec,
    container_id: &str,
    layout: &Layout,
) -> Result<CgroupPlan, CgroupError> {
    let linux = spec.linux().as_ref();
    let cgroups_path = linux.and_then(|linux| linux.cgroups_path().as_deref());
    let (requested, unit) = match &layout.systemd {
        Some(systemd) => {
            let (requested, unit) = systemd::requested(spec, container_id, layout, systemd)?;
            (requested, Some((systemd, unit)))
        }
        None => (path::Requested::new(cgroups_path, container_id)?, None),
    };
    let mut plan = CgroupPlan::new(layout, &requested);
    let resources = linux.and_then(|linux| linux.resources().as_ref());
    if let Some(resources) = resources {
        resources::compile(&mut plan, resources)?;
    }
    let configured = linux
        .and_then(|linux| linux.devices().as_deref())
        .unwrap_or_default();
    let rules = resources
        .and_then(|resources| resources.devices().as_deref())
        .unwrap_or_default();
    devices::compile(&mut plan, rules, configured)?;
    // Delegation is not secure in version 1, nor in a hierarchy beside it that the container does not see.
    plan.owner = owner::of(spec).filter(|_| layout.mode() == Mode::V2);
    if let Some((systemd, unit)) = unit {
        systemd::compile(&mut plan, spec, systemd, unit)?;
    }
    Ok(plan)
}

/// A member's name as a part of a JSON pointer: RFC 6901, section 3.
fn pointer_token(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
