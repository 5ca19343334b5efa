//! The seccomp agent: who decides about the calls that a filter hands over (config-linux.md, "Seccomp",
//! `listenerPath`), and what it is told ("The Container Process State").

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::LinuxSeccomp;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, socket_with};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::pass_descriptor;
use crate::spec_version::SPEC_VERSION;
use crate::status::State;

const POINTER: &str = "/linux/seccomp/listenerPath";

/// How long to wait for an agent that is too busy to take a connection.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the agent listens, and what it is told beside the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Listener {
    path: PathBuf,
    metadata: String,
}

impl Listener {
    /// The listener of a profile whose filter hands calls over. A relative path is relative to the bundle, which is the
    /// directory that engines start a runtime in.
    pub(crate) fn of(profile: &LinuxSeccomp, bundle: &Path) -> Result<Listener> {
        let Some(path) = given(profile) else {
            let problem = "seccomp listenerPath is not set, and a rule has SCMP_ACT_NOTIFY";
            return Err(Error::config(POINTER, problem));
        };
        let is_abstract = path.as_os_str().as_bytes().starts_with(b"@");
        Ok(Listener {
            path: if is_abstract {
                path.to_owned()
            } else {
                bundle.join(path)
            },
            metadata: profile.listener_metadata().clone().unwrap_or_default(),
        })
    }

    /// Connects to the agent: before the filter is loaded, so that a missing one is found out while nothing has happened.
    fn connect(&self) -> Result<Agent> {
        match connect_to(&self.path) {
            Ok(socket) => Ok(Agent {
                socket,
                listener: self.clone(),
            }),
            Err(cause) => Err(self.failure("failed to connect with seccomp agent", cause)),
        }
    }

    fn failure(&self, attempt: &str, cause: io::Error) -> Error {
        let attempt = format!("{attempt} {}", self.path.display());
        Error::io(ErrorKind::Setup, attempt, cause).at(POINTER)
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

/// Refuses metadata for nobody: "This field MUST NOT be set if `listenerPath` is not set".
pub(crate) fn check(profile: &LinuxSeccomp) -> Result<()> {
    let metadata = profile.listener_metadata().as_deref().unwrap_or_default();
    if given(profile).is_none() && !metadata.is_empty() {
        let problem = "listenerMetadata without a listenerPath";
        return Err(Error::config("/linux/seccomp/listenerMetadata", problem));
    }
    Ok(())
}

fn given(profile: &LinuxSeccomp) -> Option<&Path> {
    let path = profile.listener_path().as_deref();
    path.filter(|path| !path.as_os_str().is_empty())
}

/// A path, or a name in the abstract namespace after an `@`, as Go's net package writes it.
fn address(path: &Path) -> io::Result<SocketAddrUnix> {
    Ok(match path.as_os_str().as_bytes().split_first() {
        Some((b'@', name)) => SocketAddrUnix::new_abstract_name(name)?,
        _ => SocketAddrUnix::new(path)?,
    })
}

fn connect_to(path: &Path) -> io::Result<OwnedFd> {
    let (family, kind) = (AddressFamily::UNIX, SocketType::STREAM);
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    // It counts for connect(2) as well.
    set_socket_timeout(&socket, Timeout::Send, Some(TIMEOUT))?;
    rustix::net::connect(&socket, &address(path)?)?;
    Ok(socket)
}

/// A connection to the agent. It is good for one filter.
#[derive(Debug)]
pub(crate) struct Agent {
    socket: OwnedFd,
    listener: Listener,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ContainerProcessState<'a> {
    oci_version: &'a str,
    fds: [&'a str; 1],
    pid: i32,
    #[serde(skip_serializing_if = "str::is_empty")]
    metadata: &'a str,
    state: &'a State,
}

/// Connects to the agent of a plan that has one.
pub(crate) fn connect(listener: Option<&Listener>) -> Result<Option<Agent>> {
    listener.map(Listener::connect).transpose()
}

/// Sends the agent the listener of a filter, with whose process it is.
pub(crate) fn hand_over(
    agent: &mut Option<Agent>,
    listener: &OwnedFd,
    pid: i32,
    state: &State,
) -> Result<()> {
    match agent.take() {
        Some(agent) => agent.hand_over(listener, pid, state),
        None => Err(Error::new(
            ErrorKind::Host,
            "the init sent a listener that no agent waits for",
        )),
    }
}

impl Agent {
    fn hand_over(self, listener: &OwnedFd, pid: i32, state: &State) -> Result<()> {
        let message = ContainerProcessState {
            oci_version: SPEC_VERSION,
            fds: ["seccompFd"],
            pid,
            metadata: &self.listener.metadata,
            state,
        };
        let text = serde_json::to_vec(&message).map_err(|error| {
            Error::new(ErrorKind::Host, format!("describe the process: {error}"))
        })?;
        let sent = pass_descriptor::send(&self.socket, &text, listener.as_fd());
        sent.map_err(|cause| {
            self.listener
                .failure("cannot send the seccomp listener to", cause)
        })
    }
}

/// What a kernel lacks that refuses a filter with these flags.
pub(crate) fn hint(flags: u32, errno: i32) -> Option<&'static str> {
    let has = |flag| flags & flag != 0;
    match errno {
        libc::EINVAL if has(super::FLAG_WAIT_KILLABLE_RECV) => {
            Some("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV needs Linux 5.19")
        }
        // A filter tree has one listener, inherited ones included.
        libc::EBUSY if has(runtime_init::SECCOMP_NEW_LISTENER) => {
            Some("the runtime itself is under a seccomp filter with a listener")
        }
        libc::EINVAL | libc::EOPNOTSUPP | libc::ENOSYS => {
            Some("the kernel needs CONFIG_SECCOMP_FILTER")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io::{IoSliceMut, Read};
    use std::mem::MaybeUninit;
    use std::os::unix::net::UnixStream;

    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

    use super::*;
    use crate::status::Status;

    fn state() -> State {
        State {
            oci_version: "1.0.2".to_owned(),
            id: "web".to_owned(),
            status: Status::Created,
            pid: 7,
            bundle: "/srv/web".into(),
            annotations: [("long".to_owned(), "x".repeat(1 << 20))].into(),
        }
    }

    #[test]
    fn a_state_longer_than_one_message_carries_its_descriptor_once() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let agent = Agent {
            socket: ours.into(),
            listener: Listener {
                path: "/run/agent".into(),
                metadata: "m".to_owned(),
            },
        };
        let reader = std::thread::spawn(move || {
            let mut text = vec![0; 64];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let first = recvmsg(
                &theirs,
                &mut [IoSliceMut::new(&mut text)],
                &mut control,
                RecvFlags::empty(),
            );
            text.truncate(first.unwrap().bytes);
            let descriptors: usize = control
                .drain()
                .map(|message| match message {
                    RecvAncillaryMessage::ScmRights(list) => list.count(),
                    _ => 0,
                })
                .sum();
            theirs.read_to_end(&mut text).unwrap();
            (text, descriptors)
        });
        let listener = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        agent.hand_over(&listener, 8, &state()).unwrap();
        let (text, descriptors) = reader.join().unwrap();
        assert_eq!(descriptors, 1);
        let message: serde_json::Value = serde_json::from_slice(&text).unwrap();
        assert_eq!(message["fds"], serde_json::json!(["seccompFd"]));
        assert_eq!(
            (&message["pid"], &message["state"]["pid"]),
            (&8.into(), &7.into())
        );
        assert_eq!(message["metadata"], "m");
        assert_eq!(message["state"]["status"], "created");
        assert_eq!(message["ociVersion"], SPEC_VERSION);
    }
}
