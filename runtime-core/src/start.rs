//! `start`: from a container that was created to one that runs.

use std::os::fd::AsFd;

use runtime_init::{GO, ReportKind};
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
use crate::state::Directory;
use crate::status::{Status, state, state_json};
use crate::{create, launch, notify_socket, process, seccomp};

impl Container {
    /// Starts the user's program.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidState`] unless it is created, [`ErrorKind::InvalidConfig`] when the configuration has no
    /// process, both of which change nothing; [`ErrorKind::Hook`] when a startContainer or poststart hook fails, which
    /// destroys the container; [`ErrorKind::Program`] when the kernel cannot execute the program, which stops it.
    pub fn start(&self) -> Result<()> {
        let directory = Directory::open(&self.root, self.id())?;
        let container = Container::load(&self.root, self.id())?;
        match container.status()? {
            Status::Created => {}
            Status::Stopped => {
                return Err(self.state_error("cannot start a container that has stopped"));
            }
            Status::Creating => {
                return Err(self.state_error("cannot start a container that is being created"));
            }
            Status::Paused => {
                return Err(self.state_error("cannot start a container in the paused state"));
            }
            Status::Running => {
                return Err(self.state_error("cannot start an already running container"));
            }
        }
        if !container.record.startable {
            let error = Error::config("/process", process::NONE);
            return Err(error.context(format_args!("start {}", self.id())));
        }
        let before = Before::of_new(container.record.cgroup.as_ref());
        let started = container.go(&directory);
        // An earlier start was killed when it had said go and not yet taken the socket away.
        if started
            .as_ref()
            .is_err_and(|error| error.errno() == Some(libc::ECONNREFUSED))
        {
            directory.forget_start();
            return Err(self.state_error("cannot start an already running container"));
        }
        if started.is_err() {
            let _ = container.signal_init(libc::SIGKILL);
        }
        let started = started
            .map_err(|error| container.explain(&before, error))
            .map_err(|error| error.context(format_args!("start {}", self.id())))
            .and_then(|()| container.run_poststart_hooks());
        // A hook that fails ends the container's life (runtime.md, "Lifecycle"); a program that cannot be executed has
        // only stopped it.
        if let Err(error) = &started
            && error.kind() == ErrorKind::Hook
            && let Err(left) = container.destroy(&directory, Status::Running, true)
        {
            tracing::warn!("{left}");
        }
        started
    }

    fn go(&self, directory: &Directory) -> Result<()> {
        self.run_start_hooks(directory)?;
        let mut agent = seccomp::connect(self.record.seccomp_listener.as_ref())?;
        let socket = directory.connect()?;
        send(&socket, &[GO], SendFlags::NOSIGNAL).host(|| "let the container start".to_owned())?;
        let hear = || launch::receive(socket.as_fd()).host(|| "hear from the container".to_owned());
        let mut answer = hear()?;
        directory.forget_start();
        while let Some(message) = answer {
            match message.report.kind {
                ReportKind::Failed => {
                    return Err(launch::step_error(&self.plan()?, message.report));
                }
                ReportKind::Listener if self.record.seccomp_listener.is_some() => {
                    let state = state(&self.record, Status::Created, self.pid());
                    let pid = state.pid;
                    seccomp::hand_over(&mut agent, &message.listener()?, pid, &state)?;
                }
                _ => {
                    return Err(Error::new(ErrorKind::Host, launch::NOBODY_ASKED));
                }
            }
            answer = hear()?;
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
        hooks::of(&spec, Kind::StartContainer).try_for_each(|hook| place.run(&hook, &state))
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
        let run = hooks.try_for_each(|hook| hook.run(&state, &self.record.bundle));
        if run.is_err() {
            let _ = self.signal_init(libc::SIGKILL);
        }
        run
    }
}
