//! What `create`, `run` and `exec` have in common for their callers.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::termios::{self, OptionalActions, OutputModes};

use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::pidfd_socket::PidfdSocket;
use crate::{pass_descriptor, sys};

/// The standard streams of a process, unless its configuration asks for a terminal.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's own.
    #[default]
    Inherit,
    /// `/dev/null` for all three.
    Null,
    /// Standard input, output and error.
    Descriptors([OwnedFd; 3]),
}

impl Stdio {
    /// The three streams; `null` is opened when they are none of the caller's.
    pub(crate) fn streams<'a>(
        &'a self,
        null: &'a mut Option<OwnedFd>,
    ) -> Result<[BorrowedFd<'a>; 3]> {
        match self {
            Stdio::Inherit => Ok([0, 1, 2].map(sys::callers)),
            Stdio::Descriptors([input, output, error]) => {
                Ok([input.as_fd(), output.as_fd(), error.as_fd()])
            }
            Stdio::Null => {
                let file = fs::File::options().read(true).write(true).open("/dev/null");
                let null: &'a OwnedFd =
                    null.insert(file.host(|| "open /dev/null".to_owned())?.into());
                Ok([null.as_fd(); 3])
            }
        }
    }
}

/// Who manages the container's cgroup.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupDriver {
    /// The runtime, through the files under `/sys/fs/cgroup`.
    #[default]
    Cgroupfs,
    /// systemd, as transient scopes: the machine's for root, and the user's own for anybody else. `linux.cgroupsPath` is
    /// `SLICE:PREFIX:NAME`.
    Systemd,
}

/// Where the caller wants what of a new process.
#[derive(Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) stdio: Stdio,
    pub(crate) console_socket: Option<PathBuf>,
    pub(crate) pidfd_socket: Option<PathBuf>,
    pub(crate) pid_file: Option<PathBuf>,
    pub(crate) preserved: u32,
}

impl Wishes {
    /// Whether all descriptors that are to stay open are open.
    pub(crate) fn check(&self) -> Result<()> {
        let last = i32::try_from(self.preserved)
            .ok()
            .and_then(|count| count.checked_add(3));
        let last = last.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                "more preserved descriptors than there can be",
            )
        })?;
        match (3..last).find(|&number| !sys::is_open(number)) {
            None => Ok(()),
            Some(number) => {
                let problem = format!(
                    "descriptor {number}, one of {} to preserve, is not open",
                    self.preserved
                );
                Err(Error::new(ErrorKind::InvalidArgument, problem))
            }
        }
    }

    /// Whether somebody gets the process's terminal, its pidfd or its pid.
    pub(crate) fn have_recipient(&self) -> bool {
        self.console_socket.is_some() || self.pidfd_socket.is_some() || self.pid_file.is_some()
    }

    /// Sends the pty's master to whoever listens on the console socket; gives it back when there is none.
    pub(crate) fn deliver_console(&self, master: Option<OwnedFd>) -> Result<Option<OwnedFd>> {
        let (Some(path), Some(master)) = (&self.console_socket, &master) else {
            master
                .as_ref()
                .map_or(Ok(()), leave_newlines_alone)
                .host(|| "set the terminal up".to_owned())?;
            return Ok(master);
        };
        let attempt = || format!("send the terminal to {}", path.display());
        let socket = UnixStream::connect(path).host(attempt)?;
        // The message's text is the terminal's name, as runc's is; receivers look at the descriptor.
        let name =
            fs::read_link(format!("/proc/self/fd/{}", master.as_fd().as_raw_fd())).host(attempt)?;
        let name = name.as_os_str().as_encoded_bytes();
        pass_descriptor::send(&socket, name, master.as_fd()).host(attempt)?;
        Ok(None)
    }

    /// Connects to whoever wants the process's pidfd.
    pub(crate) fn connect_pidfd_socket(&self) -> Result<Option<PidfdSocket<'_>>> {
        self.pidfd_socket
            .as_deref()
            .map(PidfdSocket::connect)
            .transpose()
    }

    /// Writes the pid file, whole or not at all.
    pub(crate) fn write_pid_file(&self, pid: i32) -> Result<()> {
        let Some(path) = &self.pid_file else {
            return Ok(());
        };
        let attempt = || format!("write the pid file {}", path.display());
        let name = path
            .file_name()
            .map(|name| format!(".{}", name.to_string_lossy()));
        let name = name.ok_or_else(|| {
            Error::new(
                ErrorKind::InvalidArgument,
                format!("{} names no file", path.display()),
            )
        })?;
        let new = path.with_file_name(name);
        fs::write(&new, pid.to_string())
            .and_then(|()| fs::rename(&new, path))
            .inspect_err(|_| {
                let _ = fs::remove_file(&new);
            })
            .host(attempt)
    }

    pub(crate) fn remove_pid_file(&self) {
        if let Some(path) = &self.pid_file {
            let _ = fs::remove_file(path);
        }
    }
}

/// An absolute path, as state and messages need it.
pub(crate) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).host(|| format!("resolve {}", path.display()))
}

/// The terminal of who relays the output makes `\r\n` of `\n`, and output that goes to a file shall have none of it. That
/// has to be so before the process writes.
fn leave_newlines_alone(master: &OwnedFd) -> rustix::io::Result<()> {
    let mut modes = termios::tcgetattr(master)?;
    modes.output_modes.remove(OutputModes::ONLCR);
    termios::tcsetattr(master, OptionalActions::Now, &modes)
}
