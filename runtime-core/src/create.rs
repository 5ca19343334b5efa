//! `create` and `run`: from a bundle to a container.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use oci_spec::runtime::Spec;
use runtime_init::Rendezvous;

use crate::builder::{CgroupDriver, Stdio, Wishes, absolute};
use crate::bundle::Bundle;
use crate::cgroup::{Cgroup, CgroupPlan};
use crate::container::Container;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::facts::HostFacts;
use crate::hooks::{self, Kind};
use crate::intel_rdt::{self, IntelRdt};
use crate::launch::{Handover, Init, Progress};
use crate::mounts::id_map::UserNamespaces;
use crate::mounts::on_host::MountId;
use crate::net_devices::Moves;
use crate::plan::{self, Options, Plan};
use crate::state::{Directory, ProcessId, Record, check_id};
use crate::status::{Status, state, state_json};
use crate::{home, id_mappings, io_priority, process_hook, scheduler, seccomp, sources, sys};

/// Creates a container.
///
/// ```no_run
/// use runtime_core::{Bundle, Container};
///
/// let bundle = Bundle::load("/srv/bundles/web")?;
/// let container = Container::builder("web", bundle).state_root("/run/bareboat").create()?;
/// container.start()?;
/// # Ok::<(), runtime_core::Error>(())
/// ```
#[derive(Debug)]
pub struct ContainerBuilder {
    id: String,
    bundle: Bundle,
    state_root: PathBuf,
    wishes: Wishes,
    driver: CgroupDriver,
    options: Options,
}

/// Where containers are kept unless the caller says otherwise.
pub const DEFAULT_STATE_ROOT: &str = "/run/bareboat";

impl ContainerBuilder {
    pub(crate) fn new(id: String, bundle: Bundle) -> Self {
        let options = Options {
            id: id.clone(),
            bundle: bundle.path().to_owned(),
            ..Options::default()
        };
        ContainerBuilder {
            id,
            bundle,
            state_root: DEFAULT_STATE_ROOT.into(),
            wishes: Wishes::default(),
            driver: CgroupDriver::default(),
            options,
        }
    }

    /// The directory under which the container's state is kept; `/run/bareboat` unless set.
    pub fn state_root(mut self, path: impl Into<PathBuf>) -> Self {
        self.state_root = path.into();
        self
    }

    /// The standard streams of the container's process.
    pub fn stdio(mut self, stdio: Stdio) -> Self {
        self.wishes.stdio = stdio;
        self
    }

