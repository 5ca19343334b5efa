//! `start`: from a container that was created to one that runs.

use std::os::fd::{AsFd, BorrowedFd};

use runtime_init::{GO, ReportKind};
use rustix::io::Errno;
use rustix::net::{SendFlags, send};

use crate::builder::CgroupDriver;
use crate::cgroup::Cgroup;
use crate::container::Container;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::exhaustion::{self, Before};
use crate::facts::HostFacts;
use crate::hooks::{self, Kind};
use crate::plan::{self, Options};
use crate::process_hook::Place;
use crate::seccomp::{self, Agent};
use crate::state::{self, Directory};
use crate::status::{Status, state as state_of, state_json};
use crate::timings::{Stamps, before_start};
use crate::{create, launch, message, notify_socket, process};

impl Container {
    /// Starts the user's program.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] unless it is created, [`ErrorKind::InvalidConfig`] when the configuration has no
    /// process, both of which change nothing; [`ErrorKind::Hook`] when a startContainer or poststart hook fails, which
    /// destroys the container; [`ErrorKind::Program`] when the kernel cannot execute the program, which stops it.
    ///
    /// What fails before the container's process has heard of it, for want of a descriptor for one, leaves it created.
    pub fn start(&self) -> Result<()> {
        let _span = self.timings.span_of(|| format!("start {}", self.id()));
        let span = self.timings.span("look at the container");
        let directory = Directory::open_created(&self.root, self.id(), "start")?;
        let container = Container::load(&self.root, self.id())?.timed(&self.timings);
        container.check_startable()?;
        drop(span);
        container.set_off(&directory)?;
        // Nobody waits for a poststart hook with the lock: it may change its container.
        drop(directory);
        let hooks = container.run_poststart_hooks();
        if hooks.is_err() {
            container.destroy_after_hook();
        }
        hooks
    }

    fn check_startable(&self) -> Result<()> {
        let problem = match self.status()? {
            Status::Created if self.record.startable => return Ok(()),
            Status::Created => {
                let error = Error::config("/process", process::NONE);
                return Err(error.context(format_args!("start {}", self.id())));
            }
            Status::Stopped => return Err(self.has_stopped()),
            Status::Creating => "cannot start a container that is being created",
            Status::Paused => "cannot start a container in the paused state",
            Status::Running => "cannot start an already running container",
        };
        Err(self.state_error(problem))
    }

    /// One that was never started may have run into its limits while it waited.
    fn has_stopped(&self) -> Error {
        let error = self.state_error("cannot start a container that has stopped");
        match state::awaits_start(&self.directory()).unwrap_or(false) {
            true => self.explain(&Before::of_new(self.record.cgroup.as_ref()), error),
            false => error,
        }
    }

    /// Has the init execute the program.
    fn set_off(&self, directory: &Directory) -> Result<()> {
        let before = Before::of_new(self.record.cgroup.as_ref());
        let fail = |error: Error| {
            let _ = self.signal_init(libc::SIGKILL);
            killed(self.explain(&before, error)).context(format_args!("start {}", self.id()))
        };
        let mut agent = self
            .run_start_hooks(directory)
            .and_then(|()| seccomp::connect(self.record.seccomp_listener.as_ref()))
            .map_err(fail)
            // A hook that fails ends the container's life (runtime.md, "Lifecycle").
            .inspect_err(|error| {
                if error.kind() == ErrorKind::Hook {
                    self.destroy_or_warn(directory);
                }
            })?;
        let socket = match directory.connect() {
            // An earlier start was killed when it had said go and not yet taken the socket away.
            Err(error) if error.errno() == Some(libc::ECONNREFUSED) => {
                if self.has_ended() {
                    return Err(self.has_stopped());
                }
                directory.forget_start();
                return Err(self.state_error("cannot start an already running container"));
            }
            answer => answer.map_err(|error| error.context(format_args!("start {}", self.id())))?,
        };
        let times = self.times_of_start()?;
        let _span = self.timings.span("start the program");
        let gone = self.go(directory, socket.as_fd(), &mut agent, times.as_ref());
        if let Some((plan, stamps)) = &times {
            stamps.take(plan, before_start(plan) + 1..usize::MAX);
        }
        gone.map_err(fail)
    }

    /// Where the init is to note the times of its last steps, and the plan that says what these are; nothing unless
    /// somebody wants to know.
    fn times_of_start(&self) -> Result<Option<(plan::Plan, Stamps)>> {
        if !self.timings.is_on() {
            return Ok(None);
        }
        let _span = self
            .timings
            .span("compile the plan, which says what is timed");
        let plan = self.plan()?;
        let stamps = Stamps::new(&plan, &self.timings)?;
        Ok(stamps.map(|stamps| (plan, stamps)))
    }

