//! sd_notify(3) through a container: its program says that it is ready on a socket of the container's own, and the
//! runtime tells the service manager.
//!
//! The ways are runc's: the socket lies in a directory of the container's state, which is mounted at `/run/notify`, and
//! `NOTIFY_SOCKET` names it there. Nothing that the container sends is passed on. That a line of it is `READY=1` counts, and
//! what the service manager hears of that is the runtime's own words; descriptors that come along are not taken.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use runtime_init::{Step, Text};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect,
    recv, send, socket_with,
};
use rustix::pipe::{PipeFlags, pipe_with};

use crate::container::Container;
use crate::error::{Attempt, Result};
use crate::mounts::{options, root};
use crate::pass_descriptor;
use crate::plan::{Attributes, Builder, Origin, Source};
use crate::status::Status;

/// Where the directory with the socket is in the container.
const TARGET: &str = "/run/notify";

/// The directory in the container's state directory.
const DIRECTORY: &str = "notify";

const SOCKET: &str = "notify.sock";

/// The longest message that systemd takes, PIPE_BUF.
const MESSAGE: usize = 4096;

/// How long a service manager may take to read what it is told.
const BARRIER: Duration = Duration::from_secs(30);

/// The directory of the container whose state is kept there.
pub(crate) fn directory(state: &Path) -> PathBuf {
    state.join(DIRECTORY)
}

/// Makes the directory, for every user of the container to look into.
pub(crate) fn make_directory(state: &Path) -> Result<()> {
    let path = directory(state);
    // The caller's umask is no wish about this.
    DirBuilder::new()
        .mode(0o755)
        .create(&path)
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o755)))
        .host(|| format!("make {}", path.display()))
}

/// Mounts the directory over whatever the configuration has there.
pub(crate) fn mount(plan: &mut Builder<'_>) -> Result<()> {
    let Some(path) = plan.options.notify_directory.clone() else {
        return Ok(());
    };
    let source = Source::Tree {
        path,
        recursive: false,
        attributes: Attributes {
            set: options::RDONLY | options::NOSUID | options::NODEV | options::NOEXEC,
            ..Attributes::default()
        },
        propagation: root::bind_propagation(plan, &[])?,
        id_map: None,
        keeps_locks: false,
        must_be_proc: false,
    };
    let origin = || Origin::Default("notify socket");
    let tree = plan.tree(origin(), source)?;
    let target = Text(c"/run/notify");
    plan.step(origin(), &Step::MountTree { tree, target });
    Ok(())
}

/// The variable that tells the container's process of its socket.
pub(crate) fn variable(plan: &Builder<'_>) -> Option<String> {
    let directory = plan.options.notify_directory.as_ref();
    directory.map(|_| format!("NOTIFY_SOCKET={TARGET}/{SOCKET}"))
}

/// Variables that are for the process whose environment they are in, and for no other: a hook is none that the service
/// manager waits for, or passes sockets to.
pub(crate) const OWN_VARIABLES: [&str; 4] = [
    "NOTIFY_SOCKET",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
];

/// A service manager that wants to be told: whoever listens on the socket that `$NOTIFY_SOCKET` names.
#[derive(Debug)]
pub struct ServiceManager {
    socket: OwnedFd,
    address: String,
}

impl ServiceManager {
    /// Connects to the socket: a path, or a name in the abstract namespace with `@` in front (sd_notify(3)).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`](crate::ErrorKind::Host) when nobody listens there.
    pub fn connect(address: impl AsRef<OsStr>) -> Result<ServiceManager> {
        let name = address.as_ref().as_bytes();
        let address = String::from_utf8_lossy(name).into_owned();
        let connected = || -> rustix::io::Result<OwnedFd> {
            let place = match name.strip_prefix(b"@") {
                Some(name) => SocketAddrUnix::new_abstract_name(name)?,
                None => SocketAddrUnix::new(name)?,
            };
            let socket = datagram_socket(SocketFlags::CLOEXEC)?;
            connect(&socket, &place)?;
            set_socket_timeout(&socket, Timeout::Send, Some(BARRIER))?;
            Ok(socket)
        };
        let socket = connected().host(|| format!("connect to the notify socket {address}"))?;
        Ok(ServiceManager { socket, address })
    }

    /// Says that the service is ready, and which process is the service's first.
    fn tell(&self, main_pid: i32) -> Result<()> {
        let text = format!("MAINPID={main_pid}\nREADY=1\n");
        send(&self.socket, text.as_bytes(), SendFlags::NOSIGNAL)
            .map(drop)
            .host(|| self.attempt())
    }

