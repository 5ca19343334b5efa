//! Terminals: the other end of `--console-socket`, and a pseudo-terminal to run a command on.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use nix::cmsg_space;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

use crate::process::{LIMIT, Running, spawn_with_own_streams, until};
use crate::sys;

/// A socket that a runtime sends the master of a container's terminal to.
#[derive(Debug)]
pub struct ConsoleSocket {
    /// What to give to `--console-socket`.
    pub path: PathBuf,
    listener: UnixListener,
}

impl ConsoleSocket {
    /// Listens in the directory.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self::named(directory, "console.sock")
    }

    /// Listens in the directory under this name.
    #[must_use]
    pub fn named(directory: &Path, name: &str) -> Self {
        let path = directory.join(name);
        Self {
            listener: UnixListener::bind(&path).unwrap(),
            path,
        }
    }

    /// Takes the terminal that is sent. Waits for it.
    #[must_use]
    pub fn receive(self) -> Terminal {
        Terminal::new(self.receive_descriptor().1)
    }

    /// Takes the one connection, and of its one message the text and the one descriptor. Waits for it.
    #[must_use]
    pub fn receive_descriptor(self) -> (String, OwnedFd) {
        self.listener.set_nonblocking(true).unwrap();
        let (stream, _) = until("a connection to the console socket", || {
            self.listener.accept().ok()
        });
        stream.set_nonblocking(false).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        let mut text = [0; 4096];
        let mut space = cmsg_space!([i32; 2]);
        let mut parts = [IoSliceMut::new(&mut text)];
        let message = recvmsg::<()>(
            stream.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        );
        let message = message.expect("the runtime sent a message");
        let descriptors: Vec<_> = message
            .cmsgs()
            .unwrap()
            .flat_map(rights)
            .map(sys::own)
            .collect();
        let length = message.bytes;
        let [descriptor] =
            <[OwnedFd; 1]>::try_from(descriptors).expect("the message holds one descriptor");
        let text = String::from_utf8_lossy(&text[..length]).into_owned();
        (text, descriptor)
    }
}

fn rights(message: ControlMessageOwned) -> Vec<i32> {
    if let ControlMessageOwned::ScmRights(descriptors) = message {
        descriptors
    } else {
        Vec::new()
    }
}

/// The master side of a terminal, read in the background.
#[derive(Debug)]
pub struct Terminal {
    master: File,
    output: Receiver<Vec<u8>>,
    seen: String,
    reader: Option<Reader>,
}

/// The thread that reads, and how it is told to end.
#[derive(Debug)]
struct Reader {
    thread: thread::JoinHandle<()>,
    stop: Arc<AtomicBool>,
}

impl Reader {
    fn end(self) {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
    }
}

impl Terminal {
    fn new(master: OwnedFd) -> Self {
        let master = File::from(master);
        let (sender, output) = channel();
        let mut source = master.try_clone().unwrap();
        let stop = Arc::<AtomicBool>::default();
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while !stopped.load(Ordering::SeqCst) {
                let mut waits = [PollFd::new(source.as_fd(), PollFlags::POLLIN)];
                if poll(&mut waits, PollTimeout::from(10_u8)) == Ok(0) {
                    continue;
                }
                // EIO: the other side has closed, pty(7).
                let Ok(length @ 1..) = source.read(&mut buffer) else {
                    break;
                };
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            master,
            output,
            seen: String::new(),
            reader: Some(Reader { thread, stop }),
        }
    }

    /// Nobody reads from now on what is written to it.
    pub fn stop_reading(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.end();
        }
    }

    /// Goes away, as a terminal does whose window is closed.
    pub fn hang_up(mut self) {
        self.stop_reading();
    }

    /// Whether it passes every key on as it is typed.
    #[must_use]
    pub fn is_raw(&self) -> bool {
        !self.modes().local_flags.contains(LocalFlags::ICANON)
    }

    /// Its modes, termios(3).
    #[must_use]
    pub fn modes(&self) -> Termios {
        tcgetattr(&self.master).unwrap()
    }

    /// Changes its modes.
    pub fn set_modes(&self, modes: &Termios) {
        tcsetattr(&self.master, SetArg::TCSANOW, modes).unwrap();
    }

    /// Columns and rows.
    #[must_use]
    pub fn size(&self) -> (u16, u16) {
        sys::window_size(self.master.as_fd()).unwrap()
    }

    /// Changes columns and rows.
    pub fn resize(&self, columns: u16, rows: u16) {
        sys::set_window_size(self.master.as_fd(), columns, rows).unwrap();
    }

    /// Types a text.
    pub fn type_in(&mut self, text: &str) {
        self.master.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until the text has been seen; returns all that was seen.
    pub fn wait_for(&mut self, text: &str) -> &str {
        while !self.seen.contains(text) {
            let more = self.output.recv_timeout(LIMIT);
            let more = more.unwrap_or_else(|error| {
                panic!("waiting for '{text}': {error}; seen: {:?}", self.seen)
            });
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        &self.seen
    }

    /// Reads to the end: until no process has the terminal open.
    pub fn read_to_end(&mut self) -> &str {
        while let Ok(more) = self.output.recv_timeout(LIMIT) {
            self.seen.push_str(&String::from_utf8_lossy(&more));
        }
        &self.seen
    }
}

/// A terminal that no other process inherits: one that is still open somewhere does not hang up.
fn open_terminal() -> io::Result<(OwnedFd, File)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let slave = File::options()
        .read(true)
        .write(true)
        .custom_flags(OFlag::O_NOCTTY.bits())
        .open(ptsname_r(&master)?)?;
    Ok((OwnedFd::from(master), slave))
}

/// Starts a command on a terminal of its own, as a user's shell would.
pub fn spawn_on_terminal(
    command: &mut Command,
    columns: u16,
    rows: u16,
) -> io::Result<(Running, Terminal)> {
    spawn_with_streams_beside(command, columns, rows, |_| {})
}

/// The same, with some of the standard streams going elsewhere. The terminal is the controlling one through what is left:
/// standard error.
pub fn spawn_with_streams_beside(
    command: &mut Command,
    columns: u16,
    rows: u16,
    redirect: impl FnOnce(&mut Command),
) -> io::Result<(Running, Terminal)> {
    let (master, slave) = open_terminal()?;
    sys::set_window_size(master.as_fd(), columns, rows)?;
    command
        .stdin(slave.try_clone()?)
        .stdout(slave.try_clone()?)
        .stderr(slave);
    redirect(command);
    sys::own_session(command);
    let running = spawn_with_own_streams(command);
    // The command's own copies of the slave's side would keep the terminal open.
    command
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null());
    Ok((running, Terminal::new(master)))
}