    /// A unix socket to which the terminal's master is sent, when `process.terminal` is set. Without one the master is
    /// had by [`Container::take_console`].
    pub fn console_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.wishes.console_socket = Some(path.into());
        self
    }

    /// A file into which the pid of the container's process is written.
    pub fn pid_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.wishes.pid_file = Some(path.into());
        self
    }

    /// How many of the caller's descriptors after the three standard streams the process inherits.
    pub fn preserve_fds(mut self, count: u32) -> Self {
        self.wishes.preserved = count;
        self
    }

    /// Environment variables that the process gets in addition, `NAME=value`; LISTEN_FDS for one.
    pub fn extra_environment(mut self, variables: impl IntoIterator<Item = String>) -> Self {
        self.options.extra_environment.extend(variables);
        self
    }

    /// Moves the root over `/` instead of pivoting into it: for hosts that run from an initramfs.
    pub fn no_pivot(mut self, no_pivot: bool) -> Self {
        self.options.no_pivot = no_pivot;
        self
    }

    /// Keeps the caller's session keyring.
    pub fn no_new_keyring(mut self, no_new_keyring: bool) -> Self {
        self.options.no_new_keyring = no_new_keyring;
        self
    }

    /// Who manages the cgroup.
    pub fn cgroup_driver(mut self, driver: CgroupDriver) -> Self {
        self.driver = driver;
        self
    }

    /// What [`ContainerBuilder::create`] would do, without doing anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] or [`ErrorKind::Unsupported`], with the JSON pointer of what cannot be honoured.
    pub fn plan(&self) -> Result<Plan> {
        plan::compile_with(self.bundle.spec(), &self.facts()?, &self.options)
    }

    /// Creates the container. Its process waits for [`Container::start`].
    ///
    /// # Errors
    ///
    /// When anything fails; nothing is left behind then. [`Error::kind`] tells whether it was the configuration, the
    /// host, a hook, or the user's program.
    pub fn create(self) -> Result<Container> {
        let id = self.id.clone();
        self.facts()
            .and_then(|facts| self.make(&facts))
            .map_err(|error| error.context(format_args!("create {id}")))
    }

    /// Creates the container and starts it, in one go.
    ///
    /// # Errors
    ///
    /// As for [`ContainerBuilder::create`] and [`Container::start`].
    pub fn run(mut self) -> Result<Container> {
        let id = self.id.clone();
        // startContainer hooks run between the two.
        let has_hooks = hooks::of(self.bundle.spec(), Kind::StartContainer)
            .next()
            .is_some();
        self.options.start_at_once = !has_hooks;
        let container = self
            .facts()
            .and_then(|facts| self.make(&facts))
            .map_err(|error| error.context(format_args!("run {id}")))?;
        let started = if has_hooks {
            container.start()
        } else {
            container.run_poststart_hooks()
        };
        match started {
            Ok(()) => Ok(container),
            Err(error) => {
                let _ = container.delete(true);
                Err(error)
            }
        }
    }

    fn facts(&self) -> Result<HostFacts> {
        let spec = self.bundle.spec();
        HostFacts::read_for(&self.options, spec, spec.process().as_ref())
    }

    /// Creates the container on a host of which this is true.
    pub(crate) fn make(mut self, facts: &HostFacts) -> Result<Container> {
        check_id(&self.id)?;
        self.driver.check()?;
        self.wishes.check()?;
        self.state_root = absolute(&self.state_root)?;
        if let (Some(process), Some(root)) =
            (self.bundle.spec().process(), self.bundle.spec().root())
        {
            self.options.home = home::of(process, &self.bundle.path().join(root.path()));
        }
        let plan = plan::compile_with(self.bundle.spec(), facts, &self.options)?;
        let directory = Directory::create(&self.state_root, &self.id)?;
        let mut creation = Creation {
            builder: &self,
            facts,
            plan,
            directory,
            cgroup: None,
            intel_rdt: None,
            root_mount: None,
            init: None,
            net_devices: None,
            console: None,
        };
        match creation.run() {
            Ok(record) => Ok(Container::new(
                self.state_root.clone(),
                record,
                creation.console.take(),
            )),
            Err(error) => Err(creation.undo(error)),
        }
    }

    fn record(&self) -> Record {
        let spec = self.bundle.spec();
        let root = spec
            .root()
            .as_ref()
            .map(|root| self.bundle.path().join(root.path()));
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Record {
            oci_version: spec.version().clone(),
            id: self.id.clone(),
            bundle: self.bundle.path().to_owned(),
            rootfs: root.unwrap_or_default(),
            created: u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX),
            owner: rustix::process::geteuid().as_raw(),
            startable: spec.process().is_some(),
            later_hooks: hooks::any_later(spec),
            annotations: spec.annotations().clone().unwrap_or_default(),
            init: None,
            cgroup: None,
            intended_cgroup: None,
            intel_rdt: None,
            root_mount: None,
            seccomp_listener: None,
            namespaces: 0,
            no_pivot: self.options.no_pivot,
            no_new_keyring: self.options.no_new_keyring,
            extra_environment: self.options.extra_environment.clone(),
            home: self.options.home.clone(),
        }
    }
}

/// A container in the making: what there is of it by now, to go on with or to undo.
struct Creation<'a> {
    builder: &'a ContainerBuilder,
    facts: &'a HostFacts,
    plan: Plan,
    directory: Directory,
    cgroup: Option<Cgroup>,
    intel_rdt: Option<intel_rdt::Making>,
    root_mount: Option<MountId>,
    init: Option<Init>,
    net_devices: Option<Moves>,
    /// The terminal's master, unless it went to a console socket.
    console: Option<OwnedFd>,
}

