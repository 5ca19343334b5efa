//! `linux.netDevices`: network interfaces of the host that move into the container's network namespace (config-linux.md,
//! "Network Devices").

mod address;
mod moves;
mod netlink;

use std::collections::BTreeSet;
use std::fmt;

use oci_spec::runtime::LinuxNetDevice;
use runtime_init::{Rendezvous, Step};
use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::namespaces::{NEWNET, Namespaces};
use crate::plan::Builder;

pub(crate) use moves::Moves;

/// The length of an interface's name with its terminator (linux/if.h).
const IFNAMSIZ: usize = 16;

/// An interface to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NetDevice {
    /// Its JSON pointer.
    pub(crate) origin: String,
    /// What it is called on the host.
    pub(crate) name: String,
    /// Its name in the container where that differs: a name, or a template such as `eth%d` of which the kernel makes one.
    pub(crate) new_name: Option<String>,
}

impl NetDevice {
    fn in_container(&self) -> &str {
        self.new_name.as_deref().unwrap_or(&self.name)
    }
}

impl fmt::Display for NetDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, there) = (&self.name, self.in_container());
        write!(
            f,
            "move network device {name} into the container as {there}"
        )
    }
}

fn is_template(name: &str) -> bool {
    name.contains('%')
}

/// Asks the runtime to move the interfaces, now that the namespace is there.
pub(crate) fn rendezvous(plan: &mut Builder<'_>) -> Result<()> {
    let devices = plan.linux().and_then(|linux| linux.net_devices().as_ref());
    // A map has no order, and the same configuration gives the same plan.
    let mut devices: Vec<_> = devices.into_iter().flatten().collect();
    devices.sort_by_key(|(name, _)| *name);
    let Some((first, _)) = devices.first() else {
        return Ok(());
    };
    let first = pointer(first);
    if !Namespaces::of(plan)?.has(NEWNET) {
        let problem =
            "the container has no network namespace of its own to which devices could move";
        return Err(Error::config("/linux/netDevices", problem));
    }
    if plan.facts.uid != 0 {
        let problem = "only root takes network devices from the host's network namespace";
        return Err(Error::new(ErrorKind::Unsupported, problem).at("/linux/netDevices"));
    }
    let mut taken = BTreeSet::new();
    for (name, device) in devices {
        let device = parse(name, device)?;
        let name = device.in_container();
        if !is_template(name) && !taken.insert(name.to_owned()) {
            let problem =
                format!("a second network device that is called {name:?} in the container");
            return Err(Error::config(device.origin, problem));
        }
        plan.plan.net_devices.push(device);
    }
    plan.step(first, &Step::Wait(Rendezvous::NetDevices));
    Ok(())
}

fn pointer(name: &str) -> String {
    let key = name.replace('~', "~0").replace('/', "~1");
    format!("/linux/netDevices/{key}")
}

fn parse(name: &str, device: &LinuxNetDevice) -> Result<NetDevice> {
    let origin = pointer(name);
    check(name).map_err(|problem| Error::config(&origin, problem))?;
    let new_name = device
        .name()
        .as_deref()
        .filter(|new_name| !new_name.is_empty());
    if let Some(new_name) = new_name {
        let checked = check(new_name).and_then(|()| check_template(new_name));
        checked.map_err(|problem| Error::config(format!("{origin}/name"), problem))?;
    }
    Ok(NetDevice {
        origin,
        name: name.to_owned(),
        new_name: new_name
            .filter(|new_name| *new_name != name)
            .map(str::to_owned),
    })
}

/// What the kernel takes for an interface's name (net/core/dev.c, `dev_valid_name`).
fn check(name: &str) -> std::result::Result<(), String> {
    // As isspace(3) has it, with the vertical tab.
    let forbidden = |byte: u8| matches!(byte, b'/' | b':' | b' ' | b'\t'..=b'\r' | 0);
    let problem = if name.is_empty() {
        "a network device without a name".to_owned()
    } else if name.len() >= IFNAMSIZ {
        format!("{name:?} is too long for a network device: at most 15 bytes")
    } else if matches!(name, "." | "..") || name.bytes().any(forbidden) {
        format!("{name:?} is no name of a network device")
    } else {
        return Ok(());
    };
    Err(problem)
}

/// A name with a per cent sign is a template, and has one `%d` (net/core/dev.c, `__dev_alloc_name`).
fn check_template(name: &str) -> std::result::Result<(), String> {
    match name.split_once('%') {
        None => Ok(()),
        Some((_, rest)) if rest.starts_with('d') && !rest.contains('%') => Ok(()),
        Some(_) => Err(format!("{name:?} is no template: it has one %d at most")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_the_kernel_takes_for_one() {
        for good in [
            "e",
            "eth0",
            "eth0.1",
            "abcdefghijklmno",
            "a-b_c+d",
            "...",
            "ü",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            ".",
            "..",
            "a/b",
            "a:1",
            "a b",
            "a\t",
            "a\nb",
            "a\u{b}",
            "a\0",
            "abcdefghijklmnop",
            "üüüüüüüü",
        ];
        for bad in bad {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_template_has_one_place_for_a_number() {
        for good in ["eth0", "eth%d", "%d", "a%db"] {
            assert_eq!(check_template(good), Ok(()), "{good}");
        }
        for bad in ["eth%", "eth%s", "%%d", "%d%d", "%d%"] {
            assert!(check_template(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pointer_is_escaped() {
        assert_eq!(pointer("a/b~c"), "/linux/netDevices/a~1b~0c");
    }
}
