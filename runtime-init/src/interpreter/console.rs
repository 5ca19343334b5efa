//! The container's terminal, and the owner of its standard streams.

use runtime_init::{Console, Fault, Operation};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{FileType, OFlags, Uid, fchown, fstat, fstatfs};
use rustix::io::Errno;
use rustix::mount::OpenTreeFlags;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use crate::control::{Control, fault};
use crate::root::{self, Root};
use crate::{During, Outcome, mounts, sys};

/// The statfs(2) type of devpts.
const DEVPTS_SUPER_MAGIC: u64 = 0x1cd1;

/// Opens a pty of the container's devpts and makes its slave the standard streams. The slave is reached from the
/// master by ioctl and mounted by descriptor: no name under the image's /dev decides what becomes the console
/// (CVE-2025-52565).
pub(crate) fn open(root: &Root, control: &Control, step: u32, console: &Console) -> Outcome {
    let master = open_master(root)?;
    unlockpt(&master).during(Operation::OpenPty)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = ioctl_tiocgptpeer(&master, flags).during(Operation::OpenPty)?;
    if console.columns != 0 || console.rows != 0 {
        let size = Winsize {
            ws_row: console.rows,
            ws_col: console.columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size).during(Operation::OpenPty)?;
    }
    fchown(&slave, Some(Uid::from_raw(console.uid)), None).during(Operation::ChangeOwner)?;
    if console.mount {
        mount_console(root, slave.as_fd())?;
    }
    control.send_console(step, master.as_fd())?;
    use_as_terminal(slave.as_fd()).during(Operation::UsePty)
}

/// What a devpts holds is the kernel's: the image decides whether one is there, and not what `ptmx` is in it.
fn open_master(root: &Root) -> Result<OwnedFd, Fault> {
    let location = OFlags::PATH | OFlags::DIRECTORY;
    let devpts = root::open_file(root, c"/dev/pts", location).during(Operation::OpenPty)?;
    let filesystem = fstatfs(&devpts).during(Operation::OpenPty)?.f_type as u64;
    if filesystem != DEVPTS_SUPER_MAGIC {
        return Err(fault(Operation::OpenPty, Errno::NODEV));
    }
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    root::open_entry(devpts.as_fd(), c"ptmx", flags).during(Operation::OpenPty)
}

/// Mounts the slave at /dev/console itself, which is made where it is missing; a link of that name is not followed.
fn mount_console(root: &Root, slave: BorrowedFd<'_>) -> Outcome {
    let (directory, name) = root::open_own_parent(root, c"/dev/console")?;
    let target = root::open_or_make_entry(directory.as_fd(), name)?;
    let tree = mounts::clone_tree(slave, OpenTreeFlags::empty())?;
    mounts::attach(tree.as_fd(), target.as_fd())
}

/// Makes the terminal on standard input the controlling one.
pub(crate) fn take() -> Result<(), Errno> {
    rustix::process::ioctl_tiocsctty(sys::inherited(0))
}

fn use_as_terminal(slave: BorrowedFd<'_>) -> Result<(), Errno> {
    rustix::stdio::dup2_stdin(slave)?;
    rustix::stdio::dup2_stdout(slave)?;
    rustix::stdio::dup2_stderr(slave)
}

/// Gives the standard streams to the user, so that it may reopen them by /dev/stdout. The host's devices stay whose they
/// are, and a pipe or socket that may not be given away does as well.
pub(crate) fn chown_stdio(uid: u32) -> Outcome {
    for stream in 0..3 {
        let stream = sys::inherited(stream);
        let Ok(status) = fstat(stream) else { continue };
        if FileType::from_raw_mode(status.st_mode).is_char_device()
            && !rustix::termios::isatty(stream)
        {
            continue;
        }
        if status.st_uid == uid {
            continue;
        }
        match fchown(stream, Some(Uid::from_raw(uid)), None) {
            // Read-only file systems, streams owned outside of the user namespace, and those without an owner.
            Ok(()) | Err(Errno::INVAL | Errno::PERM | Errno::ROFS | Errno::NOSYS) => {}
            Err(errno) => return Err(fault(Operation::ChangeOwner, errno)),
        }
    }
    Ok(())
}
