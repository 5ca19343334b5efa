//! Network devices of the host that move into the container: config-linux.md, "Network Devices". Each case is a host of
//! its own: its thread, and the runtime with it, is in a new network namespace.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

mod host;

use std::collections::BTreeMap;
use std::process::Command;

use conformance::process::{run, until};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use host::{
    addresses, container, container_with, devices, host, ip, is_up, names, other_network, pid_of,
    refused,
};
use serde_json::{Value, json};

#[test]
fn a_device_moves_into_the_container_and_is_up() {
    if !host() {
        return;
    }
    let container = container(json!({"dev0": {}}));
    let _ = container.create().ok();
    let pid = Some(container.pid());
    assert_eq!(names(pid), ["dev0", "lo"]);
    assert!(
        is_up(&devices(pid)["dev0"]),
        "before start: hooks and sandboxes look"
    );
    assert_eq!(names(None), ["lo", "peer0"]);
    let _ = container.start().ok();
    let inside = container
        .exec(&[], &["ip", "-o", "link", "show", "dev0"])
        .ok()
        .stdout;
    assert!(inside.contains("UP"), "{inside}");
}

#[test]
fn a_device_keeps_its_mtu_and_its_hardware_address() {
    if !host() {
        return;
    }
    let _ = ip("link set dev0 mtu 1789 address 00:11:22:33:44:55");
    let container = container(json!({"dev0": {"name": "inside"}}));
    let _ = container.run_detached();
    let device = &devices(Some(container.pid()))["inside"];
    assert_eq!(device["mtu"], 1789);
    assert_eq!(device["address"], "00:11:22:33:44:55");
}

#[test]
fn a_device_gets_the_name_of_the_configuration() {
    if !host() {
        return;
    }
    let container = container(json!({"dev0": {"name": "container_eth0"}, "peer0": {"name": ""}}));
    let _ = container.run_detached();
    assert_eq!(
        names(Some(container.pid())),
        ["container_eth0", "lo", "peer0"]
    );
    assert_eq!(names(None), ["lo"]);
}

#[test]
fn devices_can_swap_their_names() {
    if !host() {
        return;
    }
    let _ = ip("link set dev0 mtu 1400");
    let container = container(json!({"dev0": {"name": "peer0"}, "peer0": {"name": "dev0"}}));
    let _ = container.run_detached();
    assert_eq!(devices(Some(container.pid()))["peer0"]["mtu"], 1400);
}

#[test]
fn the_kernel_numbers_a_template() {
    if !host() || runtime().departs("runc", "looks for a device with the template's name") {
        return;
    }
    let (holder, path) = other_network();
    let taken = format!("--net={path}");
    let add = "ip link add eth0 type veth peer name eth1";
    let _ = run(Command::new("nsenter").arg(taken).args(add.split(' '))).ok();
    let _ = ip("address add 10.1.0.1/24 dev dev0");
    let container = container_with(
        json!({"dev0": {"name": "eth%d"}, "peer0": {"name": "eth%d"}}),
        |config| {
            config.namespace("network", Some(&path));
        },
    );
    let _ = container.run_detached();
    let there = devices(pid_of(&holder));
    assert_eq!(
        there.keys().collect::<Vec<_>>(),
        ["eth0", "eth1", "eth2", "eth3", "lo"]
    );
    assert_eq!(addresses(&there["eth2"]), ["10.1.0.1/24"]);
    assert!(is_up(&there["eth2"]) && is_up(&there["eth3"]));
}

#[test]
fn permanent_addresses_of_global_scope_move_with_the_device_and_others_do_not() {
    if !host() {
        return;
    }
    let _ = ip("link set dev0 up");
    let _ = ip("link set peer0 up");
    for address in [
        "10.1.0.1/24",
        "10.1.0.2/24",
        "192.0.2.1/32",
        "fd00::1/64",
        "2001:db8::7/128",
    ] {
        let _ = ip(&format!("address add {address} dev dev0"));
    }
    let _ = ip("address add 10.9.0.1/24 dev dev0 scope link");
    let _ = ip("address add 10.8.0.1/24 dev dev0 valid_lft 1000 preferred_lft 900");
    let _ = ip("address add fd01::1/64 dev dev0 valid_lft 1000 preferred_lft 900");
    let container = container(json!({"dev0": {"name": "eth0"}}));
    let _ = container.run_detached();
    let device = &devices(Some(container.pid()))["eth0"];
    let mut found = addresses(device);
    // The kernel lists the newest IPv6 address first on one version, the oldest on another.
    found.sort();
    let expected = if runtime().is_bareboat() {
        vec![
            "10.1.0.1/24",
            "10.1.0.2/24",
            "192.0.2.1/32",
            "2001:db8::7/128",
            "fd00::1/64",
        ]
    } else {
        // runc takes the device down first, and the kernel its IPv6 addresses with it.
        vec!["10.1.0.1/24", "10.1.0.2/24", "192.0.2.1/32"]
    };
    assert_eq!(found, expected);
}

