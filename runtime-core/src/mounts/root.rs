//! `root` and `linux.rootfsPropagation`: the container's root file system.

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::Root;
use runtime_init::{MountAttributes, Slot, Step, Text};

use super::options::{self, Effect, MS_PRIVATE, MS_REC, MS_SHARED, MS_SLAVE, MS_UNBINDABLE};
use crate::error::{Error, Result};
use crate::namespaces::{NEWNS, NEWUSER, Namespaces};
use crate::plan::{Attributes, Builder, Origin, Source, c_string, pointer};

/// Mounts the root file system where it lies on the host, in the container's mount namespace: hooks that run before
/// the root is changed find it there.
pub(crate) fn attach(plan: &mut Builder<'_>) -> Result<()> {
    let root = plan
        .spec
        .root()
        .as_ref()
        .ok_or_else(|| Error::config("/root", "a container needs a root file system"))?;
    if root.path().as_os_str().is_empty() {
        return Err(Error::config("/root/path", "the root has no path"));
    }
    let path = plan.options.bundle.join(root.path());
    if !Namespaces::of(plan)?.has(NEWNS) {
        check_on_host(plan)?;
        return if needs_mounts(plan, root) || plan.options.notify_directory.is_some() {
            attach_on_host(plan, &path)
        } else {
            open(plan)
        };
    }
    let propagation = propagation(plan)?;
    plan.step(
        propagation.origin,
        &Step::SetRootPropagation {
            flags: propagation.host_tree,
        },
    );
    attach_tree(plan, &path, propagation.root).map(drop)
}

/// The tree of the root, mounted at its own path.
fn attach_tree(plan: &mut Builder<'_>, path: &Path, propagation: u32) -> Result<Slot> {
    let source = Source::Tree {
        path: path.to_owned(),
        recursive: true,
        attributes: Attributes::default(),
        propagation: vec![propagation],
        id_map: None,
        keeps_locks: false,
        must_be_proc: false,
    };
    let tree = plan.tree(pointer("/root/path"), source)?;
    let path = c_string("/root/path", path.as_os_str().as_encoded_bytes())?;
    plan.step(
        pointer("/root/path"),
        &Step::AttachRoot {
            tree,
            path: Text(&path),
        },
    );
    Ok(tree)
}

/// Without a mount namespace of its own a container's mounts are the host's (config-linux.md, "Namespaces": it inherits
/// the runtime's). All of them are below one, which `delete` unmounts; what is mounted there goes nowhere else, whatever
/// the host's propagation is.
fn attach_on_host(plan: &mut Builder<'_>, path: &Path) -> Result<()> {
    let private = MS_PRIVATE | MS_REC;
    let tree = attach_tree(plan, path, private)?;
    plan.plan.root_on_host = Some(tree);
    // It became shared where what it is mounted on is (mount_namespaces(7)).
    plan.step(pointer("/root/path"), &set_attributes(0, private));
    Ok(())
}

fn needs_mounts(plan: &Builder<'_>, root: &Root) -> bool {
    let process = plan.spec.process().as_ref();
    let terminal = process.and_then(|process| process.terminal());
    let mounts = plan.spec.mounts().as_deref().unwrap_or_default();
    !mounts.is_empty() || root.readonly().unwrap_or(false) || terminal.unwrap_or(false)
}

/// What would change the host beyond the root is refused. Masks and read-only paths are refused with the namespaces.
fn check_on_host(plan: &Builder<'_>) -> Result<()> {
    let refuse = |pointer: &str, problem: &str| Err(Error::config(pointer, problem));
    if configured(plan).is_some() {
        let problem =
            "without a mount namespace of the container's own this would change the host's mounts";
        return refuse("/linux/rootfsPropagation", problem);
    }
    if Namespaces::of(plan)?.has(NEWUSER) {
        let problem =
            "a user namespace needs a mount namespace: it has no rights over the host's mounts";
        return refuse("/linux/namespaces", problem);
    }
    Ok(())
}

/// Opens the root where it lies on the host.
fn open(plan: &mut Builder<'_>) -> Result<()> {
    let path = plan
        .spec
        .root()
        .as_ref()
        .map(|root| plan.options.bundle.join(root.path()))
        .unwrap_or_default();
    let path = c_string("/root/path", path.as_os_str().as_encoded_bytes())?;
    plan.step(pointer("/root/path"), &Step::OpenRoot { path: Text(&path) });
    Ok(())
}

/// Goes to the root of a container that runs: by its mount namespace, which was joined, or else by the path of its root.
pub(crate) fn enter_running(plan: &mut Builder<'_>, namespaces: u32) -> Result<()> {
    if namespaces & NEWNS != 0 {
        return Ok(());
    }
    open(plan)?;
    plan.step(Origin::Default("root"), &Step::Chroot);
    Ok(())
}

/// What a path of the host, as it is written, is inside the root; nothing for one that lies elsewhere. Links that lead there
/// are not looked for, but for the root's own: the plan is made without looking at files.
pub(super) fn inside(plan: &Builder<'_>, path: &Path) -> Option<PathBuf> {
    let written = plan.options.bundle.join(plan.spec.root().as_ref()?.path());
    let path = plain(path)?;
    let below = |root: &Path| {
        let root = plain(root).filter(|root| root.parent().is_some())?;
        let rest = path.strip_prefix(&root).ok()?;
        Some(Path::new("/").join(rest))
    };
    let resolved = plan.options.resolved_root.as_deref();
    below(&written).or_else(|| below(resolved?))
}

