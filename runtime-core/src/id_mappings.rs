//! `linux.uidMappings` and `linux.gidMappings`: who is who in the container's user namespace.

use oci_spec::runtime::LinuxIdMapping;
use runtime_init::{Rendezvous, Step};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::facts::HostFacts;
use crate::namespaces::{NEWUSER, Namespaces};
use crate::plan::{Builder, Origin, pointer};
use crate::{mapping_tool, rootless};

/// The maps of a user namespace (user_namespaces(7)).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IdMappings {
    /// Whether the namespace is another's, that is joined: it has to have these maps already.
    pub(crate) joined: bool,
    pub(crate) users: Vec<Range>,
    pub(crate) groups: Vec<Range>,
    /// Whether setgroups(2) is given up first, without which the kernel lets nobody but root map a group.
    pub(crate) denies_setgroups: bool,
}

/// What a map may have in lines (user_namespaces(7), since Linux 4.15).
const MOST_LINES: usize = 340;

/// One line of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Range {
    pub(crate) container: u32,
    pub(crate) host: u32,
    pub(crate) size: u32,
}

/// Asks the runtime to write the maps of the user namespace that was just made, or to look whether the one that was just
/// joined has them.
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
        if !users.is_empty() || !groups.is_empty() {
            plan.plan.id_mappings = Some(IdMappings {
                joined: true,
                users: ranges("/linux/uidMappings", users)?,
                groups: ranges("/linux/gidMappings", groups)?,
                denies_setgroups: false,
            });
            let asked = if users.is_empty() { "gid" } else { "uid" };
            plan.step(
                format!("/linux/{asked}Mappings"),
                &Step::Wait(Rendezvous::IdMaps),
            );
        }
        return Ok(());
    }
    for (list, mappings) in [
        ("/linux/uidMappings", users),
        ("/linux/gidMappings", groups),
    ] {
        if mappings.is_empty() {
            let problem = "a new user namespace needs id mappings";
            return Err(Error::config(list, problem));
        }
    }
    plan.plan.id_mappings = Some(IdMappings {
        joined: false,
        users: ranges("/linux/uidMappings", users)?,
        groups: ranges("/linux/gidMappings", groups)?,
        denies_setgroups: rootless::denies_setgroups(plan.facts, groups),
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
    if mappings.len() > MOST_LINES {
        let problem = format!("{} mappings: the kernel takes {MOST_LINES}", mappings.len());
        return Err(Error::config(list, problem));
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

/// Writes a new namespace's maps, or compares a joined one's. `pid` is in it, and is a child that nobody has waited for: no
/// other process can have its number. Where the `caller` has no rights, the set-user-ID tools of the host are asked.
pub(crate) fn carry_out(maps: &IdMappings, pid: i32, caller: &HostFacts) -> Result<()> {
    if maps.denies_setgroups {
        write(pid, "setgroups", "deny")
            .map_err(|refused| refused.explain().at("/linux/gidMappings"))?;
    }
    for (file, ranges, pointer, tool) in [
        ("uid_map", &maps.users, "/linux/uidMappings", "newuidmap"),
        ("gid_map", &maps.groups, "/linux/gidMappings", "newgidmap"),
    ] {
        if maps.joined {
            compare(pid, file, ranges, pointer)?;
            continue;
        }
        let written = write(pid, file, &map_text(ranges)).or_else(|refused| {
            if caller.is_unprivileged() && refused.cause.raw_os_error() == Some(libc::EPERM) {
                mapping_tool::run(tool, pid, ranges)
            } else {
                Err(refused.explain())
            }
        });
        written.map_err(|error| error.at(pointer))?;
    }
    Ok(())
}

/// What the kernel did not take.
struct Refused {
    path: String,
    length: usize,
    cause: std::io::Error,
}

impl Refused {
    fn explain(self) -> Error {
        let mut attempt = format!("write {}", self.path);
        // The kernel takes a map in one piece, which is shorter than a page (user_namespaces(7)).
        if self.length >= rustix::param::page_size() {
            attempt = format!("{attempt} ({} bytes, and a page is the most)", self.length);
        }
        Error::io(ErrorKind::Setup, attempt, self.cause)
    }
}

fn write(pid: i32, file: &str, text: &str) -> std::result::Result<(), Refused> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::write(&path, text).map_err(|cause| Refused {
        path,
        length: text.len(),
        cause,
    })
}

/// Engines give both the path of a namespace and its maps. What is not asked for may be anything.
fn compare(pid: i32, file: &str, asked: &[Range], pointer: &str) -> Result<()> {
    if asked.is_empty() {
        return Ok(());
    }
    let path = format!("/proc/{pid}/{file}");
    let text = std::fs::read_to_string(&path)
        .map_err(|cause| Error::io(ErrorKind::Setup, format!("read {path}"), cause).at(pointer))?;
    // The kernel sorts long maps.
    let mut there = parse_map(&text);
    let mut asked = asked.to_vec();
    there.sort_unstable();
    asked.sort_unstable();
    if there == asked {
        return Ok(());
    }
    let there: Vec<_> = text.split_whitespace().collect();
    let problem = format!(
        "the user namespace that is joined has other mappings: {}",
        there.join(" ")
    );
    Err(Error::new(ErrorKind::Setup, problem).at(pointer))
}

pub(crate) fn parse_map(text: &str) -> Vec<Range> {
    let range = |line: &str| {
        let mut numbers = line.split_whitespace().map_while(|word| word.parse().ok());
        Some(Range {
            container: numbers.next()?,
            host: numbers.next()?,
            size: numbers.next()?,
        })
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_that_the_kernel_prints_is_the_one_that_was_written() {
        let ranges =
            [(0, 100_000, 1000), (1000, 5, u32::MAX)].map(|(container, host, size)| Range {
                container,
                host,
                size,
            });
        assert_eq!(parse_map(&map_text(&ranges)), ranges);
        let printed = "         0     100000       1000\n      1000          5 4294967295\n";
        assert_eq!(parse_map(printed), ranges);
    }
}
