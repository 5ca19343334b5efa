//! A container's unit: planned, and there.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize, Serializer};

use super::bus::{self, Bus, BusError};
use super::host::Manager;
use super::name::Kind;
use super::property::Property;
use crate::cgroup::CgroupError;
use crate::cgroup::path::POINTER;

/// The transient unit that systemd is asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnitPlan {
    pub(super) name: String,
    pub(super) manager: Manager,
    pub(super) kind: Kind,
    /// What it has from the beginning.
    pub(super) properties: Vec<Property>,
    /// Limits, which may change.
    pub(super) resources: Vec<Property>,
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match self {
            Kind::Scope => "scope",
            Kind::Slice => "slice",
        })
    }
}

impl UnitPlan {
    /// The unit's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether it is a slice, in which systemd puts no process.
    pub(super) fn is_slice(&self) -> bool {
        self.kind == Kind::Slice
    }

    /// The properties of its limits, in order: what [`Unit::set_properties`] sets when they change.
    pub fn resources(&self) -> &[Property] {
        &self.resources
    }

    /// All properties, in order.
    pub fn properties(&self) -> impl Iterator<Item = &Property> {
        self.properties.iter().chain(&self.resources)
    }

    /// Starts the unit, with this process in it if it is a scope, and waits until systemd has done so. A failed unit of
    /// the same name is a container's that is no more, and gives way.
    ///
    /// # Errors
    ///
    /// When there is such a unit, or systemd cannot start it, or not in time; nothing is left of it then.
    pub(super) fn start(&self, pid: i32) -> Result<Unit, CgroupError> {
        let pid = u32::try_from(pid).ok().filter(|_| self.kind == Kind::Scope);
        let properties: Vec<Property> = self.properties().cloned().collect();
        let started = bus::with(self.manager, async |bus| {
            let mut result = bus.start_unit(&self.name, &properties, pid).await;
            if matches!(&result, Err(error) if error.is("UnitExists")) {
                reset(bus, &self.name).await;
                result = bus.start_unit(&self.name, &properties, pid).await;
            }
            // The process, if it is in the unit, is about to be killed, and takes the unit with it.
            if matches!(result, Err(BusError::Job { .. } | BusError::Late(_))) {
                reset(bus, &self.name).await;
            }
            result
        });
        match started {
            Ok(()) => Ok(Unit {
                name: self.name.clone(),
                manager: self.manager,
            }),
            Err(error) => Err(self.cannot_start(&error)),
        }
    }

    /// Of a property that systemd names in its answer, the error has the pointer.
    fn cannot_start(&self, error: &BusError) -> CgroupError {
        let text = error.to_string();
        let named = |property: &&Property| {
            let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
            property.origin().starts_with('/') && words.any(|word| word == property.name())
        };
        let origin = self.properties().find(named).map(Property::origin);
        let attempt = format!("start the systemd unit {}: {text}", self.name);
        let problem = match error.is("UnitExists") {
            // The phrase is runc's.
            true => format!("the container's cgroup is not empty: {attempt}"),
            false => attempt,
        };
        CgroupError::host(origin.unwrap_or(POINTER), problem)
    }
}

impl fmt::Display for UnitPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let process = match self.kind {
            Kind::Scope => " with the init in it",
            Kind::Slice => "",
        };
        let of = match self.manager {
            Manager::System => "systemd",
            Manager::User => "the user's systemd",
        };
        write!(f, "{of} starts {}{process}", self.name)
    }
}

/// A container's unit, as it is kept in the container's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    name: String,
    manager: Manager,
}

impl Unit {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whose systemd it is of.
    pub fn manager(&self) -> Manager {
        self.manager
    }

    /// Changes its properties for as long as it is there.
    ///
    /// # Errors
    ///
    /// When systemd cannot be reached, or refuses one; then it changes none.
    pub fn set_properties(&self, properties: &[Property]) -> Result<(), CgroupError> {
        if properties.is_empty() {
            return Ok(());
        }
        self.with("set properties of", async |bus| {
            bus.set_properties(&self.name, properties).await
        })
    }

    /// Moves a process into its cgroup, or into one at this path below: systemd may do so where the process's user may not.
    ///
    /// # Errors
    ///
    /// When systemd cannot be reached, or refuses.
    pub(crate) fn attach(&self, below: &Path, pid: i32) -> Result<(), CgroupError> {
        let pid = u32::try_from(pid).unwrap_or_default();
        let below = format!("/{}", below.display());
        self.with("move a process into", async |bus| {
            bus.attach(&self.name, &below, pid).await
        })
    }

    /// Stops it, and makes systemd forget it. One that is gone already is no error: scopes end with their last process.
    ///
    /// # Errors
    ///
    /// When systemd cannot be reached, or does not stop it in time.
    pub(in crate::cgroup) fn stop(&self) -> Result<(), CgroupError> {
        self.with("stop", async |bus| {
            let stopped = match bus.stop_unit(&self.name).await {
                Err(error) if error.is("NoSuchUnit") => return Ok(()),
                Err(error @ BusError::Job { .. }) => {
                    tracing::warn!("{error}");
                    Ok(())
                }
                result => result,
            };
            reset(bus, &self.name).await;
            stopped
        })
    }

    fn with(
        &self,
        attempt: &str,
        work: impl AsyncFnOnce(&Bus) -> Result<(), BusError> + Send,
    ) -> Result<(), CgroupError> {
        bus::with(self.manager, work).map_err(|error| {
            let problem = format!("{attempt} the systemd unit {}: {error}", self.name);
            CgroupError::host(POINTER, problem)
        })
    }
}

/// Most units have not failed, and are no more by now.
async fn reset(bus: &Bus, name: &str) {
    if let Err(error) = bus.reset_failed(name).await {
        tracing::debug!("reset the systemd unit {name}: {error}");
    }
}
