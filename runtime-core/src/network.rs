//! The container's network namespace, made by a thread while the runtime and the init do all else: it takes the kernel half a
//! millisecond, and nothing but the mounts that show it need it before the end.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use nix::sched::{CloneFlags, unshare};
use oci_spec::runtime::Spec;
use runtime_init::GO;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown, SocketFlags,
    SocketType, sendmsg, shutdown, socketpair,
};

use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::launch::start_remedy;
use crate::namespaces::{NEWNET, network_is_beside};
use crate::sys;
use crate::timings::Recorder;

/// A network namespace in the making.
#[derive(Debug)]
pub(crate) struct Network {
    /// Until it has been waited for.
    thread: Option<JoinHandle<Result<()>>>,
    /// Where the init receives it.
    socket: Option<OwnedFd>,
}

impl Network {
    /// Begins to make the network namespace of a container whose plan will have it made beside the init. Of a configuration that
    /// has no plan, nothing comes of it.
    pub(crate) fn of(spec: &Spec, timings: &Recorder) -> Result<Option<Network>> {
        let is_unprivileged = !rustix::process::geteuid().is_root();
        let is_wanted = network_is_beside(spec, is_unprivileged).unwrap_or(false);
        is_wanted.then(|| Network::begin(timings)).transpose()
    }

    fn begin(timings: &Recorder) -> Result<Network> {
        let attempt = "start a thread that makes the network namespace";
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .host(|| attempt.to_owned())?;
        // A thread that has ended has no affinity that could be set, and glibc would set the caller's.
        let placed = Arc::new(Mutex::new(()));
        let placing = placed.lock();
        let others = sys::OtherCpus::than_this();
        let make = {
            let (placed, timings) = (Arc::clone(&placed), timings.clone());
            move || {
                let ours = Recipient(ours);
                if let Some(others) = others {
                    others.take_caller();
                }
                let made = make(&ours.0, &timings);
                drop(placed.lock());
                made
            }
        };
        let thread = thread::Builder::new().spawn(make);
        let thread = thread.map_err(|cause| refused(attempt, cause))?;
        // A kernel that keeps what runs for a short time together would have it wait until the caller sleeps.
        if let Some(others) = others {
            others.take(&thread);
        }
        drop(placing);
        Ok(Network {
            thread: Some(thread),
            socket: Some(theirs),
        })
    }

    /// The socket through which the namespace goes to the init.
    pub(crate) fn take_socket(&mut self) -> Option<OwnedFd> {
        self.socket.take()
    }

    /// Waits until the thread has ended, and tells what kept it from making the namespace: of that an init that waits for it
    /// learns nothing.
    pub(crate) fn problem(&mut self) -> Option<Error> {
        self.socket = None;
        let failed = |_| Error::new(ErrorKind::Host, "the thread that makes the network failed");
        let made = self.thread.take()?.join();
        made.map_err(failed).flatten().err()
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = self.problem();
    }
}

/// The thread's end of the socket. Others may have copies of it, so it is shut down at the end, for whoever still waits.
struct Recipient(OwnedFd);

impl Drop for Recipient {
    fn drop(&mut self) {
        let _ = shutdown(&self.0, Shutdown::Both);
    }
}

/// The namespace, its loopback interface up, for whoever receives it.
fn make(recipient: &OwnedFd, timings: &Recorder) -> Result<()> {
    let _span = timings.span_beside("make the network namespace");
    // No handler of the caller's finds itself there.
    let _ = sys::block_signals();
    let made = unshare(CloneFlags::CLONE_NEWNET);
    made.map_err(|errno| refused("make the network namespace", errno.into()))?;
    let up = sys::bring_loopback_up();
    up.map_err(|cause| refused("bring the container's loopback interface up", cause))?;
    let path = "/proc/thread-self/ns/net";
    let namespace = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .host(|| format!("open network namespace {path}"))?;
    send(recipient.as_fd(), namespace.as_fd())
        .host(|| "send the init its network namespace".to_owned())
}

fn refused(attempt: &str, cause: io::Error) -> Error {
    let attempt = match start_remedy(NEWNET, cause.raw_os_error()) {
        Some(remedy) => format!("{attempt} ({remedy})"),
        None => attempt.to_owned(),
    };
    Error::io(ErrorKind::Setup, attempt, cause).at("/linux/namespaces")
}

fn send(recipient: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let descriptors = [namespace];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let message = [IoSlice::new(&[GO])];
    match sendmsg(recipient, &message, &mut control, SendFlags::NOSIGNAL) {
        // What became of the init, others tell.
        Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use caps::{CapSet, Capability};
    use rustix::net::{RecvFlags, recv};

    use super::*;

    #[test]
    fn who_waits_for_a_network_that_cannot_be_made_learns_that_none_comes_and_the_caller_why() {
        let begin = || {
            // This thread's alone, and that of the one that it starts.
            caps::drop(None, CapSet::Effective, Capability::CAP_SYS_ADMIN).unwrap();
            Network::begin(&Recorder::default()).unwrap()
        };
        let mut network = thread::spawn(begin).join().unwrap();
        let socket = network.take_socket().unwrap();
        let received = recv(&socket, &mut [0u8], RecvFlags::empty()).unwrap();
        assert_eq!(received.0, 0);
        let error = network.problem().unwrap();
        assert_eq!(error.errno(), Some(libc::EPERM));
        assert_eq!(error.origin(), Some("/linux/namespaces"));
        assert!(
            error.to_string().contains("make the network namespace"),
            "{error}"
        );
        assert!(network.problem().is_none());
    }
}
