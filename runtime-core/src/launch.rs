//! Starts the init with a plan, and takes part in it: what the host has to do while the container is made.

use std::ffi::CString;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use runtime_init::{CONTROL, GO, NewMount, Operation, Rendezvous, Report, ReportKind, Step, TREES};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType,
    send, sendmsg, socketpair,
};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroup::CANNOT_ENTER;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::message::{Message, receive};
use crate::mounts::id_map::UserNamespaces;
use crate::plan::{self, Plan};
use crate::timings::{Recorder, Stamps, before_start};
use crate::{
    exhaustion, held, memfd, mounts, namespaces, process, scheduler, seccomp, sources, stations,
    sys,
};

/// What is said of an init that sends what its plan does not have.
pub(crate) const NOBODY_ASKED: &str = "the init said what nobody asked";

/// What the caller hands over to the process that is started.
pub(crate) struct Handover<'a> {
    pub(crate) stdio: [BorrowedFd<'a>; 3],
    /// So many of the caller's descriptors after the standard streams stay open.
    pub(crate) preserved: u32,
    /// The cgroup (version 2) that the process is born in.
    pub(crate) cgroup: Option<BorrowedFd<'a>>,
    /// Whether the caller waits for it at once, as it has to where that cgroup counts memory ([`sys::Start`]).
    pub(crate) waits: bool,
    /// The state directory, for a host that has no executable memfds.
    pub(crate) directory: &'a Path,
    pub(crate) timings: Recorder,
}

/// A running init, seen from the host.
#[derive(Debug)]
pub(crate) struct Init {
    control: OwnedFd,
    pidfd: OwnedFd,
    pid: i32,
    /// Whether it still has to clone itself once more.
    forks: bool,
    console: Option<OwnedFd>,
    /// The state directory.
    directory: PathBuf,
    timings: Recorder,
    stamps: Option<Stamps>,
}

/// What the init waits for, or how it ended.
#[derive(Debug)]
pub(crate) enum Progress {
    Reached(Rendezvous),
    /// A filter that hands calls over is in force; this is its listener.
    Listens(OwnedFd),
    /// The control socket is closed: the user's program runs, or the init is waiting for `start`.
    Done,
}

impl Init {
    /// Starts the init with the plan. `slots` are the plan's, but for the control socket; what is not open yet has the plan in
    /// its place.
    pub(crate) fn start(
        plan: &Plan,
        slots: &[Option<OwnedFd>],
        handover: &Handover<'_>,
    ) -> Result<Init> {
        let (init, ()) = Init::start_beside(plan, slots, handover, |_| ())?;
        Ok(init)
    }

