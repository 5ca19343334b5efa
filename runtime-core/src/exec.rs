//! `exec`: one more process in a running container.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use oci_spec::runtime::{Process, Spec};
use runtime_init::Rendezvous;

use crate::builder::{Stdio, Wishes};
use crate::cgroup::{Below, Cgroup, Entry};
use crate::container::Container;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::exhaustion::{self, Before};
use crate::facts::HostFacts;
use crate::launch::{Handover, Init, Progress};
use crate::pidfd_socket::{PidfdSocket, TENANT};
use crate::plan::{self, Options};
use crate::status::Status;
use crate::tenant_cgroup::Place;
use crate::timings::{Recorder, Timings};
use crate::{confine, exec_cpu_affinity, home, seccomp, sources, stations, sys};

/// Starts a process in a container, in its namespaces and cgroup.
///
/// ```no_run
/// use runtime_core::Container;
///
/// let container = Container::load("/run/bareboat", "web")?;
/// let mut process = container.spec()?.process().clone().unwrap_or_default();
/// process.set_args(Some(vec!["ps".into()]));
/// let status = container.exec(process).spawn()?.wait()?;
/// assert_eq!(status.code(), 0);
/// # Ok::<(), runtime_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ExecBuilder<'a> {
    container: &'a Container,
    process: Process,
    spec: Option<Spec>,
    wishes: Wishes,
    extra_environment: Vec<String>,
    below: Below,
    ignore_paused: bool,
    timings: Recorder,
}

impl<'a> ExecBuilder<'a> {
    pub(crate) fn new(container: &'a Container, process: Process) -> Self {
        let (wishes, extra_environment, below) = Default::default();
        ExecBuilder {
            container,
            process,
            spec: None,
            wishes,
            extra_environment,
            below,
            ignore_paused: false,
            timings: Recorder::default(),
        }
    }

    /// The container's configuration, if the caller has it from [`Container::spec`]: it is not read again.
    pub fn spec(mut self, spec: Spec) -> Self {
        self.spec = Some(spec);
        self
    }

