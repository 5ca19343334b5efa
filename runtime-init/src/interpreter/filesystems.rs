//! New file systems, by fsopen(2) or mount(2), and their options.

use core::ffi::CStr;

use runtime_init::{DataMount, Fault, MountAttributes, NewMount, Operation, TextList};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, fstat, mkdirat, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, OpenTreeFlags,
    UnmountFlags, fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen, fspick, mount, unmount,
};

use crate::mounts::attach;
use crate::root::{self, Kind, Root};
use crate::{During, Outcome, copy_up, mounts, sys, target};

/// The longest name of a file system's option.
const OPTION_NAME_MAX: usize = 256;

/// Mounts a new file system by fsopen(2).
pub(crate) fn mount_new(root: &Root, new: &NewMount<'_>) -> Result<OwnedFd, Fault> {
    // A directory that is made for the mount has no mode to keep.
    let keep_mode = new.keep_mode && root::open(root, new.target.0).is_ok();
    let target = if new.strict {
        target::open_strict(root, new.target.0)?
    } else {
        target::open(root, new.target.0, Kind::Directory)?
    };
    let filesystem =
        fsopen(new.fstype.0, FsOpenFlags::FSOPEN_CLOEXEC).during(Operation::OpenFilesystem)?;
    for option in new.options.iter() {
        configure(filesystem.as_fd(), option).during(Operation::Configure)?;
    }
    if keep_mode {
        let mode = fstat(&target).during(Operation::CheckTarget)?.st_mode;
        let mode = OctalMode::new(mode);
        fsconfig_set_string(&filesystem, c"mode", mode.text()).during(Operation::Configure)?;
    }
    fsconfig_create(&filesystem).during(Operation::CreateFilesystem)?;
    let attributes = MountAttrFlags::from_bits_retain(new.attributes.set as u32);
    let mount = fsmount(&filesystem, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .during(Operation::MakeMount)?;
    if new.attributes.propagation != 0 {
        let propagation = MountAttributes {
            propagation: new.attributes.propagation,
            ..MountAttributes::default()
        };
        sys::mount_setattr(mount.as_fd(), &propagation, false).during(Operation::SetAttributes)?;
    }
    if new.copy_up {
        let sets_owner = |option: &CStr| {
            let option = option.to_bytes();
            option.starts_with(b"uid=") || option.starts_with(b"gid=")
        };
        let keep_owner = !new.options.iter().any(sets_owner);
        copy_up::copy(target.as_fd(), mount.as_fd(), keep_owner)?;
    }
    attach(mount.as_fd(), target.as_fd())?;
    Ok(mount)
}

/// Mounts a new file system by mount(2), which knows no descriptors of mounts and gives none. It is mounted in a tmpfs that
/// nobody else has, and a clone of it is attached to the target: what it is given there cannot be given to another mount
/// that was swapped into its place.
pub(crate) fn mount_by_data(root: &Root, new: &DataMount<'_>) -> Result<OwnedFd, Fault> {
    let target = target::open(root, new.target.0, Kind::Directory)?;
    let scratch = new_tmpfs()?;
    attach(scratch.as_fd(), target.as_fd())?;
    let mounted = mount_in(scratch.as_fd(), new);
    rustix::process::fchdir(&scratch).during(Operation::ChangeDirectory)?;
    unmount(c".", UnmountFlags::DETACH).during(Operation::MakeMount)?;
    rustix::process::chdir(c"/").during(Operation::ChangeDirectory)?;
    let mounted = mounted?;
    attach(mounted.as_fd(), target.as_fd())?;
    Ok(mounted)
}

/// The new file system as a tree of its own, mounted nowhere.
fn mount_in(scratch: BorrowedFd<'_>, new: &DataMount<'_>) -> Result<OwnedFd, Fault> {
    let place = c"new";
    mkdirat(scratch, place, Mode::RWXU).during(Operation::MakeTarget)?;
    rustix::process::fchdir(scratch).during(Operation::ChangeDirectory)?;
    let flags = MountFlags::from_bits_retain(new.flags);
    mount(new.source.0, place, new.fstype.0, flags, Some(new.data.0))
        .during(Operation::MakeMount)?;
    let location = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mounted = openat(scratch, place, location, Mode::empty()).during(Operation::MakeMount)?;
    let tree = mounts::clone_tree(mounted.as_fd(), OpenTreeFlags::empty())?;
    sys::mount_setattr(tree.as_fd(), &new.attributes, false).during(Operation::SetAttributes)?;
    Ok(tree)
}

fn new_tmpfs() -> Result<OwnedFd, Fault> {
    let filesystem =
        fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).during(Operation::OpenFilesystem)?;
    fsconfig_create(&filesystem).during(Operation::CreateFilesystem)?;
    fsmount(
        &filesystem,
        FsMountFlags::FSMOUNT_CLOEXEC,
        MountAttrFlags::empty(),
    )
    .during(Operation::MakeMount)
}

/// Changes the options of the file system that is mounted there.
pub(crate) fn reconfigure(root: &Root, path: &CStr, options: TextList<'static>) -> Outcome {
    let target = root::open(root, path).during(Operation::Resolve)?;
    let flags = FsPickFlags::FSPICK_CLOEXEC | FsPickFlags::FSPICK_EMPTY_PATH;
    let filesystem = fspick(&target, c"", flags).during(Operation::OpenFilesystem)?;
    for option in options.iter() {
        configure(filesystem.as_fd(), option).during(Operation::Configure)?;
    }
    fsconfig_reconfigure(&filesystem).during(Operation::CreateFilesystem)
}

/// Sets `key=value` or `flag`.
fn configure(filesystem: BorrowedFd<'_>, option: &CStr) -> Result<(), Errno> {
    let bytes = option.to_bytes_with_nul();
    let Some(equals) = bytes.iter().position(|&byte| byte == b'=') else {
        return fsconfig_set_flag(filesystem, option);
    };
    let mut name = [0u8; OPTION_NAME_MAX];
    for (to, from) in name.iter_mut().zip(bytes.iter().take(equals)) {
        *to = *from;
    }
    let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::NAMETOOLONG)?;
    let value = bytes.get(equals.wrapping_add(1)..).unwrap_or_default();
    let value = CStr::from_bytes_with_nul(value).map_err(|_| Errno::INVAL)?;
    fsconfig_set_string(filesystem, name, value)
}

/// Permission bits in octal digits.
struct OctalMode([u8; 5]);

impl OctalMode {
    fn new(mode: u32) -> Self {
        let digit = |shift: u32| b'0' + ((mode >> shift) & 7) as u8;
        OctalMode([digit(9), digit(6), digit(3), digit(0), 0])
    }

    fn text(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}