    /// The same, with what the caller does while the kernel starts the program; it knows the process's pid.
    pub(crate) fn start_beside<T>(
        plan: &Plan,
        slots: &[Option<OwnedFd>],
        handover: &Handover<'_>,
        meanwhile: impl FnOnce(i32) -> T,
    ) -> Result<(Init, T)> {
        let (control, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .host(|| "make the control socket".to_owned())?;
        set_socket_timeout(&control, Timeout::Recv, Some(held::SILENCE))
            .host(|| "set up the control socket".to_owned())?;
        let stamps = Stamps::new(plan, &handover.timings)?;
        let encoded = memfd::sealed(c"bareboat-plan", &plan.encode(stamps.is_some()))
            .host(|| "write the plan".to_owned())?;
        let program =
            memfd::init(handover.directory).host(|| "make the init's program".to_owned())?;

        let first = 3 + i32::try_from(handover.preserved).unwrap_or(i32::MAX - 3);
        let number = CString::new(first.to_string()).unwrap_or_default();
        let arguments = [runtime_init::INIT_NAME, number.as_c_str()];
        let arguments: Vec<_> = arguments
            .into_iter()
            .chain(plan.arguments.iter().map(CString::as_c_str))
            .collect();
        let environment: Vec<_> = plan.environment.iter().map(CString::as_c_str).collect();
        debug_assert_eq!(
            CONTROL.0, 0,
            "the control socket comes right after the plan"
        );
        let descriptors: Vec<_> = [encoded.as_fd(), theirs.as_fd()]
            .into_iter()
            .chain(
                slots
                    .iter()
                    .map(|slot| slot.as_ref().unwrap_or(&encoded).as_fd()),
            )
            .chain(stamps.iter().map(AsFd::as_fd))
            .collect();

        let span = handover.timings.span("start the init");
        let start = sys::Start {
            init: program.as_fd(),
            arguments: &arguments,
            environment: &environment,
            stdio: handover.stdio,
            descriptors: &descriptors,
            first,
            namespaces: plan.clone_flags,
            cgroup: handover.cgroup,
            waits: handover.waits,
        };
        let started = sys::spawn(&start, meanwhile);
        let (pid, pidfd, done) =
            started.map_err(|cause| start_error(plan, handover.cgroup.is_some(), cause))?;
        drop(span);
        stations::cloned(pid, plan.clone_flags);
        let init = Init {
            control,
            pidfd,
            pid,
            forks: plan.forks,
            console: None,
            directory: handover.directory.to_owned(),
            timings: handover.timings.clone(),
            stamps,
        };
        Ok((init, done))
    }

    /// Takes down what the init's steps have taken by now, but for those after a wait for `start`.
    pub(crate) fn take_times(&self, plan: &Plan) {
        if let Some(stamps) = &self.stamps {
            stamps.take(plan, 0..before_start(plan));
        }
    }

    /// The host's pid of the process; until it has cloned itself once more, that of its maker.
    pub(crate) fn pid(&self) -> i32 {
        self.pid
    }

    pub(crate) fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    pub(crate) fn into_pidfd(self) -> OwnedFd {
        self.pidfd
    }

    /// The terminal's master, once the init has sent it.
    pub(crate) fn take_console(&mut self) -> Option<OwnedFd> {
        self.console.take()
    }

    /// Waits until the init reaches its next rendezvous or is done.
    pub(crate) fn progress(&mut self, plan: &Plan) -> Result<Progress> {
        let mut span = self.timings.span("wait for the init");
        let mut reached = None;
        loop {
            // A child may be faster than the word of its maker: nothing that it asks for is done before its pid is known.
            if let Some(rendezvous) = reached.filter(|_| !self.forks) {
                stations::reached(self.pid, rendezvous);
                span.rename(|| format!("wait for the init: {rendezvous:?}"));
                return Ok(Progress::Reached(rendezvous));
            }
            let Some(message) = self.hear()? else {
                span.rename(|| "wait for the init to give way to the program".to_owned());
                return self.closed();
            };
            match message.report.kind {
                ReportKind::Failed => return Err(step_error(plan, message.report)),
                ReportKind::Console if plan.console => self.console = message.descriptor,
                ReportKind::Wanted => self.send_trees(plan, message.report.step as usize)?,
                ReportKind::Tree => self.map_ids(plan, &message)?,
                ReportKind::Listener if plan.seccomp_listener.is_some() => {
                    return message.listener().map(Progress::Listens);
                }
                ReportKind::Forked if self.forks => self.follow(message.report.value)?,
                ReportKind::Console | ReportKind::Listener | ReportKind::Forked => {
                    return Err(Error::new(ErrorKind::Host, NOBODY_ASKED));
                }
                ReportKind::Reached => match plan.step(message.report.step as usize) {
                    Some((_, Step::Wait(rendezvous))) if will_fork(plan, message.report.step) => {
                        stations::reached(self.pid, rendezvous);
                        span.rename(|| format!("wait for the init: {rendezvous:?}"));
                        return Ok(Progress::Reached(rendezvous));
                    }
                    Some((_, Step::Wait(rendezvous))) => reached = Some(rendezvous),
                    _ => {
                        return Err(Error::new(
                            ErrorKind::Host,
                            "the init waits at a step that is none of waiting",
                        ));
                    }
                },
            }
        }
    }

    /// The next message; an error if the init is kept from sending one.
    fn hear(&self) -> Result<Option<Message>> {
        loop {
            match receive(self.control.as_fd()) {
                Err(cause) if cause.kind() == io::ErrorKind::WouldBlock => {
                    if let Some(problem) = held::from_inside(self.pid) {
                        return Err(Error::new(ErrorKind::Setup, problem));
                    }
                    // Somebody else has a copy of the socket; the init's own went with it.
                    if !exhaustion::runs_init(self.pid) {
                        return Ok(None);
                    }
                }
                answer => return answer.host(|| "hear from the init".to_owned()),
            }
        }
    }

    fn send_trees(&self, plan: &Plan, step: usize) -> Result<()> {
        let _span = self.timings.span("open the sources of bind mounts");
        let namespaces = UserNamespaces::new(&self.directory);
        let trees = sources::open_trees(plan, step, namespaces)?;
        if trees.is_empty() {
            return Err(Error::new(ErrorKind::Host, NOBODY_ASKED));
        }
        self.send_descriptors(plan, &trees, "mounts")
    }

    /// Sends the init the `tasks` files of the cgroups that it is to join.
    pub(crate) fn enter_cgroups(&self, plan: &Plan, tasks: &[OwnedFd]) -> Result<()> {
        match tasks {
            [] => Ok(()),
            tasks => self.send_descriptors(plan, tasks, "cgroups"),
        }
    }

    fn send_descriptors(&self, plan: &Plan, descriptors: &[OwnedFd], what: &str) -> Result<()> {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(TREES))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&descriptors));
        let sent = sendmsg(
            &self.control,
            &[IoSlice::new(&[GO])],
            &mut control,
            SendFlags::NOSIGNAL,
        );
        match sent {
            Err(Errno::PIPE | Errno::CONNRESET) => Err(self.last_word(plan)),
            answer => answer
                .map(drop)
                .host(|| format!("send the init its {what}")),
        }
    }

    /// Maps the ids of a tree that the init has cloned in its mount namespace: over the host's file systems the init, which
    /// may be in a user namespace, has no rights.
    fn map_ids(&self, plan: &Plan, message: &Message) -> Result<()> {
        let _span = self.timings.span("map the ids of a mount");
        let step = message.report.step as usize;
        let (Some(id_map), Some(tree)) = (plan.id_maps.get(&step), &message.descriptor) else {
            return Err(Error::new(
                ErrorKind::Host,
                "the init asks for an id mapping that is not in the plan",
            ));
        };
        let mapped = UserNamespaces::new(&self.directory).map_ids(tree.as_fd(), id_map);
        mapped.map_err(|refused| {
            let (origin, what) = match plan.step(step) {
                Some((origin, step)) => (origin.to_string(), plan::describe(plan, &step)),
                None => Default::default(),
            };
            refused.of(&what).at(origin)
        })?;
        self.go(plan)
    }

    /// Lets the init go on.
    pub(crate) fn go(&self, plan: &Plan) -> Result<()> {
        match send(&self.control, &[GO], SendFlags::NOSIGNAL) {
            Err(Errno::PIPE | Errno::CONNRESET) => Err(self.last_word(plan)),
            answer => answer.map(drop).host(|| "let the init go on".to_owned()),
        }
    }

    /// What an init that has ended had said.
    fn last_word(&self, plan: &Plan) -> Error {
        while let Ok(Some(Message { report, .. })) = receive(self.control.as_fd()) {
            if report.kind == ReportKind::Failed {
                return step_error(plan, report);
            }
        }
        Error::ended_silently()
    }

    /// Takes the init's child, which is the caller's own too, for the init from now on.
    fn follow(&mut self, child: i32) -> Result<()> {
        let maker = self.pid;
        let pid = Pid::from_raw(child)
            .ok_or_else(|| Error::new(ErrorKind::Host, "the init's child has no pid here"))?;
        let pidfd =
            pidfd_open(pid, PidfdFlags::empty()).host(|| "open the init's child".to_owned())?;
        // A child that somebody in the container has taken over could name any process, to be killed in its place.
        sys::is_child(pidfd.as_fd()).host(|| "look at the init's child".to_owned())?;
        self.pidfd = pidfd;
        self.pid = child;
        self.forks = false;
        sys::wait(maker)
            .map(drop)
            .host(|| "wait for the init's maker".to_owned())
    }

    /// Nobody has the other end open: that is as it should be once the program runs, and a death otherwise.
    fn closed(&self) -> Result<Progress> {
        if self.forks {
            return Err(Error::ended_silently());
        }
        Ok(Progress::Done)
    }

    /// Ends the init and waits for it.
    pub(crate) fn kill(&self) {
        let _ = rustix::process::pidfd_send_signal(&self.pidfd, rustix::process::Signal::KILL);
        let _ = sys::wait(self.pid);
    }
}

