//! `linux.uidMappings` and `linux.gidMappings`: who is who in the container's user namespace.

use oci_spec::runtime::LinuxIdMapping;
use runtime_init::{Rendezvous, Step};
use serde::Serialize;

use crate::error::{Error, Result};
use crate::namespaces::{NEWUSER, Namespaces};
use crate::plan::{Builder, Origin, pointer};

/// The maps of a new user namespace (user_namespaces(7)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct IdMappings {
    pub(crate) users: Vec<Range>,
    pub(crate) groups: Vec<Range>,
}

/// One line of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Range {
    pub(crate) container: u32,
    pub(crate) host: u32,
    pub(crate) size: u32,
}

/// Asks the runtime to write the maps of the user namespace that was just made.
pub(crate) fn plan(plan: &mut Builder<'_>, namespaces: &Namespaces<'_>) -> Result<()> {
    let (users, groups) = match plan.linux() {
        None => (None, None),
        Some(linux) => (
            linux.uid_mappings().as_deref(),
            linux.gid_mappings().as_deref(),
        ),
    };
    let (users, groups) = (users.unwrap_or_default(), groups.unwrap_or_default());
    if namespaces.new & NEWUSER == 0 {
        if !users.is_empty() && !namespaces.has(NEWUSER) {
            return Err(Error::config(
                "/linux/uidMappings",
                "id mappings need a user namespace",
            ));
        }
        if !groups.is_empty() && !namespaces.has(NEWUSER) {
            return Err(Error::config(
                "/linux/gidMappings",
                "id mappings need a user namespace",
            ));
        }
        return Ok(());
    }
    plan.plan.id_mappings = Some(IdMappings {
        users: ranges("/linux/uidMappings", users)?,
        groups: ranges("/linux/gidMappings", groups)?,
    });
    plan.step(
        pointer("/linux/uidMappings"),
        &Step::Wait(Rendezvous::IdMaps),
    );
    plan.step(
        Origin::Default("user 0 of the user namespace"),
        &Step::BecomeRoot,
    );
    Ok(())
}

pub(crate) fn ranges(list: &str, mappings: &[LinuxIdMapping]) -> Result<Vec<Range>> {
    if mappings.is_empty() {
        return Err(Error::config(
            list,
            "a new user namespace needs id mappings",
        ));
    }
    let ranges = mappings.iter().enumerate().map(|(number, mapping)| {
        if mapping.size() == 0 {
            return Err(Error::config(
                format!("{list}/{number}/size"),
                "a mapping of no id",
            ));
        }
        Ok(Range {
            container: mapping.container_id(),
            host: mapping.host_id(),
            size: mapping.size(),
        })
    });
    ranges.collect()
}

/// A map as the kernel reads it.
pub(crate) fn map_text(ranges: &[Range]) -> String {
    ranges
        .iter()
        .map(|range| format!("{} {} {}\n", range.container, range.host, range.size))
        .collect()
}