    /// The standard streams of the process.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.wishes.stdio = stdio;
        self
    }

    /// A unix socket to which the terminal's master is sent, when the process asks for one.
    pub fn console_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.wishes.console_socket = Some(path.into());
        self
    }

    /// A unix socket to which a pidfd of the process is sent, before the pid file is written. Somebody has to listen
    /// there before the process is made.
    pub fn pidfd_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.wishes.pidfd_socket = Some(path.into());
        self
    }

    /// A file into which the pid of the process is written.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.wishes.pid_file = Some(path.into());
        self
    }

    /// How many of the caller's descriptors after the three standard streams the process inherits.
    pub fn preserve_fds(mut self, count: u32) -> Self {
        self.wishes.preserved = count;
        self
    }

    /// Environment variables that the process gets in addition, `NAME=value`.
    pub fn extra_environment(mut self, variables: impl IntoIterator<Item = String>) -> Self {
        self.extra_environment.extend(variables);
        self
    }

    /// Puts the process into a cgroup below the container's own, in each hierarchy. It has to be there; `/` is the
    /// container's own. Where version 2 is beside version 1, it need not be in that of version 2.
    ///
    /// Without this and [`sub_cgroup_of`](Self::sub_cgroup_of) the process is in the container's own cgroup, or in that of
    /// the container's first process where version 2 leaves no room in the container's own (cgroups(7), "no internal
    /// processes").
    pub fn sub_cgroup(mut self, path: impl Into<PathBuf>) -> Self {
        self.below.everywhere(path.into());
        self
    }

    /// The same in the hierarchy of one controller.
    pub fn sub_cgroup_of(
        mut self,
        controller: impl Into<String>,
        path: impl Into<PathBuf>,
    ) -> Self {
        self.below.of_controller(controller.into(), path.into());
        self
    }

    /// Starts the process in a paused container too, where it waits until that is resumed.
    pub fn ignore_paused(mut self, ignore: bool) -> Self {
        self.ignore_paused = ignore;
        self
    }

    /// Takes down what each step of starting the process takes.
    pub fn timings(mut self, timings: &Timings) -> Self {
        self.timings = Recorder::to(timings);
        self
    }

    /// Starts the process.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`] or [`ErrorKind::InvalidState`] when the container has stopped or is paused,
    /// [`ErrorKind::Program`] when the program cannot be executed, or as for
    /// [`ContainerBuilder::create`](crate::ContainerBuilder::create).
    pub fn spawn(self) -> Result<TenantProcess> {
        let container = self.container;
        let _span = self
            .timings
            .span_of(|| format!("exec in {}", container.id()));
        self.start()
            .map_err(|error| container.or_its_end(error))
            .map_err(|error| error.context(format_args!("exec in {}", container.id())))
    }

    fn start(self) -> Result<TenantProcess> {
        self.wishes.check()?;
        let span = self.timings.span("look at the container");
        self.check_status()?;
        let pidfd = self.container.pidfd()?;
        let pidfd_socket = self.wishes.connect_pidfd_socket()?;
        let record = self.container.record();
        let pid = record.init.map(|init| init.pid).unwrap_or_default();
        let root = PathBuf::from(format!("/proc/{pid}/root"));
        let options = Options {
            id: record.id.clone(),
            bundle: record.bundle.clone(),
            start_at_once: true,
            extra_environment: self.extra_environment.clone(),
            home: home::of(&self.process, &root)?,
            no_new_keyring: record.no_new_keyring,
            ..Options::default()
        };
        let read;
        let spec = match &self.spec {
            Some(spec) => spec,
            None => {
                read = self.container.spec()?;
                &read
            }
        };
        drop(span);
        let span = self.timings.span("read the facts of the host");
        let facts = HostFacts::read_for_tenant(spec, Some(&self.process))?;
        drop(span);
        let span = self.timings.span("compile the plan");
        let entry = record.cgroup.as_ref().map_or(NO_CGROUP, Cgroup::entry);
        let plan = plan::tenant(
            spec,
            &self.process,
            &facts,
            &options,
            entry,
            record.namespaces,
        )?;
        drop(span);
        let cgroup = record.cgroup.as_ref();
        let before = Before::of(cgroup);
        let explain = |error: Error| before.explain_exec(cgroup, spec, error);
        let mut init = self
            .start_init(&plan, entry, pidfd.as_fd())
            .map_err(explain)?;
        let is_let_go = self.is_left_alone(&plan);
        let went_on = if is_let_go { init.go(&plan) } else { Ok(()) };
        let attended = went_on
            .and_then(|()| self.attend(&mut init, &plan, pidfd_socket, is_let_go))
            .and_then(|console| match exhaustion::died_as_init(init.pid()) {
                Some(error) => Err(error),
                None => Ok(console),
            });
        init.take_times(&plan);
        match attended {
            Ok(console) => Ok(TenantProcess {
                pid: init.pid(),
                pidfd: init.into_pidfd(),
                console,
            }),
            Err(error) => {
                init.kill();
                self.wishes.remove_pid_file();
                Err(explain(error))
            }
        }
    }

    /// Whether there is nothing to do for the process once it is ready, so that it need not wait for that.
    fn is_left_alone(&self, plan: &plan::Plan) -> bool {
        self.container.record().intel_rdt.is_none()
            && !self.wishes.have_recipient()
            && plan.is_self_sufficient()
    }

    fn check_status(&self) -> Result<()> {
        let refuse = |problem: &str| Err(Error::new(ErrorKind::InvalidState, problem));
        match self.container.status()? {
            Status::Stopped => Err(Error::new(
                ErrorKind::NotRunning,
                "cannot exec in a stopped container",
            )),
            Status::Creating => refuse("cannot exec in a container that is being created"),
            Status::Paused if !self.ignore_paused => {
                refuse("cannot exec in a paused container (use --ignore-paused to override)")
            }
            _ => Ok(()),
        }
    }

    fn start_init(&self, plan: &plan::Plan, entry: Entry, pidfd: BorrowedFd<'_>) -> Result<Init> {
        let span = self.timings.span("open what the init inherits");
        let context = sources::Context {
            init: Some(pidfd),
            ..sources::Context::default()
        };
        let tasks = match entry {
            Entry::Itself { .. } => self.place().task_files()?,
            Entry::Moved => Vec::new(),
        };
        let slots = sources::open(plan, context)?;
        drop(span);
        let directory = self.container.directory();
        let start = |cgroup: Option<BorrowedFd<'_>>| {
            let mut null = None;
            let handover = Handover {
                stdio: self.wishes.stdio.streams(&mut null)?,
                preserved: self.wishes.preserved,
                cgroup,
                waits: true,
                directory: &directory,
                timings: self.timings.clone(),
            };
            Init::start(plan, &slots, &handover)
        };
        let start = || match entry {
            Entry::Moved => start(None),
            Entry::Itself { .. } => self.place().start(start),
        };
        let init = match exec_cpu_affinity::initial(&self.process)? {
            Some(cpus) => exec_cpu_affinity::on(&cpus, start),
            None => start(),
        }?;
        init.enter_cgroups(plan, &tasks)
            .inspect_err(|_| init.kill())?;
        Ok(init)
    }

    fn place(&self) -> Place<'_> {
        Place {
            container: self.container,
            below: &self.below,
        }
    }

    /// The host's part: the same few things as for a container's first process. Gives the terminal's master.
    fn attend(
        &self,
        init: &mut Init,
        plan: &plan::Plan,
        pidfd_socket: Option<PidfdSocket<'_>>,
        is_let_go: bool,
    ) -> Result<Option<OwnedFd>> {
        let (mut console, mut agent) = (None, None);
        loop {
            match init.progress(plan)? {
                Progress::Reached(Rendezvous::Cgroup) => {
                    let _span = self.timings.span("have systemd move the process");
                    self.place().attach(init)?;
                    init.go(plan)?;
                }
                Progress::Reached(_) if is_let_go => stations::tenant_is_ready(init.pid()),
                Progress::Reached(_) => {
                    let _span = self.timings.span("set what the process cannot set itself");
                    console = self.wishes.deliver_console(init.take_console())?;
                    if let Some(socket) = &pidfd_socket {
                        socket.send(TENANT, init.pidfd())?;
                    }
                    confine::carry_out(plan, init.pid())?;
                    if let Some(group) = &self.container.record().intel_rdt {
                        group.join_running(init.pid())?;
                    }
                    self.wishes.write_pid_file(init.pid())?;
                    agent = seccomp::connect(plan.seccomp_listener.as_ref())?;
                    stations::tenant_is_ready(init.pid());
                    init.go(plan)?;
                }
                Progress::Listens(listener) => {
                    let state = self.container.state()?;
                    seccomp::hand_over(&mut agent, &listener, init.pid(), &state)?;
                }
                Progress::Done => return Ok(console),
            }
        }
    }
}

