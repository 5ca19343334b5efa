//! Agreement with another runtime: the same configurations given to both, and what each made of them compared.
//!
//! A [`Configuration`] is generated; each [`Side`] creates a container of it, and all files of the cgroup that limits are
//! in are read, in every hierarchy, and devices are tried. What differs is either [intended](differences::TABLE), with a
//! reason, or a failure.

mod combinations;
mod configurations;
pub mod differences;
mod edges;
mod observation;
mod random;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::thread;

pub use configurations::{Configuration, block_device, device_rules, generate};
pub use differences::{Context, Intended};
pub use observation::{Observation, Side};

use crate::cgroup;

/// One thing that the two did not make the same of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// The first runtime alone refused.
    OnlyOursRefused(String),
    /// The reference alone refused.
    OnlyTheirsRefused(String),
    /// A file of the cgroup has another value, or only one of them has it.
    File {
        /// By hierarchy and name.
        name: String,
        /// Of the first runtime.
        ours: Option<String>,
        /// Of the reference.
        theirs: Option<String>,
    },
    /// A device can be used in other ways.
    Device {
        /// As `c 1:3`.
        name: String,
        /// Of the first runtime.
        ours: String,
        /// Of the reference.
        theirs: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| {
            value
                .as_ref()
                .map_or("absent".to_owned(), |value| format!("{value:?}"))
        };
        match self {
            Self::OnlyOursRefused(message) => {
                write!(f, "refused, and not by the reference: {message}")
            }
            Self::OnlyTheirsRefused(message) => {
                write!(f, "refused by the reference alone: {message}")
            }
            Self::File { name, ours, theirs } => {
                write!(
                    f,
                    "{name}: {}, the reference has {}",
                    shown(ours),
                    shown(theirs)
                )
            }
            Self::Device { name, ours, theirs } => {
                write!(
                    f,
                    "device {name}: may {ours:?}, the reference's may {theirs:?}"
                )
            }
        }
    }
}

/// What came of one configuration.
#[derive(Debug)]
pub struct Outcome {
    /// The configuration.
    pub configuration: Configuration,
    /// Whether both refused it.
    pub refused: bool,
    /// Differences that nothing explains.
    pub failures: Vec<Difference>,
    /// Those that are intended.
    pub intended: Vec<(Difference, &'static Intended)>,
}

/// Puts a configuration to both at once.
#[must_use]
pub fn compare(ours: &Side, theirs: &Side, configuration: Configuration) -> Outcome {
    let resources = &configuration.resources;
    let (first, second) = thread::scope(|scope| {
        let second = scope.spawn(|| theirs.observe(resources));
        (ours.observe(resources), second.join())
    });
    let second = second.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    let context = Context {
        resources,
        v1: cgroup::is_v1("devices"),
        reference: &theirs.runtime,
        systemd: theirs.is_systemd(),
    };
    let refused = matches!(
        (&first, &second),
        (Observation::Refused(_), Observation::Refused(_))
    );
    let mut outcome = Outcome {
        configuration: configuration.clone(),
        refused,
        failures: vec![],
        intended: vec![],
    };
    for difference in differences_of(&first, &second) {
        match differences::find(&context, &difference) {
            Some(intended) => outcome.intended.push((difference, intended)),
            None => outcome.failures.push(difference),
        }
    }
    outcome
}

fn differences_of(ours: &Observation, theirs: &Observation) -> Vec<Difference> {
    match (ours, theirs) {
        (Observation::Refused(_), Observation::Refused(_)) => vec![],
        (Observation::Refused(message), _) => vec![Difference::OnlyOursRefused(message.clone())],
        (_, Observation::Refused(message)) => vec![Difference::OnlyTheirsRefused(message.clone())],
        (
            Observation::Created { files, devices },
            Observation::Created {
                files: other_files,
                devices: other_devices,
            },
        ) => {
            let file = |name: &String| Difference::File {
                name: name.clone(),
                ours: files.get(name).cloned(),
                theirs: other_files.get(name).cloned(),
            };
            let device = |name: &String| Difference::Device {
                name: name.clone(),
                ours: devices.get(name).cloned().unwrap_or_default(),
                theirs: other_devices.get(name).cloned().unwrap_or_default(),
            };
            let files = unequal(files, other_files).into_iter().map(file);
            files
                .chain(unequal(devices, other_devices).into_iter().map(device))
                .collect()
        }
    }
}

/// The keys under which the two have not the same.
fn unequal<'a>(
    ours: &'a BTreeMap<String, String>,
    theirs: &'a BTreeMap<String, String>,
) -> BTreeSet<&'a String> {
    let all = ours.keys().chain(theirs.keys());
    all.filter(|key| ours.get(*key) != theirs.get(*key))
        .collect()
}
