//! `tmpcopyup`: a new tmpfs that begins with what it covers. All is reached by descriptors, one component at a time and
//! never through a symbolic link: what is copied belongs to the image.

use core::ffi::CStr;
use core::mem::MaybeUninit;

use runtime_init::{Fault, Operation};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, Stat, Timespec, Timestamps, Uid, XattrFlags,
    chownat, fchmod, fchown, fgetxattr, flistxattr, fsetxattr, fstat, futimens, mkdirat, mknodat,
    openat, readlinkat_raw, statat, symlinkat, utimensat,
};
use rustix::io::Errno;

use crate::control::fault;
use crate::{During, Outcome};

/// How deep directories may be nested: each has two descriptors open, of which a process has 1024 as a rule.
const MAX_DEPTH: u32 = 256;

/// For each nested directory; the longest entry has 280 bytes.
const ENTRIES_SIZE: usize = 1024;

const COPY_SIZE: usize = 16 * 1024;
const XATTR_SIZE: usize = 8 * 1024;
const PATH_MAX: usize = 4096;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Copies what is in the directory `from` into the directory `to`.
pub(crate) fn copy(from: BorrowedFd<'_>, to: BorrowedFd<'_>, keep_owner: bool) -> Outcome {
    let open = |directory| openat(directory, c".", DIRECTORY, Mode::empty());
    let from = open(from).during(Operation::CopyUp)?;
    let to = open(to).during(Operation::CopyUp)?;
    if keep_owner {
        let status = fstat(&from).during(Operation::CopyUp)?;
        let (uid, gid) = owner(&status);
        fchown(&to, uid, gid).during(Operation::ChangeOwner)?;
    }
    directory(from.as_fd(), to.as_fd(), MAX_DEPTH)
}

fn directory(from: BorrowedFd<'_>, to: BorrowedFd<'_>, depth: u32) -> Outcome {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(fault(Operation::CopyUp, Errno::NAMETOOLONG));
    };
    let mut buffer = [MaybeUninit::uninit(); ENTRIES_SIZE];
    let mut entries = RawDir::new(from, &mut buffer);
    while let Some(found) = entries.next() {
        let found = found.during(Operation::CopyUp)?;
        let name = found.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            entry(from, to, name, depth)?;
        }
    }
    Ok(())
}

fn entry(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr, depth: u32) -> Outcome {
    let status = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).during(Operation::CopyUp)?;
    let kind = FileType::from_raw_mode(status.st_mode);
    match kind {
        FileType::Directory => {
            mkdirat(to, name, Mode::RWXU).during(Operation::CopyUp)?;
            let (source, target) = (open(from, name, DIRECTORY)?, open(to, name, DIRECTORY)?);
            directory(source.as_fd(), target.as_fd(), depth)?;
            attributes(&source, &target)
        }
        FileType::RegularFile => regular(from, to, name),
        FileType::Symlink => {
            link(from, to, name)?;
            plain_attributes(to, name, &status)
        }
        _ => {
            let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
            mknodat(to, name, kind, mode, status.st_rdev).during(Operation::CopyUp)?;
            plain_attributes(to, name, &status)
        }
    }
}