    fn go(
        &self,
        directory: &Directory,
        socket: BorrowedFd<'_>,
        agent: &mut Option<Agent>,
        times: Option<&(plan::Plan, Stamps)>,
    ) -> Result<()> {
        let sent = match times {
            None => send(socket, &[GO], SendFlags::NOSIGNAL),
            Some((_, stamps)) => stamps.send_with_go(socket),
        };
        // Where nobody listens any more, there may still be the reason why.
        let has_ended = match sent {
            Err(Errno::PIPE) => true,
            answer => {
                answer.host(|| "let the container start".to_owned())?;
                false
            }
        };
        let hear = || message::receive(socket).host(|| "hear from the container".to_owned());
        let mut answer = hear()?;
        directory.forget_start();
        while let Some(message) = answer {
            match message.report.kind {
                ReportKind::Failed => {
                    return Err(launch::step_error(&self.plan()?, message.report));
                }
                ReportKind::Listener if self.record.seccomp_listener.is_some() => {
                    let state = state_of(&self.record, Status::Created, self.pid());
                    let pid = state.pid;
                    seccomp::hand_over(agent, &message.listener()?, pid, &state)?;
                }
                _ => {
                    return Err(Error::new(ErrorKind::Host, launch::NOBODY_ASKED));
                }
            }
            answer = hear()?;
        }
        if has_ended {
            return Err(Error::ended_silently());
        }
        let init = self.record.init.map(|init| init.pid);
        match init.and_then(exhaustion::died_as_init) {
            Some(error) => Err(error),
            None => {
                tracing::debug!("the program runs");
                Ok(())
            }
        }
    }

    /// A hook that fails ends the container's life (runtime.md, "Lifecycle"); the hook may have deleted it itself.
    fn destroy_after_hook(&self) {
        match Directory::open(&self.root, self.id()) {
            Ok(directory) if self.is_still_there() => self.destroy_or_warn(&directory),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => tracing::warn!("{error}"),
        }
    }

    /// Whether the container of this ID is this one.
    fn is_still_there(&self) -> bool {
        Container::load(&self.root, self.id())
            .is_ok_and(|found| found.record.init == self.record.init)
    }

    fn destroy_or_warn(&self, directory: &Directory) {
        if let Err(left) = self.destroy(directory, Status::Running, true) {
            tracing::warn!("{left}");
        }
    }

    /// A hook in the container may have been killed by its limits.
    fn explain(&self, before: &Before, error: Error) -> Error {
        match self.spec() {
            Ok(spec) => before.explain(self.record.cgroup.as_ref(), &spec, error),
            Err(_) => error,
        }
    }

    /// The plan that the container was made by, compiled once more: only its steps' numbers are needed.
    fn plan(&self) -> Result<plan::Plan> {
        let unit = self.record.cgroup.as_ref().and_then(Cgroup::unit);
        let spec = self.spec()?;
        let options = Options {
            id: self.record.id.clone(),
            bundle: self.record.bundle.clone(),
            resolved_root: create::resolved_root(&spec, &self.record.bundle),
            file_sources: self.record.file_sources.clone(),
            cgroup_driver: unit.map_or(CgroupDriver::Cgroupfs, |_| CgroupDriver::Systemd),
            rootless_cgroups: self.record.rootless_cgroups,
            no_pivot: self.record.no_pivot,
            no_new_keyring: self.record.no_new_keyring,
            start_at_once: false,
            extra_environment: self.record.extra_environment.clone(),
            notify_directory: self
                .record
                .notify
                .then(|| notify_socket::directory(&self.directory())),
            home: self.record.home.clone(),
        };
        let mut facts = HostFacts::read_for(&options, &spec, spec.process().as_ref())?;
        // Root may start a user's container.
        facts.uid = self.record.owner;
        plan::compile_with(&spec, &facts, &options)
    }

    fn run_start_hooks(&self, directory: &Directory) -> Result<()> {
        let Some(spec) = self.spec_with_later_hooks()? else {
            return Ok(());
        };
        if hooks::of(&spec, Kind::StartContainer).next().is_none() {
            return Ok(());
        }
        let (facts, pidfd) = (HostFacts::read()?, self.pidfd()?);
        let place = Place {
            spec: &spec,
            facts: &facts,
            record: &self.record,
            pidfd: pidfd.as_fd(),
            directory: directory.path(),
        };
        let state = place.state(self.pid().unwrap_or_default())?;
        hooks::of(&spec, Kind::StartContainer).try_for_each(|hook| {
            let _span = hook.span(&self.timings);
            place.run(&hook, &state)
        })
    }

    /// A poststart hook that fails stops the container (runtime.md, "Lifecycle").
    pub(crate) fn run_poststart_hooks(&self) -> Result<()> {
        let Some(spec) = self.spec_with_later_hooks()? else {
            return Ok(());
        };
        let mut hooks = hooks::of(&spec, Kind::Poststart).peekable();
        if hooks.peek().is_none() {
            return Ok(());
        }
        let state = state_json(&self.record, Status::Running, self.pid())?;
        let run = hooks.try_for_each(|hook| {
            let _span = hook.span(&self.timings);
            hook.run(&state, &self.record.bundle)
        });
        if run.is_err() {
            let _ = self.signal_init(libc::SIGKILL);
        }
        run
    }
}

/// The init of a container that others know has one reason to end without a word: somebody ended it.
pub(crate) fn killed(error: Error) -> Error {
    if !error.is_silent_end() {
        return error;
    }
    Error::new(
        ErrorKind::NotRunning,
        "the container was killed before its program ran",
    )
}
