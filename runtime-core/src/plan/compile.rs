//! The order of a container's set-up, in one place.

use oci_spec::runtime::{Process, Spec};
use runtime_init::{Rendezvous, Step};

use super::{Builder, Options, Origin, Plan, confinement};
use crate::cgroup::Entry;
use crate::error::{Error, Result};
use crate::facts::HostFacts;
use crate::namespaces::{NEWPID, NEWUSER};
use crate::seccomp::Filter;
use crate::{
    annotations, apparmor, capabilities, console, devices, hooks, intel_rdt, io_priority,
    memory_policy, mounts, namespaces, net_devices, notify_socket, paths, personality, process,
    rlimits, rootless, scheduler, selinux, spec_version, sysctl, uts,
};

/// Compiles a configuration for a host, with the defaults of [`Options`].
///
/// # Errors
///
/// [`crate::ErrorKind::InvalidConfig`] or [`crate::ErrorKind::Unsupported`], with the JSON pointer of what cannot be
/// honoured as its origin.
pub fn compile(spec: &Spec, facts: &HostFacts) -> Result<Plan> {
    compile_with(spec, facts, &Options::default())
}

/// Compiles a configuration for a host as the caller of `create` wants it.
///
/// # Errors
///
/// As for [`compile`].
pub fn compile_with(spec: &Spec, facts: &HostFacts, options: &Options) -> Result<Plan> {
    spec_version::check(spec)?;
    annotations::check(spec)?;
    hooks::check(spec)?;
    let process = spec.process().as_ref();
    let mut builder = Builder::new(spec, facts, options);
    let plan = &mut builder;
    rootless::check(plan)?;
    process::set_oom_score_adj(plan, process);

    // Into the cgroup first, then into the namespaces: a cgroup namespace begins where its maker is. What the runtime makes
    // meanwhile is joined when a mount needs it, or after the mounts (`arrival`).
    confinement::join_cgroup(plan)?;
    intel_rdt::plan(plan)?;
    namespaces::enter(plan)?;
    net_devices::rendezvous(plan)?;
    process::isolate(plan, process)?;
    namespaces::set_time_offsets(plan)?;

    paths::open_null_device(plan)?;
    mounts::root::attach(plan)?;
    mounts::all(plan)?;
    notify_socket::mount(plan)?;
    devices::all(plan)?;
    if let Some(process) = process {
        process::make_working_directory(plan, process)?;
        console::open(plan, process, true)?;
        console::take(plan);
    }
    hooks::rendezvous(plan);

    mounts::root::change(plan)?;
    uts::names(plan)?;
    personality::set(plan)?;
    sysctl::all(plan)?;
    paths::read_only(plan)?;
    paths::mask(plan)?;
    mounts::root::finish(plan)?;

    match process {
        Some(process) => {
            let in_user_namespace = process::in_user_namespace(plan)?;
            run_user_process(plan, process, in_user_namespace)?;
        }
        None => run_nothing(plan)?,
    }
    Ok(builder.plan)
}

/// Compiles one more process in a running container. `namespaces` are those that the container's init has for itself,
/// as CLONE_NEW flags.
///
/// Those who are in the container's PID namespace see the process from the fork on, and may do with it as they like if they
/// have CAP_SYS_PTRACE. So all that needs the runtime's rights comes before the fork (CVE-2016-9962).
pub(crate) fn tenant(
    spec: &Spec,
    process: &Process,
    facts: &HostFacts,
    options: &Options,
    cgroup: Entry,
    namespaces: u32,
) -> Result<Plan> {
    let mut builder = Builder::new(spec, facts, options);
    let plan = &mut builder;
    process::set_oom_score_adj(plan, Some(process));
    process::open_proc_of_tenant(plan, process)?;
    confinement::join_existing_cgroup(plan, cgroup);
    namespaces::enter_running(plan, namespaces)?;
    process::isolate_tenant(plan, process)?;
    mounts::root::enter_running(plan, namespaces)?;
    personality::set(plan)?;
    console::open(plan, process, false)?;

    let in_user_namespace = namespaces & NEWUSER != 0;
    let limits_by_the_caller = in_user_namespace && !plan.facts.is_unprivileged();
    let will_fork = namespaces & NEWPID != 0;
    become_user(plan, process, limits_by_the_caller, will_fork)?;
    let filter = confinement::filter(plan)?;
    let filter = filter.as_ref();
    if is_restricted(process) {
        capabilities::set(plan, process)?;
    }
    let is_confined = filter.is_none_or(Filter::lets_a_process_join);
    if is_confined {
        confine(plan, process, filter)?;
    }

    namespaces::appear(plan, namespaces);
    process::new_session(plan);
    console::take(plan);
    // The process has no right to these any more.
    let by_the_caller = !plan.facts.is_unprivileged();
    scheduler::set(plan, process, by_the_caller)?;
    io_priority::set(plan, process, by_the_caller)?;
    if will_fork {
        rlimits::processes(plan, process, limits_by_the_caller);
    }
    process::find_program(plan, process)?;
    plan.step(Origin::Default("exec"), &Step::Wait(Rendezvous::Ready));
    if !is_confined {
        confine(plan, process, filter)?;
    }
    plan.step(super::pointer("/process/args"), &Step::Execute);
    Ok(builder.plan)
}

