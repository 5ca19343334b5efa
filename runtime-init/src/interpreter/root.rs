//! The only door to paths in the container's root: each is resolved inside it by openat2(2), and what is missing is made
//! relative to a directory's descriptor, so that no symbolic link of the image leads out, and none that is swapped
//! meanwhile either.

use core::ffi::CStr;

use runtime_init::{Fault, Operation};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2};
use rustix::io::Errno;

use crate::During;
use crate::control::fault;
use crate::mounts::place;

/// The longest path that the kernel takes, with its NUL (PATH_MAX).
const PATH_MAX: usize = 4096;

/// How many dangling symbolic links are followed to make what they point to.
const MAX_LINKS: u32 = 40;

const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// Where the file systems lie that the container is set up through.
const OWN: [&[u8]; 3] = [b"/dev", b"/proc", b"/sys"];

pub(crate) fn is_own(path: &CStr) -> bool {
    OWN.contains(&path.to_bytes())
}

/// The container's root, and what was mounted in it that the rest is made through. Paths below one of these begin at its
/// mount: whoever may write to the root, because another container has the same one, cannot swap /proc for a link before
/// it is masked.
pub(crate) struct Root {
    directory: OwnedFd,
    /// Those of [`OWN`], and one for any other.
    kept: [Option<OwnedFd>; OWN.len() + 1],
    /// Which of them was mounted last.
    latest: usize,
}

impl Root {
    pub(crate) fn new(directory: OwnedFd) -> Self {
        Root {
            directory,
            kept: [const { None }; OWN.len() + 1],
            latest: OWN.len(),
        }
    }

    /// Notes what is mounted at the path now.
    pub(crate) fn keep(&mut self, path: &CStr, mount: OwnedFd) {
        let own = OWN.iter().position(|own| *own == path.to_bytes());
        self.latest = own.unwrap_or(OWN.len());
        if let Some(kept) = self.kept.get_mut(self.latest) {
            *kept = Some(mount);
        }
    }

    /// What was mounted last.
    pub(crate) fn latest(&self) -> Option<BorrowedFd<'_>> {
        let mount = self.kept.get(self.latest)?.as_ref();
        mount.map(AsFd::as_fd)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    /// Where the path begins, and what is left of it from there.
    fn locate<'p>(&self, path: &'p CStr) -> (BorrowedFd<'_>, &'p CStr) {
        let bytes = path.to_bytes_with_nul();
        for (own, kept) in OWN.iter().zip(&self.kept) {
            let rest = bytes.strip_prefix(*own).filter(|_| !has_parent(bytes));
            let (Some(kept), Some(rest)) = (kept, rest) else {
                continue;
            };
            match rest.first() {
                Some(0) => return (kept.as_fd(), c"/"),
                Some(b'/') => {
                    let rest = CStr::from_bytes_with_nul(rest).unwrap_or(path);
                    return (kept.as_fd(), rest);
                }
                _ => {}
            }
        }
        (self.as_fd(), path)
    }
}

/// Whether the path goes up again, out of where it begins maybe.
fn has_parent(path: &[u8]) -> bool {
    path.windows(3).any(|part| part == b"/..")
}

/// What a path has to be once it was opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    File,
}

/// Opens what the path names inside the root, as a location (`O_PATH`).
pub(crate) fn open(root: &Root, path: &CStr) -> Result<OwnedFd, Errno> {
    let (root, path) = root.locate(path);
    open_with(root, path, OFlags::PATH, INSIDE)
}

/// The same, unless a symbolic link is on the way.
pub(crate) fn open_strict(root: &Root, path: &CStr) -> Result<OwnedFd, Errno> {
    let (root, path) = root.locate(path);
    let strict = INSIDE.union(ResolveFlags::NO_SYMLINKS);
    open_with(root, path, OFlags::PATH, strict)
}

/// Opens a file inside the root for more than its location.
pub(crate) fn open_file(root: &Root, path: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
    let (root, path) = root.locate(path);
    open_with(root, path, flags, INSIDE)
}

