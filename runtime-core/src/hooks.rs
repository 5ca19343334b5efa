//! `hooks`: programs of the engine's that run at points of a container's life (config.md, "POSIX-platform Hooks").

use std::ffi::CString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use oci_spec::runtime::{Hook as SpecHook, Hooks, Spec};
use runtime_init::{Rendezvous, Step, Text, TextList};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Builder, Origin, c_string, text_list};
use crate::process::environment;
use crate::stations;
use crate::timings::{OpenSpan, Recorder};
use crate::{memfd, notify_socket};

/// One of the six kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl Kind {
    /// All of them, in the order in which they run.
    pub(crate) const ALL: [Kind; 6] = [
        Kind::Prestart,
        Kind::CreateRuntime,
        Kind::CreateContainer,
        Kind::StartContainer,
        Kind::Poststart,
        Kind::Poststop,
    ];

    /// What it is called in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Prestart => "prestart",
            Kind::CreateRuntime => "createRuntime",
            Kind::CreateContainer => "createContainer",
            Kind::StartContainer => "startContainer",
            Kind::Poststart => "poststart",
            Kind::Poststop => "poststop",
        }
    }

    #[allow(
        deprecated,
        reason = "prestart is deprecated for those who write configurations, and required of runtimes"
    )]
    fn list(self, hooks: &Hooks) -> &[SpecHook] {
        match self {
            Kind::Prestart => hooks.prestart(),
            Kind::CreateRuntime => hooks.create_runtime(),
            Kind::CreateContainer => hooks.create_container(),
            Kind::StartContainer => hooks.start_container(),
            Kind::Poststart => hooks.poststart(),
            Kind::Poststop => hooks.poststop(),
        }
        .as_deref()
        .unwrap_or_default()
    }
}

/// A hook with its place in the configuration.
pub(crate) struct Hook<'a> {
    kind: Kind,
    number: usize,
    pointer: String,
    hook: &'a SpecHook,
}

/// The hooks of a kind, in order.
pub(crate) fn of(spec: &Spec, kind: Kind) -> impl Iterator<Item = Hook<'_>> {
    let list = spec
        .hooks()
        .as_ref()
        .map(|hooks| kind.list(hooks))
        .unwrap_or_default();
    list.iter().enumerate().map(move |(number, hook)| {
        let pointer = format!("/hooks/{}/{number}", kind.name());
        Hook {
            kind,
            number,
            pointer,
            hook,
        }
    })
}

/// Whether there are hooks that run once the container is created.
pub(crate) fn any_later(spec: &Spec) -> bool {
    let kinds = [Kind::StartContainer, Kind::Poststart, Kind::Poststop];
    kinds
        .into_iter()
        .any(|kind| of(spec, kind).next().is_some())
}

/// Lets the runtime run the hooks that come after the namespaces and mounts and before the root is changed.
pub(crate) fn rendezvous(plan: &mut Builder<'_>) {
    let kinds = [Kind::Prestart, Kind::CreateRuntime, Kind::CreateContainer];
    if let Some(first) = kinds
        .into_iter()
        .find_map(|kind| of(plan.spec, kind).next())
    {
        plan.step(first.origin(), &Step::Wait(Rendezvous::CreateHooks));
    }
}

/// Refuses hooks that could never run.
pub(crate) fn check(spec: &Spec) -> Result<()> {
    Kind::ALL
        .into_iter()
        .flat_map(|kind| of(spec, kind))
        .try_for_each(|hook| hook.check())
}

