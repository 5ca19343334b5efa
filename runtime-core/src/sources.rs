//! Opens what the init inherits: the host's side of a plan's slots.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use runtime_init::Step;
use rustix::fs::{
    CWD, FileType, Mode, OFlags, StatVfsMountFlags, fstat, fstatfs, fstatvfs, openat, stat, statfs,
};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::error::{Error, ErrorKind, Result};
use crate::mounts::id_map::UserNamespaces;
use crate::mounts::options;
use crate::plan::{Attributes, Origin, Plan, Source};
use crate::sys;

/// The statfs(2) type of procfs.
const PROC_SUPER_MAGIC: rustix::fs::FsWord = 0x9fa0;

/// That of the files that stand for namespaces.
const NSFS_MAGIC: rustix::fs::FsWord = 0x6e73_6673;

/// The device number of /dev/null.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// What slots are opened from, beside the paths in the plan.
#[derive(Default)]
pub(crate) struct Context<'a> {
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) network: Option<OwnedFd>,
    pub(crate) init: Option<BorrowedFd<'a>>,
    /// The user namespaces of id-mapped mounts.
    pub(crate) user_namespaces: UserNamespaces<'a>,
}

/// Opens all slots after the control socket, in order, but for the trees that have to wait for their turn.
///
/// Linux, since 6.8, lists mounts in the order in which they were made (2eea9ce4310d), and a tree that is opened is made: one
/// that is opened early would be listed before mounts that are mounted before it.
pub(crate) fn open(plan: &Plan, mut context: Context<'_>) -> Result<Vec<Option<OwnedFd>>> {
    let late: HashSet<usize> = plan.steps().filter_map(|(_, step)| late(&step)).collect();
    let mut slots = Vec::with_capacity(plan.slots.len());
    for (number, (origin, source)) in plan.slots.iter().enumerate() {
        if late.contains(&number) {
            slots.push(None);
            continue;
        }
        let opened = match source {
            Source::Control => continue,
            Source::StartListener => context.listener.take().ok_or_else(missing),
            Source::Network => context.network.take().ok_or_else(missing),
            Source::InitPidfd => context
                .init
                .ok_or_else(missing)
                .and_then(|pidfd| pidfd.try_clone_to_owned()),
            Source::Namespace { path, .. } => open_file(path),
            Source::NullDevice => null_device(),
            Source::Tree { .. } => {
                let tree = tree(origin, source, &mut context.user_namespaces)?;
                slots.push(Some(tree));
                continue;
            }
        };
        let opened = opened.map_err(|cause| failure(origin, source, cause))?;
        slots.push(Some(opened));
    }
    Ok(slots)
}

/// The sources of bind mounts that are files, and that the container's copy of the host's mounts has at the same paths.
///
/// A directory may have mounts below it, the container's own root and what is mounted there among them; a link may mean something
/// else there. What is in a procfs depends on who looks, /proc/sys/net for one; and of files that stand for namespaces, those for
/// mount namespaces are not copied (mount_namespaces(7)).
pub(crate) fn files(spec: &Spec) -> Vec<PathBuf> {
    let sources = spec.mounts().iter().flatten();
    let sources = sources.filter_map(|mount| mount.source().as_ref());
    let is_plain = |source: &&PathBuf| {
        let is_file = || {
            let status = stat(*source).ok()?;
            let is_file = !FileType::from_raw_mode(status.st_mode).is_dir();
            let depends = [PROC_SUPER_MAGIC, NSFS_MAGIC].contains(&statfs(*source).ok()?.f_type);
            Some(is_file && !depends)
        };
        source.is_absolute()
            && is_file() == Some(true)
            && source
                .canonicalize()
                .is_ok_and(|resolved| resolved == **source)
    };
    sources.filter(is_plain).cloned().collect()
}

/// The slot whose tree is opened when the step's turn has come, here or by the init.
fn late(step: &Step<'_>) -> Option<usize> {
    match step {
        Step::MountTree { tree, .. } => Some(usize::from(tree.0)),
        Step::OpenTree(host) => Some(usize::from(host.tree.0)),
        _ => None,
    }
}

/// Opens the trees of a step that mounts one, and of those of its kind right after it, whose slots follow each other.
pub(crate) fn open_trees(
    plan: &Plan,
    step: usize,
    mut namespaces: UserNamespaces<'_>,
) -> Result<Vec<OwnedFd>> {
    let slots = plan.steps().skip(step).map_while(|(_, step)| match step {
        Step::MountTree { tree, .. } => Some(usize::from(tree.0)),
        _ => None,
    });
    let mut trees: Vec<OwnedFd> = Vec::new();
    let mut next = None;
    for number in slots.take(runtime_init::TREES) {
        if next.is_some_and(|next| next != number) {
            break;
        }
        let Some((origin, source)) = plan.slots.get(number) else {
            break;
        };
        trees.push(tree(origin, source, &mut namespaces)?);
        next = Some(number + 1);
    }
    Ok(trees)
}

fn tree(origin: &Origin, source: &Source, namespaces: &mut UserNamespaces<'_>) -> Result<OwnedFd> {
    let Source::Tree {
        path,
        recursive,
        attributes,
        propagation,
        id_map,
        keeps_locks,
        must_be_proc,
    } = source
    else {
        return Err(failure(origin, source, missing()));
    };
    let opened = open_tree_of(path, *recursive);
    if let (Ok(tree), true) = (&opened, *keeps_locks) {
        let kept = check_locks(tree.as_fd(), attributes);
        kept.map_err(|cause| failure(origin, source, cause))?;
    }
    if let (Ok(tree), Some(id_map)) = (&opened, id_map) {
        let mapped = namespaces.map_ids(tree.as_fd(), id_map);
        mapped.map_err(|error| error.of(&path.display().to_string()).at(origin.to_string()))?;
    }
    opened
        .and_then(|tree| with_attributes(tree, attributes, propagation))
        .and_then(|tree| check_proc(tree, *must_be_proc))
        .map_err(|cause| failure(origin, source, cause))
}

