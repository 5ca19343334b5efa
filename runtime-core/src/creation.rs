//! The host's part of making a container, in order.

mod undo;

use std::os::fd::{AsFd, OwnedFd};

use runtime_init::Rendezvous;

use crate::cgroup::{Cgroup, CgroupPlan, Making};
use crate::create::ContainerBuilder;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::exhaustion::{self, Before};
use crate::facts::HostFacts;
use crate::hooks::{self, Kind};
use crate::intel_rdt::{self, IntelRdt};
use crate::launch::{Handover, Init, Progress};
use crate::mounts::id_map::UserNamespaces;
use crate::mounts::on_host::MountId;
use crate::net_devices::Moves;
use crate::network::Network;
use crate::pidfd_socket::{FIRST_PROCESS, PidfdSocket};
use crate::plan::Plan;
use crate::process_id::ProcessId;
use crate::start::killed;
use crate::state::{Directory, Record};
use crate::status::{Status, state, state_json};
use crate::sys::OtherCpus;
use crate::{confine, id_mappings, notify_socket, process_hook, seccomp, sources, stations};

/// A container in the making: what there is of it by now, to go on with or to undo.
pub(crate) struct Creation<'a> {
    builder: &'a ContainerBuilder,
    facts: &'a HostFacts,
    plan: Plan,
    directory: Directory,
    /// What there is of the cgroup while it is not whole.
    making: Making,
    cgroup: Option<Cgroup>,
    before: Before,
    intel_rdt: Option<intel_rdt::Making>,
    root_mount: Option<MountId>,
    init: Option<Init>,
    /// The init, where it is known before it is ready.
    process: Option<ProcessId>,
    /// Others know the container by now, and may kill it.
    is_known: bool,
    net_devices: Option<Moves>,
    /// The terminal's master, unless it went to a console socket.
    console: Option<OwnedFd>,
    pidfd_socket: Option<PidfdSocket<'a>>,
    network: Option<Network>,
}

impl<'a> Creation<'a> {
    pub(crate) fn new(
        builder: &'a ContainerBuilder,
        facts: &'a HostFacts,
        plan: Plan,
        directory: Directory,
        network: Option<Network>,
    ) -> Self {
        Creation {
            builder,
            facts,
            plan,
            directory,
            making: Making::default(),
            cgroup: None,
            before: Before::default(),
            intel_rdt: None,
            root_mount: None,
            init: None,
            process: None,
            is_known: false,
            net_devices: None,
            console: None,
            pidfd_socket: None,
            network,
        }
    }

    /// Makes the container, or nothing: its record, and the terminal's master unless it went to a console socket.
    pub(crate) fn carry_out(mut self) -> Result<(Record, Option<OwnedFd>)> {
        match self.run() {
            Ok(record) => {
                self.take_times();
                Ok((record, self.console.take()))
            }
            Err(error) => {
                self.take_times();
                let _span = self.builder.timings.span("take everything back");
                let error = self.network_problem().unwrap_or(error);
                // Before the cgroup goes, which knows.
                let spec = self.builder.bundle.spec();
                let error = self.before.explain(self.cgroup.as_ref(), spec, error);
                let error = if self.is_known { killed(error) } else { error };
                Err(self.undo(error))
            }
        }
    }

    /// Everything that the host does, in order.
    fn run(&mut self) -> Result<Record> {
        let mut record = self.prepare()?;
        // What is made before the init outlives this process; the init does not.
        let makes_first = self.intel_rdt.is_some() || self.has_birthplace();
        if makes_first {
            record_intentions(self.builder, &self.plan, &self.directory, &mut record)?;
        }
        if let Some(making) = &mut self.intel_rdt {
            making.make()?;
        }
        self.make_birthplace()?;
        self.start_init(&mut record, makes_first)?;
        self.work_beside_init(&mut record)?;
        self.attend_to_init(&mut record)?;
        self.is_known = true;
        stations::init_is_ready(self.init()?.pid());
        if self.builder.options.start_at_once {
            self.start_program(&record)?;
        } else {
            self.init()?.go(&self.plan)?;
        }
        Ok(record)
    }

