//! `process.capabilities`: the five sets (capabilities(7)).

use std::str::FromStr;

use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities, Process};
use runtime_init::Step;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Builder, Origin, pointer};

const SETS: &str = "/process/capabilities";

/// Takes from the bounding set what the configuration does not list. Without a `capabilities` section the process has
/// none.
pub(crate) fn limit_bounding_set(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let keep = of(plan, process, "bounding", LinuxCapabilities::bounding)?;
    let last = plan.facts.last_capability;
    plan.step(
        origin(process, "/process/capabilities/bounding"),
        &Step::LimitBoundingSet { keep, last },
    );
    Ok(())
}

/// Sets the other four.
pub(crate) fn set(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let permitted = of(plan, process, "permitted", LinuxCapabilities::permitted)?;
    let inheritable = of(plan, process, "inheritable", LinuxCapabilities::inheritable)?;
    let ambient = of(plan, process, "ambient", LinuxCapabilities::ambient)?;
    // The kernel keeps ambient capabilities within these two.
    warn_of_lost_ambient(ambient & !(permitted & inheritable));
    let ambient = ambient & permitted & inheritable;
    let effective = of(plan, process, "effective", LinuxCapabilities::effective)? & permitted;
    let step = Step::SetCapabilities {
        effective,
        permitted,
        inheritable,
        ambient,
    };
    plan.step(origin(process, SETS), &step);
    Ok(())
}

/// A process without the section has no capabilities, by default.
fn origin(process: &Process, place: &str) -> Origin {
    match process.capabilities() {
        Some(_) => pointer(place),
        None => Origin::Default("capabilities"),
    }
}

/// One of the sets, without what the caller cannot grant: that is worth a warning and no failure (config.md, "Linux
/// Process": "MUST be logged as a warning").
fn of(
    plan: &Builder<'_>,
    process: &Process,
    name: &str,
    set: fn(&LinuxCapabilities) -> &Option<Capabilities>,
) -> Result<u64> {
    let Some(asked) = process
        .capabilities()
        .as_ref()
        .and_then(|sets| set(sets).as_ref())
    else {
        return Ok(0);
    };
    let mut mask = 0;
    for capability in asked {
        let bit = 1u64 << number(*capability)?;
        if plan.facts.bounding_set & bit == 0 {
            tracing::warn!(
                "{SETS}/{name}: CAP_{capability} cannot be granted: the runtime does not have it"
            );
        } else {
            mask |= bit;
        }
    }
    Ok(mask)
}

fn warn_of_lost_ambient(lost: u64) {
    for capability in caps::all() {
        if lost & (1 << capability.index()) != 0 {
            tracing::warn!(
                "can't raise ambient capability {capability}: it is not both permitted and inheritable"
            );
        }
    }
}

/// The names of all capabilities, in the kernel's order (linux/capability.h).
pub(crate) fn names() -> Vec<String> {
    let mut all: Vec<_> = caps::all().into_iter().collect();
    all.sort_by_key(caps::Capability::index);
    all.iter().map(ToString::to_string).collect()
}

fn number(capability: Capability) -> Result<u8> {
    let name = format!("CAP_{capability}");
    caps::Capability::from_str(&name)
        .map(|capability| capability.index())
        .map_err(|_| {
            Error::new(ErrorKind::Unsupported, format!("unknown capability {name}")).at(SETS)
        })
}
