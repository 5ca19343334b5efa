//! A first process that does to those who join its container what it may: it signals them, ends under them, leaves no room for
//! them. The caller hears of it, and is never kept waiting.

use std::fs;

use conformance::process::{run, until};
use conformance::runtime::runtime;
use conformance::{Config, Container, Finished};
use serde_json::json;

fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config
            .capabilities(&["CAP_KILL", "CAP_SYS_PTRACE"])
            .set("/root/readonly", json!(false));
        change(config);
    });
    let _ = container.run_detached();
    container
}

/// A first process that sends each other one this signal as soon as it can.
fn signalling(signal: &str) -> Container {
    let container = running(|config| {
        config.args(&["/probe", "signal", signal, "/stop"]);
    });
    until("the attacker", || {
        container.rootfs().join("watching").exists().then_some(())
    });
    container
}

/// The answer was the program's, or an error that says what became of it.
fn assert_answered(finished: &Finished, own: &[i32]) -> bool {
    let came_through = own.contains(&finished.code());
    let is_told = finished.code() == 255 || finished.code() == 1;
    assert!(came_through || is_told, "{finished:#?}");
    if !came_through {
        assert!(finished.stderr.lines().count() >= 1, "{finished:#?}");
    }
    came_through
}

#[test]
fn a_first_process_that_kills_whoever_joins_is_told_of_and_nobody_waits() {
    let container = signalling("KILL");
    let mut killed = 0;
    for _ in 0..40 {
        // 137: the program was killed, not the init.
        let finished = container.exec(&[], &["true"]);
        if !assert_answered(&finished, &[0, 137]) {
            killed += 1;
        }
    }
    assert!(killed > 0, "none was killed before its program ran");
    assert_eq!(container.status(), "running");
}

#[test]
fn a_first_process_that_stops_whoever_joins_does_not_keep_the_caller() {
    if runtime().departs("runc", "waits until it is continued")
        || runtime().departs("crun", "waits")
    {
        return;
    }
    let container = signalling("STOP");
    let mut stopped = 0;
    for _ in 0..12 {
        // Of a program that runs already the caller waits for its end, as it should.
        let finished = container.exec(&["--detach"], &["true"]);
        if !assert_answered(&finished, &[0]) {
            assert!(
                finished
                    .stderr
                    .contains("stopped by a signal from inside the container"),
                "{finished:#?}"
            );
            stopped += 1;
        }
        if stopped == 2 {
            break;
        }
    }
    assert!(stopped > 0, "none was stopped before its program ran");
    fs::write(container.rootfs().join("stop"), "").unwrap();
}

#[test]
fn a_container_that_ends_while_others_join_is_an_error_and_leaves_nothing() {
    for _ in 0..6 {
        let container = running(|config| {
            config.args(&["sleep", "0.15"]);
        });
        let mut refused = None;
        for _ in 0..60 {
            let finished = container.exec(&[], &["true"]);
            if !assert_answered(&finished, &[0, 137]) {
                refused = Some(finished);
                break;
            }
        }
        assert!(refused.is_some(), "the container did not end");
        container.wait_for("stopped");
        let _ = container.delete().ok();
        container.assert_nothing_left();
    }
}

#[test]
fn a_container_that_is_full_of_processes_lets_nobody_in_and_can_still_be_ended() {
    if !runtime().is_bareboat() {
        eprintln!("skipped: others let one more in");
        return;
    }
    let container = running(|config| {
        config
            .shell("(while :; do sleep 60 & done) 2>/dev/null; exec sleep 60")
            .set("/linux/resources/pids", json!({"limit": 24}));
    });
    // Not by joining it: the shell that fills it gives up where one of ours has taken the last place, and leaves others free.
    until("a full container", || {
        let listed = container.call(&["ps"]).ok().stdout;
        (listed.lines().count() > 23).then_some(())
    });
    for _ in 0..8 {
        let _ = container.exec(&[], &["true"]).refused(&[]);
    }
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
}

#[test]
fn a_process_that_joins_a_frozen_container_is_refused_or_waits_for_its_thaw() {
    let container = running(|config| {
        config.waits();
    });
    let _ = container.call(&["pause"]).ok();
    let _ = container.exec(&[], &["true"]).refused(&["paused"]);
    let _ = container.call(&["resume"]).ok();
    let _ = container.exec(&[], &["true"]).ok();
}

#[test]
fn the_callers_keys_are_not_the_containers() {
    // KEY_SPEC_SESSION_KEYRING by its number and name, as a process in the container finds it.
    let container = running(|config| {
        config.waits();
    });
    let session = |program: &mut std::process::Command| run(program).ok().stdout;
    let number = libc::SYS_keyctl.to_string();
    let words = ["/probe", "syscall", &number, "0", "-3", "0"];
    let first = session(&mut container.exec_command(&[], &words));
    let second = session(&mut container.exec_command(&[], &words));
    assert_eq!(first, second, "all of one container have one");
    let mut own = std::process::Command::new(container.rootfs().join("probe"));
    let host = session(own.args(&words[1..]));
    assert_ne!(first, host);
}
