//! A plan as text, one line a step, and as JSON.

use std::fmt;

use runtime_init::Step;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Origin, Plan, Source, describe};
use crate::cgroup::CgroupPlan;
use crate::mounts::options::{attribute_names, propagation_name};
use crate::{io_priority, namespaces, scheduler};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "on the host:")?;
        let cgroup = self.cgroup.as_ref().map(CgroupPlan::around_init);
        let [before, beside] =
            cgroup.map_or_else(Default::default, |parts| parts.map(|part| part.to_string()));
        indented(f, &before)?;
        if let Some(intel_rdt) = &self.intel_rdt {
            line(f, &"/linux/intelRdt", format_args!("{intel_rdt}"))?;
        }
        let here: Vec<usize> = self
            .steps()
            .filter_map(|(_, step)| opened_by(&step))
            .collect();
        for (number, (origin, source)) in self.slots.iter().enumerate() {
            let what = match here.contains(&number) {
                true => "for what the init opens".to_owned(),
                false => describe_source(source),
            };
            line(f, origin, format_args!("slot {number}: {what}"))?;
        }
        writeln!(
            f,
            "  start the init in new namespaces: {}",
            namespaces::names(self.clone_flags)
        )?;
        indented(f, &beside)?;
        if let Some(maps) = &self.id_mappings {
            writeln!(f, "  {maps:?}")?;
        }
        for device in &self.net_devices {
            line(f, &device.origin, format_args!("{device}"))?;
        }
        if let Some((origin, value)) = &self.oom_score_adj {
            line(f, origin, format_args!("oom_score_adj {value}"))?;
        }
        if let Some((origin, scheduling)) = &self.scheduling {
            line(
                f,
                origin,
                format_args!("{}", scheduler::describe(scheduling)),
            )?;
        }
        if let Some((origin, value)) = &self.io_priority {
            line(f, origin, format_args!("{}", io_priority::describe(*value)))?;
        }
        for limit in &self.rlimits {
            line(
                f,
                &limit.origin,
                format_args!(
                    "prlimit {} soft {} hard {}",
                    limit.resource, limit.soft, limit.hard
                ),
            )?;
        }
        if let Some(listener) = &self.seccomp_listener {
            let origin = super::pointer("/linux/seccomp/listenerPath");
            line(
                f,
                &origin,
                format_args!("connect to seccomp agent {listener}"),
            )?;
        }
        writeln!(f, "in the container:")?;
        for (origin, step) in self.steps() {
            line(f, origin, format_args!("{}", describe(self, &step)))?;
        }
        Ok(())
    }
}

fn indented(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    text.lines().try_for_each(|line| writeln!(f, "  {line}"))
}

/// The slot for which the init itself opens a tree in this step.
fn opened_by(step: &Step<'_>) -> Option<usize> {
    match step {
        Step::OpenTree(host) => Some(usize::from(host.tree.0)),
        _ => None,
    }
}

fn describe_source(source: &Source) -> String {
    match source {
        Source::Control => "control socket".to_owned(),
        Source::StartListener => "socket on which the container waits for start".to_owned(),
        Source::Network => "network namespace, made beside all else, loopback up".to_owned(),
        Source::Namespace { path, kind } => {
            format!(
                "open {} namespace {}",
                namespaces::names(*kind),
                path.display()
            )
        }
        Source::InitPidfd => "pidfd of the container's init".to_owned(),
        Source::NullDevice => "the host's /dev/null".to_owned(),
        Source::Tree {
            path,
            recursive,
            attributes,
            propagation,
            id_map,
            ..
        } => {
            let recursively = if *recursive { " recursively" } else { "" };
            let names = attribute_names(attributes).into_iter();
            let propagation = propagation.iter().map(|flags| propagation_name(*flags));
            let id_map = id_map.iter().map(ToString::to_string);
            names
                .chain(propagation.map(str::to_owned))
                .chain(id_map)
                .fold(
                    format!("open {}{recursively}", path.display()),
                    |text, change| format!("{text}, {change}"),
                )
        }
    }
}

fn line(
    f: &mut fmt::Formatter<'_>,
    origin: &impl fmt::Display,
    what: fmt::Arguments<'_>,
) -> fmt::Result {
    writeln!(f, "  {:<34} {what}", origin.to_string())
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cgroup", &self.cgroup)?;
        map.serialize_entry("intelRdt", &self.intel_rdt)?;
        map.serialize_entry("slots", &list(&self.slots))?;
        map.serialize_entry("cloneFlags", &self.clone_flags)?;
        map.serialize_entry("idMappings", &self.id_mappings)?;
        map.serialize_entry("netDevices", &self.net_devices)?;
        map.serialize_entry("oomScoreAdj", &self.oom_score_adj.as_ref().map(entry))?;
        map.serialize_entry("rlimits", &self.rlimits)?;
        map.serialize_entry("scheduler", &self.scheduling.as_ref().map(entry))?;
        map.serialize_entry("ioPriority", &self.io_priority.as_ref().map(entry))?;
        map.serialize_entry("seccompListener", &self.seccomp_listener)?;
        let steps: Vec<_> = self
            .steps()
            .map(|(origin, what)| Entry { origin, what })
            .collect();
        map.serialize_entry("steps", &steps)?;
        map.end()
    }
}

#[derive(serde::Serialize)]
struct Entry<'a, T> {
    origin: &'a Origin,
    what: T,
}

fn entry<T>((origin, what): &(Origin, T)) -> Entry<'_, &T> {
    Entry { origin, what }
}

fn list<T>(entries: &[(Origin, T)]) -> Vec<Entry<'_, &T>> {
    entries.iter().map(entry).collect()
}
