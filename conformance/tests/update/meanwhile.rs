//! Updates of containers that are paused, not started, at an end, busy, or being updated.

use std::fs;

use conformance::Container;
use conformance::process::run;
use conformance::runtime::runtime;
use serde_json::{Value, json};

use super::{MEGABYTE, memory, pids, quota, running, update};

#[test]
fn a_paused_container_can_be_updated_and_stays_paused() {
    let container = running(|_| {});
    let _ = container.call(&["pause"]).ok();
    let _ = update(&container, &["--pids-limit", "30", "--memory", "40M"]).ok();
    assert_eq!(container.status(), "paused");
    assert_eq!(pids(&container), "30");
    let _ = container.call(&["resume"]).ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn a_container_that_waits_for_its_start_can_be_updated() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.create().ok();
    let _ = update(&container, &["--pids-limit", "30"]).ok();
    let _ = container.start().ok();
    assert_eq!(container.status(), "running");
    assert_eq!(pids(&container), "30");
}

#[test]
fn a_container_that_has_stopped_or_never_was_is_refused() {
    let container = Container::new(|config| {
        config.args(&["true"]);
    });
    let _ = container.run_detached();
    container.wait_for("stopped");
    let _ = update(&container, &["--pids-limit", "30"]).refused(&["container not running"]);
    let mut unknown = container.subcommand(["update", "--pids-limit", "30", "no-such-container"]);
    let _ = run(&mut unknown).refused(&["container does not exist"]);
}

#[test]
fn limits_change_while_processes_fork() {
    let container = Container::new(|config| {
        config.shell("n=0; while [ $n -lt 100000 ]; do n=$((n+1)); true & true & wait; done");
        config.set("/linux/resources/pids", json!({"limit": 50}));
    });
    let _ = container.run_detached();
    for round in 0..15 {
        let limit = (60 + round).to_string();
        let memory = format!("{}M", 100 - round);
        let quota = (90_000 - 1000 * round).to_string();
        let options = [
            "--pids-limit",
            &limit,
            "--memory",
            &memory,
            "--cpu-quota",
            &quota,
        ];
        let _ = update(&container, &options).ok();
        assert_eq!(pids(&container), limit);
    }
    assert_eq!(container.status(), "running");
}

#[test]
fn updates_at_the_same_time_are_all_kept() {
    let container = running(|_| {});
    std::thread::scope(|scope| {
        let _ = scope.spawn(|| update(&container, &["--cpu-quota", "400000"]).ok());
        let _ = scope.spawn(|| update(&container, &["--memory", "77M"]).ok());
        let _ = scope.spawn(|| update(&container, &["--pids-limit", "77"]).ok());
    });
    assert_eq!(quota(&container), (400_000, 1_000_000));
    assert_eq!(memory(&container), (77 * MEGABYTE).to_string());
    assert_eq!(pids(&container), "77");
    if runtime().is_bareboat() {
        let kept = fs::read(
            container
                .state_root()
                .join(&container.id)
                .join("config.json"),
        );
        let kept: Value = serde_json::from_slice(&kept.unwrap()).unwrap();
        let resources = &kept["linux"]["resources"];
        assert_eq!(resources["cpu"]["quota"], 400_000);
        assert_eq!(resources["memory"]["limit"], 77 * MEGABYTE);
        assert_eq!(resources["pids"]["limit"], 77);
    }
}
