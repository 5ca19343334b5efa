//! The systemd cgroup driver: a container's cgroup is that of a transient unit, a scope, which systemd makes.
//!
//! Compiling is as pure as for cgroupfs: [`compile`] puts the directories where systemd will have the unit's cgroup, and
//! gives the plan a [`UnitPlan`], the unit with its properties. systemd starts no scope without a process in it, so the
//! container's init is there first, in its caller's cgroup, and waits; then [`UnitPlan::start`] asks systemd for the
//! scope with that process in it (D-Bus, org.freedesktop.systemd1(5)), and the files get all that systemd has no
//! property for.

mod annotations;
mod bus;
mod create;
mod devices;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
mod host;
mod name;
mod property;
mod resources;
mod text;
mod unit;
mod value;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod text_tests;

use oci_spec::runtime::Spec;
use zbus::wire::Signature;

pub use host::{Manager, Systemd};
pub use property::Property;
pub use unit::{Unit, UnitPlan};

use self::name::{Kind, Names};
use self::value::Value;
use super::CgroupError;
use super::devices::Rules;
use super::layout::{Layout, Mode};
use super::path::{POINTER, Requested};
use super::plan::CgroupPlan;

/// What asks for properties that every container's unit has.
const DEFAULT: &str = "default unit properties";

/// The directories that systemd will make for the unit, and the unit.
pub(super) fn requested(
    spec: &Spec,
    container_id: &str,
    layout: &Layout,
    systemd: &Systemd,
) -> Result<(Requested, UnitPlan), CgroupError> {
    if systemd.manager == Manager::User && layout.mode() != Mode::V2 {
        let problem = "systemd makes cgroups for users on cgroup v2 alone, and this host has v1";
        return Err(CgroupError::refused(POINTER, problem));
    }
    let linux = spec.linux().as_ref();
    let cgroups_path = linux.and_then(|linux| linux.cgroups_path().as_deref());
    let names = Names::new(cgroups_path, container_id, systemd)?;
    let unit = UnitPlan {
        properties: basic(&names, layout.mode()),
        resources: Vec::new(),
        manager: systemd.manager,
        kind: names.kind,
        name: names.unit,
    };
    Ok((Requested::of_unit(names.path), unit))
}

/// The properties of the plan's unit, after all limits were planned.
pub(super) fn compile(
    plan: &mut CgroupPlan,
    spec: &Spec,
    systemd: &Systemd,
    mut unit: UnitPlan,
) -> Result<(), CgroupError> {
    resources::round(plan);
    resources::leave_out_weight_of_idle(plan, systemd.version);
    if let Some(annotations) = spec.annotations() {
        let properties = annotations::properties(annotations)?;
        unit.properties.extend(properties);
    }
    let at_creation = resources::at_creation(plan, systemd.version);
    unit.properties.extend(at_creation);
    if !plan.rootless {
        let linux = spec.linux().as_ref();
        let resources = linux.and_then(|linux| linux.resources().as_ref());
        let rules = resources.and_then(|resources| resources.devices().as_deref());
        let devices = linux.and_then(|linux| linux.devices().as_deref());
        let rules = Rules::from_config(rules.unwrap_or_default(), devices.unwrap_or_default())?;
        unit.resources = devices::properties(&rules, plan.mode, systemd.version);
    }
    let limits = resources::properties(plan, systemd.version)?;
    unit.resources.extend(limits);
    plan.unit = Some(unit);
    Ok(())
}

/// The properties of limits that change, whose values are rounded to what systemd can say.
pub(super) fn update(
    plan: &mut CgroupPlan,
    rules: Option<&Rules>,
    systemd: &Systemd,
) -> Result<Vec<Property>, CgroupError> {
    resources::round(plan);
    let devices = rules.map(|rules| devices::properties(rules, plan.mode, systemd.version));
    let mut properties = devices.unwrap_or_default();
    properties.extend(resources::properties(plan, systemd.version)?);
    Ok(properties)
}

/// What every container's unit has. The process is not known yet, and comes in when the unit is started.
fn basic(names: &Names, mode: Mode) -> Vec<Property> {
    let io = match mode {
        Mode::V2 => "IOAccounting",
        Mode::V1 | Mode::Hybrid => "BlockIOAccounting",
    };
    let mut properties = vec![Property::new(
        "Description",
        Value::Text(format!("bareboat container {}", names.name)),
        DEFAULT,
    )];
    match names.kind {
        Kind::Scope => {
            let slice = Value::Text(names.slice.clone());
            properties.push(Property::new("Slice", slice, POINTER));
            properties.push(Property::new("Delegate", Value::Bool(true), DEFAULT));
        }
        // Which slice a slice is in, its name says.
        Kind::Slice => {
            let slices = vec![Value::Text(names.slice.clone())];
            let wanted = Value::Array(Signature::Str, slices);
            properties.push(Property::new("Wants", wanted, POINTER));
        }
    }
    let accounting = ["MemoryAccounting", "CPUAccounting", io, "TasksAccounting"];
    let on = accounting.map(|name| Property::new(name, Value::Bool(true), DEFAULT));
    properties.extend(on);
    let no = Value::Bool(false);
    properties.push(Property::new("DefaultDependencies", no, DEFAULT));
    properties
}