impl Hook<'_> {
    fn check(&self) -> Result<()> {
        let pointer = &self.pointer;
        let path = self.hook.path();
        if !path.is_absolute() {
            let problem = format!("{:?} is not an absolute path", path.display());
            return Err(Error::config(format!("{pointer}/path"), problem));
        }
        let _ = c_string(
            &format!("{pointer}/path"),
            path.as_os_str().as_encoded_bytes(),
        )?;
        for (number, argument) in self
            .hook
            .args()
            .as_deref()
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let _ = c_string(&format!("{pointer}/args/{number}"), argument.as_str())?;
        }
        let variables = self.hook.env().as_deref().unwrap_or_default();
        let _ = environment(variables, &format!("{pointer}/env"), &[])?;
        if self.hook.timeout().is_some_and(|seconds| seconds <= 0) {
            let problem = "a timeout is more than 0 seconds";
            return Err(Error::config(format!("{pointer}/timeout"), problem));
        }
        Ok(())
    }

    pub(crate) fn origin(&self) -> Origin {
        Origin::Pointer(self.pointer.clone())
    }

    /// A hook that runs where the container's process is about to is under the same filter.
    pub(crate) fn is_confined(&self) -> bool {
        self.kind == Kind::StartContainer
    }

    /// Before the root is changed the working directory is where it lies on the host: nothing that a hook does to a
    /// relative path is done to the host's root.
    pub(crate) fn change_directory(&self, plan: &mut Builder<'_>) -> Result<()> {
        let Some(root) = plan
            .spec
            .root()
            .as_ref()
            .filter(|_| self.kind == Kind::CreateContainer)
        else {
            return Ok(());
        };
        let path = plan.options.bundle.join(root.path());
        let path = c_string("/root/path", path.as_os_str().as_encoded_bytes())?;
        plan.step(self.origin(), &Step::ChangeDirectory { path: Text(&path) });
        Ok(())
    }

    /// Puts the program into a plan for the container's namespaces.
    pub(crate) fn arguments(&self, plan: &mut Builder<'_>) -> Result<()> {
        let path = self.hook.path().as_os_str().as_encoded_bytes();
        let path = c_string(&format!("{}/path", self.pointer), path)?;
        plan.plan.arguments = match self.hook.args().as_deref() {
            None | Some([]) => vec![path.clone()],
            Some(arguments) => {
                let list = arguments
                    .iter()
                    .map(|text| c_string(&format!("{}/args", self.pointer), text.as_str()));
                list.collect::<Result<Vec<CString>>>()?
            }
        };
        // Without an environment of its own it has that of the container's process.
        let process = plan.spec.process().as_ref();
        let inherited = process.and_then(|process| process.env().as_deref());
        let (variables, home) = match self.hook.env().as_deref() {
            Some(own) => (own, None),
            None => (inherited.unwrap_or_default(), plan.options.home.as_ref()),
        };
        let home: Vec<String> = home
            .map(|home| format!("HOME={home}"))
            .into_iter()
            .collect();
        plan.plan.environment = environment(variables, &format!("{}/env", self.pointer), &home)?;
        let list = text_list([path.as_c_str()]);
        plan.step(
            self.origin(),
            &Step::FindProgram {
                candidates: TextList::new(&list),
            },
        );
        Ok(())
    }

    /// What is attempted, as runc says it.
    pub(crate) fn attempt(&self) -> String {
        format!("error running {} hook #{}", self.kind.name(), self.number)
    }

    /// The time that the hook takes.
    pub(crate) fn span(&self, timings: &Recorder) -> OpenSpan {
        timings.span_at(&self.pointer, || {
            format!(
                "run {} hook {}",
                self.kind.name(),
                self.hook.path().display()
            )
        })
    }

    /// Tells the log that the hook runs.
    pub(crate) fn announce(&self) {
        stations::runs_hook(self.kind.name(), self.number, self.hook.path());
    }

    /// Runs the hook in the runtime's namespaces, with the container's state on its standard input.
    pub(crate) fn run(&self, state: &[u8], bundle: &Path) -> Result<()> {
        self.announce();
        let run = Streams::new(state).and_then(|streams| self.run_with(streams, bundle));
        run.map_err(|error| error.context(self.attempt()))
    }

    fn run_with(&self, streams: Streams, bundle: &Path) -> Result<()> {
        let failed = |attempt: &str, cause: std::io::Error| {
            let attempt = format!("{attempt} {}", self.hook.path().display());
            Error::io(ErrorKind::Hook, attempt, cause).at(self.pointer.clone())
        };
        let output = streams.output.try_clone();
        let output = output.and_then(|copy| Ok((copy, streams.output.try_clone()?)));
        let (stdout, stderr) = output.map_err(|cause| failed("copy a buffer for", cause))?;
        let mut command = self.command();
        command.current_dir(bundle).process_group(0);
        command.stdin(streams.input).stdout(stdout).stderr(stderr);
        let mut child = command.spawn().map_err(|cause| failed("execute", cause))?;
        let pid = Pid::from_child(&child);
        let pidfd =
            pidfd_open(pid, PidfdFlags::empty()).map_err(|cause| failed("watch", cause.into()))?;
        let in_time = self.wait(pidfd.as_fd(), pid);
        let status = child.wait().map_err(|cause| failed("wait for", cause))?;
        in_time?;
        if status.success() {
            Ok(())
        } else {
            Err(self.failure(&status.to_string(), &streams.output))
        }
    }

    /// The program with its arguments; its environment is the runtime's, unless it is given one.
    fn command(&self) -> Command {
        let mut command = Command::new(self.hook.path());
        let arguments = self.hook.args().as_deref().unwrap_or_default();
        if let Some((name, arguments)) = arguments.split_first() {
            command.arg0(name).args(arguments);
        }
        if let Some(variables) = self.hook.env() {
            let pairs = variables
                .iter()
                .filter_map(|variable| variable.split_once('='));
            command.env_clear().envs(pairs);
        } else {
            for name in notify_socket::OWN_VARIABLES {
                command.env_remove(name);
            }
        }
        command
    }

    /// Waits until the hook ended; one that takes too long is killed, with all that it started in its process group.
    pub(crate) fn wait(&self, pidfd: BorrowedFd<'_>, pid: Pid) -> Result<()> {
        let seconds = self.hook.timeout();
        let limit = seconds
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map(Duration::from_secs);
        let limit = limit.and_then(|limit| Timespec::try_from(limit).ok());
        let mut descriptors = [PollFd::new(&pidfd, PollFlags::IN)];
        loop {
            match poll(&mut descriptors, limit.as_ref()) {
                Err(rustix::io::Errno::INTR) => {}
                Ok(0) => break,
                _ => return Ok(()),
            }
        }
        let _ = kill_process_group(pid, Signal::KILL);
        let problem = format!(
            "{} did not end within {} seconds",
            self.hook.path().display(),
            seconds.unwrap_or_default()
        );
        Err(Error::new(ErrorKind::Hook, problem).at(self.pointer.clone()))
    }

    /// The error of a hook that ended badly, with the end of what it printed.
    pub(crate) fn failure(&self, status: &str, output: &impl AsFd) -> Error {
        let printed = memfd::tail(output.as_fd(), 1024);
        let printed = printed.trim().replace('\n', "; ");
        let mut problem = format!("{} failed: {status}", self.hook.path().display());
        if !printed.is_empty() {
            problem = format!("{problem}: {printed}");
        }
        Error::new(ErrorKind::Hook, problem).at(self.pointer.clone())
    }
}

/// The standard streams of a hook that the init starts.
pub(crate) struct Streams {
    pub(crate) input: OwnedFd,
    pub(crate) output: OwnedFd,
}

impl Streams {
    pub(crate) fn new(state: &[u8]) -> Result<Streams> {
        let failed = |cause| Error::io(ErrorKind::Host, "make a buffer for a hook", cause);
        Ok(Streams {
            input: memfd::file(c"hook-input", state).map_err(failed)?.into(),
            output: memfd::file(c"hook-output", &[]).map_err(failed)?.into(),
        })
    }
}