/// An absolute path without `.` and `..`.
pub(super) fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain.is_absolute().then_some(plain)
}

struct RootPropagation {
    origin: Origin,
    /// What becomes of the copies of the host's mounts. pivot_root(2) refuses shared ones.
    host_tree: u32,
    /// What the root's own mounts are while the container is set up.
    root: u32,
    /// What the root is in the end.
    last: Option<u32>,
}

/// Unless it is shared, nothing of the container's mounts reaches the host; what the host mounts reaches the container
/// unless it is private.
fn propagation(plan: &Builder<'_>) -> Result<RootPropagation> {
    let slave = MS_SLAVE | MS_REC;
    let Some(name) = configured(plan) else {
        let origin = Origin::Default("rootfsPropagation");
        return Ok(RootPropagation {
            origin,
            host_tree: slave,
            root: slave,
            last: None,
        });
    };
    let origin = pointer("/linux/rootfsPropagation");
    let Some(Effect::Propagation(flags)) = options::effect(name) else {
        let problem = format!(
            "{name:?} is none of shared, slave, private and unbindable, with or without an r in front"
        );
        return Err(Error::config("/linux/rootfsPropagation", problem));
    };
    let (host_tree, root) = match flags & !MS_REC {
        // pivot_root(2) refuses a shared root: it becomes so in the end.
        MS_SHARED | MS_SLAVE => (slave, slave),
        // Nothing can be bound from an unbindable mount, and devices and masks are: it becomes so in the end.
        _ => (MS_PRIVATE | MS_REC, MS_PRIVATE | MS_REC),
    };
    Ok(RootPropagation {
        origin,
        host_tree,
        root,
        last: Some(flags),
    })
}

fn configured<'a>(plan: &Builder<'a>) -> Option<&'a str> {
    plan.linux()
        .and_then(|linux| linux.rootfs_propagation().as_deref())
        .filter(|name| !name.is_empty())
}

/// A bound tree is what the container's own copy of the host's mounts would be, then what its options say. Under a
/// shared root it stays a peer of the host's, so that `rshared` volumes work.
pub(crate) fn bind_propagation(plan: &Builder<'_>, asked: &[u32]) -> Result<Vec<u32>> {
    let shared = configured(plan).is_some_and(|name| name.ends_with("shared"));
    let mut propagation = if shared {
        vec![]
    } else {
        vec![self::propagation(plan)?.root]
    };
    propagation.extend(asked);
    Ok(propagation)
}

/// Makes the container's root the root.
pub(crate) fn change(plan: &mut Builder<'_>) -> Result<()> {
    if !Namespaces::of(plan)?.has(NEWNS) {
        plan.step(Origin::Default("root"), &Step::Chroot);
        return Ok(());
    }
    if plan.options.no_pivot {
        detach_kernel_mounts(plan)?;
    }
    let step = if plan.options.no_pivot {
        Step::MoveRoot
    } else {
        Step::PivotRoot
    };
    plan.step(Origin::Default("root"), &step);
    set_last_propagation(plan, |flags| flags & MS_UNBINDABLE == 0)
}

/// Below a root that was moved over `/` the host's mounts remain. Nobody sees them, but the kernel takes a procfs that
/// nothing covers there for leave to mount another one, without the container's masks, in a new user namespace.
fn detach_kernel_mounts(plan: &mut Builder<'_>) -> Result<()> {
    let root = plan
        .spec
        .root()
        .as_ref()
        .map(|root| plan.options.bundle.join(root.path()));
    let outside = |path: &&PathBuf| !root.as_ref().is_some_and(|root| path.starts_with(root));
    for path in plan.facts.kernel_mounts.iter().filter(outside) {
        let path = c_string("/root", path.as_os_str().as_encoded_bytes())?;
        plan.step(Origin::Default("root"), &Step::Detach { path: Text(&path) });
    }
    Ok(())
}

/// `root.readonly`, and an unbindable root: from here on nothing is made or bound in it.
pub(crate) fn finish(plan: &mut Builder<'_>) -> Result<()> {
    for (origin, target) in std::mem::take(&mut plan.read_only_later) {
        let step = Step::SetMountAttributes {
            target: Text(&target),
            attributes: MountAttributes {
                set: options::RDONLY,
                ..MountAttributes::default()
            },
            recursive: false,
        };
        plan.step(origin, &step);
    }
    set_last_propagation(plan, |flags| flags & MS_UNBINDABLE != 0)?;
    if plan
        .spec
        .root()
        .as_ref()
        .and_then(Root::readonly)
        .unwrap_or(false)
    {
        plan.step(
            pointer("/root/readonly"),
            &set_attributes(options::RDONLY, 0),
        );
    }
    Ok(())
}

fn set_last_propagation(plan: &mut Builder<'_>, which: impl Fn(u32) -> bool) -> Result<()> {
    let propagation = propagation(plan)?;
    if let Some(flags) = propagation.last.filter(|&flags| which(flags)) {
        plan.step(propagation.origin, &set_attributes(0, flags));
    }
    Ok(())
}

fn set_attributes(set: u64, propagation: u32) -> Step<'static> {
    Step::SetMountAttributes {
        target: Text(c"/"),
        attributes: MountAttributes {
            set,
            clear: 0,
            propagation: propagation & !MS_REC,
        },
        recursive: propagation & MS_REC != 0,
    }
}
