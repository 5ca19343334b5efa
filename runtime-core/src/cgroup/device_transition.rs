//! From the device rules that are in force in version 1 to others, for processes that use devices meanwhile.
//!
//! The kernel takes one change at a time (Documentation/admin-guide/cgroup-v1/devices.rst). From one list of exceptions to
//! another, what is new is allowed before what is old is denied, so that a use which both lists allow is allowed all the
//! time, and none is that neither allows. Where there is no such order, or the kernel does not tell what is in force, the
//! processes have to stand still.

use std::collections::{BTreeMap, BTreeSet};

use super::devices::{Access, Kind, Match, Rules};

/// What is in force, as far as `devices.list` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Current {
    /// All but exceptions that the kernel does not list.
    All,
    /// These devices alone.
    Only(BTreeMap<Match, Access>),
}

/// Writes to `devices.allow` and `devices.deny`, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) writes: Vec<(&'static str, String)>,
    /// Between two of them more or less is allowed than before and after.
    pub(super) disruptive: bool,
}

const ALLOW: &str = "devices.allow";
const DENY: &str = "devices.deny";

impl Current {
    /// Reads `devices.list`.
    pub(super) fn parse(list: &str) -> Option<Current> {
        let mut devices = BTreeMap::new();
        for line in list.lines() {
            if line.starts_with('a') {
                return Some(Current::All);
            }
            let (device, access) = parse_line(line)?;
            devices.insert(device, access);
        }
        Some(Current::Only(devices))
    }

    /// Whether it is what the rules say, as far as can be told.
    pub(super) fn is(&self, rules: &Rules) -> bool {
        match self {
            Current::All => rules.allow,
            Current::Only(devices) => !rules.allow && *devices == accesses(rules),
        }
    }
}

fn parse_line(line: &str) -> Option<(Match, Access)> {
    let mut words = line.split([' ', ':']);
    let kind = match words.next()? {
        "b" => Kind::Block,
        "c" => Kind::Character,
        _ => return None,
    };
    let number = |word: &str| match word {
        "*" => Some(None),
        number => number.parse().ok().map(Some),
    };
    let (major, minor) = (number(words.next()?)?, number(words.next()?)?);
    let access = Access::parse(words.next()?)?;
    Some((Match { kind, major, minor }, access))
}

fn accesses(rules: &Rules) -> BTreeMap<Match, Access> {
    let exceptions = rules.exceptions.iter();
    exceptions
        .map(|(device, (access, _))| (*device, *access))
        .collect()
}

/// The writes that make the rules be in force.
pub(super) fn transition(current: &Current, rules: &Rules) -> Transition {
    let wanted = accesses(rules);
    match current {
        Current::Only(devices) if !rules.allow => between_lists(devices, &wanted),
        _ => from_anything(rules, &wanted),
    }
}

/// The kernel forgets all exceptions when the default is written.
fn from_anything(rules: &Rules, wanted: &BTreeMap<Match, Access>) -> Transition {
    let (default, file) = match rules.allow {
        true => (ALLOW, DENY),
        false => (DENY, ALLOW),
    };
    let mut writes = vec![(default, "a".to_owned())];
    writes.extend(
        wanted
            .iter()
            .map(|(device, access)| (file, entry(device, *access))),
    );
    Transition {
        disruptive: writes.len() > 1,
        writes,
    }
}

fn between_lists(
    current: &BTreeMap<Match, Access>,
    wanted: &BTreeMap<Match, Access>,
) -> Transition {
    let (mut grown, mut changed, mut shrunk) = (Vec::new(), Vec::new(), Vec::new());
    let devices: BTreeSet<&Match> = current.keys().chain(wanted.keys()).collect();
    for device in devices {
        let of = |list: &BTreeMap<Match, Access>| list.get(device).copied().unwrap_or_default();
        let (old, new) = (of(current), of(wanted));
        let gained = Access(new.0 & !old.0);
        let lost = Access(old.0 & !new.0);
        let (gain, lose) = ((ALLOW, entry(device, gained)), (DENY, entry(device, lost)));
        match (gained == Access::default(), lost == Access::default()) {
            (true, true) => {}
            (false, true) => grown.push(gain),
            (true, false) => shrunk.push(lose),
            // Both at once, reading and writing in one use, is in neither list.
            (false, false) => changed.extend([lose, gain]),
        }
    }
    Transition {
        disruptive: !changed.is_empty(),
        writes: [grown, changed, shrunk].concat(),
    }
}

fn entry(device: &Match, access: Access) -> String {
    format!("{device} {access}")
}

#[cfg(test)]
#[path = "device_transition_tests.rs"]
mod tests;