/// Compiles a hook that runs in the namespaces of a container: its program, with all of the runtime's privileges there.
pub(crate) fn hook(
    spec: &Spec,
    hook: &hooks::Hook,
    facts: &HostFacts,
    options: &Options,
    cgroup: Entry,
    namespaces: u32,
) -> Result<Plan> {
    let mut builder = Builder::new(spec, facts, options);
    let plan = &mut builder;
    confinement::join_existing_cgroup(plan, cgroup);
    namespaces::enter_running(plan, namespaces)?;
    namespaces::appear(plan, namespaces);
    process::new_session(plan);
    if hook.is_confined() {
        mounts::root::enter_running(plan, namespaces)?;
    }
    hook.change_directory(plan)?;
    hook.arguments(plan)?;
    plan.step(hook.origin(), &Step::Wait(Rendezvous::Ready));
    if hook.is_confined() {
        confinement::load_seccomp(plan)?;
    }
    plan.step(hook.origin(), &Step::Execute);
    Ok(builder.plan)
}

/// From the runtime's own identity to the user's program, for a container's first process: what is here needs privileges
/// until [`Step::SetCapabilities`].
fn run_user_process(
    plan: &mut Builder<'_>,
    process: &Process,
    in_user_namespace: bool,
) -> Result<()> {
    // Of two without rights over the host the process itself may do more: it is the one that changes.
    let by_the_caller = in_user_namespace && !plan.facts.is_unprivileged();
    scheduler::set(plan, process, by_the_caller)?;
    io_priority::set(plan, process, by_the_caller)?;
    become_user(plan, process, by_the_caller, false)?;
    if is_restricted(process) {
        capabilities::set(plan, process)?;
    }
    process::find_program(plan, process)?;
    plan.step(Origin::Default("create"), &Step::Wait(Rendezvous::Ready));
    process::await_start(plan)?;
    let filter = confinement::filter(plan)?;
    confine(plan, process, filter.as_ref())?;
    plan.step(super::pointer("/process/args"), &Step::Execute);
    Ok(())
}

fn become_user(
    plan: &mut Builder<'_>,
    process: &Process,
    by_the_caller: bool,
    will_fork: bool,
) -> Result<()> {
    process::arguments(plan, process)?;
    process::umask(plan, process)?;
    memory_policy::set(plan)?;
    console::chown_stdio(plan, process);
    rlimits::all(plan, process, by_the_caller, will_fork)?;
    capabilities::limit_bounding_set(plan, process)?;
    apparmor::set_on_exec(plan, process)?;
    selinux::set_on_exec(plan, process)?;
    process::user(plan, process)?;
    process::change_directory(plan, process)
}

fn is_restricted(process: &Process) -> bool {
    process.no_new_privileges().unwrap_or(false)
}

/// Loads the filter. Without no_new_privs that needs CAP_SYS_ADMIN, so it goes before the capabilities then, and last
/// otherwise.
fn confine(plan: &mut Builder<'_>, process: &Process, filter: Option<&Filter>) -> Result<()> {
    if is_restricted(process) {
        plan.step(
            super::pointer("/process/noNewPrivileges"),
            &Step::SetNoNewPrivileges,
        );
        confinement::load_filter(plan, filter);
        return Ok(());
    }
    confinement::load_filter(plan, filter);
    capabilities::set(plan, process)
}

/// `process` is required when `start` is called (config.md, "Process"), and not before: without one, the init keeps the
/// container's namespaces until it is killed.
fn run_nothing(plan: &mut Builder<'_>) -> Result<()> {
    if plan.options.start_at_once {
        return Err(Error::config("/process", process::NONE));
    }
    plan.plan.arguments = vec![c"init".to_owned()];
    plan.step(Origin::Default("create"), &Step::Wait(Rendezvous::Ready));
    process::await_start(plan)
}
