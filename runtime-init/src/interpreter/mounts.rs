//! Mounts, by descriptor: a target is opened inside the root, and what is attached there is a mount of no name.

use core::ffi::CStr;

use runtime_init::{Fault, MountAttributes, Operation};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, StatxFlags, XattrFlags, fstat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree, unmount,
};

use crate::control::fault;
use crate::root::{self, Kind, Root};
use crate::{During, Interpreter, Outcome, sys, target};

pub(crate) fn set_root_propagation(flags: u32) -> Outcome {
    mount_change(c"/", MountPropagationFlags::from_bits_retain(flags)).during(Operation::Whole)
}

/// Mounts the tree at a path of the host: the one path that is resolved there, before anything of the image is looked at.
pub(crate) fn attach_root(tree: BorrowedFd<'_>, path: &CStr) -> Outcome {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS;
    move_mount(tree, c"", CWD, path, flags).during(Operation::AttachMount)
}

/// Attaches a tree that the runtime made.
pub(crate) fn mount_tree(root: &Root, tree: BorrowedFd<'_>, target: &CStr) -> Outcome {
    let source = FileType::from_raw_mode(fstat(tree).during(Operation::CloneMount)?.st_mode);
    let kind = if source.is_dir() {
        Kind::Directory
    } else {
        Kind::File
    };
    let target = target::open(root, target, kind)?;
    attach(tree, target.as_fd())
}

pub(crate) fn is_proc(file: BorrowedFd<'_>) -> Result<bool, Fault> {
    let found = rustix::fs::fstatfs(file).during(Operation::CheckTarget)?;
    Ok(found.f_type as u64 == PROC_SUPER_MAGIC)
}

/// What a descriptor refers to, whatever paths lead there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) mount: u64,
    inode: u64,
}

/// STATX_MNT_ID (statx(2), Linux 5.8).
pub(crate) fn place(file: BorrowedFd<'_>) -> Result<Place, Fault> {
    let wanted = StatxFlags::MNT_ID | StatxFlags::INO;
    let status = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, wanted);
    let status = status.during(Operation::CheckTarget)?;
    Ok(Place {
        mount: status.stx_mnt_id,
        inode: status.stx_ino,
    })
}

pub(crate) fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Outcome {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags).during(Operation::AttachMount)
}

/// Sets the SELinux label of a directory.
pub(crate) fn label(root: &Root, path: &CStr, label: &CStr) -> Outcome {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    let file = root::open_file(root, path, flags).during(Operation::Open)?;
    let name = c"security.selinux";
    rustix::fs::fsetxattr(file, name, label.to_bytes_with_nul(), XattrFlags::empty())
        .during(Operation::Write)
}

pub(crate) fn set_attributes(
    root: &Root,
    target: &CStr,
    attributes: &MountAttributes,
    recursive: bool,
) -> Outcome {
    let target = root::open(root, target).during(Operation::Resolve)?;
    sys::mount_setattr(target.as_fd(), attributes, recursive).during(Operation::SetAttributes)
}

/// Gives the mount that lies over the path then.
pub(crate) fn make_readonly(root: &Root, path: &CStr) -> Result<Option<OwnedFd>, Fault> {
    let target = match root::open(root, path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        answer => answer.during(Operation::Resolve)?,
    };
    let tree = clone_tree(target.as_fd(), OpenTreeFlags::AT_RECURSIVE)?;
    let readonly = MountAttributes {
        set: sys::MOUNT_ATTR_RDONLY,
        ..MountAttributes::default()
    };
    sys::mount_setattr(tree.as_fd(), &readonly, true).during(Operation::SetAttributes)?;
    attach(tree.as_fd(), target.as_fd())?;
    Ok(Some(tree))
}

pub(crate) fn clone_tree(source: BorrowedFd<'_>, flags: OpenTreeFlags) -> Result<OwnedFd, Fault> {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(source, c"", clone | flags).during(Operation::CloneMount)
}

/// What hides the masked paths. The first use attaches a mount, each later one a clone of it: before Linux 6.15 only an
/// attached mount can be cloned.
#[derive(Default)]
pub(crate) struct Masks {
    null_is_attached: bool,
    empty_directory: Option<OwnedFd>,
}

impl Masks {
    pub(crate) fn mask(&mut self, root: &Root, path: &CStr, null: BorrowedFd<'_>) -> Outcome {
        let target = match root::open(root, path) {
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
            answer => answer.during(Operation::Resolve)?,
        };
        let kind = FileType::from_raw_mode(fstat(&target).during(Operation::CheckTarget)?.st_mode);
        if kind.is_dir() {
            self.cover_directory(target.as_fd())
        } else if self.null_is_attached {
            let clone = clone_tree(null, OpenTreeFlags::empty())?;
            attach(clone.as_fd(), target.as_fd())
        } else {
            self.null_is_attached = true;
            attach(null, target.as_fd())
        }
    }