impl Creation<'_> {
    /// Everything that the host does, in order.
    fn run(&mut self) -> Result<Record> {
        let mut record = self.builder.record();
        record.namespaces = namespaces(self.builder.bundle.spec());
        record.seccomp_listener = self.plan.seccomp_listener.clone();
        self.directory.write_config(self.builder.bundle.text())?;
        record.intended_cgroup = self.plan.cgroup.as_ref().map(CgroupPlan::intended);
        self.intel_rdt = self
            .plan
            .intel_rdt
            .as_ref()
            .map(IntelRdt::prepare)
            .transpose()?;
        record.intel_rdt = self.intel_rdt.as_ref().map(|making| making.group.clone());
        self.directory.write(&record)?;
        if let Some(making) = &mut self.intel_rdt {
            making.make()?;
        }
        self.make_cgroup(&mut record)?;
        record.intended_cgroup = None;
        self.directory.write(&record)?;
        self.start_init(&mut record)?;
        loop {
            match self.progress()? {
                Progress::Reached(Rendezvous::IdMaps) => self.write_id_maps()?,
                Progress::Reached(Rendezvous::NetDevices) => self.move_net_devices()?,
                Progress::Reached(Rendezvous::CreateHooks) => self.run_create_hooks(&record)?,
                Progress::Reached(Rendezvous::Ready) => {
                    self.ready(&mut record)?;
                    break;
                }
                Progress::Listens(_) | Progress::Done => {
                    return Err(Error::new(
                        ErrorKind::Setup,
                        "the init ended without a word",
                    ));
                }
            }
            self.init()?.go()?;
        }
        if self.builder.options.start_at_once {
            self.start_program(&record)?;
        } else {
            self.init()?.go()?;
        }
        Ok(record)
    }

    /// Follows the init to the user's program.
    fn start_program(&mut self, record: &Record) -> Result<()> {
        let mut agent = seccomp::connect(self.plan.seccomp_listener.as_ref())?;
        self.init()?.go()?;
        while let Progress::Listens(listener) = self.progress()? {
            let pid = self.init()?.pid();
            let state = state(record, Status::Created, Some(pid));
            seccomp::hand_over(&mut agent, &listener, pid, &state)?;
        }
        Ok(())
    }

    fn init(&self) -> Result<&Init> {
        self.init
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Host, "there is no init"))
    }

    fn progress(&mut self) -> Result<Progress> {
        let init = self
            .init
            .as_mut()
            .ok_or_else(|| Error::new(ErrorKind::Host, "there is no init"))?;
        init.progress(&self.plan)
    }

    fn make_cgroup(&mut self, record: &mut Record) -> Result<()> {
        let Some(plan) = &self.plan.cgroup else {
            return Ok(());
        };
        for (pointer, reason) in plan.ignored() {
            tracing::warn!("{pointer}: {reason}");
        }
        let cgroup = plan.create().map_err(crate::cgroup_error)?;
        self.cgroup = Some(cgroup.clone());
        record.cgroup = Some(cgroup);
        Ok(())
    }

    fn start_init(&mut self, record: &mut Record) -> Result<()> {
        let mut context = sources::Context {
            user_namespaces: UserNamespaces::new(self.directory.path()),
            ..sources::Context::default()
        };
        let mut cgroup = None;
        if let Some(made) = &self.cgroup {
            context.tasks = made
                .task_files()
                .host(|| "open the cgroup's tasks".to_owned())?;
            cgroup = made.v2_directory().host(|| "open the cgroup".to_owned())?;
        }
        if !self.builder.options.start_at_once {
            context.listener = Some(self.directory.listen()?);
        }
        let slots = sources::open(&self.plan, context)?;
        if let Some(slot) = self.plan.root_on_host {
            // The control socket, slot 0, is not among them.
            let tree = usize::from(slot.0)
                .checked_sub(1)
                .and_then(|n| slots.get(n)?.as_ref());
            let mount = tree.map(|tree| MountId::of(tree.as_fd())).transpose();
            self.root_mount = mount.host(|| "read the number of the root's mount".to_owned())?;
            record.root_mount = self.root_mount;
            self.directory.write(record)?;
        }
        let wishes = &self.builder.wishes;
        let mut null = None;
        let handover = Handover {
            stdio: wishes.stdio.streams(&mut null)?,
            preserved: wishes.preserved,
            cgroup: cgroup.as_ref().map(OwnedFd::as_fd),
            directory: self.directory.path(),
        };
        let init = Init::start(&self.plan, &slots, &handover)?;
        tracing::debug!(pid = init.pid(), "the init runs");
        self.init = Some(init);
        Ok(())
    }

    fn write_id_maps(&self) -> Result<()> {
        let Some(maps) = &self.plan.id_mappings else {
            return Ok(());
        };
        id_mappings::carry_out(maps, self.init()?.pid(), self.facts.uid == 0)
    }

    fn move_net_devices(&mut self) -> Result<()> {
        let moves = Moves::to(self.init()?.pid())?;
        let moves = self.net_devices.insert(moves);
        let mut devices = self.plan.net_devices.iter();
        devices.try_for_each(|device| moves.take(device))
    }

    /// The hooks between the namespaces and the new root: the first two kinds in the runtime's namespaces, the third in
    /// the container's. They are steps 3 to 5 of the lifecycle (runtime.md), and a container is `created` after step 2.
    fn run_create_hooks(&self, record: &Record) -> Result<()> {
        let spec = self.builder.bundle.spec();
        let init = self.init()?;
        let state = state_json(record, Status::Created, Some(init.pid()))?;
        for kind in [Kind::Prestart, Kind::CreateRuntime] {
            for hook in hooks::of(spec, kind) {
                hook.run(&state, &record.bundle)?;
            }
        }
        let place = process_hook::Place {
            spec,
            facts: self.facts,
            record,
            pidfd: init.pidfd(),
            directory: self.directory.path(),
        };
        let inside = process_hook::pid_inside(init.pid());
        let state = state_json(record, Status::Created, Some(inside))?;
        hooks::of(spec, Kind::CreateContainer).try_for_each(|hook| place.run(&hook, &state))
    }

    /// All is done that can fail for the configuration's sake: limits, state, pid file.
    fn ready(&mut self, record: &mut Record) -> Result<()> {
        let pid = self.init()?.pid();
        let master = self.init.as_mut().and_then(Init::take_console);
        self.console = self.builder.wishes.deliver_console(master)?;
        confine(&self.plan, pid)?;
        if let Some(group) = &record.intel_rdt {
            group.join(pid)?;
        }
        let process =
            ProcessId::of(pid).host(|| format!("read the start time of process {pid}"))?;
        record.init = Some(process);
        self.directory.write(record)?;
        self.builder.wishes.write_pid_file(pid)
    }

    /// Takes everything back, and gives the error that was the reason.
    fn undo(&mut self, error: Error) -> Error {
        let mut error = error;
        if let Some(init) = &self.init {
            init.kill();
        }
        if let Some(moves) = self.net_devices.take() {
            moves.undo();
        }
        if let Some(cgroup) = &self.cgroup {
            let _ = cgroup.kill_all(libc::SIGKILL);
            if let Err(cause) = cgroup.discard() {
                tracing::warn!("the cgroup of {} is left behind: {cause}", self.builder.id);
            }
        }
        if let Some(making) = &self.intel_rdt {
            making.undo();
        }
        if let Some(mount) = self.root_mount
            && let Err(cause) = mount.unmount(&self.builder.record().rootfs)
        {
            tracing::warn!("the root of {} stays mounted: {cause}", self.builder.id);
        }
        if self.init.is_some() {
            self.run_poststop_hooks();
            self.builder.wishes.remove_pid_file();
        }
        if let Err(cause) = self.directory.remove() {
            tracing::warn!("{cause}");
            error = error.context("and the state directory is left behind");
        }
        error
    }

    fn run_poststop_hooks(&self) {
        let record = self.builder.record();
        let spec = self.builder.bundle.spec();
        let Ok(state) = state_json(&record, Status::Stopped, None) else {
            return;
        };
        for hook in hooks::of(spec, Kind::Poststop) {
            if let Err(error) = hook.run(&state, &record.bundle) {
                tracing::warn!("{error}");
            }
        }
    }
}

