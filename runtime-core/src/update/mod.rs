//! `update`: other limits for a container that runs.
//!
//! What is not given stays as it is ([`merge`]), and what comes of it is kept in the state directory's `config.json`, so that
//! later updates build on it. An update is carried out as a whole or not at all.

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod json;
mod merge;

use oci_spec::runtime::{LinuxIntelRdt, LinuxResources};
use serde_json::{Value, json};

use crate::cgroup::{self, Cgroup, Layout, Systemd};
use crate::cgroup_error;
use crate::container::Container;
use crate::error::{Attempt, Error, Result};
use crate::intel_rdt;
use crate::state::Directory;
use crate::status::Status;

pub use json::parse_resources;

const POINTER: &str = "/linux/resources";

impl Container {
    /// Changes the limits of a container that runs, is paused or waits for its start: `linux.resources`, of which a part is
    /// enough (config-linux.md, "Control Groups"). What is not given stays as it is, of lists such as `throttleReadBpsDevice`
    /// the entries that are not given; `devices` alone is replaced as a whole.
    ///
    /// ```no_run
    /// use runtime_core::oci_spec::runtime::{LinuxPidsBuilder, LinuxResources};
    /// use runtime_core::Container;
    ///
    /// let mut resources = LinuxResources::default();
    /// let pids = LinuxPidsBuilder::default().limit(100).build().ok();
    /// resources.set_devices(None).set_pids(pids);
    /// Container::load("/run/bareboat", "web")?.update(&resources)?;
    /// # Ok::<(), runtime_core::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotRunning`](crate::ErrorKind::NotRunning) when the container has stopped,
    /// [`ErrorKind::Setup`](crate::ErrorKind::Setup) when a value cannot be, its processes use more than a limit that is to be
    /// checked, or the kernel refuses one: the origin is the JSON pointer of what asked for it. What was changed by then is
    /// taken back.
    pub fn update(&self, resources: &LinuxResources) -> Result<()> {
        self.update_with(resources, None)
    }

    /// The same, with shares of caches and memory bandwidth: `l3CacheSchema`, `memBwSchema` and `schemata` of
    /// `linux.intelRdt`.
    ///
    /// # Errors
    ///
    /// As for [`Container::update`]; and when the container has no class of service, as its configuration had no
    /// `linux.intelRdt`.
    pub fn update_with(
        &self,
        resources: &LinuxResources,
        intel_rdt: Option<&LinuxIntelRdt>,
    ) -> Result<()> {
        self.change(resources, intel_rdt)
            .map_err(|error| error.context(format_args!("update {}", self.id())))
    }

    fn change(&self, asked: &LinuxResources, intel_rdt: Option<&LinuxIntelRdt>) -> Result<()> {
        let directory = Directory::open_created(&self.root, self.id(), "update")?;
        let container = Container::load(&self.root, self.id())?;
        match container.status()? {
            Status::Stopped => return Err(self.not_running()),
            Status::Creating => {
                return Err(self.state_error("cannot update a container that is being created"));
            }
            Status::Created | Status::Running | Status::Paused => {}
        }
        let mut config = directory.read_config_json()?;
        let none = Cgroup::default();
        let cgroup = container.record.cgroup.as_ref().unwrap_or(&none);
        let before = config.pointer(POINTER);
        let in_force = cgroup.in_force();
        let merged = merge::merge(before, asked, in_force)?;
        let mut layout = Layout::detect().host(|| "read the cgroup hierarchies".to_owned())?;
        if cgroup.unit().is_some() {
            layout = layout.managed_by(Systemd::read().map_err(cgroup_error)?);
        }
        let spec = container.spec()?;
        let devices = spec
            .linux()
            .as_ref()
            .and_then(|linux| linux.devices().as_deref());
        let asked = cgroup::Asked {
            resources: &merged.written,
            kept: &merge::typed(merged.kept.clone())?,
            devices: devices.unwrap_or_default(),
            in_force,
        };
        let update = cgroup::compile_update(cgroup, &layout, &asked).map_err(cgroup_error)?;
        for (pointer, reason) in update.ignored() {
            tracing::warn!("{pointer}: {reason}");
        }
        keep(&mut config, "resources", merged.kept);
        let shares = container.shares(intel_rdt, &mut config)?;
        let config = directory.prepare_config(&config)?;
        let shares = shares.as_ref().map(intel_rdt::Change::make).transpose()?;
        cgroup.update(&update).map_err(|error| {
            let error = cgroup_error(error);
            match shares.map_or(Ok(()), intel_rdt::Changed::take_back) {
                Ok(()) => error,
                Err(second) => error.context(second),
            }
        })?;
        config.commit()
    }

    /// What is to be written to the container's class of service, after it was noted in the configuration.
    fn shares(
        &self,
        asked: Option<&LinuxIntelRdt>,
        config: &mut Value,
    ) -> Result<Option<intel_rdt::Change>> {
        let Some(asked) = asked else {
            return Ok(None);
        };
        let Some(group) = &self.record.intel_rdt else {
            let problem = "updating a non-existent Intel RDT configuration is not supported";
            return Err(Error::config(intel_rdt::INTEL_RDT, problem));
        };
        let change = intel_rdt::Change::new(group, asked)?;
        let mut kept = config
            .pointer(intel_rdt::INTEL_RDT)
            .cloned()
            .unwrap_or_else(|| json!({}));
        for (member, value) in change.members() {
            kept[member] = value;
        }
        keep(config, "intelRdt", kept);
        Ok(Some(change))
    }
}

/// Sets a member of `linux`.
fn keep(config: &mut Value, member: &str, value: Value) {
    if let Some(config) = config.as_object_mut() {
        let linux = config.entry("linux").or_insert_with(|| json!({}));
        if let Some(linux) = linux.as_object_mut() {
            linux.insert(member.to_owned(), value);
        }
    }
}
