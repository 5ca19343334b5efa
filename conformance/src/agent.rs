//! A seccomp agent: the other end of `listenerPath`, which decides about system calls (seccomp_unotify(2)).

use std::io::{IoSliceMut, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg};
use serde_json::Value;

use crate::process::LIMIT;
use crate::sys;

/// What the agent does with a call.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// Let the kernel do it.
    Continue,
    /// It fails with this errno.
    Errno(i32),
    /// It gives this.
    Result(i64),
    /// Close the listener, as an agent does that dies.
    HangUp,
}

/// An agent that listens in a directory.
#[derive(Debug)]
pub struct Agent {
    /// What to give as `listenerPath`.
    pub path: PathBuf,
    told: Arc<Mutex<Vec<Value>>>,
    seen: Arc<Mutex<Vec<i64>>>,
    ended: Arc<AtomicUsize>,
}

impl Agent {
    /// Listens in the directory, and answers each call by its number.
    #[must_use]
    pub fn new(directory: &Path, answer: fn(i64) -> Answer) -> Self {
        let path = directory.join("agent.sock");
        let listener = UnixListener::bind(&path).unwrap();
        Self::serving(listener, path, answer)
    }

    /// The same on a socket that is bound already.
    #[must_use]
    pub fn serving(listener: UnixListener, path: PathBuf, answer: fn(i64) -> Answer) -> Self {
        let agent = Self {
            path,
            told: Arc::default(),
            seen: Arc::default(),
            ended: Arc::default(),
        };
        let (told, seen) = (Arc::clone(&agent.told), Arc::clone(&agent.seen));
        let ended = Arc::clone(&agent.ended);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let (state, calls) = receive(&stream);
                told.lock().unwrap().push(state);
                let (seen, ended) = (Arc::clone(&seen), Arc::clone(&ended));
                thread::spawn(move || attend(calls, &seen, answer));
                thread::spawn(move || {
                    let rest = stream.read(&mut [0]);
                    assert_eq!(rest.unwrap(), 0, "one state a connection");
                    ended.fetch_add(1, Ordering::SeqCst);
                });
            }
        });
        agent
    }

    /// The container process states that it was sent, one a connection.
    #[must_use]
    pub fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap().clone()
    }

    /// How many connections the runtime has closed, with nothing more said.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }

    /// The numbers of the calls that it decided about.
    #[must_use]
    pub fn seen(&self) -> Vec<i64> {
        self.seen.lock().unwrap().clone()
    }
}

/// A state, which fits one message, and the one descriptor with it.
fn receive(stream: &UnixStream) -> (Value, OwnedFd) {
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    let mut text = vec![0; 65536];
    let mut space = cmsg_space!([i32; 4]);
    let mut parts = [IoSliceMut::new(&mut text)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = recvmsg::<()>(stream.as_raw_fd(), &mut parts, Some(&mut space), flags).unwrap();
    let mut descriptors: Vec<OwnedFd> = message
        .cmsgs()
        .unwrap()
        .flat_map(|part| match part {
            ControlMessageOwned::ScmRights(numbers) => numbers,
            _ => Vec::new(),
        })
        .map(sys::own)
        .collect();
    assert_eq!(descriptors.len(), 1, "exactly one descriptor is sent");
    let length = message.bytes;
    let state = serde_json::from_slice(&text[..length]).expect("the state is JSON");
    (state, descriptors.remove(0))
}

/// Answers calls until nobody is left who could make one.
fn attend(calls: OwnedFd, seen: &Mutex<Vec<i64>>, answer: fn(i64) -> Answer) {
    while let Some(call) = sys::next_call(calls.as_fd()) {
        seen.lock().unwrap().push(call.number);
        let (value, errno, go_on) = match answer(call.number) {
            Answer::Continue => (0, 0, true),
            Answer::Errno(errno) => (0, errno, false),
            Answer::Result(value) => (value, 0, false),
            Answer::HangUp => return,
        };
        sys::answer_call(calls.as_fd(), &call, value, errno, go_on);
    }
}