fn missing() -> io::Error {
    io::Error::other("the plan asks for what the runtime did not make")
}

fn failure(origin: &Origin, source: &Source, cause: io::Error) -> Error {
    let attempt = match source {
        Source::Tree { path, .. } => format!("open mount source {}", path.display()),
        Source::Namespace { path, .. } => format!("open namespace {}", path.display()),
        Source::NullDevice => "open the host's /dev/null".to_owned(),
        _ => format!("open {source:?}"),
    };
    let attempt = match cause.raw_os_error() {
        Some(libc::EPERM)
            if matches!(
                source,
                Source::Tree {
                    keeps_locks: true,
                    ..
                }
            ) =>
        {
            format!(
                "{attempt} (a user namespace may not take from a mount what its options are on the host: ro, nosuid, nodev, \
             noexec, and how access times are kept)"
            )
        }
        Some(libc::EMFILE) => {
            format!("{attempt} (each bind mount has one: raise the caller's limit, ulimit -n)")
        }
        _ => attempt,
    };
    Error::io(ErrorKind::Setup, attempt, cause).at(origin.to_string())
}

fn open_file(path: &Path) -> io::Result<OwnedFd> {
    // What is no namespace is refused by setns(2), later; a FIFO would keep us here.
    Ok(openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY,
        Mode::empty(),
    )?)
}

fn open_tree_of(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    Ok(open_tree(CWD, path, flags)?)
}

fn with_attributes(
    tree: OwnedFd,
    attributes: &Attributes,
    propagation: &[u32],
) -> io::Result<OwnedFd> {
    sys::set_mount_attributes(tree.as_fd(), attributes, propagation)?;
    Ok(tree)
}

/// Options that take from a mount what a user namespace cannot take are refused, as the kernel does where the mount was
/// copied into the namespace (fs/namespace.c, can_change_locked_flags).
fn check_locks(tree: BorrowedFd<'_>, attributes: &Attributes) -> io::Result<()> {
    let flags = fstatvfs(tree)?.f_flag;
    let access_time = if flags.contains(StatVfsMountFlags::NOATIME) {
        options::NOATIME
    } else if flags.contains(StatVfsMountFlags::RELATIME) {
        0
    } else {
        options::STRICTATIME
    };
    let found = [
        (StatVfsMountFlags::RDONLY, options::RDONLY),
        (StatVfsMountFlags::NOSUID, options::NOSUID),
        (StatVfsMountFlags::NODEV, options::NODEV),
        (StatVfsMountFlags::NOEXEC, options::NOEXEC),
        (StatVfsMountFlags::NODIRATIME, options::NODIRATIME),
    ];
    let found = found
        .into_iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .fold(access_time, |found, (_, attribute)| found | attribute);
    let taken = attributes.clear & found & options::LOCKABLE & !options::ATIME;
    let other_time =
        attributes.changes_access_time() && (attributes.set ^ found) & options::ACCESS_TIME != 0;
    if taken != 0 || other_time {
        return Err(io::Error::from_raw_os_error(libc::EPERM));
    }
    Ok(())
}

/// What lies over /proc has to be a procfs (CVE-2019-16884).
fn check_proc(tree: OwnedFd, must_be_proc: bool) -> io::Result<OwnedFd> {
    if must_be_proc && fstatfs(&tree)?.f_type != PROC_SUPER_MAGIC {
        return Err(io::Error::other("only a procfs may be mounted over /proc"));
    }
    Ok(tree)
}

fn null_device() -> io::Result<OwnedFd> {
    let tree = open_tree_of(Path::new("/dev/null"), false)?;
    let tree = with_attributes(tree, &Attributes::NULL_DEVICE, &[])?;
    let status = fstat(&tree)?;
    let device = (
        rustix::fs::major(status.st_rdev),
        rustix::fs::minor(status.st_rdev),
    );
    if FileType::from_raw_mode(status.st_mode).is_char_device() && device == NULL_DEVICE {
        Ok(tree)
    } else {
        Err(io::Error::other("it is not the character device 1:3"))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_that_lie_where_they_are_written_are_told_from_all_else() {
        let place = tempfile::tempdir().unwrap();
        let place = place.path().canonicalize().unwrap();
        std::fs::write(place.join("file"), "").unwrap();
        std::fs::create_dir(place.join("directory")).unwrap();
        std::os::unix::fs::symlink(&place, place.join("link")).unwrap();
        let sources = [
            place.join("file"),
            place.join("directory"),
            place.join("link/file"),
            place.join("directory/../file"),
            place.join("missing"),
            "file".into(),
            "/proc/self/ns/mnt".into(),
            "/proc/sys/net/ipv4/ip_forward".into(),
        ];
        let mounts = sources.map(|source| json!({"destination": "/a", "source": source}));
        let spec = json!({"ociVersion": "1.2.0", "mounts": mounts});
        let spec = serde_json::from_value(spec).unwrap();
        assert_eq!(files(&spec), [place.join("file")]);
    }
}
