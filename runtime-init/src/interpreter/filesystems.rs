//! New file systems, by fsopen(2) or mount(2), and their options.

use core::ffi::CStr;

use runtime_init::{DataMount, Fault, MountAttributes, NewMount, Operation, TextList};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MountFlags, fsconfig_create,
    fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, fspick, mount,
};

use crate::control::fault;
use crate::mounts::attach;
use crate::root::{self, Kind};
use crate::{During, Outcome, copy_up, mounts, sys};

/// The longest name of a file system's option.
const OPTION_NAME_MAX: usize = 256;

/// Mounts a new file system by fsopen(2).
pub(crate) fn mount_new(root: BorrowedFd<'_>, new: &NewMount<'_>) -> Outcome {
    // A directory that is made for the mount has no mode to keep.
    let keep_mode = new.keep_mode && root::open(root, new.target.0).is_ok();
    let target = open_target(root, new)?;
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
    attach(mount.as_fd(), target.as_fd())
}

fn open_target(root: BorrowedFd<'_>, new: &NewMount<'_>) -> Result<OwnedFd, Fault> {
    let target = new.target.0;
    if !new.strict {
        return mounts::open_target(root, target, Kind::Directory);
    }
    match root::open_strict(root, target) {
        Ok(target) => {
            let kind =
                FileType::from_raw_mode(fstat(&target).during(Operation::CheckTarget)?.st_mode);
            let wrong = fault(Operation::CheckTarget, Errno::NOTDIR);
            if kind.is_dir() {
                Ok(target)
            } else {
                Err(wrong)
            }
        }
        Err(Errno::NOENT) => {
            root::make_directory(root, target, 0o755)?;
            root::open_strict(root, target).during(Operation::CheckTarget)
        }
        Err(errno) => Err(fault(Operation::CheckTarget, errno)),
    }
}

/// Mounts a new file system by mount(2), which knows no descriptors; but the working directory is one.
pub(crate) fn mount_by_data(root: BorrowedFd<'_>, new: &DataMount<'_>) -> Outcome {
    let target = mounts::open_target(root, new.target.0, Kind::Directory)?;
    rustix::process::fchdir(&target).during(Operation::ChangeDirectory)?;
    let flags = MountFlags::from_bits_retain(new.flags);
    let mounted = mount(new.source.0, c".", new.fstype.0, flags, Some(new.data.0));
    rustix::process::chdir(c"/").during(Operation::ChangeDirectory)?;
    mounted.during(Operation::MakeMount)?;
    let mount = root::open(root, new.target.0).during(Operation::Resolve)?;
    sys::mount_setattr(mount.as_fd(), &new.attributes, false).during(Operation::SetAttributes)
}

/// Changes the options of the file system that is mounted there.
pub(crate) fn reconfigure(
    root: BorrowedFd<'_>,
    path: &CStr,
    options: TextList<'static>,
) -> Outcome {
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
