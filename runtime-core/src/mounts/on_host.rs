//! The root of a container without a mount namespace of its own: it is mounted on the host, and has to be unmounted there.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
use rustix::mount::{UnmountFlags, unmount};
use serde::{Deserialize, Serialize};

/// STATX_MNT_ID_UNIQUE, Linux 6.8: a number that no other mount gets until the next boot. Older kernels give the mount's
/// other number, which is used again once the mount is gone.
const UNIQUE: StatxFlags = StatxFlags::from_bits_retain(0x4000);

/// The kernel's number of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MountId(u64);

impl MountId {
    /// The mount of an open tree, wherever it is mounted later.
    pub(crate) fn of(tree: BorrowedFd<'_>) -> io::Result<MountId> {
        let found = statx(tree, c"", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID | UNIQUE)?;
        Ok(MountId(found.stx_mnt_id))
    }

    fn at(path: &Path) -> io::Result<MountId> {
        let found = statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID | UNIQUE)?;
        Ok(MountId(found.stx_mnt_id))
    }

    /// Unmounts it, with all that is mounted below, if it is what is seen at this path.
    pub(crate) fn unmount(self, path: &Path) -> io::Result<()> {
        match MountId::at(path) {
            Ok(found) if found == self => Ok(unmount(path, UnmountFlags::DETACH)?),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}