    fn cover_directory(&mut self, target: BorrowedFd<'_>) -> Outcome {
        if let Some(empty) = &self.empty_directory {
            let clone = clone_tree(empty.as_fd(), OpenTreeFlags::empty())?;
            return attach(clone.as_fd(), target);
        }
        let filesystem =
            fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).during(Operation::OpenFilesystem)?;
        fsconfig_set_string(&filesystem, c"source", c"tmpfs").during(Operation::Configure)?;
        fsconfig_create(&filesystem).during(Operation::CreateFilesystem)?;
        let readonly = MountAttrFlags::MOUNT_ATTR_RDONLY;
        let mount = fsmount(&filesystem, FsMountFlags::FSMOUNT_CLOEXEC, readonly)
            .during(Operation::MakeMount)?;
        attach(mount.as_fd(), target)?;
        self.empty_directory = Some(mount);
        Ok(())
    }
}

/// pivot_root(2) onto itself: the old root lies over the new one for a moment, and is detached.
pub(crate) fn pivot_root(root: BorrowedFd<'_>) -> Outcome {
    let old = open_old_root()?;
    rustix::process::fchdir(root).during(Operation::ChangeDirectory)?;
    rustix::process::pivot_root(c".", c".").during(Operation::Pivot)?;
    rustix::process::fchdir(old).during(Operation::ChangeDirectory)?;
    // Its unmounting must not reach the host's mounts where the propagation of the root is shared.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    mount_change(c".", slave).during(Operation::DetachOldRoot)?;
    unmount(c".", UnmountFlags::DETACH).during(Operation::DetachOldRoot)?;
    rustix::process::chdir(c"/").during(Operation::ChangeDirectory)
}

fn open_old_root() -> Result<OwnedFd, Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, c"/", flags, Mode::empty()).during(Operation::Open)
}

/// Takes a mount of the host's out of the container's mount namespace; one that went with another is gone already.
pub(crate) fn detach(path: &CStr) -> Outcome {
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    match mount_change(path, slave).and_then(|()| unmount(path, UnmountFlags::DETACH)) {
        Err(Errno::NOENT | Errno::INVAL) => Ok(()),
        answer => answer.during(Operation::Whole),
    }
}

/// For a root that cannot be pivoted: the new one is moved over it.
pub(crate) fn move_root(root: BorrowedFd<'_>) -> Outcome {
    rustix::process::fchdir(root).during(Operation::ChangeDirectory)?;
    move_mount(
        root,
        c"",
        CWD,
        c"/",
        MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH,
    )
    .during(Operation::AttachMount)?;
    rustix::process::chroot(c".").during(Operation::Pivot)?;
    rustix::process::chdir(c"/").during(Operation::ChangeDirectory)
}

pub(crate) fn chroot(root: BorrowedFd<'_>) -> Outcome {
    rustix::process::fchdir(root).during(Operation::ChangeDirectory)?;
    rustix::process::chroot(c".").during(Operation::Pivot)?;
    rustix::process::chdir(c"/").during(Operation::ChangeDirectory)
}

/// The statfs(2) type of procfs.
const PROC_SUPER_MAGIC: u64 = 0x9fa0;

impl Interpreter {
    pub(crate) fn open_proc(&mut self) -> Outcome {
        self.proc = Some(match private_proc() {
            // A user namespace may not make a procfs where a part of the visible one is covered; the host's own, not yet
            // replaced by anything of the container's, does as well.
            Err(Errno::PERM) => host_proc()?,
            answer => answer.during(Operation::MakeMount)?,
        });
        Ok(())
    }

    pub(crate) fn write_proc(&self, path: &CStr, value: &CStr) -> Outcome {
        let proc = self.proc()?;
        let file = root::open_entry(proc, path, OFlags::WRONLY).during(Operation::Open)?;
        let written = rustix::io::write(file, value.to_bytes()).during(Operation::Write)?;
        // A part of a value is another value.
        if written == value.count_bytes() {
            Ok(())
        } else {
            Err(fault(Operation::Write, Errno::TOOBIG))
        }
    }

    pub(crate) fn enter_time_namespace(&self) -> Outcome {
        let (path, flags) = (c"self/ns/time_for_children", OFlags::CLOEXEC);
        let namespace =
            rustix::fs::openat(self.proc()?, path, flags, Mode::empty()).during(Operation::Open)?;
        sys::setns(namespace.as_fd(), sys::CLONE_NEWTIME).during(Operation::Whole)
    }

    fn proc(&self) -> Result<BorrowedFd<'_>, Fault> {
        let proc = self.proc.as_ref().map(|proc| proc.as_fd());
        proc.ok_or(fault(Operation::Open, Errno::BADF))
    }
}

fn private_proc() -> Result<OwnedFd, Errno> {
    let filesystem = fsopen(c"proc", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&filesystem)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&filesystem, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn host_proc() -> Result<OwnedFd, Fault> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let proc = rustix::fs::openat(CWD, c"/proc", flags, Mode::empty()).during(Operation::Open)?;
    let wrong = fault(Operation::CheckTarget, Errno::NODEV);
    if is_proc(proc.as_fd())? {
        Ok(proc)
    } else {
        Err(wrong)
    }
}
