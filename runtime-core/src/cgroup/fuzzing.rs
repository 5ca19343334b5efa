//! What holds of cgroups whatever bytes come in: see [`crate::fuzzing`].
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a target says that something does not hold"
)]

use std::collections::BTreeSet;

use oci_spec::runtime::{LinuxDeviceCgroup, LinuxDeviceCgroupBuilder, LinuxDeviceType};

use super::bpf;
use super::device_transition::{Current, transition};
use super::devices::{Access, Kind, Match, Rules};
use super::interpreter;
use super::{Cgroup, Directory, Layout, Manager, Systemd, Version};

pub use super::systemd::fuzzing::systemd_unit;

const V1: &str = "\
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
33 31 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset
34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
35 31 0:32 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices
36 31 0:33 / /sys/fs/cgroup/blkio rw - cgroup cgroup rw,blkio
37 31 0:34 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids
38 31 0:35 / /sys/fs/cgroup/net_cls,net_prio rw - cgroup cgroup rw,net_cls,net_prio
39 31 0:36 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd
";
const V1_OWN: &str = "\
8:name=systemd:/\n7:net_cls,net_prio:/\n6:pids:/\n5:blkio:/\n4:devices:/\n3:memory:/shell\n2:cpuset:/\n1:cpu,cpuacct:/\n";
const UNIFIED: &str = "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

/// Version 1, both, and version 2, with and without systemd, for root and for a user.
pub(crate) fn layouts() -> Vec<Layout> {
    let v1 = Layout::parse(V1, V1_OWN);
    let mut hybrid = Layout::parse(&format!("{V1}{UNIFIED}"), &format!("{V1_OWN}0::/shell\n"));
    if let Some(v2) = &mut hybrid.v2 {
        v2.controllers = vec!["hugetlb".to_owned()];
    }
    let v2 = Layout::parse(V2, "0::/shell\n");
    let mut users = v2.clone();
    users.rootless = true;
    let none = Layout::parse("", "");
    let of_system = |layout: &Layout, version| {
        layout.clone().managed_by(Systemd {
            manager: Manager::System,
            version,
            control_group: "/".into(),
        })
    };
    let of_user = users.clone().managed_by(Systemd {
        manager: Manager::User,
        version: 252,
        control_group: "/user.slice/user-1000.slice/user@1000.service".into(),
    });
    let (old, new) = (of_system(&v1, 219), of_system(&v2, 257));
    vec![v1, hybrid, v2, users, none, old, new, of_user]
}

/// Cgroups of running containers, each with its host.
pub(crate) fn cgroups() -> Vec<(Cgroup, Layout)> {
    let directory = |version, controllers: &[&str]| Directory {
        version,
        controllers: controllers.iter().map(|&name| name.to_owned()).collect(),
        mount_point: "/sys/fs/cgroup".into(),
        path: "/sys/fs/cgroup/web".into(),
    };
    let v1 = [
        directory(Version::V1, &["cpu", "cpuacct"]),
        directory(Version::V1, &["cpuset"]),
        directory(Version::V1, &["memory"]),
        directory(Version::V1, &["devices"]),
        directory(Version::V1, &["blkio"]),
        directory(Version::V1, &["pids"]),
    ];
    let v2 = directory(
        Version::V2,
        &["cpuset", "cpu", "io", "memory", "hugetlb", "pids"],
    );
    let cgroup = |directories: &[Directory]| Cgroup {
        directories: directories.to_vec(),
        ..Cgroup::default()
    };
    layouts()
        .into_iter()
        .map(|layout| match layout.v1.is_empty() {
            true => (cgroup(std::slice::from_ref(&v2)), layout),
            false => (cgroup(&v1), layout),
        })
        .collect()
}

/// What the kernel and others say of cgroups is read or refused.
pub(crate) fn files(text: &str) {
    super::stats::fuzzing::files(text);
    if let Some(Current::Only(devices)) = Current::parse(text) {
        let listed: String = devices
            .iter()
            .map(|(device, access)| format!("{device} {access}\n"))
            .collect();
        assert_eq!(Current::parse(&listed), Some(Current::Only(devices)));
    }
}

