//! `mounts`: the file systems of the container.

mod bind;
mod cgroup;
mod data;
mod describe;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
pub(crate) mod id_map;
mod label;
mod new;
pub(crate) mod on_host;
pub(crate) mod options;
mod parsed;
pub(crate) mod root;

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Mount;

pub(crate) use self::bind::open_in_container;
pub(crate) use self::describe::describe;
pub(crate) use self::label::has_label;
pub(crate) use self::new::remedy;
use self::options::MS_SHARED;
use self::parsed::{Kind, Parsed};
use crate::error::{Error, Result};
use crate::namespaces::{NEWNS, NEWUSER, Namespaces};
use crate::plan::{Builder, arrival, c_string};

/// Paths under /proc over which a mount may lie: the files that programs such as lxcfs replace.
const MOUNTABLE_UNDER_PROC: &[&str] = &[
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// Makes the mounts, in the order of the configuration.
pub(crate) fn all(plan: &mut Builder<'_>) -> Result<()> {
    label::check(plan)?;
    for (number, mount) in plan
        .spec
        .mounts()
        .as_deref()
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let pointer = format!("/mounts/{number}");
        let parsed = Parsed::of(&pointer, mount)?;
        let destination = destination(plan, &pointer, mount)?;
        check_target(&pointer, &destination, &parsed)?;
        let target = c_string(
            &format!("{pointer}/destination"),
            destination.as_os_str().as_encoded_bytes(),
        )?;
        if !needs_no_arrival(&parsed) {
            arrival::complete(plan)?;
        }
        match parsed.kind {
            Kind::Bind { recursive } => {
                bind::bind(plan, &pointer, mount, &parsed, &target, recursive)?;
            }
            Kind::Cgroup => cgroup::mount(plan, &pointer, &parsed, &target)?,
            Kind::New => new::new(plan, &pointer, mount, &parsed, &target)?,
            Kind::Remount { bind } => bind::remount(plan, &pointer, &parsed, &target, bind)?,
        }
    }
    arrival::complete(plan)
}

/// Whether the mount shows nothing of the network or of cgroups, is filled with nothing that a cgroup has to count, and is made
/// without the runtime.
fn needs_no_arrival(parsed: &Parsed) -> bool {
    let alone = ["proc", "tmpfs", "devpts", "mqueue"];
    parsed.kind == Kind::New && !parsed.copy_up && alone.contains(&parsed.fstype.as_str())
}

/// Whether the init has the same mounts before it as the runtime, in the copy of them that its mount namespace is, and so
/// need not wait for the runtime to clone them. A mount that is to be the host's peer is none of that copy.
fn has_own_copy(plan: &Builder<'_>, propagation: &[u32]) -> Result<bool> {
    let namespaces = Namespaces::of(plan)?;
    let is_peer = propagation.iter().any(|flags| flags & MS_SHARED != 0);
    Ok(namespaces.new & NEWNS != 0 && !namespaces.has(NEWUSER) && !is_peer)
}

/// Where the mount goes, which is below the root.
fn destination(plan: &Builder<'_>, pointer: &str, mount: &Mount) -> Result<PathBuf> {
    let absolute = target(plan, mount);
    if absolute.parent().is_none() {
        let problem = "a mount needs a destination below the root";
        return Err(Error::config(format!("{pointer}/destination"), problem));
    }
    Ok(absolute)
}

/// Where the mount goes; a relative destination is relative to the root. One that is written as a path of the host, with
/// the root's own in front, means what is there: some callers of runc rely on that. A `..` takes the component before it
/// away, as with runc, so that a link of the image has no say in it.
pub(crate) fn target(plan: &Builder<'_>, mount: &Mount) -> PathBuf {
    let written = Path::new("/").join(mount.destination());
    root::inside(plan, mount.destination())
        .or_else(|| root::plain(&written))
        .unwrap_or(written)
}

/// Nothing may lie over /proc but a procfs, nor over what is in it: writes there are how a runtime confines a process
/// (CVE-2019-16884).
fn check_target(pointer: &str, destination: &Path, parsed: &Parsed) -> Result<()> {
    let Some(inside) = below_proc(destination) else {
        return Ok(());
    };
    let is_new_proc = parsed.kind == Kind::New && parsed.fstype == "proc";
    // A bind of the host's procfs passes here, and is checked when the host opens it.
    let is_bind = matches!(parsed.kind, Kind::Bind { .. });
    let is_change = matches!(parsed.kind, Kind::Remount { .. });
    if is_change
        || inside.is_empty() && (is_new_proc || is_bind)
        || MOUNTABLE_UNDER_PROC.contains(&inside.as_str())
    {
        return Ok(());
    }
    let problem = format!(
        "{} cannot be mounted because it is inside /proc",
        destination.display()
    );
    Err(Error::config(format!("{pointer}/destination"), problem))
}

/// What follows /proc in a path; nothing when it leads elsewhere.
fn below_proc(destination: &Path) -> Option<String> {
    let components = components(destination)?;
    let (first, rest) = components.split_first()?;
    (*first == "proc").then(|| rest.join("/"))
}

/// The names in a path, without `.` and `..`; nothing when one is not UTF-8.
fn components(path: &Path) -> Option<Vec<&str>> {
    let mut components = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => components.push(name.to_str()?),
            Component::ParentDir => drop(components.pop()),
            _ => {}
        }
    }
    Some(components)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_only_resembles_proc_is_not_inside_it() {
        assert_eq!(below_proc(Path::new("/proc")).as_deref(), Some(""));
        assert_eq!(
            below_proc(Path::new("/x/../proc/sys")).as_deref(),
            Some("sys")
        );
        assert_eq!(below_proc(Path::new("/process")), None);
        assert_eq!(below_proc(Path::new("/srv/proc")), None);
    }
}
