//! A service manager that wants to hear when a service is ready: the other end of `NOTIFY_SOCKET` (sd_notify(3)), and what
//! a service sends there.

use std::env;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg};

use crate::sys;

/// What was sent in one datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// How many descriptors came along.
    pub descriptors: usize,
}

/// A service manager that listens in a directory.
#[derive(Debug)]
pub struct ServiceManager {
    /// What to give as `NOTIFY_SOCKET`.
    pub path: PathBuf,
    heard: Arc<Mutex<Vec<Word>>>,
}

impl ServiceManager {
    /// Listens in the directory. It closes the descriptors that come along, which is how barriers are answered, unless it is
    /// one that does not know them.
    #[must_use]
    pub fn new(directory: &Path, knows_barriers: bool) -> Self {
        let path = directory.join("manager.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        let heard = Arc::<Mutex<Vec<Word>>>::default();
        let list = Arc::clone(&heard);
        thread::spawn(move || {
            let mut kept = Vec::new();
            loop {
                let (word, descriptors) = receive(&socket);
                if !knows_barriers {
                    kept.extend(descriptors);
                }
                list.lock().unwrap().push(word);
            }
        });
        Self { path, heard }
    }

    /// All that it has heard.
    #[must_use]
    pub fn heard(&self) -> Vec<Word> {
        self.heard.lock().unwrap().clone()
    }

    /// The lines that it has heard, barriers aside.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let words = self.heard();
        let lines = words.iter().flat_map(|word| word.text.lines());
        lines
            .filter(|line| *line != "BARRIER=1")
            .map(str::to_owned)
            .collect()
    }
}

fn receive(socket: &UnixDatagram) -> (Word, Vec<OwnedFd>) {
    let mut text = [0; 4096];
    let mut space = cmsg_space!([i32; 4]);
    let mut parts = [IoSliceMut::new(&mut text)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let descriptors: Vec<OwnedFd> = message
        .cmsgs()
        .unwrap()
        .flat_map(|part| match part {
            ControlMessageOwned::ScmRights(numbers) => numbers,
            _ => Vec::new(),
        })
        .map(sys::own)
        .collect();
    let length = message.bytes;
    let word = Word {
        text: String::from_utf8_lossy(&text[..length]).into_owned(),
        descriptors: descriptors.len(),
    };
    (word, descriptors)
}

/// Sends a text to the socket that `NOTIFY_SOCKET` names, as a service does.
pub fn send(text: &str) -> io::Result<()> {
    let socket = connected()?;
    socket.send(text.as_bytes()).map(drop)
}

/// Sends a barrier, and waits until its descriptor is closed: sd_notify_barrier(3).
pub fn barrier() -> io::Result<()> {
    let socket = connected()?;
    let (read, write) = nix::unistd::pipe()?;
    let descriptors = [write.as_raw_fd()];
    let control = [ControlMessage::ScmRights(&descriptors)];
    let text = [IoSlice::new(b"BARRIER=1")];
    sendmsg::<()>(socket.as_raw_fd(), &text, &control, MsgFlags::empty(), None)?;
    drop(write);
    File::from(read).read(&mut [0]).map(drop)
}

fn connected() -> io::Result<UnixDatagram> {
    let path = env::var_os("NOTIFY_SOCKET").ok_or(io::ErrorKind::NotFound)?;
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    Ok(socket)
}
