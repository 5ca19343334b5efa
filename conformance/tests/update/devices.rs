//! Device rules, which change while the container uses its devices.

use std::fs;

use conformance::Container;
use conformance::cgroup::{directory, is_v1, read};
use conformance::process::until;
use conformance::runtime::runtime;
use serde_json::{Value, json};

use super::{pids, running, update_from_file};

/// A container that keeps using `/dev/null`, and says when it cannot; and the file in which it does.
fn user_of_devices(rules: &Value) -> Container {
    Container::with_path(|config, path| {
        fs::create_dir(path.join("data")).unwrap();
        config
            .bind(path.join("data"), "/data", &["bind", "rw"])
            .set("/linux/resources/devices", rules.clone())
            .push(
                "/linux/devices",
                json!({"path": "/dev/own", "type": "c", "major": 250, "minor": 7, "fileMode": 438}),
            )
            .shell(
                "exec 2>/data/errors
                 n=0; while [ $n -lt 2000000 ]; do n=$((n+1)); : > /dev/null || exit 1; echo $n > /data/round; done",
            );
    })
}

/// Whether the container may use a device that no driver has: the kernel says so only then.
fn may_use_own(container: &Container) -> bool {
    let finished = container.exec(&[], &["sh", "-c", ": < /dev/own"]);
    assert_ne!(finished.code(), 0, "there is no such device");
    !finished.stderr.contains("not permitted")
}

fn only(more: &[Value]) -> Value {
    let none = json!({"allow": false, "access": "rwm"});
    [&[none], more].concat().into()
}

#[test]
fn device_rules_change_without_a_moment_in_which_other_devices_are_denied() {
    if !runtime().is_bareboat() {
        eprintln!("skipped: runc's update does not change device rules");
        return;
    }
    let own = json!({"allow": true, "type": "c", "major": 250, "minor": 7, "access": "rw"});
    let container = user_of_devices(&only(&[]));
    let _ = container.run_detached();
    let change = |rules: &Value| {
        let _ = update_from_file(&container, &json!({"devices": rules})).ok();
    };
    assert!(!may_use_own(&container));
    for _ in 0..10 {
        change(&only(std::slice::from_ref(&own)));
        assert!(may_use_own(&container));
        change(&only(&[]));
    }
    assert!(!may_use_own(&container));
    // To another default and back, for which version 1 has no order of writes that would do.
    change(&json!([{"allow": true, "access": "rwm"}]));
    assert!(may_use_own(&container));
    let denied = json!({"allow": false, "type": "c", "major": 250, "minor": 7, "access": "rwm"});
    change(&json!([{"allow": true, "access": "rwm"}, denied]));
    assert!(!may_use_own(&container));
    change(&only(&[]));
    assert!(!may_use_own(&container));
    let round = container.read("data/round");
    until("the container to go on", || {
        (container.read("data/round") != round).then_some(())
    });
    assert_eq!(container.read("data/errors"), "");
    assert_eq!(container.status(), "running");
}

#[test]
fn device_rules_that_do_not_change_are_left_alone() {
    if !is_v1("devices") || !runtime().is_bareboat() {
        eprintln!("skipped: this looks at devices.list of cgroup v1");
        return;
    }
    let rules =
        only(&[json!({"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rwm"})]);
    let container = running(|config| {
        config.set("/linux/resources/devices", rules.clone());
    });
    // As a hook for graphics cards does.
    let path = directory("devices", &container.cgroup);
    fs::write(path.join("devices.allow"), "c 250:9 rw").unwrap();
    let resources = json!({"devices": rules, "pids": {"limit": 33}});
    let _ = update_from_file(&container, &resources).ok();
    assert_eq!(pids(&container), "33");
    let list = read(&container.cgroup, "devices", "devices.list", "");
    assert!(list.contains("c 250:9 rw"), "{list}");
    let _ = update_from_file(&container, &json!({"devices": only(&[])})).ok();
    let list = read(&container.cgroup, "devices", "devices.list", "");
    assert!(
        !list.contains("250:9") && !list.contains("10:229"),
        "{list}"
    );
    assert!(list.contains("c 1:3 rwm"), "{list}");
}
