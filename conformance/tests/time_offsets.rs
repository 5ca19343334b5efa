//! Clocks of a container's own: config-linux.md, "Offset for Time Namespace".

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;

use conformance::Container;
use conformance::runtime::runtime;
use serde_json::{Value, json};

/// A container that runs the script with these offsets.
fn offsets(offsets: Value, script: &str) -> Container {
    Container::new(|config| {
        config
            .namespace("time", None)
            .set("/linux/timeOffsets", offsets)
            .shell(script);
    })
}

fn uptime(text: &str) -> f64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn clocks_are_set_forward_and_back_by_seconds_and_nanoseconds() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    let host = || uptime(&fs::read_to_string("/proc/uptime").unwrap());
    for (secs, nanosecs) in [
        (1_000_000, 0),
        (-100, 0),
        (-100, 500_000_000),
        (0, 999_999_999),
    ] {
        let asked = json!({"boottime": {"secs": secs, "nanosecs": nanosecs}});
        let container = offsets(asked, "cat /proc/uptime /proc/self/timens_offsets");
        let before = host();
        let text = container.run().ok().stdout;
        let after = host();
        let offset = f64::from(secs) + f64::from(nanosecs) / 1e9;
        let inside = uptime(&text);
        // The file has hundredths, cut off.
        assert!(
            inside > before + offset - 0.02 && inside < after + offset + 0.02,
            "{text}: {before} {after}"
        );
        let line = text.lines().last().unwrap().split_whitespace();
        let expected = ["boottime", &secs.to_string(), &nanosecs.to_string()];
        assert_eq!(line.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn either_part_of_an_offset_may_be_left_out_and_each_clock() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    for (asked, expected) in [
        (json!({}), ["monotonic 0 0", "boottime 0 0"]),
        (json!({"monotonic": {}}), ["monotonic 0 0", "boottime 0 0"]),
        (
            json!({"monotonic": {"secs": -5}}),
            ["monotonic -5 0", "boottime 0 0"],
        ),
        (
            json!({"boottime": {"nanosecs": 7}}),
            ["monotonic 0 0", "boottime 0 7"],
        ),
        (
            json!({"boottime": {"secs": 3, "nanosecs": 4}, "monotonic": {"secs": 1, "nanosecs": 2}}),
            ["monotonic 1 2", "boottime 3 4"],
        ),
    ] {
        let text = offsets(asked, "cat /proc/self/timens_offsets")
            .run()
            .ok()
            .stdout;
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines, expected);
    }
}

#[test]
fn an_offset_that_no_clock_can_have_is_refused() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    for (clock, offset, at) in [
        ("realtime", json!({"secs": 1}), "realtime"),
        ("a/b", json!({"secs": 1}), "a~1b"),
        ("boottime", json!({"nanosecs": 1_000_000_000}), "boottime"),
        // The clock would be negative.
        (
            "monotonic",
            json!({"secs": -4_000_000_000_i64}),
            "monotonic",
        ),
        ("monotonic", json!({"secs": i64::MAX}), "monotonic"),
    ] {
        let mut asked = json!({});
        asked[clock] = offset;
        let container = offsets(asked, "true");
        let pointer = format!("/linux/timeOffsets/{at}");
        let phrases: &[&str] = if runtime().is_bareboat() {
            &[&pointer]
        } else {
            &[]
        };
        let _ = container.create().refused(phrases);
        container.assert_nothing_left();
    }
}

#[test]
fn offsets_without_a_new_time_namespace_are_refused() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    let holder = Container::new(|config| {
        config.waits().namespace("time", None);
    });
    let _ = holder.run_detached();
    let path = format!("/proc/{}/ns/time", holder.pid());
    for joined in [None, Some(path.as_str())] {
        let container = Container::new(|config| {
            if joined.is_some() {
                config.namespace("time", joined);
            }
            config.set("/linux/timeOffsets", json!({"boottime": {"secs": 1}}));
        });
        let phrases: &[&str] = if runtime().is_bareboat() {
            &["/linux/timeOffsets"]
        } else {
            &[]
        };
        let _ = container.create().refused(phrases);
        container.assert_nothing_left();
    }
}
