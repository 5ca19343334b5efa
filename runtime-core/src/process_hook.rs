//! Hooks that run in the namespaces of a container: each is a short plan of its own.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::ExitStatus;

use oci_spec::runtime::Spec;
use runtime_init::Rendezvous;
use rustix::process::Pid;

use crate::cgroup::{Cgroup, Entry};
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::exec::NO_CGROUP;
use crate::facts::HostFacts;
use crate::hooks::{Hook, Streams};
use crate::launch::{Handover, Init, Progress};
use crate::plan::Options;
use crate::state::Record;
use crate::status::{Status, state, state_json};
use crate::timings::Recorder;
use crate::{plan, seccomp, sources, sys};

/// A process as its own namespace numbers it: "For hooks executed in the container namespace, it is the pid as seen by the
/// container" (runtime.md, "State"). proc_pid_status(5), `NSpid`; of one that is gone, the runtime's number.
fn pid_inside(pid: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    let innermost = numbers.and_then(|numbers| numbers.split_whitespace().last());
    innermost
        .and_then(|number| number.parse().ok())
        .unwrap_or(pid)
}

/// The container in which hooks run.
pub(crate) struct Place<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) facts: &'a HostFacts,
    pub(crate) record: &'a Record,
    /// Its init.
    pub(crate) pidfd: BorrowedFd<'a>,
    pub(crate) directory: &'a Path,
}

impl Place<'_> {
    /// The container's state as a hook in its namespaces is told of it: with the pid that its init has there (runtime.md,
    /// "State").
    pub(crate) fn state(&self, pid: i32) -> Result<Vec<u8>> {
        let inside = pid_inside(pid);
        state_json(self.record, Status::Created, Some(inside))
    }

    /// Runs the hook there, with the container's state on its standard input.
    pub(crate) fn run(&self, hook: &Hook<'_>, state: &[u8]) -> Result<()> {
        hook.announce();
        let run = self.run_to_end(hook, state);
        run.map_err(|error| error.context(hook.attempt()))
    }

    fn run_to_end(&self, hook: &Hook<'_>, state: &[u8]) -> Result<()> {
        let streams = Streams::new(state)?;
        let init = self
            .start(hook, &streams)
            .map_err(|error| error.with_kind(ErrorKind::Hook))?;
        let pid = init.pid();
        let in_time = match Pid::from_raw(pid) {
            Some(group) => hook.wait(init.pidfd(), group),
            None => Err(Error::new(ErrorKind::Host, "a process without a pid")),
        };
        let status = sys::wait(pid).host(|| "wait for a hook".to_owned())?;
        in_time?;
        let status = ExitStatus::from_raw(status);
        if status.success() {
            return Ok(());
        }
        let mut reason = status.to_string();
        if hook.is_confined() && status.signal() == Some(libc::SIGSYS) {
            reason.push_str(": bad system call: the hook is under the container's seccomp filter");
        }
        Err(hook.failure(&reason, &streams.output))
    }

    fn start(&self, hook: &Hook<'_>, streams: &Streams) -> Result<Init> {
        let cgroup = self.record.cgroup.as_ref();
        let entry = cgroup.map_or(NO_CGROUP, Cgroup::entry);
        let options = Options {
            id: self.record.id.clone(),
            bundle: self.record.bundle.clone(),
            home: self.record.home.clone(),
            ..Options::default()
        };
        let plan = plan::hook(
            self.spec,
            hook,
            self.facts,
            &options,
            entry,
            self.record.namespaces,
        )?;
        let cgroup = cgroup.filter(|_| entry != Entry::Moved);
        let tasks = cgroup
            .map(|cgroup| cgroup.task_files())
            .transpose()
            .host(|| "open the cgroup's tasks".to_owned())?;
        let born_in = cgroup
            .map(|cgroup| cgroup.v2_directory())
            .transpose()
            .host(|| "open the cgroup".to_owned())?
            .flatten();
        let context = sources::Context {
            init: Some(self.pidfd),
            ..sources::Context::default()
        };
        let slots = sources::open(&plan, context)?;
        let handover = Handover {
            stdio: [
                streams.input.as_fd(),
                streams.output.as_fd(),
                streams.output.as_fd(),
            ],
            preserved: 0,
            cgroup: born_in.as_ref().map(AsFd::as_fd),
            waits: true,
            directory: self.directory,
            timings: Recorder::default(),
        };
        let mut init = Init::start(&plan, &slots, &handover)?;
        let executed = init
            .enter_cgroups(&plan, &tasks.unwrap_or_default())
            .and_then(|()| self.follow(&mut init, &plan));
        if executed.is_err() {
            init.kill();
        }
        executed.map(|()| init)
    }

    /// Takes the init through its rendezvous to the hook's program.
    fn follow(&self, init: &mut Init, plan: &plan::Plan) -> Result<()> {
        let mut agent = None;
        loop {
            match init.progress(plan)? {
                Progress::Reached(Rendezvous::Cgroup) => {
                    attach(self.record, init)?;
                    init.go(plan)?;
                }
                Progress::Reached(_) => {
                    agent = seccomp::connect(plan.seccomp_listener.as_ref())?;
                    init.go(plan)?;
                }
                Progress::Listens(listener) => {
                    let first = self.record.init.map(|init| init.pid);
                    let state = state(self.record, Status::Created, first);
                    seccomp::hand_over(&mut agent, &listener, init.pid(), &state)?;
                }
                Progress::Done => return Ok(()),
            }
        }
    }
}

/// Has systemd move a process that waits for that into the container's cgroup.
fn attach(record: &Record, init: &Init) -> Result<()> {
    let unit = record.cgroup.as_ref().and_then(Cgroup::unit);
    unit.map_or(Ok(()), |unit| unit.attach(Path::new(""), init.pid()))
        .map_err(crate::cgroup_error)
}
