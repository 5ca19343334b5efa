//! `start`: by many at once, by one that is killed, and with the creator gone.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use conformance::Container;
use conformance::process::{spawn, until};
use conformance::runtime::runtime;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::{answer_of, at_once, begin, waits};

#[test]
fn of_many_starts_at_once_one_wins_and_the_others_are_told_that_it_runs() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    for _ in 0..3 {
        let container = Container::new(waits);
        let _ = container.create().ok();
        let known = ["cannot start an already running container"];
        let answers = at_once(8, |_| {
            answer_of(begin(&container, &["start"]).wait(), &known)
        });
        let won = answers.iter().filter(|answer| answer.is_none()).count();
        assert_eq!(won, 1, "{answers:?}");
        assert_eq!(container.status(), "running");
    }
}

/// As a `start` leaves it that is killed when it has let the program start, and before it removes the socket.
fn started_by_one_that_was_killed() -> Container {
    let container = Container::new(waits);
    let _ = container.create().ok();
    let directory = container.state_root().join(&container.id);
    let (socket, kept) = (directory.join("start.sock"), container.path().join("kept"));
    fs::hard_link(&socket, &kept).unwrap();
    let _ = container.start().ok();
    fs::rename(&kept, &socket).unwrap();
    container
}

#[test]
fn a_start_that_was_killed_once_the_program_ran_leaves_a_container_that_runs() {
    if !runtime().is_bareboat() {
        return;
    }
    let container = started_by_one_that_was_killed();
    assert_eq!(container.status(), "running");
    let _ = container.exec(&[], &["true"]).ok();
    let _ = container.delete().refused(&["is not stopped: running"]);
    let _ = container
        .start()
        .refused(&["cannot start an already running container"]);
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container
        .start()
        .refused(&["cannot start a container that has stopped"]);
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

fn killed_after(delay: Duration) -> &'static str {
    let container = Container::with_path(|config, path| {
        config
            .bind(path, "/case", &["bind"])
            .shell("echo ran >> /case/ran; sleep 60");
    });
    let _ = container.create().ok();
    let start = begin(&container, &["start"]);
    thread::sleep(delay);
    start.signal(Signal::SIGKILL);
    drop(start);
    // What it has done by then is done a moment later.
    let status = match container.status().as_str() {
        "created" => {
            let known = ["cannot start an already running container"];
            match answer_of(container.start(), &known) {
                None => "created",
                Some(_) => "running",
            }
        }
        "running" => "running",
        other => panic!("{other} after {delay:?}"),
    };
    until("the program runs", || {
        let ran = fs::read_to_string(container.path().join("ran"));
        ran.is_ok_and(|ran| !ran.is_empty()).then_some(())
    });
    assert_eq!(container.status(), "running");
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
    assert_eq!(container.read("ran"), "ran\n", "the program ran once");
    status
}

#[test]
fn a_start_that_is_killed_at_any_moment_leaves_a_container_that_is_created_or_runs() {
    if runtime().departs("runc", "kills the container when its start is killed") {
        return;
    }
    for delay in 0..8 {
        let _ = killed_after(Duration::from_micros(delay * 1000));
    }
}

#[test]
#[ignore = "takes a minute: make adversity"]
fn a_start_that_is_killed_at_many_moments_leaves_a_container_that_is_created_or_runs() {
    let of = |delay: u64| killed_after(Duration::from_micros(delay * 25));
    let all: Vec<_> = (0..400).map(of).collect();
    let created = all.iter().filter(|status| **status == "created").count();
    println!("{created} of {} were created, the others ran", all.len());
}

#[test]
fn a_container_is_started_when_its_creator_and_all_of_its_process_group_were_killed() {
    let container = Container::new(waits);
    let mut create = container.create_command(&[]);
    let create = spawn(create.stdin(Stdio::null()).process_group(0));
    let group = Pid::from_raw(create.id().cast_signed());
    until("the container is created", || {
        let state = container.call(&["state"]);
        (state.code() == 0 && state.stdout.contains("\"created\"")).then_some(())
    });
    let _ = create.wait().ok();
    // It is in no group of its creator's any more.
    assert!(killpg(group, Signal::SIGKILL).is_err());
    assert_eq!(container.status(), "created");
    let _ = container.start().ok();
    assert_eq!(container.status(), "running");
}

#[test]
fn a_start_beside_a_kill_has_won_or_says_that_the_container_was_killed() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    for _ in 0..6 {
        let container = Container::new(waits);
        let _ = container.create().ok();
        let known = [
            "cannot start a container that has stopped",
            "the container was killed before its program ran",
        ];
        let answers = at_once(2, |number| match number {
            0 => answer_of(begin(&container, &["start"]).wait(), &known),
            _ => answer_of(container.kill("KILL"), &[]),
        });
        assert_eq!(answers[1], None);
        container.wait_for("stopped");
        let _ = container.delete().ok();
        container.assert_nothing_left();
    }
}
