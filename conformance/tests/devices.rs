//! /dev: config-linux.md, "Devices", "Default Devices"; and the links of "Dev symbolic links" in runtime-linux.md.

use std::process::Command;

use conformance::container::{output_of, probe};
use conformance::process::run;
use conformance::{Container, Report};
use serde_json::json;

#[test]
fn the_default_devices_are_there_and_everyone_may_use_them() {
    let report = probe(|_| {});
    for (name, device) in [
        ("null", (1, 3)),
        ("zero", (1, 5)),
        ("full", (1, 7)),
        ("random", (1, 8)),
        ("urandom", (1, 9)),
        ("tty", (5, 0)),
    ] {
        let node = &report.devices[name];
        assert_eq!(
            (node.kind, node.device, node.mode, node.owner),
            ('c', device, 0o666, (0, 0)),
            "{name}"
        );
    }
}

#[test]
fn the_default_devices_work() {
    let script = "echo x > /dev/null && head -c 4 /dev/zero | wc -c && head -c 4 /dev/urandom | wc -c && head -c 0 /dev/random
        echo x 2>/dev/null > /dev/full || echo full";
    assert_eq!(output_of(script, |_| {}), "4\n4\nfull\n");
}

#[test]
fn the_links_of_the_specification_are_there() {
    let report = probe(|_| {});
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        assert_eq!(report.devices[name].link.as_deref(), Some(target));
    }
    let ptmx = report.devices["ptmx"].link.as_deref();
    assert!(
        matches!(ptmx, Some("pts/ptmx" | "/dev/pts/ptmx")),
        "{ptmx:?}"
    );
}

#[test]
fn there_is_no_console_without_a_terminal() {
    assert!(!probe(|_| {}).devices.contains_key("console"));
}

#[test]
fn devices_of_the_configuration_are_made_as_given() {
    let report = probe(|config| {
        config.push(
            "/linux/devices",
            json!({"path": "/dev/own", "type": "c", "major": 10, "minor": 229, "fileMode": 0o640, "uid": 7, "gid": 8}),
        );
        config.push(
            "/linux/devices",
            json!({"path": "/dev/block", "type": "b", "major": 7, "minor": 99}),
        );
        config.push(
            "/linux/devices",
            json!({"path": "/dev/fifo", "type": "p", "fileMode": 0o600}),
        );
        config.push(
            "/linux/devices",
            json!({"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 3}),
        );
    });
    let own = &report.devices["own"];
    assert_eq!(
        (own.kind, own.device, own.mode, own.owner),
        ('c', (10, 229), 0o640, (7, 8))
    );
    let block = &report.devices["block"];
    assert_eq!((block.kind, block.device), ('b', (7, 99)));
    let fifo = &report.devices["fifo"];
    assert_eq!((fifo.kind, fifo.mode), ('p', 0o600));
    assert_eq!(report.devices["unbuffered"].kind, 'c');
}

/// What the probe reports when another program executes the runtime.
fn run_by(wrapper: &[&str], container: &Container) -> Report {
    let runtime = container.run_command(&[]);
    let mut command = Command::new(wrapper[0]);
    command
        .args(&wrapper[1..])
        .arg(runtime.get_program())
        .args(runtime.get_args());
    Report::parse(&run(&mut command).ok())
}

#[test]
fn where_the_runtime_is_in_a_user_namespace_the_hosts_devices_are_bound() {
    // As rootless Podman starts it; the configuration has no user namespace then.
    let holder = Container::new(|config| {
        config.waits().user_namespace(&[(0, 0, 65536)]);
    });
    let _ = holder.run_detached();
    let namespace = format!("--user=/proc/{}/ns/user", holder.pid());
    let container = Container::new(|config| {
        config.remove("/linux/resources");
    });
    let enter = ["nsenter", &namespace, "unshare", "--mount"];
    let report = run_by(&enter, &container);
    for name in ["null", "zero", "full", "random", "urandom", "tty"] {
        assert_eq!(report.devices[name].kind, 'c', "{name}");
        assert!(report.is_mounted(&format!("/dev/{name}")), "{name}");
    }
}

#[test]
fn the_umask_of_the_caller_does_not_take_from_a_devices_mode() {
    let container = Container::new(|config| {
        config.push(
            "/linux/devices",
            json!({"path": "/dev/own", "type": "c", "major": 10, "minor": 229, "fileMode": 0o666}),
        );
    });
    let report = run_by(&["sh", "-c", "umask 077; exec \"$@\"", "sh"], &container);
    assert_eq!(report.devices["own"].mode, 0o666);
    assert_eq!(report.devices["null"].mode, 0o666);
    assert_eq!(report.status("Umask"), "0022");
}

#[test]
fn a_device_below_a_missing_directory_gets_it() {
    let text = output_of("ls -l /dev/deep/er/own | cut -c1-10", |config| {
        config.push(
            "/linux/devices",
            json!({"path": "/dev/deep/er/own", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600}),
        );
    });
    assert_eq!(text, "crw-------\n");
}

#[test]
fn a_device_that_is_a_default_one_can_have_another_mode() {
    let report = probe(|config| {
        config.push(
            "/linux/devices",
            json!({"path": "/dev/full", "type": "c", "major": 1, "minor": 7, "fileMode": 0o600, "uid": 3, "gid": 4}),
        );
    });
    let node = &report.devices["full"];
    assert_eq!(
        (node.kind, node.device, node.mode, node.owner),
        ('c', (1, 7), 0o600, (3, 4))
    );
}

#[test]
fn a_device_of_an_unknown_type_is_refused() {
    let container = Container::new(|config| {
        config.push(
            "/linux/devices",
            json!({"path": "/dev/x", "type": "x", "major": 1, "minor": 3}),
        );
    });
    let _ = container.run().refused(&[]);
    container.assert_nothing_left();
}

#[test]
fn a_bound_dev_is_left_as_it_is() {
    // Engines do so with `-v /dev:/dev`.
    let text = output_of("test -c /dev/null && echo there", |config| {
        let mounts = config.0["mounts"].as_array_mut().unwrap();
        mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with("/dev"));
        config.bind("/dev", "/dev", &["rbind", "rprivate"]);
    });
    assert_eq!(text, "there\n");
    let null = std::fs::metadata("/dev/null").unwrap();
    assert_eq!(std::os::unix::fs::MetadataExt::mode(&null) & 0o777, 0o666);
}
