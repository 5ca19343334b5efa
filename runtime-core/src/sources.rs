//! Opens what the init inherits: the host's side of a plan's slots.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, fstat, fstatfs, openat};
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::error::{Error, ErrorKind, Result};
use crate::mounts::options;
use crate::plan::{Attributes, Origin, Plan, Source};
use crate::sys;

/// The statfs(2) type of procfs.
const PROC_SUPER_MAGIC: rustix::fs::FsWord = 0x9fa0;

/// The device number of /dev/null.
const NULL_DEVICE: (u32, u32) = (1, 3);

/// What slots are opened from, beside the paths in the plan.
#[derive(Default)]
pub(crate) struct Context<'a> {
    /// The `tasks` files of the container's version 1 hierarchies.
    pub(crate) tasks: Vec<OwnedFd>,
    pub(crate) listener: Option<OwnedFd>,
    pub(crate) init: Option<BorrowedFd<'a>>,
}

/// Opens all slots after the control socket, in order.
pub(crate) fn open(plan: &Plan, mut context: Context<'_>) -> Result<Vec<OwnedFd>> {
    let mut tasks = std::mem::take(&mut context.tasks).into_iter();
    let mut slots = Vec::with_capacity(plan.slots.len());
    for (origin, source) in &plan.slots {
        let opened = match source {
            Source::Control => continue,
            Source::CgroupTasks { .. } => tasks.next().ok_or_else(missing),
            Source::StartListener => context.listener.take().ok_or_else(missing),
            Source::InitPidfd => context
                .init
                .ok_or_else(missing)
                .and_then(|pidfd| pidfd.try_clone_to_owned()),
            Source::Namespace { path, .. } => open_file(path),
            Source::NullDevice => null_device(),
            Source::Tree {
                path,
                recursive,
                attributes,
                propagation,
                must_be_proc,
            } => tree(path, *recursive, attributes, propagation)
                .and_then(|tree| check_proc(tree, *must_be_proc)),
        };
        slots.push(opened.map_err(|cause| failure(origin, source, cause))?);
    }
    Ok(slots)
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
    let unprivileged = rustix::process::geteuid().as_raw() != 0;
    let attempt = match cause.raw_os_error() {
        Some(libc::EPERM) if unprivileged => format!("{attempt} (this version needs root)"),
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

fn tree(
    path: &Path,
    recursive: bool,
    attributes: &Attributes,
    propagation: &[u32],
) -> io::Result<OwnedFd> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = open_tree(CWD, path, flags)?;
    sys::set_mount_attributes(tree.as_fd(), attributes, propagation)?;
    Ok(tree)
}

/// What lies over /proc has to be a procfs (CVE-2019-16884).
fn check_proc(tree: OwnedFd, must_be_proc: bool) -> io::Result<OwnedFd> {
    if must_be_proc && fstatfs(&tree)?.f_type != PROC_SUPER_MAGIC {
        return Err(io::Error::other("only a procfs may be mounted over /proc"));
    }
    Ok(tree)
}

fn null_device() -> io::Result<OwnedFd> {
    // The inode is the host's: nobody in the container may change its mode or owner.
    let attributes = Attributes {
        set: options::RDONLY | options::NOSUID | options::NOEXEC,
        ..Attributes::default()
    };
    let tree = tree(Path::new("/dev/null"), false, &attributes, &[])?;
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
