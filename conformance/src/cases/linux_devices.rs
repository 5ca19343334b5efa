//! config-linux.md: devices and network devices.

use std::fs;

use serde_json::{Value, json};

use super::{inside, refused, refuses, run_in};
use crate::Container;
use crate::console::ConsoleSocket;
use crate::container::probe;
use crate::process::{Finished, run};
use crate::report::Node;
use crate::suite::skip;

cases! {
    Must "config-linux.md#devices" ["1.0.0"] "devices (array of objects, OPTIONAL) lists devices that MUST be available in the container: type c"
        a_character_device_is_available => || is('c', "c");
    Must "config-linux.md#devices" ["1.0.0"] "type - type of device: u (an unbuffered character device: mknod(1))"
        an_unbuffered_device_is_available => || is('c', "u");
    Must "config-linux.md#devices" ["1.0.0"] "type - type of device: b"
        a_block_device_is_available => || is('b', "b");
    Must "config-linux.md#devices" ["1.0.0"] "type - type of device: p"
        a_fifo_is_available;
    Must "config-linux.md#devices" ["1.0.0"] "The path MAY be anywhere in the container filesystem, notably outside of /dev."
        a_device_can_be_outside_of_dev;
    Must "config-linux.md#devices" ["1.0.0"] "If a file already exists at path that does not match the requested device, the runtime MUST generate an error."
        a_file_in_the_place_of_a_device_is_an_error;
    Must "config-linux.md#devices" ["1.0.0"] "major, minor (int64, REQUIRED unless type is p) - major, minor numbers for the device."
        the_numbers_are_the_devices => || assert_eq!(device(json!({})).device, (1, 3));
    Must "config-linux.md#devices" ["1.0.0"] "fileMode (uint32, OPTIONAL) - file mode for the device."
        the_mode_is_the_devices => || assert_eq!(device(json!({"fileMode": 0o640})).mode, 0o640);
    Must "config-linux.md#devices" ["1.0.0"] "uid (uint32, OPTIONAL) - id of device owner in the container namespace."
        the_owner_is_the_devices => || assert_eq!(device(json!({"uid": 11})).owner, (11, 0));
    Must "config-linux.md#devices" ["1.0.0"] "gid (uint32, OPTIONAL) - id of device group in the container namespace."
        the_group_is_the_devices => || assert_eq!(device(json!({"gid": 12})).owner, (0, 12));
    Must "config-linux.md#devices" ["1.0.0"] "type (string, REQUIRED) - type of device: c, b, u or p (config.md, Valid values)"
        a_device_of_an_unknown_type_is_an_error => || refuses(|config| { config.push("/linux/devices", json!({"path": "/dev/x", "type": "x", "major": 1, "minor": 3})); });

    Must "config-linux.md#default-devices" ["1.0.0"] "the runtime MUST also supply: /dev/null" dev_null_is_supplied => || default("null", (1, 3));
    Must "config-linux.md#default-devices" ["1.0.0"] "the runtime MUST also supply: /dev/zero" dev_zero_is_supplied => || default("zero", (1, 5));
    Must "config-linux.md#default-devices" ["1.0.0"] "the runtime MUST also supply: /dev/full" dev_full_is_supplied => || default("full", (1, 7));
    Must "config-linux.md#default-devices" ["1.0.0"] "the runtime MUST also supply: /dev/random" dev_random_is_supplied => || default("random", (1, 8));
    Must "config-linux.md#default-devices" ["1.0.0"] "the runtime MUST also supply: /dev/urandom" dev_urandom_is_supplied => || default("urandom", (1, 9));
    Must "config-linux.md#default-devices" ["1.0.0"] "the runtime MUST also supply: /dev/tty" dev_tty_is_supplied => || default("tty", (5, 0));
    Must "config-linux.md#default-devices" ["1.0.0"] "/dev/console is set up if terminal is enabled in the config by bind mounting the pseudoterminal pty to /dev/console."
        dev_console_is_the_terminal;
    Must "config-linux.md#default-devices" ["1.0.0"] "/dev/ptmx. A bind-mount or symlink of the container's /dev/pts/ptmx."
        dev_ptmx_is_the_containers;

    Must "config-linux.md#network-devices" ["1.3.0"] "netDevices (object, OPTIONAL) - A set of network devices that MUST be made available in the container."
        a_network_device_is_moved_into_the_container => || assert!(moved("{}", "").contains("eth7:"));
    Must "config-linux.md#network-devices" ["1.3.0"] "name - the name of the network device inside the container namespace. If not specified, the host name is used."
        a_network_device_has_its_new_name => || assert!(moved(r#"{"name": "inner0"}"#, "").contains("inner0:"));
    Must "config-linux.md#network-devices" ["1.3.0"] "If a network device with the specified name already exists in the container namespace, the runtime MUST generate an error, …"
        a_name_that_is_taken_is_an_error => || super::errs(&with_device(r#"{"name": "lo"}"#, ""));
    Must "config-linux.md#network-devices" ["1.3.0"] "… unless the user has provided a template by appending %d to the new name."
        a_name_can_be_a_template => || assert!(moved(r#"{"name": "net%d"}"#, "").contains("net0:"));
    Must "config-linux.md#network-devices" ["1.3.0"] "The runtime MUST check if moving the network interface to the container namespace is possible."
        a_network_device_that_does_not_exist_is_an_error => || refuses(|config| { config.version("1.3.0").set("/linux/netDevices", json!({"nosuch0": {}})); });
    Must "config-linux.md#network-devices" ["1.3.0"] "The runtime MUST preserve … all permanent IP addresses (IFA_F_PERMANENT flag) of any family with global scope"
        a_network_device_keeps_its_global_addresses;
    Must "config-linux.md#network-devices" ["1.3.0"] "The runtime MUST preserve existing network interface attributes"
        a_network_device_keeps_its_mtu_and_its_address => || {
            let text = moved("{}", "ip link set eth7 mtu 1234 address 02:00:00:00:00:07");
            assert!(text.contains("mtu 1234") && text.contains("02:00:00:00:00:07"), "{text}");
        };
    Must "config-linux.md#network-devices" ["1.3.0"] "The runtime MUST set the network device state to \"up\" after moving it to the network namespace"
        a_network_device_is_up => || {
            let text = moved("{}", "");
            let line = text.lines().find(|line| line.contains(": eth7")).unwrap_or_default();
            assert!(line.contains("UP"), "{text}");
        };
    Must "config-linux.md#network-devices" ["1.3.0"] "The runtime MUST NOT attempt to move the interface out of the namespace before deletion."
        a_network_device_stays_in_a_namespace_that_was_joined;
}

/// What a script finds out about a device of this type: 1:3 is the null device, 7:0 the first loop device.
fn is(letter: char, kind: &str) {
    let (major, minor) = if letter == 'b' { (7, 0) } else { (1, 3) };
    let report = probe(|config| {
        config.push(
            "/linux/devices",
            json!({"path": "/dev/the-device", "type": kind, "major": major, "minor": minor}),
        );
    });
    let node = &report.devices["the-device"];
    assert_eq!((node.kind, node.device), (letter, (major, minor)));
}

fn a_fifo_is_available() {
    let report = probe(|config| {
        config.push(
            "/linux/devices",
            json!({"path": "/dev/the-fifo", "type": "p"}),
        );
    });
    assert_eq!(report.devices["the-fifo"].kind, 'p');
}

fn device(more: Value) -> Node {
    let mut device = json!({"path": "/dev/the-device", "type": "c", "major": 1, "minor": 3});
    device
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let report = probe(|config| {
        config.push("/linux/devices", device);
    });
    report.devices["the-device"].clone()
}

fn a_device_can_be_outside_of_dev() {
    let text = inside("stat -c '%F %t:%T' /var/there/device", |config| {
        config.push(
            "/linux/devices",
            json!({"path": "/var/there/device", "type": "c", "major": 1, "minor": 5}),
        );
    });
    assert_eq!(text, "character special file 1:5\n");
}

fn a_file_in_the_place_of_a_device_is_an_error() {
    let container = Container::new(|config| {
        config
            .shell("echo it ran")
            .set("/root/readonly", json!(false))
            .push(
                "/linux/devices",
                json!({"path": "/etc/device", "type": "c", "major": 1, "minor": 5}),
            );
    });
    fs::write(container.rootfs().join("etc/device"), "a file").unwrap();
    refused(&container);
}

fn default(name: &str, number: (u64, u64)) {
    let report = probe(|config| {
        config.remove("/linux/devices");
    });
    let node = report.devices.get(name).expect("it is in /dev");
    assert_eq!((node.kind, node.device), ('c', number));
    assert_eq!(node.mode & 0o666, 0o666, "for all users");
}

fn dev_console_is_the_terminal() {
    let container = Container::new(|config| {
        config
            .shell("grep -c ' /dev/console ' /proc/self/mountinfo; echo to the console > /dev/console; echo the end; read line")
            .set("/process/terminal", json!(true));
    });
    let socket = ConsoleSocket::new(container.path());
    let mut command = container.subcommand(["create", "--console-socket"]);
    command.arg(&socket.path).arg("--bundle");
    let _ = run(command.arg(container.bundle()).arg(&container.id)).ok();
    let mut terminal = socket.receive();
    let _ = container.start().ok();
    let text = terminal.wait_for("the end\r\n").to_owned();
    assert_eq!(text, "1\r\nto the console\r\nthe end\r\n");
}

fn dev_ptmx_is_the_containers() {
    let report = probe(|_| {});
    let link = report.devices["ptmx"].link.as_deref();
    let is_bound = report.is_mounted("/dev/ptmx") && report.mount("/dev/ptmx").kind == "devpts";
    assert!(
        link == Some("pts/ptmx") || link == Some("/dev/pts/ptmx") || is_bound,
        "{link:?}"
    );
}

/// Runs a container in a network namespace of the case's own that has a device `eth7`.
fn with_device(value: &str, prepare: &str) -> Finished {
    let container = Container::new(|config| {
        let value: Value = serde_json::from_str(value).unwrap();
        config
            .version("1.3.0")
            .shell("cat /proc/net/dev; ip addr; ip link; echo it ran")
            .set("/linux/netDevices", json!({"eth7": value}));
    });
    run_in(&["-n"], &script(prepare), &container, &[])
}

/// Says with 77 that the machine has no virtual devices.
fn script(prepare: &str) -> String {
    format!(
        "ip link add eth7 type veth peer name peer7 || exit 77
        {prepare}
        \"$@\""
    )
}

fn moved(value: &str, prepare: &str) -> String {
    let finished = with_device(value, prepare);
    if finished.code() == 77 {
        skip("this machine cannot make a veth device with ip(8)");
    }
    finished.ok().stdout
}

fn a_network_device_keeps_its_global_addresses() {
    let text = moved(
        "{}",
        "ip addr add 192.0.2.7/24 dev eth7; ip addr add 2001:db8::7/64 dev eth7 nodad || true",
    );
    assert!(text.contains("192.0.2.7/24"), "{text}");
    assert!(
        text.contains("2001:db8::7/64") || !std::path::Path::new("/proc/sys/net/ipv6").exists(),
        "{text}"
    );
}

/// The container's namespace is bound to a file, and outlives it with the device.
fn a_network_device_stays_in_a_namespace_that_was_joined() {
    let container = Container::with_path(|config, path| {
        let namespace = path.join("netns").display().to_string();
        config
            .version("1.3.0")
            .args(&["true"])
            .namespace("network", Some(&namespace))
            .set("/linux/netDevices", json!({"eth7": {}}));
    });
    let file = container.file("netns", "").display().to_string();
    let prepare = format!(
        "unshare --net={file} true
        \"$@\" >&2; nsenter --net={file} ip link; umount {file}; exit 0"
    );
    let finished = run_in(
        &["-n", "-m", "--propagation", "private"],
        &script(&prepare),
        &container,
        &[],
    );
    if finished.code() == 77 {
        skip("this machine cannot make a veth device with ip(8)");
    }
    assert!(finished.stdout.contains("eth7"), "{finished:#?}");
}