/// How a process gets into no cgroup.
pub(crate) const NO_CGROUP: Entry = Entry::Itself { hierarchies: 0 };

/// A process that was started in a container; a child of the calling process.
#[derive(Debug)]
pub struct TenantProcess {
    pid: i32,
    pidfd: OwnedFd,
    console: Option<OwnedFd>,
}

impl TenantProcess {
    /// The host's pid.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// A descriptor of the process, readable once it has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when the caller can have no more descriptors.
    pub fn pidfd(&self) -> Result<OwnedFd> {
        self.pidfd
            .try_clone()
            .host(|| format!("copy the pidfd of process {}", self.pid))
    }

    /// The terminal's master, when the process asked for a terminal and no console socket was given. It is had once.
    /// Newlines come out of it as the process writes them (termios(3), `ONLCR` is off).
    pub fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// Sends it a signal.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`] when it has ended.
    pub fn kill(&self, signal: i32) -> Result<()> {
        let sent = sys::pidfd_send_signal(self.pidfd.as_fd(), signal);
        sent.map_err(|cause| {
            Error::io(
                ErrorKind::NotRunning,
                format!("signal process {}", self.pid),
                cause,
            )
        })
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Host`] when somebody else has waited for it.
    pub fn wait(&self) -> Result<ExitStatus> {
        ExitStatus::of_child(self.pid)
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus(i32);

impl ExitStatus {
    pub(crate) fn of_child(pid: i32) -> Result<ExitStatus> {
        sys::wait(pid)
            .map(ExitStatus)
            .host(|| format!("wait for process {pid}"))
    }

    /// Its exit code, or 128 and the number of the signal that ended it.
    pub fn code(self) -> i32 {
        if libc::WIFSIGNALED(self.0) {
            128 + libc::WTERMSIG(self.0)
        } else {
            libc::WEXITSTATUS(self.0)
        }
    }

    /// The signal that ended it, if one did.
    pub fn signal(self) -> Option<i32> {
        libc::WIFSIGNALED(self.0).then(|| libc::WTERMSIG(self.0))
    }
}
