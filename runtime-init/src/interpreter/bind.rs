//! Bind mounts whose source the init opens: one that lies inside the root, a file of the host's, and any where the runtime has no
//! rights over the host's mounts.

use runtime_init::{
    BindBelow, BindInside, Expected, Fault, HostTree, MountAttributes, Numbers, Operation,
};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, mkdirat, openat2};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, move_mount, open_tree};

use crate::control::{Control, fault};
use crate::root::{self, Root};
use crate::{During, Outcome, mounts, sys};

/// mount(2), MS_REC.
const MS_REC: u32 = 0x4000;

pub(crate) fn inside(
    root: &Root,
    control: &Control,
    step: u32,
    bind: &BindInside<'_>,
) -> Result<OwnedFd, Fault> {
    let source = open_source(root, bind)?;
    let flags = if bind.recursive {
        OpenTreeFlags::AT_RECURSIVE
    } else {
        OpenTreeFlags::empty()
    };
    let tree = mounts::clone_tree(source.as_fd(), flags)?;
    if bind.mapped {
        control.have_ids_mapped(step, tree.as_fd())?;
    }
    set_attributes(tree.as_fd(), [bind.all, bind.own], &bind.propagation)?;
    mounts::mount_tree(root, tree.as_fd(), bind.target.0)?;
    Ok(tree)
}

/// Opens a source in the root. A link of the image may lead it no further than the root's own file system: procfs, sysfs
/// and volumes would be bound again without what the plan takes from them, masks and `ro` for example.
fn open_source(root: &Root, bind: &BindInside<'_>) -> Result<OwnedFd, Fault> {
    match root::open_strict(root, bind.source.0) {
        Err(Errno::LOOP) => {}
        answer => return answer.during(Operation::OpenSource),
    }
    let source = root::open(root, bind.source.0).during(Operation::OpenSource)?;
    if !bind.recursive && mounts::place(source.as_fd())?.mount == mounts::place(root.as_fd())?.mount
    {
        return Ok(source);
    }
    Err(fault(Operation::CheckSource, Errno::LOOP))
}

/// Clones what the mount namespace, a copy of the host's, has at a path.
pub(crate) fn of_host(host: &HostTree<'_>) -> Result<OwnedFd, Fault> {
    let location = OFlags::PATH | OFlags::CLOEXEC;
    // A link that was put in the way of a file could lead to the container's own mounts.
    let links = match host.expected {
        Expected::File => ResolveFlags::NO_SYMLINKS,
        _ => ResolveFlags::empty(),
    };
    let source = openat2(CWD, host.source.0, location, Mode::empty(), links)
        .during(Operation::OpenSource)?;
    if !is_expected(source.as_fd(), host.expected)? {
        return Err(fault(Operation::CheckSource, Errno::NODEV));
    }
    let flags = if host.recursive {
        OpenTreeFlags::AT_RECURSIVE
    } else {
        OpenTreeFlags::empty()
    };
    let tree = mounts::clone_tree(source.as_fd(), flags)?;
    set_attributes(tree.as_fd(), [host.all, host.own], &host.propagation)?;
    Ok(tree)
}

fn is_expected(source: BorrowedFd<'_>, expected: Expected) -> Result<bool, Fault> {
    match expected {
        Expected::Anything => Ok(true),
        Expected::File => {
            let status = fstat(source).during(Operation::CheckSource)?;
            Ok(!FileType::from_raw_mode(status.st_mode).is_dir())
        }
        Expected::Proc => mounts::is_proc(source),
        Expected::NullDevice => {
            let status = fstat(source).during(Operation::CheckSource)?;
            let device = rustix::fs::makedev(1, 3);
            Ok(
                FileType::from_raw_mode(status.st_mode).is_char_device()
                    && status.st_rdev == device,
            )
        }
    }
}

/// Binds in a mount that nobody but the init knows yet: no link can be there.
pub(crate) fn below(root: &Root, bind: &BindBelow<'_>) -> Outcome {
    let directory = root
        .latest()
        .ok_or(fault(Operation::Resolve, Errno::BADF))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, bind.source.0, flags).during(Operation::OpenSource)?;
    sys::mount_setattr(tree.as_fd(), &bind.all, true).during(Operation::SetAttributes)?;
    let name = root::last_component(bind.target.0)?;
    match mkdirat(directory, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(fault(Operation::MakeTarget, errno)),
    }
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&tree, c"", directory, name, flags).during(Operation::AttachMount)
}

/// First what is for all of the tree, then what is for its top alone, as for the trees that the runtime opens.
fn set_attributes(
    tree: BorrowedFd<'_>,
    [all, own]: [MountAttributes; 2],
    propagation: &Numbers<'_>,
) -> Outcome {
    for (attributes, recursive) in [(all, true), (own, false)] {
        if attributes != MountAttributes::default() {
            sys::mount_setattr(tree, &attributes, recursive).during(Operation::SetAttributes)?;
        }
    }
    for flags in propagation.iter() {
        let propagation = MountAttributes {
            propagation: flags & !MS_REC,
            ..MountAttributes::default()
        };
        sys::mount_setattr(tree, &propagation, flags & MS_REC != 0)
            .during(Operation::SetAttributes)?;
    }
    Ok(())
}
