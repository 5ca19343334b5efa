//! Shares of caches and memory bandwidth: config-linux.md, "IntelRdt". Few machines have the hardware; elsewhere only the
//! refusals can be seen, and the library's own tests use a directory that stands in for the file system.

use std::fs;
use std::path::{Path, PathBuf};

use conformance::runtime::runtime;
use conformance::{Config, Container, mountinfo};
use serde_json::json;

/// Where a resctrl file system is mounted; prints that the case is skipped where there is none.
fn resctrl() -> Option<PathBuf> {
    let mounts = mountinfo::read("/proc/self/mountinfo");
    let found = mounts.into_iter().find(|mount| mount.kind == "resctrl");
    if found.is_none() {
        eprintln!("skipped: no resctrl file system is mounted");
    }
    found.map(|mount| mount.target.into())
}

fn tasks(group: &Path) -> Vec<i32> {
    let text = fs::read_to_string(group.join("tasks")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

#[test]
fn without_a_resctrl_file_system_a_configuration_that_asks_for_one_is_refused() {
    if runtime().predates(
        "runc",
        [1, 4, 0],
        "refusing intelRdt where it has no effect",
    ) {
        return;
    }
    let mounts = mountinfo::read("/proc/self/mountinfo");
    if mounts.iter().any(|mount| mount.kind == "resctrl") {
        eprintln!("skipped: a resctrl file system is mounted");
        return;
    }
    for asked in [
        json!({}),
        json!({"closID": "/"}),
        json!({"enableMonitoring": true}),
    ] {
        let container = Container::new(|config| {
            config.set("/linux/intelRdt", asked);
        });
        let phrases: &[&str] = if runtime().is_bareboat() {
            &["/linux/intelRdt", "no resctrl file system is mounted"]
        } else {
            &[]
        };
        let _ = container.create().refused(phrases);
        container.assert_nothing_left();
    }
}

#[test]
fn a_schema_that_would_be_two_is_refused() {
    if runtime().predates(
        "runc",
        [1, 4, 0],
        "refusing intelRdt where it has no effect",
    ) {
        return;
    }
    for (value, pointer) in [
        (
            json!({"memBwSchema": "MB:0=20\nMB:1=20"}),
            "/linux/intelRdt/memBwSchema",
        ),
        (
            json!({"memBwSchema": "L3:0=f"}),
            "/linux/intelRdt/memBwSchema",
        ),
        (
            json!({"schemata": ["MB:0=20\nMB:1=20"]}),
            "/linux/intelRdt/schemata/0",
        ),
        (json!({"closID": "../web"}), "/linux/intelRdt/closID"),
    ] {
        let container = Container::new(|config| {
            config.set("/linux/intelRdt", value);
        });
        container.assert_refused_at(pointer);
    }
}

#[test]
fn a_container_without_intel_rdt_needs_no_resctrl() {
    let container = Container::new(|_| {});
    let _ = container.run().ok();
}

#[test]
fn a_container_is_in_a_class_of_its_own_until_it_is_deleted() {
    let Some(resctrl) = resctrl() else { return };
    let container = Container::new(|config: &mut Config| {
        config.waits().set(
            "/linux/intelRdt",
            json!({"enableMonitoring": resctrl.join("info/L3_MON").exists()}),
        );
    });
    let group = resctrl.join(&container.id);
    let _ = container.run_detached();
    assert!(tasks(&group).contains(&container.pid()));
    let _ = container.delete_force().ok();
    assert!(!group.exists());
}

#[test]
fn the_default_class_is_joined_and_stays() {
    let Some(resctrl) = resctrl() else { return };
    let container = Container::new(|config: &mut Config| {
        config
            .waits()
            .set("/linux/intelRdt", json!({"closID": "/"}));
    });
    let _ = container.run_detached();
    assert!(tasks(&resctrl).contains(&container.pid()));
    let _ = container.delete_force().ok();
    assert!(resctrl.join("schemata").exists());
}