    /// What can fail before there is anything to take back.
    fn prepare(&mut self) -> Result<Record> {
        self.pidfd_socket = self.builder.wishes.connect_pidfd_socket()?;
        let mut record = self.builder.record();
        record.namespaces = crate::namespaces::all_of(self.builder.bundle.spec());
        record.seccomp_listener = self.plan.seccomp_listener.clone();
        tracing::debug!("the state is kept in {}", self.directory.path().display());
        if record.notify {
            notify_socket::make_directory(self.directory.path())?;
        }
        let intel_rdt = self.plan.intel_rdt.as_ref();
        self.intel_rdt = intel_rdt.map(IntelRdt::prepare).transpose()?;
        record.intel_rdt = self.intel_rdt.as_ref().map(|making| making.group.clone());
        Ok(record)
    }

    /// What the init does not wait for at once: it has enough to do by itself.
    fn work_beside_init(&mut self, record: &mut Record) -> Result<()> {
        self.enter_cgroup()?;
        record.is_let_go = self.needs_nobody(record);
        self.record_cgroup(record)?;
        // After the record: a configuration without one is that of a container whose record was lost.
        let span = self.builder.timings.span("write the configuration");
        self.directory.write_config(self.builder.bundle.text())?;
        drop(span);
        if !self.plan.forks {
            self.process = Some(self.identify_init()?);
        }
        if record.is_let_go {
            self.init()?.go(&self.plan)?;
        }
        Ok(())
    }

    /// Whether the init needs nothing of the runtime any more, and so does not wait for it either when it is ready: each waking of
    /// another process takes as long as several mounts. All that is left for the runtime by then is the record. Should it be
    /// killed before it has written that, the cgroup leads to the container.
    fn needs_nobody(&self, record: &Record) -> bool {
        let has_place = |cgroup: &Cgroup| !cgroup.directories().is_empty();
        self.builder.options.start_at_once
            && self.cgroup.as_ref().is_some_and(has_place)
            && self.intel_rdt.is_none()
            && !record.later_hooks
            && !self.builder.wishes.have_recipient()
            && !self.plan.forks
            && self.plan.is_self_sufficient()
    }

    /// The rendezvous, until the init is ready.
    fn attend_to_init(&mut self, record: &mut Record) -> Result<()> {
        loop {
            match self.progress()? {
                Progress::Reached(Rendezvous::Cgroup) => self.start_unit(record)?,
                Progress::Reached(Rendezvous::IdMaps) => self.write_id_maps()?,
                Progress::Reached(Rendezvous::NetDevices) => self.move_net_devices()?,
                Progress::Reached(Rendezvous::CreateHooks) => self.run_create_hooks(record)?,
                Progress::Reached(Rendezvous::Ready) => return self.ready(record),
                Progress::Listens(_) | Progress::Done => {
                    return Err(Error::ended_silently());
                }
            }
            self.init()?.go(&self.plan)?;
        }
    }

    /// Follows the init to the user's program.
    fn start_program(&mut self, record: &Record) -> Result<()> {
        let _span = self.builder.timings.span("start the program");
        let mut agent = seccomp::connect(self.plan.seccomp_listener.as_ref())?;
        if !record.is_let_go {
            self.init()?.go(&self.plan)?;
        }
        while let Progress::Listens(listener) = self.progress()? {
            let pid = self.init()?.pid();
            let state = state(record, Status::Created, Some(pid));
            seccomp::hand_over(&mut agent, &listener, pid, &state)?;
        }
        match exhaustion::died_as_init(self.init()?.pid()) {
            Some(error) => Err(error),
            None => {
                tracing::debug!("the program runs");
                Ok(())
            }
        }
    }