/// Opens an entry of a directory that the kernel fills, below which nothing else may be mounted: neither a link out of
/// it nor a mount on the way counts for it.
pub(crate) fn open_entry(
    directory: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
) -> Result<OwnedFd, Errno> {
    let inside = ResolveFlags::BENEATH | ResolveFlags::NO_XDEV | ResolveFlags::NO_MAGICLINKS;
    open_with(directory, path, flags, inside)
}

/// Opens what has this name in the directory, unless it is a symbolic link.
fn enter(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let plain = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    open_with(directory, name, OFlags::PATH, plain)
}

fn open_with(
    root: BorrowedFd<'_>,
    path: &CStr,
    flags: OFlags,
    resolve: ResolveFlags,
) -> Result<OwnedFd, Errno> {
    loop {
        // EAGAIN: a rename elsewhere made the walk unsafe to judge (openat2(2)); trying again is what it asks for.
        match openat2(root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Err(Errno::AGAIN | Errno::INTR) => {}
            answer => return answer,
        }
    }
}

/// Opens the path; a missing one is made, with the directories above it.
pub(crate) fn open_or_make(root: &Root, path: &CStr, kind: Kind) -> Result<OwnedFd, Fault> {
    match open(root, path) {
        Err(Errno::NOENT) => {}
        answer => return answer.during(Operation::Resolve),
    }
    match kind {
        Kind::Directory => make_directory(root, path, 0o755),
        Kind::File => make_file(root, path),
    }
}

/// Makes what the path names where it alone is missing, and no symbolic link is on the way there. Nothing where that is not
/// so, or what went wrong is for [`open_or_make`] to find out.
pub(crate) fn make_plain(root: &Root, path: &CStr, kind: Kind) -> Option<OwnedFd> {
    let (directory, name) = split(path).ok()?;
    let parent = Parent::open_strict(root, directory.text().ok()?).ok()?;
    match kind {
        Kind::Directory => match mkdirat(&parent, name, Mode::from_bits_truncate(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(_) => return None,
        },
        Kind::File => make_entry(parent.as_fd(), name).ok()?,
    }
    enter(parent.as_fd(), name).ok()
}

/// A directory that something is made in.
pub(crate) enum Parent<'r> {
    /// The root of a mount that is open anyway.
    Kept(BorrowedFd<'r>),
    Opened(OwnedFd),
}

impl<'r> Parent<'r> {
    /// The directory at the path, unless a symbolic link is on the way.
    fn open_strict(root: &'r Root, path: &CStr) -> Result<Self, Errno> {
        match root.locate(path) {
            (mount, rest) if rest == c"/" => Ok(Parent::Kept(mount)),
            _ => open_strict(root, path).map(Parent::Opened),
        }
    }
}

impl AsFd for Parent<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Parent::Kept(directory) => *directory,
            Parent::Opened(directory) => directory.as_fd(),
        }
    }
}

/// The directory at the path, made with those above it where it is missing.
pub(crate) fn make_directory(root: &Root, path: &CStr, mode: u32) -> Result<OwnedFd, Fault> {
    let mut buffer = Buffer::new(path)?;
    let mut links = 0;
    loop {
        match walk(root, &mut buffer, Mode::from_bits_truncate(mode))? {
            Walk::Done(directory) => return Ok(directory),
            Walk::Dangling(link) if links < MAX_LINKS => {
                links += 1;
                buffer = link;
            }
            Walk::Dangling(_) => return Err(fault(Operation::MakeTarget, Errno::LOOP)),
        }
    }
}

/// Makes a file; where a dangling symbolic link is in its place, the file that the link is to.
fn make_file(root: &Root, path: &CStr) -> Result<OwnedFd, Fault> {
    let mut path = Buffer::new(path)?;
    for _ in 0..MAX_LINKS {
        let (parent, name) = open_parent(root, path.text()?)?;
        make_entry(parent.as_fd(), name)?;
        match enter(parent.as_fd(), name) {
            Err(Errno::LOOP) => path = path.follow(parent.as_fd(), path.last_component())?,
            answer => return answer.during(Operation::MakeTarget),
        }
    }
    Err(fault(Operation::MakeTarget, Errno::LOOP))
}