#[test]
fn an_address_keeps_its_peer_broadcast_label_metric_and_preferred_lifetime() {
    if !host() || runtime().departs("runc", "keeps address and prefix") {
        return;
    }
    let _ = ip("address add 10.1.0.1/24 broadcast 10.1.0.255 label dev0:web metric 77 dev dev0");
    let _ = ip("address add 10.2.0.1 peer 10.2.0.2/32 dev dev0");
    let _ = ip("address add fd00::1/64 dev dev0 preferred_lft 0");
    let container = container(json!({"dev0": {"name": "eth0"}}));
    let _ = container.run_detached();
    let device = devices(Some(container.pid()))["eth0"].clone();
    let list = device["addr_info"].as_array().unwrap();
    let find = |local: &str| {
        list.iter()
            .find(|address| address["local"] == local)
            .unwrap_or_else(|| panic!("{device}"))
    };
    let first = find("10.1.0.1");
    assert_eq!(first["broadcast"], "10.1.0.255");
    assert_eq!(first["label"], "eth0:web");
    assert_eq!(first["metric"], 77);
    assert_eq!(find("10.2.0.1")["address"], "10.2.0.2");
    assert_eq!(find("fd00::1")["preferred_life_time"], 0);
}

#[test]
fn an_ipv6_address_can_be_used_at_once() {
    if !host() || runtime().departs("runc", "has the kernel probe the address again") {
        return;
    }
    let _ = ip("link set peer0 up");
    let _ = ip("link set dev0 up");
    let _ = ip("address add fd00::1/64 dev dev0");
    until("the host to be sure of the address", || {
        (!ip("address show dev dev0").contains("tentative")).then_some(())
    });
    let container = container(json!({"dev0": {}}));
    let _ = container.create().ok();
    let device = devices(Some(container.pid()))["dev0"].clone();
    let list = device["addr_info"].as_array().unwrap();
    let address = list
        .iter()
        .find(|address| address["local"] == "fd00::1")
        .unwrap();
    assert!(address.get("tentative").is_none(), "{address}");
}

#[test]
fn hooks_find_the_devices_in_their_place() {
    if !host() {
        return;
    }
    let container = Container::with_path(|config, path| {
        let look = format!(
            "pid=$(sed -n 's/.*\"pid\": *\\([0-9]*\\).*/\\1/p'); nsenter --net=/proc/$pid/ns/net ip -o link > {}",
            path.join("createRuntime").display()
        );
        config
            .waits()
            .set("/linux/netDevices", json!({"dev0": {"name": "moved"}}))
            .push(
                "/hooks/createRuntime",
                json!({"path": "/bin/sh", "args": ["sh", "-c", look], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}),
            );
    });
    let _ = container.create().ok();
    let seen = container.read("createRuntime");
    assert!(seen.contains("moved"), "{seen}");
}

#[test]
fn a_device_moves_into_the_namespace_of_a_container_with_a_user_namespace() {
    if !host() {
        return;
    }
    let _ = ip("address add 10.1.0.1/24 dev dev0");
    let container = container_with(json!({"dev0": {"name": "eth0"}}), |config| {
        config.user_namespace(&[(0, 100_000, 65536)]);
    });
    let _ = container.run_detached();
    let device = &devices(Some(container.pid()))["eth0"];
    assert_eq!(addresses(device), ["10.1.0.1/24"]);
    assert!(is_up(device));
}

#[test]
fn in_a_joined_namespace_the_device_outlives_the_container() {
    if !host() {
        return;
    }
    let (holder, path) = other_network();
    let _ = ip("address add 10.1.0.1/24 dev dev0");
    let container = container_with(json!({"dev0": {"name": "eth0"}}), |config| {
        config.namespace("network", Some(&path));
    });
    let _ = container.run_detached();
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
    let there = devices(pid_of(&holder));
    assert_eq!(addresses(&there["eth0"]), ["10.1.0.1/24"]);
    assert!(is_up(&there["eth0"]));
    assert_eq!(names(None), ["lo", "peer0"], "delete moves nothing");
}

#[test]
fn a_name_that_is_taken_in_the_namespace_is_refused_and_the_device_stays() {
    if !host() {
        return;
    }
    let (holder, path) = other_network();
    let add = "ip link add eth0 type veth peer name dev0";
    let _ = run(Command::new("nsenter")
        .arg(format!("--net={path}"))
        .args(add.split(' ')))
    .ok();
    let join = |config: &mut Config| {
        config.namespace("network", Some(&path));
    };
    refused(
        json!({"dev0": {"name": "eth0"}}),
        &["/linux/netDevices/dev0", "eth0 exists already"],
        join,
    );
    refused(
        json!({"dev0": {}}),
        &["/linux/netDevices/dev0", "dev0 exists already"],
        join,
    );
    refused(
        json!({"dev0": {"name": "lo"}}),
        &["/linux/netDevices/dev0", "lo exists already"],
        join,
    );
    assert_eq!(names(pid_of(&holder)), ["dev0", "eth0", "lo"]);
}

