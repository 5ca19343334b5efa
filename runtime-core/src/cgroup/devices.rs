//! `linux.resources.devices`: which devices a container may use.
//!
//! The rules are applied in order to a model of the devices controller of version 1, which has a default and a list of
//! exceptions from it. What is left at the end is written to version 1, or becomes a program for version 2, so that both
//! give the same answers.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

use super::CgroupError;
use super::bpf;
use super::plan::{CgroupPlan, Origin, Version};

/// The pointer of all rules together.
pub(super) const POINTER: &str = "/linux/resources/devices";

const DEFAULT: Origin = Cow::Borrowed("default devices");

/// Devices that every container may use, whatever its rules say: those of config-linux.md, "Default Devices" (by the
/// path that a `linux.devices` entry replaces), the terminals of /dev/pts, and /dev/net/tun, on which engines rely.
const DEFAULT_DEVICES: &[(Option<&str>, u32, Option<u32>)] = &[
    (Some("/dev/null"), 1, Some(3)),
    (Some("/dev/random"), 1, Some(8)),
    (Some("/dev/full"), 1, Some(7)),
    (Some("/dev/tty"), 5, Some(0)),
    (Some("/dev/zero"), 1, Some(5)),
    (Some("/dev/urandom"), 1, Some(9)),
    (None, 136, None),
    (None, 5, Some(2)),
    (None, 10, Some(200)),
];

/// Ways to use a device, as bits: BPF_DEVCG_ACC_* of linux/bpf.h.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Access(pub(super) u32);

impl Access {
    pub(super) const MKNOD: Access = Access(1);
    pub(super) const READ: Access = Access(2);
    pub(super) const WRITE: Access = Access(4);
    pub(super) const ALL: Access = Access(7);

    const LETTERS: [(char, Access); 3] = [
        ('r', Access::READ),
        ('w', Access::WRITE),
        ('m', Access::MKNOD),
    ];

    pub(super) fn parse(text: &str) -> Option<Access> {
        let bit = |letter| {
            Access::LETTERS
                .iter()
                .find(|(name, _)| *name == letter)
                .map(|(_, bit)| bit.0)
        };
        let bits = text
            .chars()
            .try_fold(0, |bits, letter| Some(bits | bit(letter)?))?;
        (bits != 0).then_some(Access(bits))
    }

    pub(super) fn overlaps(self, other: Access) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut letters = Access::LETTERS
            .iter()
            .filter(|(_, bit)| self.overlaps(*bit));
        letters.try_for_each(|(letter, _)| write!(f, "{letter}"))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Block,
    Character,
}

/// Which devices an exception is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    pub(super) major: Option<u32>,
    pub(super) minor: Option<u32>,
    pub(super) kind: Kind,
}

impl Match {
    /// Whether there are devices that both are for.
    fn overlaps(self, other: Match) -> bool {
        let overlap =
            |own: Option<u32>, other: Option<u32>| own.is_none() || other.is_none() || own == other;
        self.kind == other.kind
            && overlap(self.major, other.major)
            && overlap(self.minor, other.minor)
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |number: Option<u32>| {
            number.map_or_else(|| "*".to_owned(), |number| number.to_string())
        };
        let kind = if self.kind == Kind::Block { 'b' } else { 'c' };
        write!(f, "{kind} {}:{}", number(self.major), number(self.minor))
    }
}

/// What a cgroup's processes may use.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// What holds where no exception does.
    pub(super) allow: bool,
    pub(super) exceptions: BTreeMap<Match, (Access, Origin)>,
    /// The exceptions as the kernel lists them: in the order of the rules that made them.
    pub(super) order: Vec<Match>,
}

/// Plans what the container may use. The caller that is not the host's root cannot restrict that.
pub(super) fn compile(
    plan: &mut CgroupPlan,
    rules: &[LinuxDeviceCgroup],
    devices: &[LinuxDevice],
) -> Result<(), CgroupError> {
    let asked = !rules.is_empty();
    let rules = Rules::from_config(rules, devices)?;
    if plan.rootless {
        if asked {
            plan.ignore(POINTER, "only the host's root can restrict devices, and no one else's container can make any");
        }
        return Ok(());
    }
    let hierarchy = match plan.hierarchy("devices", POINTER) {
        Ok(hierarchy) => hierarchy,
        Err(error) => {
            let filtered = filter(plan, &rules);
            if filtered.is_ok() || !asked {
                return Ok(());
            }
            if plan.shared.is_empty() {
                return Err(error);
            }
            plan.ignore(POINTER, "the container has no cgroup that could restrict devices: the caller may not make any");
            return Ok(());
        }
    };
    let (default, file) = match rules.allow {
        true => ("devices.allow", "devices.deny"),
        false => ("devices.deny", "devices.allow"),
    };
    hierarchy.write(default, "a", POINTER);
    for device in &rules.order {
        if let Some((access, origin)) = rules.exceptions.get(device) {
            hierarchy.write(file, format!("{device} {access}"), origin.clone());
        }
    }
    Ok(())
}

/// Version 2 has no controller of devices, and every cgroup of it takes a filter.
fn filter(plan: &mut CgroupPlan, rules: &Rules) -> Result<(), ()> {
    let mut all = plan.directories.iter_mut();
    let planned = all
        .find(|planned| planned.version() == Version::V2)
        .ok_or(())?;
    planned.optional = false;
    planned.devices = Some(bpf::compile(rules));
    Ok(())
}

