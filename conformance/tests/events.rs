//! `events`: what a container uses, and when it runs out of memory, in runc's JSON.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::time::{Duration, Instant};

use conformance::process::{Running, spawn, until};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

const LIMIT: u64 = 32 << 20;

fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.waits();
        change(config);
    });
    let _ = container.run_detached();
    container
}

fn limited() -> Container {
    running(|config| {
        config
            .set(
                "/linux/resources/memory",
                json!({"limit": LIMIT, "swap": LIMIT}),
            )
            .set("/linux/resources/pids", json!({"limit": 20}))
            .set(
                "/linux/resources/cpu",
                json!({"quota": 50_000, "period": 100_000}),
            );
    })
}

fn follow(container: &Container, interval: &str) -> Running {
    spawn(
        container
            .subcommand(["events", "--interval", interval, &container.id])
            .stdin(std::process::Stdio::null()),
    )
}

#[test]
fn stats_are_one_line_with_the_containers_limits_and_use() {
    let container = limited();
    let line = container.call(&["events", "--stats"]).ok().stdout;
    let start = format!(
        r#"{{"type":"stats","id":"{}","data":{{"cpu":{{"usage":{{"total":"#,
        container.id
    );
    assert!(line.starts_with(&start), "{line}");
    assert_eq!(line.lines().count(), 1, "{line}");
    let event: Value = serde_json::from_str(&line).unwrap();
    let data = &event["data"];
    assert!(data["cpu"]["usage"]["total"].as_u64() > Some(0), "{line}");
    assert_eq!(data["memory"]["usage"]["limit"], LIMIT);
    assert!(data["memory"]["usage"]["usage"].as_u64() > Some(0));
    assert!(data["memory"]["raw"]["pgfault"].as_u64() > Some(0));
    assert_eq!(data["pids"]["limit"], 20);
    assert!(data["pids"]["current"].as_u64() > Some(0));
    for always in ["cpuset", "blkio", "hugetlb", "intel_rdt"] {
        assert!(data[always].is_object(), "{always} in {line}");
    }
}

#[test]
fn cpu_time_grows_and_throttling_is_counted() {
    let container = running(|config| {
        config.shell("while :; do :; done").set(
            "/linux/resources/cpu",
            json!({"quota": 1000, "period": 10_000}),
        );
    });
    let cpu = || -> Value {
        let line = container.call(&["events", "--stats"]).ok().stdout;
        serde_json::from_str::<Value>(&line).unwrap()["data"]["cpu"].clone()
    };
    let first = cpu()["usage"]["total"].as_u64().unwrap();
    until("a throttled container", || {
        let cpu = cpu();
        let throttled = cpu["throttling"]["throttledPeriods"].as_u64() > Some(0);
        let time = cpu["throttling"]["throttledTime"].as_u64() > Some(0);
        (throttled && time && cpu["usage"]["total"].as_u64() > Some(first)).then_some(())
    });
}

#[test]
fn statistics_are_printed_every_interval_until_the_container_is_gone() {
    let container = limited();
    let started = Instant::now();
    let events = follow(&container, "100ms");
    until("three lines", || {
        (events.printed().lines().count() >= 3).then_some(())
    });
    assert!(started.elapsed() >= Duration::from_millis(300));
    let _ = container.delete_force().ok();
    let text = events.wait().ok().stdout;
    for line in text.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["type"], "stats", "{line}");
    }
}

#[test]
fn a_container_that_is_out_of_memory_has_an_event_of_it() {
    let container = limited();
    let events = follow(&container, "50ms");
    until("events watches", || {
        (!events.printed().is_empty()).then_some(())
    });
    // dd allocates its buffer at once, and fills it.
    let _ = container.exec(
        &[],
        &["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"],
    );
    let event = format!(r#"{{"type":"oom","id":"{}"}}"#, container.id);
    until("an event", || {
        events
            .printed()
            .lines()
            .any(|line| line == event)
            .then_some(())
    });
    let _ = container.delete_force().ok();
    let _ = events.wait().ok();
}

#[test]
fn whoever_waits_for_events_sleeps() {
    if runtime().departs("runc", "has the threads of Go") {
        return;
    }
    let container = limited();
    let events = follow(&container, "1h");
    let status = || fs::read_to_string(format!("/proc/{}/status", events.id())).unwrap();
    until("sleep", || status().contains("State:\tS").then_some(()));
    std::thread::sleep(Duration::from_millis(300));
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", events.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(Duration::from_millis(500));
    assert!(ticks() <= before + 1, "{before} to {}", ticks());
    assert!(status().contains("Threads:\t1\n"), "{}", status());
    let _ = container.delete_force().ok();
    let _ = events.wait().ok();
}

#[test]
fn the_end_of_a_container_ends_its_events_before_it_is_deleted() {
    let has_v2 = conformance::cgroup::hierarchies()
        .iter()
        .any(|(names, _)| names[0] == "unified");
    if !has_v2 || runtime().departs("runc", "waits for the removal of a cgroup of version 1") {
        eprintln!("skipped: version 1 alone tells of the removal only");
        return;
    }
    let container = limited();
    let events = follow(&container, "1h");
    std::thread::sleep(Duration::from_millis(100));
    let _ = container.kill("KILL").ok();
    assert_eq!(events.wait().ok().stdout, "");
}

#[test]
fn events_of_a_stopped_container_are_refused() {
    let container = Container::new(|config| {
        config.args(&["true"]);
    });
    let _ = container.run_detached();
    container.wait_for("stopped");
    let phrase = format!("container with id {} is not running", container.id);
    for arguments in [&["events", "--stats"][..], &["events"]] {
        let _ = container.call(arguments).refused(&[&phrase]);
    }
}

#[test]
fn an_interval_is_a_duration_above_zero() {
    let container = limited();
    for interval in ["0s", "-1s"] {
        let _ = container
            .call(&["events", "--interval", interval])
            .refused(&["duration interval must be greater than 0"]);
    }
    for interval in ["5", "often", "1d"] {
        let refused = container.call(&["events", "--interval", interval]);
        assert_ne!(refused.code(), 0, "{interval}");
    }
}

#[test]
fn a_created_container_has_statistics() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.create().ok();
    let line = container.call(&["events", "--stats"]).ok().stdout;
    let event: Value = serde_json::from_str(&line).unwrap();
    let processes = event["data"]["pids"]["current"].as_u64();
    assert!(processes > Some(0), "{line}");
    // runc waits with several threads.
    assert!(!runtime().is_bareboat() || processes == Some(1), "{line}");
}