/// Whether the init is yet to clone itself after this step: so it is the maker who waits there.
fn will_fork(plan: &Plan, step: u32) -> bool {
    plan.forks
        && plan
            .steps()
            .skip(step as usize)
            .any(|(_, step)| matches!(step, Step::Fork))
}

fn start_error(plan: &Plan, in_cgroup: bool, cause: io::Error) -> Error {
    // clone(2) says this of the cgroup alone: no room for processes, threads alone, gone.
    let of_cgroup = [libc::EBUSY, libc::EOPNOTSUPP, libc::ENODEV];
    if in_cgroup
        && cause
            .raw_os_error()
            .is_some_and(|errno| of_cgroup.contains(&errno))
    {
        return Error::io(ErrorKind::Setup, CANNOT_ENTER, cause);
    }
    if cause.raw_os_error() == Some(libc::E2BIG) {
        let origin = plan.steps().last().map(|(origin, _)| origin.to_string());
        let attempt = "hand over the program's arguments and environment";
        return Error::io(ErrorKind::Setup, attempt, cause).at(origin.unwrap_or_default());
    }
    let mut attempt = match plan.clone_flags {
        0 => "start the init".to_owned(),
        flags => format!(
            "start the init in new namespaces ({})",
            namespaces::names(flags)
        ),
    };
    if let Some(remedy) = start_remedy(plan.clone_flags, cause.raw_os_error()) {
        attempt = format!("{attempt} ({remedy})");
    }
    Error::io(ErrorKind::Setup, attempt, cause).at("/linux/namespaces")
}