#[test]
fn a_device_that_is_not_there_or_cannot_move_is_refused() {
    if !host() {
        return;
    }
    let _ = ip("link add bridge0 type bridge");
    let none = |_: &mut Config| {};
    refused(
        json!({"absent": {}}),
        &[
            "/linux/netDevices/absent",
            "find network device absent",
            "No such device",
        ],
        none,
    );
    refused(
        json!({"lo": {"name": "lo1"}}),
        &["/linux/netDevices/lo", "cannot leave its namespace"],
        none,
    );
    refused(
        json!({"bridge0": {}}),
        &["/linux/netDevices/bridge0", "cannot leave its namespace"],
        none,
    );
}

#[test]
fn names_that_no_device_can_have_are_refused() {
    if !host() {
        return;
    }
    let none = |_: &mut Config| {};
    for (name, at) in [
        ("a/b~c", "a~1b~0c"),
        ("sixteen-byte-nam", "sixteen-byte-nam"),
        ("..", ".."),
        ("a b", "a b"),
    ] {
        // runc counts the terminator to the name.
        if name.len() == 16
            && runtime().departs("runc", "allows a name of 16 bytes and fails later")
        {
            continue;
        }
        let mut devices = json!({});
        devices[name] = json!({});
        refused(devices, &[&format!("/linux/netDevices/{at}")], none);
        refused(
            json!({"dev0": {"name": name}}),
            &["/linux/netDevices/dev0/name"],
            none,
        );
    }
    refused(
        json!({"dev0": {"name": "eth%s"}}),
        &["/linux/netDevices/dev0/name"],
        none,
    );
    refused(
        json!({"dev0": {"name": "eth0"}, "peer0": {"name": "eth0"}}),
        &["/linux/netDevices/peer0"],
        none,
    );
}

#[test]
fn without_a_network_namespace_of_the_containers_own_no_device_moves() {
    if !host() {
        return;
    }
    refused(
        json!({"dev0": {}}),
        &["/linux/netDevices", "no network namespace of its own"],
        |config| {
            config.share("network");
        },
    );
    let own = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let task = std::fs::read_link("/proc/thread-self").unwrap();
    let path = format!("/proc/{}/ns/net", task.display());
    assert_eq!(std::fs::read_link(&path).unwrap(), own);
    refused(
        json!({"dev0": {"name": "eth0"}}),
        &["/linux/netDevices", "the runtime's own"],
        |config| {
            config.namespace("network", Some(&path));
        },
    );
}

#[test]
fn a_create_that_fails_later_gives_the_devices_back_as_they_were() {
    if !host() || runtime().departs("runc", "leaves the device in the namespace") {
        return;
    }
    for line in [
        "address add 10.1.0.1/24 label dev0:web dev dev0",
        "address add 10.9.0.1/24 dev dev0 scope link",
        "address add fd00::1/64 dev dev0",
        "link set dev0 up",
        "address add 10.2.0.1/24 dev peer0",
    ] {
        let _ = ip(line);
    }
    let facts = || {
        let fact = |(name, device): (String, Value)| {
            let labels = device["addr_info"]
                .as_array()
                .unwrap()
                .iter()
                .map(|address| {
                    let (local, label) = (address["local"].clone(), address["label"].clone());
                    (local.to_string(), label.to_string())
                });
            let labels: BTreeMap<_, _> = labels
                .filter(|(local, _)| !local.contains("fe80"))
                .collect();
            (name, device["ifindex"].clone(), is_up(&device), labels)
        };
        devices(None).into_iter().map(fact).collect::<Vec<_>>()
    };
    let before = facts();
    let both = json!({"dev0": {"name": "eth0"}, "peer0": {"name": "eth%d"}});
    // The last of these fails when the two before it have moved.
    let late_failures: [&dyn Fn(&mut Config); 3] = [
        &|config| {
            let _ = config.args(&["/no/such/program"]);
        },
        &|config| {
            let _ = config.push("/hooks/createRuntime", json!({"path": "/bin/false"}));
        },
        &|config| {
            let _ = config.set("/linux/netDevices/zzz", json!({}));
        },
    ];
    for fail in late_failures {
        let container = container_with(both.clone(), |config| fail(config));
        let _ = container.create().refused(&[]);
        container.assert_nothing_left();
        assert_eq!(facts(), before);
        let _ = container.run().refused(&[]);
        container.assert_nothing_left();
        assert_eq!(facts(), before);
    }
    let (holder, path) = other_network();
    let container = container_with(both, |config| {
        config
            .namespace("network", Some(&path))
            .args(&["/no/such/program"]);
    });
    let _ = container.run().refused(&[]);
    assert_eq!(facts(), before);
    assert_eq!(names(pid_of(&holder)), ["lo"]);
}

#[test]
fn a_configuration_that_names_no_device_moves_none() {
    if !host() {
        return;
    }
    let container = container(json!({}));
    let _ = container.run_detached();
    assert_eq!(names(Some(container.pid())), ["lo"]);
    assert_eq!(names(None), ["dev0", "lo", "peer0"]);
}