/// An empty file, unless something of that name is there.
fn make_entry(directory: BorrowedFd<'_>, name: &CStr) -> Result<(), Fault> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(directory, name, flags, Mode::from_bits_truncate(0o644)) {
        Ok(_) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(fault(Operation::MakeTarget, errno)),
    }
}

/// The directory that holds the path's last component, made where it is missing, and that component.
pub(crate) fn open_parent<'p>(root: &Root, path: &'p CStr) -> Result<(OwnedFd, &'p CStr), Fault> {
    let (directory, name) = split(path)?;
    let parent = match open(root, directory.text()?) {
        Err(Errno::NOENT) => make_directory(root, directory.text()?, 0o755)?,
        answer => answer.during(Operation::Resolve)?,
    };
    Ok((parent, name))
}

/// The path of the directory, and the last component.
fn split(path: &CStr) -> Result<(Buffer, &CStr), Fault> {
    let name = last_component(path)?;
    let mut directory = Buffer::new(path)?;
    directory.truncate(directory.last_component());
    Ok((directory, name))
}

/// The path's last component, which names something in a directory.
pub(crate) fn last_component(path: &CStr) -> Result<&CStr, Fault> {
    let bytes = path.to_bytes_with_nul();
    let name = bytes.rsplit(|&byte| byte == b'/').next();
    let name = name.and_then(|name| CStr::from_bytes_with_nul(name).ok());
    let name = name.ok_or(fault(Operation::Resolve, Errno::INVAL))?;
    if matches!(name.to_bytes(), b"" | b"." | b"..") {
        return Err(fault(Operation::Resolve, Errno::INVAL));
    }
    Ok(name)
}

/// The same for what is made there with the runtime's rights, devices for one: where a link of the image is on the way,
/// the directory has to lie on the root's own file system, and not in a volume.
pub(crate) fn open_own_parent<'r, 'p>(
    root: &'r Root,
    path: &'p CStr,
) -> Result<(Parent<'r>, &'p CStr), Fault> {
    let (directory, name) = split(path)?;
    match Parent::open_strict(root, directory.text()?) {
        Err(Errno::LOOP | Errno::NOENT) => {}
        answer => return Ok((answer.during(Operation::Resolve)?, name)),
    }
    let (parent, _) = open_parent(root, path)?;
    match Parent::open_strict(root, directory.text()?) {
        Err(Errno::LOOP) if place(parent.as_fd())?.mount == place(root.as_fd())?.mount => {
            Ok((Parent::Opened(parent), name))
        }
        answer => Ok((answer.during(Operation::CheckTarget)?, name)),
    }
}

/// The file of this name in the directory, made where it is missing; a symbolic link is none.
pub(crate) fn open_or_make_entry(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Fault> {
    make_entry(directory, name)?;
    enter(directory, name).during(Operation::CheckTarget)
}

#[allow(
    clippy::large_enum_variant,
    reason = "there is no heap to put the path on"
)]
enum Walk {
    Done(OwnedFd),
    /// A component is a symbolic link to what is not there: the path to make instead.
    Dangling(Buffer),
}

/// Makes the path's missing directories from the top. Each prefix is opened from the root anew, by the kernel's own
/// resolution: a `..` or a symbolic link in the middle means what it means to the container. What is below a directory that
/// was made is made in that very one, whatever its path leads to by then.
fn walk(root: &Root, path: &mut Buffer, mode: Mode) -> Result<Walk, Fault> {
    let mut directory = open(root, c"/").during(Operation::Resolve)?;
    let (mut end, mut made) = (0, false);
    while let Some((start, next)) = path.component(end) {
        let byte = path.cut(next);
        let name = path.from(start)?;
        let found = if made && name.to_bytes() != b".." {
            enter(directory.as_fd(), name)
        } else {
            open(root, path.text()?)
        };
        let opened = match found {
            Err(Errno::NOENT) => {
                made = true;
                match mkdirat(directory.as_fd(), name, mode) {
                    Ok(()) | Err(Errno::EXIST) => {}
                    Err(errno) => return Err(fault(Operation::MakeTarget, errno)),
                }
                match enter(directory.as_fd(), name) {
                    Err(Errno::LOOP) => {
                        let link = path.follow(directory.as_fd(), start)?;
                        path.restore(next, byte);
                        return link.and_then_rest(path, next).map(Walk::Dangling);
                    }
                    answer => answer.during(Operation::MakeTarget)?,
                }
            }
            answer => answer.during(Operation::Resolve)?,
        };
        path.restore(next, byte);
        directory = opened;
        end = next;
    }
    if !rustix::fs::FileType::from_raw_mode(
        rustix::fs::fstat(&directory)
            .during(Operation::CheckTarget)?
            .st_mode,
    )
    .is_dir()
    {
        return Err(fault(Operation::CheckTarget, Errno::NOTDIR));
    }
    Ok(Walk::Done(directory))
}