/// What clone(2) and unshare(2) mean by an errno that says something else.
pub(crate) fn start_remedy(clone_flags: u32, errno: Option<i32>) -> Option<&'static str> {
    match errno? {
        libc::EPERM if clone_flags & namespaces::NEWUSER != 0 => Some(
            "may the caller make user namespaces? see, on some distributions, the sysctl kernel.unprivileged_userns_clone",
        ),
        libc::EMFILE => {
            Some("the container needs more descriptors than the caller's RLIMIT_NOFILE")
        }
        libc::ENOSPC => Some(
            "this user has as many namespaces of a kind as the sysctls user.max_*_namespaces let one have, or they are \
             nested too deep",
        ),
        libc::EAGAIN => Some(
            "there are as many processes as RLIMIT_NPROC, the sysctls kernel.pid_max and kernel.threads-max, or pids.max \
             of a cgroup allow",
        ),
        _ => None,
    }
}

/// The error of a step that failed in the init: what it was to do, who asked for it, and the kernel's answer.
pub(crate) fn step_error(plan: &Plan, report: Report) -> Error {
    let cause = io::Error::from_raw_os_error(report.value);
    let Some((origin, step)) = plan.step(report.step as usize) else {
        return Error::io(ErrorKind::Setup, format!("step {}", report.step), cause);
    };
    if let Some(error) = program_error(plan, &step, &cause) {
        return error.at(origin.to_string());
    }
    if let Step::MountNew(NewMount {
        fstype,
        strict: true,
        ..
    }) = &step
        && report.operation == Operation::CheckTarget
    {
        let fstype = fstype.0.to_string_lossy();
        let problem = format!("filesystem {fstype:?} must be mounted on ordinary directory");
        return Error::io(ErrorKind::Setup, problem, cause).at(origin.to_string());
    }
    let mut attempt = plan::describe(plan, &step);
    if let Step::OpenTree(host) = &step
        && report.operation == Operation::OpenSource
    {
        let source = host.source.0.to_string_lossy();
        let attempt = format!("open mount source {source}");
        return Error::io(ErrorKind::Setup, attempt, cause).at(origin.to_string());
    }
    if let Step::SetScheduler(scheduling) = &step {
        attempt = scheduler::attempt(scheduling, &cause);
    }
    if report.operation != Operation::Whole {
        attempt = format!("{attempt}: {}", report.operation);
    } else if let Step::LoadSeccomp { flags, .. } = step
        && let Some(hint) = seccomp::hint(flags, report.value)
    {
        attempt = format!("{attempt} ({hint})");
    }
    let remedy = mounts::remedy(&step, report.value)
        .or_else(|| process::remedy(&step, report.value))
        .or_else(|| match step {
            Step::Unshare { flags } => start_remedy(flags, Some(report.value)),
            _ => None,
        });
    if let Some(remedy) = remedy {
        attempt = format!("{attempt} ({remedy})");
    }
    Error::io(ErrorKind::Setup, attempt, cause).at(origin.to_string())
}

/// The user's program cannot be executed. Engines tell the reasons apart by these phrases.
fn program_error(plan: &Plan, step: &Step<'_>, cause: &io::Error) -> Option<Error> {
    let name = plan.arguments.first()?.to_string_lossy().into_owned();
    let reason = match step {
        Step::FindProgram { .. } => match cause.raw_os_error()? {
            libc::ENOENT | libc::ENOTDIR if name.contains('/') => {
                format!("stat {name}: no such file or directory")
            }
            libc::ENOENT | libc::ENOTDIR => "executable file not found in $PATH".to_owned(),
            libc::EACCES => "permission denied".to_owned(),
            libc::EISDIR => "is a directory: permission denied".to_owned(),
            _ => cause.to_string(),
        },
        Step::Execute => match cause.raw_os_error()? {
            libc::ENOENT => "no such file or directory".to_owned(),
            libc::ENOEXEC => "exec format error".to_owned(),
            libc::EACCES => "permission denied".to_owned(),
            libc::E2BIG => "argument list too long".to_owned(),
            _ => cause.to_string(),
        },
        _ => return None,
    };
    let message = match step {
        // Found, and then refused by the kernel: engines know that from the first by the missing colon.
        Step::Execute => format!("exec {name}: {reason}"),
        _ => format!("exec: {name:?}: {reason}"),
    };
    Some(Error::new(ErrorKind::Program, message))
}
