//! The host of a case, and what is seen of devices there and elsewhere.

use std::collections::BTreeMap;
use std::process::Command;

use conformance::process::{Running, run, spawn, until};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use nix::sched::{CloneFlags, unshare};
use serde_json::{Value, json};

/// Makes the calling thread a host without network devices but `lo`. False, with a word about it, when the case cannot be
/// run: the kernel has no veth, or the runtime no netDevices.
pub(crate) fn host() -> bool {
    if runtime().predates("runc", [1, 4, 0], "netDevices") {
        return false;
    }
    unshare(CloneFlags::CLONE_NEWNET).unwrap();
    let made = run(Command::new("ip").args("link add dev0 type veth peer name peer0".split(' ')));
    if made.code() != 0 {
        eprintln!("skipped: no veth on this kernel: {}", made.stderr);
    }
    made.code() == 0
}

/// `ip ARGUMENTS…` on the host of the case.
pub(crate) fn ip(arguments: &str) -> String {
    run(Command::new("ip").args(arguments.split(' ')))
        .ok()
        .stdout
}

/// `ip -details -json ARGUMENTS…`, on the host or in the network namespace of a process.
pub(crate) fn json_of(pid: Option<i32>, arguments: &str) -> Value {
    let mut command = match pid {
        None => Command::new("ip"),
        Some(pid) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/proc/{pid}/ns/net")).arg("ip");
            command
        }
    };
    command
        .args(["-details", "-json"])
        .args(arguments.split(' '));
    serde_json::from_str(&run(&mut command).ok().stdout).unwrap()
}

/// The devices there, by name.
pub(crate) fn devices(pid: Option<i32>) -> BTreeMap<String, Value> {
    let list = json_of(pid, "address show");
    let named = |device: &Value| {
        (
            device["ifname"].as_str().unwrap().to_owned(),
            device.clone(),
        )
    };
    list.as_array().unwrap().iter().map(named).collect()
}

pub(crate) fn names(pid: Option<i32>) -> Vec<String> {
    devices(pid).into_keys().collect()
}

pub(crate) fn is_up(device: &Value) -> bool {
    device["flags"].as_array().unwrap().contains(&json!("UP"))
}

/// The addresses of a device, as address/prefix, that are not link-local IPv6 ones, which the kernel makes.
pub(crate) fn addresses(device: &Value) -> Vec<String> {
    let list = device["addr_info"].as_array().unwrap().iter();
    let text = |address: &Value| {
        format!(
            "{}/{}",
            address["local"].as_str().unwrap(),
            address["prefixlen"]
        )
    };
    list.map(text)
        .filter(|text| !text.starts_with("fe80"))
        .collect()
}

/// A container that waits, with these devices.
pub(crate) fn container(devices: Value) -> Container {
    container_with(devices, |_| {})
}

pub(crate) fn container_with(devices: Value, change: impl FnOnce(&mut Config)) -> Container {
    Container::new(|config| {
        config.waits().set("/linux/netDevices", devices);
        change(config);
    })
}

/// A network namespace that is none of a container's.
pub(crate) fn other_network() -> (Running, String) {
    let holder = spawn(Command::new("unshare").args(["--net", "sleep", "60"]));
    let path = format!("/proc/{}/ns/net", holder.id());
    let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    until("the namespace", || {
        std::fs::read_link(&path)
            .is_ok_and(|there| there != own)
            .then_some(())
    });
    (holder, path)
}

pub(crate) fn pid_of(holder: &Running) -> Option<i32> {
    Some(holder.id().cast_signed())
}

/// `run` and `create` refuse this, with these phrases, and the host is as it was.
pub(crate) fn refused(devices_: Value, phrases: &[&str], change: impl Fn(&mut Config)) {
    let before = devices(None);
    let container = container_with(devices_, change);
    let phrases = if runtime().is_bareboat() {
        phrases
    } else {
        &[]
    };
    let _ = container.create().refused(phrases);
    container.assert_nothing_left();
    let _ = container.run().refused(phrases);
    container.assert_nothing_left();
    assert_eq!(
        devices(None).keys().collect::<Vec<_>>(),
        before.keys().collect::<Vec<_>>()
    );
}
