//! The plan: everything that making a container will do, decided before anything is done.
//!
//! [`compile`] turns a configuration into a [`Plan`] without a system call. Its steps for the init are encoded as the
//! init reads them; its work for the host is data that [`crate::launch`] carries out. Every part knows its [`Origin`].

pub(crate) mod arrival;
mod builder;
mod compile;
mod confinement;
mod describe;
mod display;
#[cfg(test)]
mod self_sufficient_tests;
mod source;
#[cfg(test)]
mod tenant_tests;

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt;

use runtime_init::{Header, Rendezvous, Scheduling, Slot, Step};
use serde::Serialize;

pub use builder::Options;
pub(crate) use builder::{Builder, c_string, text_list};
pub use compile::{compile, compile_with};
pub(crate) use compile::{hook, tenant};
pub(crate) use describe::{describe, list, text};
pub use source::{Attributes, Source};

use crate::cgroup::CgroupPlan;
use crate::id_mappings::IdMappings;
use crate::intel_rdt::IntelRdt;
use crate::mounts::id_map::IdMap;
use crate::net_devices::NetDevice;
use crate::rlimits::Rlimit;
use crate::seccomp::Listener;

/// What asked for a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A JSON pointer into `config.json`.
    Pointer(String),
    /// A default of the specification or of the runtime, in words.
    Default(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Pointer(pointer) => f.write_str(pointer),
            Origin::Default(name) => write!(f, "default {name}"),
        }
    }
}

impl Serialize for Origin {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<String> for Origin {
    fn from(pointer: String) -> Self {
        Origin::Pointer(pointer)
    }
}

/// The origin of what `config.json` asks for at this pointer.
pub(crate) fn pointer(pointer: &str) -> Origin {
    Origin::Pointer(pointer.to_owned())
}

/// What is done to make a container, or to start a process in one.
#[derive(Debug)]
pub struct Plan {
    /// The namespaces that the init is born into (clone(2), CLONE_NEW flags).
    pub(crate) clone_flags: u32,
    pub(crate) cgroup: Option<CgroupPlan>,
    pub(crate) intel_rdt: Option<IntelRdt>,
    pub(crate) id_mappings: Option<IdMappings>,
    /// Interfaces of the host that become the container's.
    pub(crate) net_devices: Vec<NetDevice>,
    pub(crate) oom_score_adj: Option<(Origin, i32)>,
    pub(crate) rlimits: Vec<Rlimit>,
    pub(crate) scheduling: Option<(Origin, Scheduling)>,
    pub(crate) io_priority: Option<(Origin, u32)>,
    pub(crate) arguments: Vec<CString>,
    pub(crate) environment: Vec<CString>,
    /// What the init inherits, slot by slot; the control socket is slot 0.
    pub(crate) slots: Vec<(Origin, Source)>,
    /// The tree of the root, when it is mounted on the host.
    pub(crate) root_on_host: Option<Slot>,
    /// Who is told when a step loads a filter that hands calls over.
    pub(crate) seccomp_listener: Option<Listener>,
    /// Whether a step opens a pty.
    pub(crate) console: bool,
    /// Whether the init clones itself once more.
    pub(crate) forks: bool,
    /// The id mappings of trees that the init clones, by the number of its step.
    pub(crate) id_maps: BTreeMap<usize, IdMap>,
    /// The steps as the init reads them.
    encoded: Vec<u8>,
    /// Where each step begins in `encoded`, and its origin.
    index: Vec<(usize, Origin)>,
}

impl Plan {
    /// The steps that the init executes, in order, each with what asked for it.
    ///
    /// ```
    /// use runtime_core::plan::{self, HostFacts};
    ///
    /// let plan = plan::compile(&runtime_core::default_spec(), &HostFacts::typical())?;
    /// assert!(plan.steps().any(|(origin, _)| origin.to_string() == "/hostname"));
    /// # Ok::<(), runtime_core::Error>(())
    /// ```
    pub fn steps(&self) -> impl Iterator<Item = (&Origin, Step<'_>)> {
        (0..self.index.len()).filter_map(|number| self.step(number))
    }

    /// The step of that number, as the init counts.
    pub(crate) fn step(&self, number: usize) -> Option<(&Origin, Step<'_>)> {
        let (start, origin) = self.index.get(number)?;
        let bytes = self.encoded.get(*start..)?;
        let (step, _) = runtime_init::decode(bytes).ok()?;
        Some((origin, step))
    }

    /// Whether the init, once it is in its cgroups, has all that it needs: it asks the runtime for nothing but for leave to go
    /// on when it is ready, and has nothing set from outside by then.
    pub(crate) fn is_self_sufficient(&self) -> bool {
        let is_set_from_outside = self.oom_score_adj.is_some()
            || !self.rlimits.is_empty()
            || self.scheduling.is_some()
            || self.io_priority.is_some();
        let is_answered =
            self.console || self.seccomp_listener.is_some() || !self.id_maps.is_empty();
        let mut own_trees = Vec::new();
        !is_set_from_outside
            && !is_answered
            && self.steps().all(|(_, step)| match step {
                Step::Wait(rendezvous) => rendezvous == Rendezvous::Ready,
                Step::OpenTree(host) => {
                    own_trees.push(host.tree);
                    true
                }
                Step::MountTree { tree, .. } => own_trees.contains(&tree),
                _ => true,
            })
    }

    /// The plan as the init reads it, which is to note the steps' times in the slot after all others, if it is.
    pub(crate) fn encode(&self, with_stamps: bool) -> Vec<u8> {
        let slot = u16::try_from(self.slots.len()).ok().map(Slot);
        let header = Header {
            steps: u32::try_from(self.index.len()).unwrap_or(u32::MAX),
            stamps: slot.filter(|_| with_stamps),
        };
        let mut bytes = Vec::with_capacity(self.encoded.len() + 8);
        builder::encode(&header, &mut bytes);
        bytes.extend_from_slice(&self.encoded);
        bytes
    }
}

pub use crate::facts::HostFacts;
