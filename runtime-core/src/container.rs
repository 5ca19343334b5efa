//! A container that was created.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use oci_spec::runtime::{Process, Spec};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::bundle::Bundle;
use crate::cgroup::Cgroup;
use crate::create::ContainerBuilder;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::exec::{ExecBuilder, ExitStatus};
use crate::listing::Containers;
use crate::namespaces::NEWPID;
use crate::process_id::ProcessStat;
use crate::state::{self, Record};
use crate::status::{State, Status, state};
use crate::timings::{Recorder, Timings};
use crate::{exhaustion, namespaces};

/// A container, by what is recorded of it. It is only a handle: dropping it does nothing to the container.
///
/// The states and the operations on them are those of runtime.md.
#[derive(Debug)]
pub struct Container {
    pub(crate) root: PathBuf,
    pub(crate) record: Record,
    console: Option<OwnedFd>,
    pub(crate) timings: Recorder,
}

impl Container {
    /// What is needed to create a container from a bundle.
    pub fn builder(id: impl Into<String>, bundle: Bundle) -> ContainerBuilder {
        ContainerBuilder::new(id.into(), bundle)
    }

    pub(crate) fn new(root: PathBuf, record: Record, console: Option<OwnedFd>) -> Self {
        Container {
            root,
            record,
            console,
            timings: Recorder::default(),
        }
    }

    /// Takes down what [`start`](Self::start) and [`delete`](Self::delete) of this handle take.
    #[must_use]
    pub fn timings(mut self, timings: &Timings) -> Self {
        self.timings = Recorder::to(timings);
        self
    }

    /// This container, with the same timings as another handle.
    pub(crate) fn timed(mut self, timings: &Recorder) -> Self {
        self.timings = timings.clone();
        self
    }

    /// The container of this ID under a state root.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] when there is none, [`ErrorKind::Host`] when its state cannot be read.
    pub fn load(state_root: impl AsRef<Path>, id: &str) -> Result<Container> {
        let root = crate::builder::absolute(state_root.as_ref())?;
        let record = state::read(&root, id)?;
        Ok(Container::new(root, record, None))
    }

    /// The containers under a state root, by ID. One whose state cannot be read is left out, with a warning.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when the state root cannot be read; one that does not exist holds no containers.
    pub fn list(state_root: impl AsRef<Path>) -> Result<Vec<Container>> {
        Ok(Container::each(state_root)?.collect())
    }

    /// The same, each read when it is asked for: for who looks at many and keeps none.
    ///
    /// # Errors
    ///
    /// As for [`Container::list`].
    pub fn each(state_root: impl AsRef<Path>) -> Result<Containers> {
        Containers::under(state_root.as_ref())
    }

    /// Its ID.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// The bundle that it was created from.
    pub fn bundle(&self) -> &Path {
        &self.record.bundle
    }

    /// Its root file system on the host.
    pub fn rootfs(&self) -> &Path {
        &self.record.rootfs
    }

    /// When it was created.
    pub fn created(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_nanos(self.record.created)
    }

    /// The user who created it.
    pub fn owner(&self) -> u32 {
        self.record.owner
    }

    /// The configuration that it was created with.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when the copy in the state directory cannot be read.
    pub fn spec(&self) -> Result<Spec> {
        state::read_config(&self.directory()).map_err(|error| match self.record.init {
            Some(_) => self.or_its_end(error),
            // It may be half written.
            None => self
                .state_error("cannot read the configuration of a container that is being created"),
        })
    }

    /// The host's pid of its first process, unless that has ended.
    pub fn pid(&self) -> Option<i32> {
        self.living().ok().flatten()
    }

    /// The same, for what would go wrong if a process that cannot be looked at were taken for one that has ended.
    pub(crate) fn living(&self) -> Result<Option<i32>> {
        let Some(init) = self.record.init else {
            return Ok(None);
        };
        let found = init.look();
        let found = found.host(|| format!("look for the process of {}", self.id()))?;
        Ok(found.map(|_| init.pid))
    }

    /// The terminal's master, when the configuration asks for a terminal and no console socket was given. It is had once.
    /// Newlines come out of it as the process writes them (termios(3), `ONLCR` is off).
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// What it is doing now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when its cgroup or `/proc` cannot be read.
    pub fn status(&self) -> Result<Status> {
        self.status_where(|cgroup, _| cgroup.is_frozen())
    }

    fn status_where(
        &self,
        is_frozen: impl FnOnce(&Cgroup, &ProcessStat) -> io::Result<bool>,
    ) -> Result<Status> {
        let Some(init) = self.record.init else {
            return Ok(Status::Creating);
        };
        let found = init.look();
        let Some(process) = found.host(|| format!("look for the process of {}", self.id()))? else {
            return Ok(Status::Stopped);
        };
        let cgroup = self.record.cgroup.as_ref();
        let frozen = cgroup.map(|cgroup| is_frozen(cgroup, &process)).transpose();
        match frozen.host(|| format!("read the cgroup of {}", self.id()))? {
            // Whether it was started or not.
            Some(true) => Ok(Status::Paused),
            // A `start` that was killed once it had let the program start leaves the socket.
            _ if exhaustion::is_init(&process.comm) && state::awaits_start(&self.directory())? => {
                Ok(Status::Created)
            }
            _ => Ok(Status::Running),
        }
    }