impl Rules {
    pub(super) fn from_config(
        rules: &[LinuxDeviceCgroup],
        devices: &[LinuxDevice],
    ) -> Result<Rules, CgroupError> {
        let mut result = Rules::default();
        for (number, rule) in rules.iter().enumerate() {
            result.apply_configured(&format!("{POINTER}/{number}"), rule)?;
        }
        result.apply_defaults(devices)?;
        Ok(result)
    }

    fn apply_configured(
        &mut self,
        pointer: &str,
        rule: &LinuxDeviceCgroup,
    ) -> Result<(), CgroupError> {
        // An entry without access is about all of it: config-linux.md has it OPTIONAL, and says no more.
        let asked = rule.access().as_deref().unwrap_or("rwm");
        let Some(access) = Access::parse(asked) else {
            if !rule.allow() && !self.allow && self.exceptions.is_empty() {
                // Whatever it is, nothing allows it.
                return Ok(());
            }
            let problem = format!("{asked:?} is not made of r, w and m");
            return Err(CgroupError::refused(format!("{pointer}/access"), problem));
        };
        let kind = match rule.typ().unwrap_or(LinuxDeviceType::A) {
            // As the kernel: all of them, and whatever else the rule says.
            LinuxDeviceType::A => {
                *self = Rules {
                    allow: rule.allow(),
                    ..Rules::default()
                };
                return Ok(());
            }
            LinuxDeviceType::B => Kind::Block,
            LinuxDeviceType::C => Kind::Character,
            other => {
                let problem = format!(
                    "a rule is for devices of type a, b or c, not {:?}",
                    other.as_str()
                );
                return Err(CgroupError::refused(format!("{pointer}/type"), problem));
            }
        };
        let number = |name: &str, number: Option<i64>| match number {
            None | Some(-1) => Ok(None),
            Some(value) => match u32::try_from(value) {
                // For the kernel's lists of version 1 the greatest is a wildcard.
                Ok(number) if number != u32::MAX => Ok(Some(number)),
                _ => Err(CgroupError::refused(
                    format!("{pointer}/{name}"),
                    format!("{value} is not a device number"),
                )),
            },
        };
        let device = Match {
            kind,
            major: number("major", rule.major())?,
            minor: number("minor", rule.minor())?,
        };
        self.apply(device, access, rule.allow(), Cow::Owned(pointer.to_owned()))
    }

    fn apply_defaults(&mut self, devices: &[LinuxDevice]) -> Result<(), CgroupError> {
        for kind in [Kind::Character, Kind::Block] {
            self.apply(
                Match {
                    kind,
                    major: None,
                    minor: None,
                },
                Access::MKNOD,
                true,
                DEFAULT,
            )?;
        }
        for &(path, major, minor) in DEFAULT_DEVICES {
            let replaced = |path: &str| {
                devices
                    .iter()
                    .any(|device| device.path().as_os_str() == path)
            };
            if !path.is_some_and(replaced) {
                let device = Match {
                    kind: Kind::Character,
                    major: Some(major),
                    minor,
                };
                self.apply(device, Access::ALL, true, DEFAULT)?;
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        device: Match,
        access: Access,
        allow: bool,
        origin: Origin,
    ) -> Result<(), CgroupError> {
        if allow != self.allow {
            let (before, _) = self.exceptions.get(&device).cloned().unwrap_or_else(|| {
                self.order.push(device);
                (Access::default(), origin.clone())
            });
            let merged = (Access(before.0 | access.0), origin);
            self.exceptions.insert(device, merged);
            return Ok(());
        }
        self.check_hole(device, access, &origin)?;
        self.warn_of_survivors(device, access, &origin);
        if let Some((left, _)) = self.exceptions.get_mut(&device) {
            left.0 &= !access.0;
            if *left == Access::default() {
                self.exceptions.remove(&device);
                self.order.retain(|listed| *listed != device);
            }
        }
        Ok(())
    }

    /// As in the kernel and in runc, a rule for many devices takes back no exception that is for some of them: whoever wrote
    /// the rules may have meant that, or not.
    fn warn_of_survivors(&self, device: Match, access: Access, origin: &Origin) {
        if *origin == DEFAULT {
            return;
        }
        for (listed, (left, earlier)) in &self.exceptions {
            if *listed != device && listed.overlaps(device) && left.overlaps(access) {
                let verb = if self.allow { "denied" } else { "allowed" };
                tracing::warn!("{origin}: {listed} {left} stays {verb}, as {earlier} has it");
            }
        }
    }

    /// The kernel ignores the removal of a part of an exception, and more would be allowed, or less, than the rules say.
    fn check_hole(
        &self,
        device: Match,
        access: Access,
        origin: &Origin,
    ) -> Result<(), CgroupError> {
        let Match { kind, major, minor } = device;
        let wider = [(None, minor), (major, None), (None, None)].map(|(major, minor)| Match {
            kind,
            major,
            minor,
        });
        for wider in wider.into_iter().filter(|&wider| wider != device) {
            let Some((wide, wide_origin)) = self
                .exceptions
                .get(&wider)
                .filter(|(wide, _)| wide.overlaps(access))
            else {
                continue;
            };
            // No rule asks for the default devices; the one that is in their way does for its own.
            let origin = if *origin == DEFAULT {
                wide_origin
            } else {
                origin
            };
            let problem =
                format!("{device} {access} cannot be taken out of the wider {wider} {wide}");
            return Err(CgroupError::refused(origin.clone().into_owned(), problem));
        }
        Ok(())
    }
}