    /// The init's steps, as long as it is clear which plan they are of.
    fn take_times(&self) {
        if let Some(init) = &self.init {
            init.take_times(&self.plan);
        }
    }

    /// Why there is no network namespace: the init only finds that none comes.
    fn network_problem(&mut self) -> Option<Error> {
        self.network.as_mut().and_then(Network::problem)
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

    fn has_birthplace(&self) -> bool {
        let plan = self.plan.cgroup.as_ref();
        plan.is_some_and(CgroupPlan::has_birthplace)
    }

    /// Makes the part of the cgroup that the init is born in.
    fn make_birthplace(&mut self) -> Result<()> {
        let Some(plan) = &self.plan.cgroup else {
            return Ok(());
        };
        for (pointer, reason) in plan.ignored() {
            tracing::warn!("{pointer}: {reason}");
        }
        let spec = self.builder.bundle.spec();
        if plan.directories().next().is_none() && !crate::namespaces::makes_pid_namespace(spec) {
            // The phrase is runc's.
            tracing::warn!(
                "the container has no cgroup and no pid namespace of its own. Such configuration is strongly discouraged (as it \
                 is impossible to properly kill all container's processes)"
            );
        }
        // systemd makes it around the init, which is not there yet.
        if plan.unit().is_some() {
            return Ok(());
        }
        let _span = self.builder.timings.span("make the cgroup to be born in");
        let made = plan.make_birthplace(&mut self.making);
        made.map_err(crate::cgroup_error)
    }

    /// Has the init join the cgroup, which is made.
    fn enter_cgroup(&mut self) -> Result<()> {
        let plan = self.plan.cgroup.as_ref();
        if plan.is_none_or(|plan| plan.unit().is_some()) {
            return Ok(());
        }
        let cgroup = std::mem::take(&mut self.making).into_cgroup();
        let cgroup = self.cgroup.insert(cgroup);
        if !cgroup.is_new() {
            self.before = Before::of(Some(cgroup));
        }
        stations::made_cgroup(cgroup);
        let tasks = cgroup.task_files();
        let tasks = tasks.host(|| "open the cgroup's tasks".to_owned())?;
        self.init()?.enter_cgroups(&self.plan, &tasks)
    }

    /// Has systemd make the cgroup around the init, which waits for that.
    fn start_unit(&mut self, record: &mut Record) -> Result<()> {
        let _span = self.builder.timings.span("have systemd make the cgroup");
        let pid = self.init()?.pid();
        let Some(plan) = &self.plan.cgroup else {
            return Ok(());
        };
        let cgroup = plan.start_unit(pid).map_err(crate::cgroup_error)?;
        let cgroup = self.cgroup.insert(cgroup);
        self.before = Before::of_new(Some(cgroup));
        plan.fill(cgroup, pid).map_err(crate::cgroup_error)?;
        stations::made_cgroup(cgroup);
        self.record_cgroup(record)
    }

    /// Notes what there is of the cgroup, if there is any: whoever is in it from now on may be killed as the container's.
    fn record_cgroup(&self, record: &mut Record) -> Result<()> {
        let Some(cgroup) = &self.cgroup else {
            return Ok(());
        };
        record.cgroup = Some(cgroup.clone());
        record.intended_cgroup = None;
        let _span = self.builder.timings.span("write the state");
        self.directory.write(record)
    }

    /// Opens what the init inherits.
    fn open_slots(&mut self, record: &mut Record) -> Result<Vec<Option<OwnedFd>>> {
        let mut context = sources::Context {
            user_namespaces: UserNamespaces::new(self.directory.path()),
            network: self.network.as_mut().and_then(Network::take_socket),
            ..sources::Context::default()
        };
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
        Ok(slots)
    }

    /// Starts the init, and makes what is left of the cgroup meanwhile.
    fn start_init(&mut self, record: &mut Record, is_recorded: bool) -> Result<()> {
        let span = self.builder.timings.span("open what the init inherits");
        let birthplace = self.making.birthplace();
        let birthplace = birthplace.host(|| "open the cgroup".to_owned())?;
        let slots = self.open_slots(record)?;
        // systemd makes its own around the init.
        let cgroup = self.plan.cgroup.as_ref();
        let cgroup = cgroup.filter(|plan| plan.unit().is_none());
        let wishes = &self.builder.wishes;
        let mut null = None;
        let handover = Handover {
            stdio: wishes.stdio.streams(&mut null)?,
            preserved: wishes.preserved,
            cgroup: birthplace.as_ref().map(OwnedFd::as_fd),
            waits: cgroup.is_some_and(CgroupPlan::birthplace_counts_memory),
            directory: self.directory.path(),
            timings: self.builder.timings.clone(),
        };
        drop(span);
        let waits_for_cgroups = cgroup.is_some_and(|plan| plan.task_file_count() > 0);
        let meanwhile = |pid| {
            // Both have enough to do. The plan gives it all CPUs, once it has joined the cgroups and no sooner.
            if let Some(others) = OtherCpus::than_this().filter(|_| waits_for_cgroups) {
                others.take_process(pid);
            }
            if !is_recorded {
                record_intentions(self.builder, &self.plan, &self.directory, record)?;
            }
            let Some(plan) = cgroup else {
                return Ok(());
            };
            let _span = self.builder.timings.span("make the cgroups");
            plan.make_rest(&mut self.making)
                .map_err(crate::cgroup_error)
        };
        let (init, made) = Init::start_beside(&self.plan, &slots, &handover, meanwhile)?;
        self.init = Some(init);
        made
    }

    fn write_id_maps(&self) -> Result<()> {
        let Some(maps) = &self.plan.id_mappings else {
            return Ok(());
        };
        tracing::debug!("write the id mappings");
        let _span = self.builder.timings.span("write the id mappings");
        id_mappings::carry_out(maps, self.init()?.pid(), self.facts)
    }

    fn move_net_devices(&mut self) -> Result<()> {
        let _span = self.builder.timings.span("move network devices");
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
                let _span = hook.span(&self.builder.timings);
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
        let mut inside = hooks::of(spec, Kind::CreateContainer).peekable();
        if inside.peek().is_none() {
            return Ok(());
        }
        let state = place.state(init.pid())?;
        inside.try_for_each(|hook| {
            let _span = hook.span(&self.builder.timings);
            place.run(&hook, &state)
        })
    }

    /// All is done that can fail for the configuration's sake: limits, state, pid file.
    fn ready(&mut self, record: &mut Record) -> Result<()> {
        let pid = self.init()?.pid();
        let master = self.init.as_mut().and_then(Init::take_console);
        self.console = self.builder.wishes.deliver_console(master)?;
        if let Some(socket) = self.pidfd_socket.take() {
            socket.send(FIRST_PROCESS, self.init()?.pidfd())?;
        }
        let span = self
            .builder
            .timings
            .span("set what the process cannot set itself");
        confine::carry_out(&self.plan, pid)?;
        if let Some(group) = &record.intel_rdt {
            group.join(pid)?;
        }
        drop(span);
        let _span = self.builder.timings.span("write state and pid file");
        record.init = Some(match self.process {
            Some(process) => process,
            None => self.identify_init()?,
        });
        self.directory.write(record)?;
        self.builder.wishes.write_pid_file(pid)
    }

    fn identify_init(&self) -> Result<ProcessId> {
        let pid = self.init()?.pid();
        ProcessId::of(pid).host(|| format!("read the start time of process {pid}"))
    }
}

/// Notes what is about to be made.
fn record_intentions(
    builder: &ContainerBuilder,
    plan: &Plan,
    directory: &Directory,
    record: &mut Record,
) -> Result<()> {
    let _span = builder.timings.span("write the state");
    record.intended_cgroup = plan.cgroup.as_ref().map(CgroupPlan::intended);
    directory.write(record)
}