/// Device rules, a line each as in `+c 1:3 rwm` or `-b 8:* w`: what they are compiled to says of every use what version 1
/// would when they are written to it one by one, and the devices that every container has after them. Version 1 itself ends
/// up with the same answers, from whatever was in force before.
pub fn devices(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (before, after) = text.split_once("\n\n").unwrap_or((&text, &text));
    let rules: Vec<LinuxDeviceCgroup> = after.lines().filter_map(rule).take(64).collect();
    let compiled = match Rules::from_config(&rules, &[]) {
        Ok(compiled) => compiled,
        Err(error) => return assert!(error.pointer().starts_with("/linux/resources/devices/")),
    };
    let program = bpf::compile(&compiled);
    let old: Vec<LinuxDeviceCgroup> = before.lines().filter_map(rule).take(64).collect();
    let old = Rules::from_config(&old, &[]).unwrap_or_default();
    let said = Kernel::told(&rules);
    let new = Kernel::default().after(&compiled);
    let changed = Kernel::default().after(&old).after(&compiled);
    for device in near(&rules) {
        let code: u32 = if device.kind == Kind::Block { 1 } else { 2 };
        for access in 1..8 {
            let context = [access << 16 | code, device.major, device.minor];
            let allowed = interpreter::run(program.instructions(), context);
            let all = [&said, &new, &changed].map(|kernel| kernel.allows(device, access));
            assert_eq!(
                all, [allowed; 3],
                "{device:?} {access}: {rules:?} after {old:?}"
            );
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Device {
    kind: Kind,
    major: u32,
    minor: u32,
}

/// Devices that the rules could tell from others.
fn near(rules: &[LinuxDeviceCgroup]) -> Vec<Device> {
    let numbers = |of: fn(&LinuxDeviceCgroup) -> Option<i64>| -> BTreeSet<u32> {
        let named = rules.iter().filter_map(of);
        let near =
            named.flat_map(|number| [number.wrapping_sub(1), number, number.wrapping_add(1)]);
        near.filter_map(|number| u32::try_from(number).ok())
            .chain([0, 1, 3, 5, 10, 136, 200])
            .collect()
    };
    let (majors, minors) = (numbers(|rule| rule.major()), numbers(|rule| rule.minor()));
    let pairs = majors
        .iter()
        .flat_map(|&major| minors.iter().map(move |&minor| (major, minor)));
    let device =
        |(major, minor)| [Kind::Block, Kind::Character].map(|kind| Device { kind, major, minor });
    pairs.flat_map(device).take(4096).collect()
}

fn rule(line: &str) -> Option<LinuxDeviceCgroup> {
    let (sign, rest) = line.split_at_checked(1)?;
    let mut words = rest.split([' ', ':']);
    let kind = words.next()?;
    let number = |word: Option<&str>| word.and_then(|word| word.parse::<i64>().ok());
    let (major, minor) = (number(words.next()), number(words.next()));
    let mut rule = LinuxDeviceCgroupBuilder::default().allow(sign == "+");
    rule = match kind {
        "a" => rule.typ(LinuxDeviceType::A),
        "b" => rule.typ(LinuxDeviceType::B),
        "c" => rule.typ(LinuxDeviceType::C),
        "p" => rule.typ(LinuxDeviceType::P),
        _ => rule,
    };
    if let Some(major) = major {
        rule = rule.major(major);
    }
    if let Some(minor) = minor {
        rule = rule.minor(minor);
    }
    if let Some(access) = words.next() {
        rule = rule.access(access);
    }
    rule.build().ok()
}

/// The devices controller of version 1: security/device_cgroup.c of the kernel.
#[derive(Clone, Debug, Default)]
struct Kernel {
    allow: bool,
    exceptions: Vec<(Match, u32)>,
}

impl Kernel {
    /// After rules that are written to it in their order, and then those for everyone (config-linux.md, "Default Devices").
    fn told(rules: &[LinuxDeviceCgroup]) -> Kernel {
        let mut kernel = Kernel::default();
        let file = |allow| {
            if allow {
                "devices.allow"
            } else {
                "devices.deny"
            }
        };
        for rule in rules {
            let kind = match rule.typ().unwrap_or(LinuxDeviceType::A) {
                LinuxDeviceType::B => 'b',
                LinuxDeviceType::C => 'c',
                _ => {
                    kernel.write(file(rule.allow()), "a");
                    continue;
                }
            };
            let number = |number: Option<i64>| match number {
                None | Some(-1) => "*".to_owned(),
                Some(number) => number.to_string(),
            };
            let access = rule.access().as_deref().unwrap_or("rwm");
            if Access::parse(access).is_none() {
                // What denies nothing may say anything.
                continue;
            }
            let (major, minor) = (number(rule.major()), number(rule.minor()));
            kernel.write(
                file(rule.allow()),
                &format!("{kind} {major}:{minor} {access}"),
            );
        }
        for always in [
            "c *:* m",
            "b *:* m",
            "c 1:3 rwm",
            "c 1:5 rwm",
            "c 1:7 rwm",
            "c 1:8 rwm",
            "c 1:9 rwm",
            "c 5:0 rwm",
            "c 5:2 rwm",
            "c 10:200 rwm",
            "c 136:* rwm",
        ] {
            kernel.write("devices.allow", always);
        }
        kernel
    }

    /// As a cgroup that had these rules, and is changed to the others.
    fn after(mut self, rules: &Rules) -> Kernel {
        let current = Current::parse(&self.list()).expect("the kernel's list can be read");
        for (file, value) in transition(&current, rules).writes {
            self.write(file, &value);
        }
        self
    }

    fn write(&mut self, file: &str, value: &str) {
        let allow = file == "devices.allow";
        if value == "a" {
            let exceptions = Vec::new();
            *self = Kernel { allow, exceptions };
            return;
        }
        let Some(Current::Only(written)) = Current::parse(value) else {
            panic!("{value:?} is no exception");
        };
        for (device, access) in written {
            let mut known = self.exceptions.iter_mut();
            let known = known.find(|(listed, _)| *listed == device);
            match (known, allow == self.allow) {
                (Some((_, bits)), true) => *bits &= !access.0,
                (Some((_, bits)), false) => *bits |= access.0,
                (None, true) => {}
                (None, false) => self.exceptions.push((device, access.0)),
            }
        }
        self.exceptions.retain(|(_, bits)| *bits != 0);
    }

    fn list(&self) -> String {
        if self.allow {
            return "a *:* rwm\n".to_owned();
        }
        let line = |(device, bits): &(Match, u32)| format!("{device} {}\n", Access(*bits));
        self.exceptions.iter().map(line).collect()
    }

    fn allows(&self, device: Device, access: u32) -> bool {
        let same = |listed: Option<u32>, number| listed.is_none_or(|listed| listed == number);
        let mut matching = self.exceptions.iter().filter(|(listed, _)| {
            listed.kind == device.kind
                && same(listed.major, device.major)
                && same(listed.minor, device.minor)
        });
        match self.allow {
            true => matching.all(|(_, bits)| bits & access == 0),
            false => matching.any(|(_, bits)| access & !bits == 0),
        }
    }
}