    /// Waits until what was said has been read (sd_notify_barrier(3)), or the process that it was about has ended: the
    /// service manager may look at who said it, who is to be there still. One that does not know barriers is waited for in
    /// vain, and that is all.
    fn wait_until_read(&self, process: BorrowedFd<'_>) -> Result<()> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC).host(|| self.attempt())?;
        pass_descriptor::send(&self.socket, b"BARRIER=1", write.as_fd()).host(|| self.attempt())?;
        drop(write);
        let mut closed = [
            PollFd::new(&read, PollFlags::IN),
            PollFd::from_borrowed_fd(process, PollFlags::IN),
        ];
        let limit = Timespec::try_from(BARRIER).ok();
        while let Err(rustix::io::Errno::INTR) = poll(&mut closed, limit.as_ref()) {}
        Ok(())
    }

    fn attempt(&self) -> String {
        format!("tell {} that the container is ready", self.address)
    }
}

/// Word of a container's program that it is ready, on its way to the service manager.
#[derive(Debug)]
pub struct Readiness {
    socket: OwnedFd,
    process: OwnedFd,
    manager: ServiceManager,
}

impl Container {
    /// Listens for its program to say that it is ready. To be called between `create` and `start`.
    ///
    /// ```no_run
    /// use runtime_core::{Bundle, Container, ServiceManager};
    ///
    /// let bundle = Bundle::load("/srv/bundles/web")?;
    /// let container = Container::builder("web", bundle).notify_socket(true).create()?;
    /// let manager = ServiceManager::connect("/run/systemd/notify")?;
    /// let readiness = container.listen_for_readiness(manager)?;
    /// container.start()?;
    /// if let Some(pid) = container.pid() {
    ///     readiness.forward(pid)?;
    /// }
    /// # Ok::<(), runtime_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`](crate::ErrorKind::InvalidState) unless it is created, and was created with
    /// [`ContainerBuilder::notify_socket`](crate::ContainerBuilder::notify_socket).
    pub fn listen_for_readiness(&self, manager: ServiceManager) -> Result<Readiness> {
        if self.status()? != Status::Created {
            return Err(self.state_error("only a container that is created can be listened to"));
        }
        if !self.record().notify {
            return Err(self.state_error(
                "it was created without a notify socket: NOTIFY_SOCKET has to be set for create, too",
            ));
        }
        let directory = directory(&self.directory());
        let socket = listen(&directory)
            .host(|| format!("listen on {}", directory.join(SOCKET).display()))?;
        Ok(Readiness {
            socket,
            process: self.pidfd()?,
            manager,
        })
    }
}

/// A socket in the directory that every user may send to.
fn listen(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = openat(CWD, directory, flags, Mode::empty())?;
    // An address has room for 108 bytes, and the state root may be longer.
    let path = format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd());
    match fs::remove_file(&path) {
        // Of a start that was killed.
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = datagram_socket(SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    bind(&socket, &SocketAddrUnix::new(path.as_str())?)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, SOCKET, flags, Mode::empty())?;
    let file = format!("/proc/self/fd/{}", file.as_raw_fd());
    fs::set_permissions(file, Permissions::from_mode(0o777))?;
    Ok(socket)
}

fn datagram_socket(flags: SocketFlags) -> rustix::io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)
}

impl Readiness {
    /// Waits until the program says that it is ready; tells the service manager, with `main_pid` as the process to look
    /// after from now on, and waits until that was read, for 30 s at most. False when the container has ended instead.
    ///
    /// A program that says more finds nobody listening once this value is dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`](crate::ErrorKind::Host) when the service manager does not take it.
    pub fn forward(&self, main_pid: i32) -> Result<bool> {
        if !self
            .wait()
            .host(|| "wait for the container to be ready".to_owned())?
        {
            return Ok(false);
        }
        tracing::debug!("the container is ready, its service's main process is {main_pid}");
        self.manager.tell(main_pid)?;
        self.manager.wait_until_read(self.process.as_fd())?;
        Ok(true)
    }

    /// Takes what else the program says, until the container has ended: the status of a long-lived program that is not
    /// taken would block it in the end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`](crate::ErrorKind::Host) when its socket cannot be read.
    pub fn discard_the_rest(&self) -> Result<()> {
        let rest = || -> io::Result<()> {
            // A program may well say twice that it is ready.
            while self.wait()? {}
            Ok(())
        };
        rest().host(|| "hear what the container says".to_owned())
    }

