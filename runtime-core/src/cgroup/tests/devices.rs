//! Device rules: what is written to version 1, and what is refused.

use serde_json::{Value, json};

use super::{Layout, plan, refusal, v1, v2};

fn device_writes(devices: Value) -> Vec<String> {
    let plan = plan(&v1(), json!({"devices": devices})).unwrap();
    let all = plan.directories.iter().flat_map(|planned| &planned.writes);
    all.map(|write| format!("{} {} {}", write.file, write.value, write.origin))
        .collect()
}

#[test]
fn devices_begin_with_the_default_and_go_on_with_exceptions_in_the_rules_order() {
    let writes = device_writes(json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "r"},
        {"allow": true, "type": "c", "major": 7, "access": "r"},
        {"allow": true, "type": "b", "major": 8, "minor": 0, "access": "mw"},
    ]));
    assert_eq!(
        writes,
        [
            "devices.deny a /linux/resources/devices",
            "devices.allow b 8:0 rwm /linux/resources/devices/3",
            "devices.allow c 7:* r /linux/resources/devices/2",
            "devices.allow c *:* m default devices",
            "devices.allow b *:* m default devices",
            "devices.allow c 1:3 rwm default devices",
            "devices.allow c 1:8 rwm default devices",
            "devices.allow c 1:7 rwm default devices",
            "devices.allow c 5:0 rwm default devices",
            "devices.allow c 1:5 rwm default devices",
            "devices.allow c 1:9 rwm default devices",
            "devices.allow c 136:* rwm default devices",
            "devices.allow c 5:2 rwm default devices",
            "devices.allow c 10:200 rwm default devices",
        ]
    );
}

#[test]
fn a_hybrid_host_without_the_controller_in_version_1_filters_in_version_2() {
    let mounts = "38 31 0:35 / /cg/net_cls rw - cgroup cgroup rw,net_cls\n\
                  41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n";
    let layout = Layout::parse(mounts, "1:net_cls:/\n0::/\n");
    let plan = plan(&layout, json!({"devices": [{"allow": false}]})).unwrap();
    let [net, unified] = plan.directories.as_slice() else {
        panic!("{plan}")
    };
    assert!(net.devices.is_none() && net.writes.is_empty());
    assert!(unified.devices.is_some() && !unified.optional);
}

#[test]
fn a_rule_for_many_devices_takes_back_no_exception_for_some_of_them() {
    let none = json!({"allow": false, "access": "rwm"});
    let disk = json!({"allow": true, "type": "b", "major": 8, "minor": 0, "access": "rw"});
    let disks = json!({"allow": false, "type": "b", "major": 8, "access": "rw"});
    let writes = device_writes(json!([none, disk, disks]));
    assert_eq!(writes, device_writes(json!([none, disk])));
}

#[test]
fn a_privileged_container_may_use_all_devices() {
    assert_eq!(
        device_writes(json!([{"allow": true, "access": "rwm"}])),
        ["devices.allow a /linux/resources/devices"]
    );
}

#[test]
fn letters_that_are_no_access_are_refused_but_in_a_rule_that_denies_what_nothing_allows() {
    let strange = json!({"allow": false, "type": "c", "major": 1, "minor": 11, "access": "rwa"});
    let none = json!({"allow": false, "access": "rwm"});
    let all = json!({"allow": true, "access": "rwm"});
    assert_eq!(
        device_writes(json!([none, strange])),
        device_writes(json!([none]))
    );
    let pointer = refusal(&v1(), json!({"devices": [all, strange]})).0;
    assert_eq!(pointer, "devices/1/access");
    let mut allowing = strange;
    allowing["allow"] = json!(true);
    let pointer = refusal(&v1(), json!({"devices": [none, allowing]})).0;
    assert_eq!(pointer, "devices/1/access");
}

#[test]
fn a_container_without_rules_may_use_the_default_devices_alone() {
    assert_eq!(
        device_writes(json!([]))[0],
        "devices.deny a /linux/resources/devices"
    );
}

#[test]
fn a_rule_without_access_is_about_all_of_it() {
    let writes = device_writes(json!([
        {"allow": false},
        {"allow": true, "type": "c", "major": 7, "minor": 1},
    ]));
    let expected = "devices.allow c 7:1 rwm /linux/resources/devices/1";
    assert!(writes.iter().any(|write| write == expected), "{writes:#?}");
}

#[test]
fn wrong_device_rules_are_refused_where_they_are() {
    let rule = |rule: Value| {
        refusal(
            &v2(),
            json!({"devices": [{"allow": false, "access": "rwm"}, rule]}),
        )
        .0
    };
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "access": ""})),
        "devices/1/access"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "access": "rx"})),
        "devices/1/access"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "p", "access": "r"})),
        "devices/1/type"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "major": -2, "access": "r"})),
        "devices/1/major"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "minor": 1_i64 << 32, "access": "r"})),
        "devices/1/minor"
    );
    assert_eq!(
        rule(json!({"allow": true, "type": "c", "major": u32::MAX, "access": "r"})),
        "devices/1/major"
    );
    let hole = json!({"devices": [
        {"allow": true, "type": "c", "major": 4, "access": "rw"},
        {"allow": false, "type": "c", "major": 4, "minor": 1, "access": "w"},
    ]});
    let problem = refusal(&v1(), hole);
    assert_eq!(
        problem,
        (
            "devices/1".into(),
            "c 4:1 w cannot be taken out of the wider c 4:* rw".into()
        )
    );
    let in_the_way = json!({"devices": [
        {"allow": true},
        {"allow": false, "type": "c", "minor": 5, "access": "w"},
    ]});
    let problem = refusal(&v2(), in_the_way);
    assert_eq!(
        problem,
        (
            "devices/1".into(),
            "c 1:5 rwm cannot be taken out of the wider c *:5 w".into()
        )
    );
}