/// The namespaces that the container has for itself or shares with another, as those who join it later need them.
fn namespaces(spec: &Spec) -> u32 {
    let list = spec
        .linux()
        .as_ref()
        .and_then(|linux| linux.namespaces().as_ref());
    list.into_iter().flatten().fold(0, |all, namespace| {
        all | crate::namespaces::flag(namespace.typ())
    })
}

/// What the host sets on a process before it goes on to the user's program.
pub(crate) fn confine(plan: &Plan, pid: i32) -> Result<()> {
    set_oom_score_adj(plan, pid)?;
    set_scheduling(plan, pid)?;
    set_rlimits(plan, pid)
}

/// `process.scheduler` and `process.ioPriority` of a process that cannot do so itself. It leads its process group.
fn set_scheduling(plan: &Plan, pid: i32) -> Result<()> {
    if let Some((origin, scheduling)) = &plan.scheduling {
        sys::set_scheduler(pid, scheduling).map_err(|cause| {
            let attempt = scheduler::attempt(scheduling, &cause);
            Error::io(ErrorKind::Setup, attempt, cause).at(origin.to_string())
        })?;
    }
    if let Some((origin, value)) = &plan.io_priority {
        sys::set_io_priority(pid, *value).map_err(|cause| {
            let attempt = io_priority::describe(*value);
            Error::io(ErrorKind::Setup, attempt, cause).at(origin.to_string())
        })?;
    }
    Ok(())
}

/// `process.oomScoreAdj`, of the process and what it starts.
fn set_oom_score_adj(plan: &Plan, pid: i32) -> Result<()> {
    let Some((origin, value)) = &plan.oom_score_adj else {
        return Ok(());
    };
    let path = format!("/proc/{pid}/oom_score_adj");
    let written = std::fs::write(&path, value.to_string());
    written.map_err(|cause| {
        Error::io(ErrorKind::Setup, format!("write {value} to {path}"), cause)
            .at(origin.to_string())
    })
}

/// `process.rlimits`, once the process needs no more than they allow.
fn set_rlimits(plan: &Plan, pid: i32) -> Result<()> {
    plan.rlimits.iter().try_for_each(|limit| {
        let set = sys::set_rlimit(pid, limit.resource, limit.soft, limit.hard);
        set.map_err(|cause: io::Error| {
            let attempt = format!(
                "set limit {} to {} (hard {})",
                limit.resource, limit.soft, limit.hard
            );
            Error::io(ErrorKind::Setup, attempt, cause).at(limit.origin.to_string())
        })
    })
}
