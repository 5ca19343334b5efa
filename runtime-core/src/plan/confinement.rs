//! Steps of the plan for what has a module of its own: the cgroup and the seccomp filter.

use runtime_init::{Bytes, Rendezvous, SECCOMP_NEW_LISTENER, Step};

use super::{Builder, Origin, pointer};
use crate::cgroup::{self, Entry};
use crate::error::{Error, Result};
use crate::namespaces;
use crate::seccomp::{self, Filter};

/// Puts the container into a cgroup. Into one of version 2 the init is born; those of version 1 it joins itself. That of a
/// systemd unit is made around it.
pub(super) fn join_cgroup(plan: &mut Builder<'_>) -> Result<()> {
    let cgroup = cgroup::compile(plan.spec, &plan.options.id, &plan.facts.cgroups)
        .map_err(|error| Error::config(error.pointer(), error.to_string()))?;
    let cgroup = match plan.facts.is_unprivileged() {
        true => cgroup.kept_by_caller(),
        false => cgroup,
    };
    let entry = match cgroup.unit() {
        Some(_) => Entry::Moved,
        None => Entry::Itself {
            hierarchies: cgroup.task_file_count(),
        },
    };
    plan.plan.cgroup = Some(cgroup);
    let is_late = namespaces::network_is_beside(plan.spec, plan.facts.is_unprivileged())?;
    match entry {
        Entry::Itself { hierarchies } if is_late => {
            plan.arrival.cgroups = u16::try_from(hierarchies).ok().filter(|&count| count > 0);
        }
        _ => join_existing_cgroup(plan, entry),
    }
    Ok(())
}

/// Puts a process into the cgroup of a container.
pub(super) fn join_existing_cgroup(plan: &mut Builder<'_>, entry: Entry) {
    let hierarchies = match entry {
        Entry::Itself { hierarchies } => hierarchies,
        Entry::Moved => {
            plan.step(origin(plan), &Step::Wait(Rendezvous::Cgroup));
            return;
        }
    };
    if let Ok(count @ 1..) = u16::try_from(hierarchies) {
        join(plan, count);
    }
}

/// Joins cgroups of version 1.
pub(super) fn join(plan: &mut Builder<'_>, count: u16) {
    plan.step(origin(plan), &Step::JoinCgroups { count });
}

fn origin(plan: &Builder<'_>) -> Origin {
    let path = plan.linux().and_then(|linux| linux.cgroups_path().as_ref());
    path.map_or(Origin::Default("cgroupsPath"), |_| {
        pointer("/linux/cgroupsPath")
    })
}

/// Compiles the seccomp filter, and loads it.
pub(super) fn load_seccomp(plan: &mut Builder<'_>) -> Result<()> {
    let filter = filter(plan)?;
    load_filter(plan, filter.as_ref());
    Ok(())
}

/// The seccomp filter, if the configuration has one.
pub(super) fn filter(plan: &mut Builder<'_>) -> Result<Option<Filter>> {
    let Some(profile) = plan.linux().and_then(|linux| linux.seccomp().as_ref()) else {
        return Ok(None);
    };
    let facts = seccomp::SeccompFacts {
        arch: seccomp::NativeArch::current(),
    };
    let filter = seccomp::compile(profile, &facts).map_err(|error| {
        Error::config(
            format!("/linux/seccomp{}", error.pointer()),
            error.message(),
        )
    })?;
    seccomp::check_listener(profile)?;
    if filter.notify {
        let listener = seccomp::Listener::of(profile, &plan.options.bundle)?;
        plan.plan.seccomp_listener = Some(listener);
    }
    Ok(Some(filter))
}

/// Loads a filter, if there is one.
pub(super) fn load_filter(plan: &mut Builder<'_>, filter: Option<&Filter>) {
    let Some(filter) = filter else {
        return;
    };
    let mut flags = filter.flags;
    if filter.notify {
        flags |= SECCOMP_NEW_LISTENER;
    }
    tracing::debug!("seccomp filter flags: {flags}");
    let program = filter.to_bytes();
    let step = Step::LoadSeccomp {
        flags,
        program: Bytes(&program),
    };
    plan.step(Origin::from("/linux/seccomp".to_owned()), &step);
}
