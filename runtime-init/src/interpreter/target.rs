//! Targets of mounts: opened inside the root, or made there.

use core::ffi::CStr;

use runtime_init::{Fault, Operation};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, fstat};
use rustix::io::Errno;

use crate::control::fault;
use crate::mounts::{is_proc, place};
use crate::root::{self, Kind, Root};
use crate::{During, Outcome};

/// Opens the target of a mount, or makes it.
///
/// A path that leads through symbolic links of the image ends in the root as well, but where, nobody knew who wrote the plan:
/// it is compared with what it must not be. Where the container is set up through what is mounted, `/dev` for one, there may
/// be no link: what is made below would be made elsewhere, perhaps in a volume (CVE-2019-19921, CVE-2026-41579).
pub(crate) fn open(root: &Root, path: &CStr, kind: Kind) -> Result<OwnedFd, Fault> {
    if root::is_own(path) {
        return open_strict(root, path);
    }
    match root::open_strict(root, path) {
        Err(Errno::LOOP) => {}
        Err(Errno::NOENT) => {
            if let Some(target) = root::make_plain(root, path, kind) {
                return Ok(target);
            }
        }
        answer => return answer.during(Operation::Resolve),
    }
    let target = root::open_or_make(root, path, kind)?;
    check_not_own(root, path, target.as_fd())?;
    Ok(target)
}

/// The same for a directory, with no symbolic link on the way.
pub(crate) fn open_strict(root: &Root, path: &CStr) -> Result<OwnedFd, Fault> {
    let target = match root::open_strict(root, path) {
        Err(Errno::NOENT) => {
            root::make_directory(root, path, 0o755)?;
            root::open_strict(root, path)
        }
        answer => answer,
    };
    let target = target.during(Operation::CheckTarget)?;
    let kind = FileType::from_raw_mode(fstat(&target).during(Operation::CheckTarget)?.st_mode);
    if kind.is_dir() {
        Ok(target)
    } else {
        Err(fault(Operation::CheckTarget, Errno::NOTDIR))
    }
}

/// A link must not lead a mount over the root or /dev, nor over anything in /proc but what the plan names there
/// (CVE-2019-16884).
fn check_not_own(root: &Root, path: &CStr, target: BorrowedFd<'_>) -> Outcome {
    let refused = Err(fault(Operation::CheckTarget, Errno::LOOP));
    let found = place(target)?;
    for own in [c"/", c"/dev"] {
        let own = match root::open(root, own) {
            Err(Errno::NOENT) => continue,
            answer => answer.during(Operation::CheckTarget)?,
        };
        if place(own.as_fd())? == found {
            return refused;
        }
    }
    if path.to_bytes().starts_with(b"/proc/") || !is_proc(target)? {
        return Ok(());
    }
    let proc = root::open(root, c"/proc").during(Operation::CheckTarget)?;
    if place(proc.as_fd())?.mount == found.mount {
        return refused;
    }
    Ok(())
}