/// A path that can be cut short in place.
struct Buffer {
    bytes: [u8; PATH_MAX],
    length: usize,
}

impl Buffer {
    fn new(path: &CStr) -> Result<Self, Fault> {
        let mut buffer = Buffer {
            bytes: [0; PATH_MAX],
            length: 0,
        };
        buffer.push(path.to_bytes())?;
        Ok(buffer)
    }

    /// Appends, leaving room for the NUL.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let end = self.length.wrapping_add(bytes.len());
        let too_long = fault(Operation::Resolve, Errno::NAMETOOLONG);
        if end >= PATH_MAX {
            return Err(too_long);
        }
        for (to, from) in self.bytes.iter_mut().skip(self.length).zip(bytes) {
            *to = *from;
        }
        self.length = end;
        Ok(())
    }

    fn truncate(&mut self, length: usize) {
        self.cut(length);
        self.length = length;
    }

    /// The next component at or after `end`: where it starts and where it ends.
    fn component(&self, end: usize) -> Option<(usize, usize)> {
        let bytes = self.bytes.get(..self.length)?;
        let start = bytes
            .iter()
            .skip(end)
            .position(|&byte| byte != b'/')?
            .wrapping_add(end);
        let length = bytes.iter().skip(start).position(|&byte| byte == b'/');
        Some((
            start,
            length.map_or(self.length, |length| start.wrapping_add(length)),
        ))
    }

    /// Where the last component starts.
    fn last_component(&self) -> usize {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        bytes
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |slash| slash.wrapping_add(1))
    }

    /// Ends the string at `at`; gives the byte that was there.
    fn cut(&mut self, at: usize) -> u8 {
        self.bytes
            .get_mut(at)
            .map_or(0, |byte| core::mem::replace(byte, 0))
    }

    fn restore(&mut self, at: usize, value: u8) {
        if let Some(byte) = self.bytes.get_mut(at) {
            *byte = value;
        }
    }

    fn text(&self) -> Result<&CStr, Fault> {
        self.from(0)
    }

    fn from(&self, start: usize) -> Result<&CStr, Fault> {
        let bytes = self.bytes.get(start..).unwrap_or_default();
        CStr::from_bytes_until_nul(bytes).map_err(|_| fault(Operation::Resolve, Errno::NAMETOOLONG))
    }

    /// The path that the symbolic link at the end of this one stands for; the link lies in `directory`, and its name
    /// starts at `start`.
    fn follow(&self, directory: BorrowedFd<'_>, start: usize) -> Result<Buffer, Fault> {
        let mut target = [0u8; PATH_MAX];
        let length = rustix::fs::readlinkat_raw(directory, self.from(start)?, &mut target[..])
            .during(Operation::MakeTarget)?;
        let target = target.get(..length).unwrap_or_default();
        let mut path = Buffer {
            bytes: [0; PATH_MAX],
            length: 0,
        };
        if target.first() != Some(&b'/') {
            path.push(self.bytes.get(..start).unwrap_or_default())?;
            path.push(b"/")?;
        }
        path.push(target)?;
        Ok(path)
    }

    /// This path with what follows `from` in `other`.
    fn and_then_rest(mut self, other: &Buffer, from: usize) -> Result<Buffer, Fault> {
        self.push(other.bytes.get(from..other.length).unwrap_or_default())?;
        Ok(self)
    }
}
