//! `linux.devices`, and the devices and links that every container has (config-linux.md, "Default Devices").

use std::ffi::CStr;
use std::path::Path;

use oci_spec::runtime::{LinuxDevice, LinuxDeviceType, Mount};
use runtime_init::{Node, Step, Text};

use crate::error::{Error, Result};
use crate::plan::{Attributes, Builder, Origin, Source, c_string};
use crate::{mounts, process};

/// Path, major, minor; each a character device of mode 0666.
const DEFAULT_DEVICES: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];

const LINKS: &[(&CStr, &CStr)] = &[
    (c"/dev/fd", c"/proc/self/fd"),
    (c"/dev/stdin", c"/proc/self/fd/0"),
    (c"/dev/stdout", c"/proc/self/fd/1"),
    (c"/dev/stderr", c"/proc/self/fd/2"),
];

/// include/linux/kdev_t.h.
const MAX_MAJOR: u32 = (1 << 12) - 1;
const MAX_MINOR: u32 = (1 << 20) - 1;

struct Device {
    origin: Origin,
    path: String,
    kind: u32,
    permissions: u32,
    major: u32,
    minor: u32,
    owner: (u32, u32),
}

/// Makes the devices. A container whose /dev is the host's gets none: its nodes are there, and not the container's to
/// change.
pub(crate) fn all(plan: &mut Builder<'_>) -> Result<()> {
    if dev_is_bound(plan) {
        return Ok(());
    }
    let configured = plan
        .linux()
        .and_then(|linux| linux.devices().as_deref())
        .unwrap_or_default();
    let configured: Vec<Device> = configured
        .iter()
        .enumerate()
        .map(|(number, device)| configured_device(number, device))
        .collect::<Result<_>>()?;
    let is_configured = |path: &str| configured.iter().any(|device| device.path == path);
    let defaults = DEFAULT_DEVICES
        .iter()
        .filter(|(path, ..)| !is_configured(path))
        .map(default_device);
    let bind = plan.facts.user_namespace || process::in_user_namespace(plan)?;
    for device in defaults.collect::<Vec<_>>().iter().chain(&configured) {
        if bind && device.kind != libc::S_IFIFO {
            bind_node(plan, device)?;
        } else {
            make_node(plan, device)?;
        }
    }
    links(plan);
    Ok(())
}

fn dev_is_bound(plan: &Builder<'_>) -> bool {
    let is_bind = |mount: &Mount| {
        let options = mount.options().as_deref().unwrap_or_default();
        mount.typ().as_deref() == Some("bind")
            || options
                .iter()
                .any(|option| option == "bind" || option == "rbind")
    };
    let configured = plan.spec.mounts().as_deref().unwrap_or_default();
    configured
        .iter()
        .rev()
        .find(|mount| mounts::target(plan, mount) == Path::new("/dev"))
        .is_some_and(is_bind)
}

fn default_device(&(path, major, minor): &(&str, u32, u32)) -> Device {
    Device {
        origin: Origin::Default("devices"),
        path: path.to_owned(),
        kind: libc::S_IFCHR,
        permissions: 0o666,
        major,
        minor,
        owner: (0, 0),
    }
}

fn configured_device(number: usize, device: &LinuxDevice) -> Result<Device> {
    let pointer = format!("/linux/devices/{number}");
    if !device.path().is_absolute() {
        let problem = format!("{:?} is not an absolute path", device.path().display());
        return Err(Error::config(format!("{pointer}/path"), problem));
    }
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => libc::S_IFCHR,
        LinuxDeviceType::B => libc::S_IFBLK,
        LinuxDeviceType::P => libc::S_IFIFO,
        LinuxDeviceType::A => {
            return Err(Error::config(
                format!("{pointer}/type"),
                "a device to make is c, u, b or p",
            ));
        }
    };
    // The kernel's own limits: 12 bits of major, 20 of minor; more would name another device.
    let part = |name: &str, value: i64, last: u32| {
        let problem = || {
            let problem = format!("{value} is not a device number (0 to {last})");
            Error::config(format!("{pointer}/{name}"), problem)
        };
        if kind == libc::S_IFIFO {
            return Ok(0);
        }
        let number = u32::try_from(value).ok().filter(|&number| number <= last);
        number.ok_or_else(problem)
    };
    let (uid, gid) = (device.uid().unwrap_or(0), device.gid().unwrap_or(0));
    process::check_id(&format!("{pointer}/uid"), uid)?;
    process::check_id(&format!("{pointer}/gid"), gid)?;
    Ok(Device {
        path: device.path().to_string_lossy().into_owned(),
        kind,
        permissions: device.file_mode().unwrap_or(0o666) & 0o7777,
        major: part("major", device.major(), MAX_MAJOR)?,
        minor: part("minor", device.minor(), MAX_MINOR)?,
        owner: (uid, gid),
        origin: pointer.into(),
    })
}

fn make_node(plan: &mut Builder<'_>, device: &Device) -> Result<()> {
    let path = c_string(&device.origin.to_string(), device.path.as_str())?;
    let step = Step::MakeDevice(Node {
        path: Text(&path),
        mode: device.kind | device.permissions,
        device: rustix::fs::makedev(device.major, device.minor),
        uid: device.owner.0,
        gid: device.owner.1,
    });
    plan.step(device.origin.clone(), &step);
    Ok(())
}

/// A user namespace may not make nodes: the host's own is bound.
fn bind_node(plan: &mut Builder<'_>, device: &Device) -> Result<()> {
    let source = Source::Tree {
        path: device.path.clone().into(),
        recursive: false,
        attributes: Attributes::default(),
        propagation: vec![],
        id_map: None,
        keeps_locks: false,
        must_be_proc: false,
    };
    let tree = plan.tree(device.origin.clone(), source)?;
    let target = c_string(&device.origin.to_string(), device.path.as_str())?;
    plan.step(
        device.origin.clone(),
        &Step::MountTree {
            tree,
            target: Text(&target),
        },
    );
    Ok(())
}

fn links(plan: &mut Builder<'_>) {
    for (path, target) in LINKS {
        let step = Step::Symlink {
            path: Text(path),
            target: Text(target),
            replace: false,
        };
        plan.step(Origin::Default("devices"), &step);
    }
    let step = Step::Symlink {
        path: Text(c"/dev/ptmx"),
        target: Text(c"pts/ptmx"),
        replace: true,
    };
    plan.step(Origin::Default("devices"), &step);
}