    /// Whether the program is ready; false when the container has ended.
    fn wait(&self) -> io::Result<bool> {
        loop {
            let mut happened = [
                PollFd::new(&self.socket, PollFlags::IN),
                PollFd::new(&self.process, PollFlags::IN),
            ];
            match poll(&mut happened, None) {
                Err(rustix::io::Errno::INTR) => continue,
                answer => answer?,
            };
            let [_, process] = &happened;
            let ended = !process.revents().is_empty();
            if self.hear()? {
                return Ok(true);
            }
            if ended {
                return Ok(false);
            }
        }
    }

    /// Takes all that was sent by now. What is longer than a message may be is cut, and descriptors are dropped.
    fn hear(&self) -> io::Result<bool> {
        let mut message = [0; MESSAGE];
        loop {
            match recv(&self.socket, &mut message, RecvFlags::empty()) {
                Err(rustix::io::Errno::AGAIN) => return Ok(false),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
                Ok((length, _)) if is_ready(message.get(..length).unwrap_or_default()) => {
                    return Ok(true);
                }
                Ok(_) => {}
            }
        }
    }
}

pub(crate) fn is_ready(message: &[u8]) -> bool {
    message
        .split(|&byte| byte == b'\n')
        .any(|line| line == b"READY=1")
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixDatagram;

    use super::*;
    use crate::error::ErrorKind;
    use crate::plan::{self, HostFacts};

    #[test]
    fn a_line_that_says_ready_is_found_and_nothing_like_it() {
        for message in ["READY=1", "READY=1\n", "STATUS=up\nREADY=1\nMAINPID=1"] {
            assert!(is_ready(message.as_bytes()), "{message:?}");
        }
        for message in [
            "",
            "READY=0",
            "READY=",
            "STATUS=READY=1",
            "NOTREADY=1",
            "READY=1 ",
        ] {
            assert!(!is_ready(message.as_bytes()), "{message:?}");
        }
    }

    #[test]
    fn the_container_has_the_directory_and_the_variable_only_where_the_caller_wants_it() {
        let spec = crate::default_spec();
        let options = plan::Options {
            notify_directory: Some("/state/web/notify".into()),
            ..plan::Options::default()
        };
        let with = plan::compile_with(&spec, &HostFacts::typical(), &options).unwrap();
        assert!(
            with.environment
                .contains(&c"NOTIFY_SOCKET=/run/notify/notify.sock".to_owned())
        );
        let steps: Vec<_> = with
            .steps()
            .map(|(origin, step)| format!("{origin}: {}", plan::describe(&with, &step)))
            .collect();
        let mount = "default notify socket: bind /state/web/notify → /run/notify".to_owned();
        assert!(steps.contains(&mount), "{steps:#?}");
        let without = plan::compile(&spec, &HostFacts::typical()).unwrap();
        assert_eq!(without.steps().count() + 1, with.steps().count());
    }

    #[test]
    fn a_socket_is_bound_anew_over_one_that_was_left_and_takes_words_from_every_user() {
        let state = tempfile::tempdir().unwrap();
        make_directory(state.path()).unwrap();
        let directory = directory(state.path());
        drop(listen(&directory).unwrap());
        let socket = listen(&directory).unwrap();
        let path = directory.join(SOCKET);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o777);
        let sender = UnixDatagram::unbound().unwrap();
        sender.send_to(b"READY=1", &path).unwrap();
        let mut message = [0; 16];
        let (length, _) = recv(&socket, &mut message, RecvFlags::empty()).unwrap();
        assert_eq!(&message[..length], b"READY=1");
    }

    #[test]
    fn the_service_manager_hears_two_datagrams_by_path_or_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("manager");
        let name = format!("bareboat-test-{}", std::process::id());
        let abstract_address =
            <std::os::unix::net::SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(&name)
                .unwrap();
        for (manager, address) in [
            (UnixDatagram::bind(&path).unwrap(), path.into_os_string()),
            (
                UnixDatagram::bind_addr(&abstract_address).unwrap(),
                format!("@{name}").into(),
            ),
        ] {
            let told = ServiceManager::connect(&address).unwrap();
            told.tell(42).unwrap();
            let mut message = [0; 64];
            let length = manager.recv(&mut message).unwrap();
            assert_eq!(&message[..length], b"MAINPID=42\nREADY=1\n");
            // Nobody waits for a process that has ended: the end of a pipe that is closed looks as one does.
            let (ended, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
            drop(writer);
            told.wait_until_read(ended.as_fd()).unwrap();
            let length = manager.recv(&mut message).unwrap();
            assert_eq!(&message[..length], b"BARRIER=1");
        }
    }

    #[test]
    fn a_socket_on_which_nobody_listens_is_an_error_that_names_it() {
        let error = ServiceManager::connect("/no/such/socket").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host);
        assert!(error.to_string().contains("/no/such/socket"), "{error}");
    }
}
