//! Collects the parts of a plan.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::PathBuf;

use oci_spec::runtime::{Linux, Spec};
use runtime_init::{Expected, Rendezvous, Slot, Step};
use serde::Serialize;

use super::arrival::Arrival;
use super::{Origin, Plan, Source};
use crate::builder::CgroupDriver;
use crate::error::{Error, ErrorKind, Result};
use crate::facts::HostFacts;
use crate::mounts::{self, id_map::IdMap};

/// What the caller of `create` decides beside the configuration. By default the container is called `container`, and its
/// bundle is the working directory.
#[derive(Clone, Debug)]
pub struct Options {
    /// The container's ID, after which its cgroup and keyring are named.
    pub id: String,
    /// The bundle, to which relative paths of the configuration are relative.
    pub bundle: PathBuf,
    /// Where `root.path` leads, if a symbolic link is on the way.
    pub resolved_root: Option<PathBuf>,
    /// Sources of bind mounts that are files, and lie where they are written: no symbolic link is on the way. The init finds the
    /// same in its copy of the host's mounts.
    pub file_sources: Vec<PathBuf>,
    /// Who makes the cgroup.
    pub cgroup_driver: CgroupDriver,
    /// Whether a container that asks for no cgroup goes without where the caller may not make any; nothing for what is usual:
    /// yes, unless the caller is the host's root.
    pub rootless_cgroups: Option<bool>,
    /// Move the root over `/` instead of pivoting into it.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Go on to the user's program without waiting for `start`.
    pub start_at_once: bool,
    /// Environment variables of the runtime's own for the user's program, such as LISTEN_FDS.
    pub extra_environment: Vec<String>,
    /// The directory on the host that is mounted at `/run/notify`, for the socket on which the program says that it is
    /// ready (sd_notify(3)).
    pub notify_directory: Option<PathBuf>,
    /// The home directory of the user in the image's passwd, for a configuration that sets no HOME.
    pub home: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            id: "container".to_owned(),
            bundle: PathBuf::new(),
            resolved_root: None,
            file_sources: Vec::new(),
            cgroup_driver: CgroupDriver::default(),
            rootless_cgroups: None,
            no_pivot: false,
            no_new_keyring: false,
            start_at_once: false,
            extra_environment: Vec::new(),
            notify_directory: None,
            home: None,
        }
    }
}

/// A plan in the making.
pub(crate) struct Builder<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) facts: &'a HostFacts,
    pub(crate) options: &'a Options,
    pub(crate) plan: Plan,
    /// The null device behind which paths are masked, where it had to be opened before they are.
    pub(crate) null_device: Option<Slot>,
    /// Mounts that become read-only once all is made in them, with what asked for them.
    pub(crate) read_only_later: Vec<(String, CString)>,
    /// What the runtime makes beside the init.
    pub(crate) arrival: Arrival,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(spec: &'a Spec, facts: &'a HostFacts, options: &'a Options) -> Self {
        Builder {
            spec,
            facts,
            options,
            plan: Plan::empty(),
            null_device: None,
            read_only_later: Vec::new(),
            arrival: Arrival::default(),
        }
    }

    /// The configuration's `linux` section.
    pub(crate) fn linux(&self) -> Option<&'a Linux> {
        self.spec.linux().as_ref()
    }

    /// Appends a step for the init.
    pub(crate) fn step(&mut self, origin: impl Into<Origin>, step: &Step<'_>) {
        self.plan.push(origin.into(), step);
    }

    /// Lets the runtime set the ids of the tree that the next step clones in the container's mount namespace.
    pub(crate) fn map_ids_of_next_step(&mut self, id_map: IdMap) {
        self.plan.id_maps.insert(self.plan.index.len(), id_map);
    }

    /// Lets the init inherit a descriptor.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] when there are more than 65,536.
    pub(crate) fn slot(&mut self, origin: impl Into<Origin>, source: Source) -> Result<Slot> {
        let number = u16::try_from(self.plan.slots.len()).map_err(|_| {
            Error::new(
                ErrorKind::Unsupported,
                "more than 65536 descriptors for one container",
            )
        })?;
        self.plan.slots.push((origin.into(), source));
        Ok(Slot(number))
    }

    /// A slot for a tree of the host's mounts. A caller without rights over them may not clone those: the init, which has a copy of
    /// them in the container's mount namespace, does so in a step of its own.
    ///
    /// # Errors
    ///
    /// As for [`Builder::slot`].
    pub(crate) fn tree(&mut self, origin: impl Into<Origin>, source: Source) -> Result<Slot> {
        let origin = origin.into();
        let opened_there =
            (!self.facts.may_clone_mounts()).then(|| (origin.clone(), source.clone()));
        let slot = self.slot(origin, source)?;
        if let Some((origin, source)) = opened_there {
            mounts::open_in_container(self, origin, slot, &source, Expected::Anything)?;
        }
        Ok(slot)
    }

    /// A slot for a file that the init takes from its copy of the host's mounts.
    ///
    /// # Errors
    ///
    /// As for [`Builder::slot`].
    pub(crate) fn file_of_copy(
        &mut self,
        origin: impl Into<Origin>,
        source: Source,
    ) -> Result<Slot> {
        let origin = origin.into();
        let slot = self.slot(origin.clone(), source.clone())?;
        mounts::open_in_container(self, origin, slot, &source, Expected::File)?;
        Ok(slot)
    }
}

impl Plan {
    fn empty() -> Plan {
        Plan {
            clone_flags: 0,
            cgroup: None,
            intel_rdt: None,
            id_mappings: None,
            net_devices: Vec::new(),
            oom_score_adj: None,
            rlimits: Vec::new(),
            scheduling: None,
            io_priority: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            slots: vec![(Origin::Default("control socket"), Source::Control)],
            root_on_host: None,
            seccomp_listener: None,
            console: false,
            forks: false,
            id_maps: BTreeMap::new(),
            encoded: Vec::with_capacity(4096),
            index: Vec::with_capacity(128),
        }
    }

    /// For a process that is there so that new namespaces are, until it is ended.
    pub(crate) fn waiting_in(namespaces: u32) -> Plan {
        let mut plan = Plan::empty();
        plan.clone_flags = namespaces;
        plan.push(
            Origin::Default("namespaces to open"),
            &Step::Wait(Rendezvous::IdMaps),
        );
        plan
    }

    fn push(&mut self, origin: Origin, step: &Step<'_>) {
        self.index.push((self.encoded.len(), origin));
        encode(step, &mut self.encoded);
    }
}

/// Appends the encoding of a value.
pub(crate) fn encode<T: Serialize>(value: &T, bytes: &mut Vec<u8>) {
    // Writing to a vector cannot fail, and neither can the serialisation of the plan's own types.
    let taken = std::mem::take(bytes);
    if let Ok(extended) = postcard::to_extend(value, taken) {
        *bytes = extended;
    }
}

/// The string for the kernel, or an error that names where it stands in the configuration.
pub(crate) fn c_string(pointer: &str, text: impl Into<Vec<u8>>) -> Result<CString> {
    CString::new(text).map_err(|_| Error::config(pointer, "a NUL byte in a string"))
}

/// Strings end to end, each with its terminator.
pub(crate) fn text_list<'t>(texts: impl IntoIterator<Item = &'t CStr>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for text in texts {
        bytes.extend_from_slice(text.to_bytes_with_nul());
    }
    bytes
}