fn open(directory: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Fault> {
    openat(directory, name, flags, Mode::empty()).during(Operation::CopyUp)
}

fn regular(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Outcome {
    let flags = OFlags::NOFOLLOW | OFlags::CLOEXEC;
    // Not to wait for the other end of a fifo that has come into its place meanwhile.
    let source = open(from, name, flags | OFlags::RDONLY | OFlags::NONBLOCK)?;
    let status = fstat(&source).during(Operation::CopyUp)?;
    if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        return Err(fault(Operation::CopyUp, Errno::AGAIN));
    }
    let make = flags | OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let target = openat(to, name, make, Mode::RUSR | Mode::WUSR).during(Operation::CopyUp)?;
    content(&source, &target)?;
    attributes(&source, &target)
}

fn content(source: &OwnedFd, target: &OwnedFd) -> Outcome {
    let mut buffer = [0u8; COPY_SIZE];
    loop {
        let length = match rustix::io::read(source, &mut buffer) {
            Ok(0) => return Ok(()),
            Err(Errno::INTR) => continue,
            answer => answer.during(Operation::CopyUp)?,
        };
        let mut rest = buffer.get(..length).unwrap_or_default();
        while !rest.is_empty() {
            let written = rustix::io::write(target, rest).during(Operation::Write)?;
            rest = rest.get(written..).unwrap_or_default();
        }
    }
}

fn link(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &CStr) -> Outcome {
    let mut target = [0u8; PATH_MAX];
    // One byte stays zero, so that it ends there.
    let room = target.get_mut(..PATH_MAX - 1).unwrap_or_default();
    readlinkat_raw(from, name, room).during(Operation::CopyUp)?;
    let target = CStr::from_bytes_until_nul(&target)
        .map_err(|_| fault(Operation::CopyUp, Errno::NAMETOOLONG))?;
    symlinkat(target, to, name).during(Operation::CopyUp)
}

fn owner(status: &Stat) -> (Option<Uid>, Option<Gid>) {
    (
        Some(Uid::from_raw(status.st_uid)),
        Some(Gid::from_raw(status.st_gid)),
    )
}

fn times(status: &Stat) -> Timestamps {
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    Timestamps {
        last_access: time(status.st_atime, status.st_atime_nsec as i64),
        last_modification: time(status.st_mtime, status.st_mtime_nsec as i64),
    }
}

/// Of what cannot be opened for its attributes. A link has no mode; a node got its own when it was made.
fn plain_attributes(to: BorrowedFd<'_>, name: &CStr, status: &Stat) -> Outcome {
    let (uid, gid) = owner(status);
    chownat(to, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).during(Operation::ChangeOwner)?;
    utimensat(to, name, &times(status), AtFlags::SYMLINK_NOFOLLOW).during(Operation::CopyUp)
}

/// The owner comes first: a change of it takes set-user-ID bits and capabilities away.
fn attributes(source: &OwnedFd, target: &OwnedFd) -> Outcome {
    let status = fstat(source).during(Operation::CopyUp)?;
    let (uid, gid) = owner(&status);
    fchown(target, uid, gid).during(Operation::ChangeOwner)?;
    let mode = Mode::from_raw_mode(status.st_mode & 0o7777);
    fchmod(target, mode).during(Operation::ChangeMode)?;
    extended_attributes(source, target)?;
    futimens(target, &times(&status)).during(Operation::CopyUp)
}

fn extended_attributes(source: &OwnedFd, target: &OwnedFd) -> Outcome {
    let mut names = [0u8; XATTR_SIZE];
    let length = match flistxattr(source, &mut names[..]) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(()),
        answer => answer.during(Operation::CopyUp)?,
    };
    let mut rest = names.get(..length).unwrap_or_default();
    while let Ok(name) = CStr::from_bytes_until_nul(rest) {
        rest = rest
            .get(name.to_bytes_with_nul().len()..)
            .unwrap_or_default();
        extended_attribute(source, target, name)?;
    }
    Ok(())
}

/// Those that a tmpfs has not (user attributes before Linux 6.6), or that only a label's owner may set, stay behind.
fn extended_attribute(source: &OwnedFd, target: &OwnedFd, name: &CStr) -> Outcome {
    let mut value = [0u8; XATTR_SIZE];
    let length = match fgetxattr(source, name, &mut value[..]) {
        Err(Errno::NODATA) => return Ok(()),
        answer => answer.during(Operation::CopyUp)?,
    };
    let value = value.get(..length).unwrap_or_default();
    match fsetxattr(target, name, value, XattrFlags::empty()) {
        Err(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        answer => answer.during(Operation::CopyUp),
    }
}