    /// Its state as the specification defines it.
    ///
    /// In version 1 of cgroups a container whose first process sleeps like any other is not paused. It is told without a look
    /// at the cgroup, which would take a third of the time of a long list.
    ///
    /// # Errors
    ///
    /// As for [`Container::status`].
    pub fn state(&self) -> Result<State> {
        let status = self.status_where(|cgroup, process| {
            let is_free = process.is_free_in_v1() && cgroup.has_v1_freezer();
            Ok(!is_free && cgroup.is_frozen()?)
        })?;
        let pid = self.record.init.map(|init| init.pid);
        let pid = pid.filter(|_| status != Status::Stopped);
        Ok(state(&self.record, status, pid))
    }

    /// Sends a signal to its first process. SIGKILL for one without a PID namespace of its own goes to all processes:
    /// the kernel would not end the others with the first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`] when it has stopped, [`ErrorKind::InvalidArgument`] when there is no such signal.
    pub fn kill(&self, signal: i32) -> Result<()> {
        if signal == libc::SIGKILL && !self.has_own_pid_namespace() {
            // The first process may be gone while others are not.
            if self.pids().is_ok_and(|pids| !pids.is_empty()) {
                return self.kill_all(signal);
            }
        }
        self.signal_init(signal)?;
        // In version 1 a frozen process dies when it goes on, a created one as well.
        let cgroup = self.record.cgroup.as_ref();
        if signal == libc::SIGKILL && cgroup.is_some_and(|all| all.is_frozen().unwrap_or(true)) {
            self.thaw()?;
        }
        Ok(())
    }

    /// Sends a signal to all processes in its cgroup, and to the first where that moved itself out of it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when the cgroup cannot be read.
    pub fn kill_all(&self, signal: i32) -> Result<()> {
        let Some(cgroup) = &self.record.cgroup else {
            return self.signal_init(signal);
        };
        let attempt = || format!("signal the processes of {}", self.id());
        let inside = cgroup.pids().host(attempt)?;
        let elsewhere = self.living()?.filter(|pid| !inside.contains(pid));
        cgroup.kill_all(signal).host(attempt)?;
        match elsewhere.map(|_| self.signal_init(signal)) {
            // It ended with the others.
            Some(Err(error)) if error.kind() != ErrorKind::NotRunning => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the kernel ends all its processes with the first: that is the first of a PID namespace, which was made for
    /// it and not joined (pid_namespaces(7)).
    pub(crate) fn has_own_pid_namespace(&self) -> bool {
        let is_own = |spec: Spec| namespaces::makes_pid_namespace(&spec);
        self.record.namespaces & NEWPID != 0 && self.spec().is_ok_and(is_own)
    }

    /// Its cgroup, unless it is in no hierarchy at all: that of a user who may not make any.
    fn cgroup(&self) -> Option<&Cgroup> {
        let cgroup = self.record.cgroup.as_ref();
        cgroup.filter(|cgroup| !cgroup.directories().is_empty())
    }

    pub(crate) fn thaw(&self) -> Result<()> {
        let thawed = self
            .record
            .cgroup
            .as_ref()
            .map(|cgroup| cgroup.thaw())
            .transpose();
        thawed.map(drop).host(|| format!("thaw {}", self.id()))
    }

    pub(crate) fn signal_init(&self, signal: i32) -> Result<()> {
        let pidfd = self.pidfd()?;
        if signal == 0 {
            return Ok(());
        }
        match crate::sys::pidfd_send_signal(pidfd.as_fd(), signal) {
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Err(self.not_running()),
            Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("there is no signal {signal}"),
            )),
            answer => answer.host(|| format!("signal {}", self.id())),
        }
    }

    pub(crate) fn not_running(&self) -> Error {
        Error::new(
            ErrorKind::NotRunning,
            format!("container {}: container not running", self.id()),
        )
    }

    pub(crate) fn state_error(&self, problem: &str) -> Error {
        Error::new(
            ErrorKind::InvalidState,
            format!("container {}: {problem}", self.id()),
        )
    }

    /// Its first process, as a descriptor that no reused pid can take over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`] when it has ended.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        let init = self.record.init.ok_or_else(|| self.not_running())?;
        let pid = Pid::from_raw(init.pid).ok_or_else(|| self.not_running())?;
        let attempt = || format!("open the process of {}", self.id());
        let pidfd = match pidfd_open(pid, PidfdFlags::empty()) {
            // The pid is free, or that of a thread now.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Err(self.not_running()),
            answer => answer.host(attempt)?,
        };
        // The descriptor is of whatever had the pid just now; that it was this process is clear only afterwards.
        match init.look().host(attempt)? {
            Some(_) => Ok(pidfd),
            None => Err(self.not_running()),
        }
    }

    /// The host's pids of all processes in it. Of a container without a cgroup they are those in its PID namespace, if that
    /// is its own, and otherwise its first process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when the cgroup, or `/proc`, cannot be read.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let attempt = || format!("list the processes of {}", self.id());
        if let Some(cgroup) = self.cgroup() {
            return cgroup.pids().host(attempt);
        }
        match self.living()? {
            Some(pid) if self.has_own_pid_namespace() => {
                namespaces::processes_beside(pid).host(attempt)
            }
            pid => Ok(pid.into_iter().collect()),
        }
    }

    /// One more process in it.
    pub fn exec(&self, process: Process) -> ExecBuilder<'_> {
        ExecBuilder::new(self, process)
    }

    /// Waits until its first process has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] in any process but the one that created it, whose child it is.
    pub fn wait(&self) -> Result<ExitStatus> {
        let init = self.record.init.ok_or_else(|| self.not_running())?;
        ExitStatus::of_child(init.pid)
    }

    /// The configuration, when it has hooks that are yet to run.
    pub(crate) fn spec_with_later_hooks(&self) -> Result<Option<Spec>> {
        self.record.later_hooks.then(|| self.spec()).transpose()
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn directory(&self) -> PathBuf {
        self.root.join(self.id())
    }
}
