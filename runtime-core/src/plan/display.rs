//! A plan as text, one line a step, and as JSON.

use std::fmt;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Attributes, Origin, Plan, Source, describe};
use crate::mounts::options::propagation_name;
use crate::namespaces;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "on the host:")?;
        if let Some(cgroup) = &self.cgroup {
            for line in cgroup.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        for (number, (origin, source)) in self.slots.iter().enumerate() {
            line(
                f,
                origin,
                format_args!("slot {number}: {}", describe_source(source)),
            )?;
        }
        writeln!(
            f,
            "  start the init in new namespaces: {}",
            namespaces::names(self.clone_flags)
        )?;
        if let Some(maps) = &self.id_mappings {
            writeln!(f, "  {maps:?}")?;
        }
        if let Some((origin, value)) = &self.oom_score_adj {
            line(f, origin, format_args!("oom_score_adj {value}"))?;
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

fn describe_source(source: &Source) -> String {
    match source {
        Source::Control => "control socket".to_owned(),
        Source::StartListener => "socket on which the container waits for start".to_owned(),
        Source::CgroupTasks { hierarchy } => format!("tasks of cgroup {hierarchy}"),
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
            ..
        } => {
            let recursively = if *recursive { " recursively" } else { "" };
            let Attributes {
                set,
                clear,
                recursive_set,
                recursive_clear,
            } = attributes;
            let mut text = format!("open {}{recursively}", path.display());
            if *attributes != Attributes::default() {
                text = format!(
                    "{text}, set {:#x}, clear {:#x}",
                    set | recursive_set,
                    clear | recursive_clear
                );
            }
            if propagation.is_empty() {
                text
            } else {
                let names: Vec<_> = propagation
                    .iter()
                    .map(|flags| propagation_name(*flags))
                    .collect();
                format!("{text}, {}", names.join(", "))
            }
        }
    }
}

fn line(f: &mut fmt::Formatter<'_>, origin: &Origin, what: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "  {:<34} {what}", origin.to_string())
}

impl Serialize for Plan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("cgroup", &self.cgroup)?;
        map.serialize_entry("slots", &list(&self.slots))?;
        map.serialize_entry("cloneFlags", &self.clone_flags)?;
        map.serialize_entry("idMappings", &self.id_mappings)?;
        map.serialize_entry(
            "oomScoreAdj",
            &self.oom_score_adj.as_ref().map(|(origin, value)| Entry {
                origin,
                what: value,
            }),
        )?;
        map.serialize_entry("rlimits", &self.rlimits)?;
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

fn list<T>(entries: &[(Origin, T)]) -> Vec<Entry<'_, &T>> {
    entries
        .iter()
        .map(|(origin, what)| Entry { origin, what })
        .collect()
}
