//! All commands by many callers, on one container.

use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use conformance::Container;
use conformance::process::{run, spawn};
use conformance::runtime::runtime;
use serde_json::Value;

use crate::{Done, answer_of, at_once, begin, waits};

/// What callers may be told of a container that others work with.
const KNOWN: [&str; 13] = [
    "container does not exist",
    "container not running",
    "container not paused",
    "is not running",
    "is not stopped",
    "cannot start an already running container",
    "cannot start a container that has stopped",
    "cannot start a container in the paused state",
    "the container was killed before its program ran",
    "cannot exec in a stopped container",
    "cannot exec in a paused container",
    "the container has stopped meanwhile",
    "no room for more processes",
];

/// The same where containers of the ID come and go.
const KNOWN_OF_CREATION: [&str; 4] = [
    // A process that was to join the container before may be in it still.
    "the container's cgroup is not empty",
    "container with given ID already exists",
    "a container that is being created",
    "cannot exec in a container that is being created",
];

/// What `state` says, or that there is no container.
fn status(container: &Container) -> String {
    let finished = begin(container, &["state"]).wait();
    if finished.code() == 0 {
        let state: Value = serde_json::from_str(&finished.stdout).unwrap();
        return state["status"].as_str().unwrap().to_owned();
    }
    let error = answer_of(finished, &["container does not exist"]);
    assert!(error.is_some());
    "gone".to_owned()
}

/// Looks at the state over and over while the life goes on, and gives what was seen, each once, in order.
fn seen_while(container: &Container, life: impl FnOnce()) -> Vec<String> {
    let (done, seen) = (AtomicBool::new(false), Mutex::new(Vec::<String>::new()));
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut own = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    let status = status(container);
                    if own.last() != Some(&status) {
                        own.push(status);
                    }
                }
                assert_forwards(&own);
                seen.lock().unwrap().extend(own);
            });
        }
        let _end = Done(&done);
        life();
    });
    seen.into_inner().unwrap()
}

/// A container may be paused and resumed at any time; all else has an order.
fn assert_forwards(seen: &[String]) {
    let order = ["creating", "created", "running", "stopped", "gone"];
    // Before there was one.
    let life = seen.strip_prefix(&["gone".to_owned()]).unwrap_or(seen);
    let ranks: Vec<_> = life
        .iter()
        .filter(|status| *status != "paused")
        .map(|status| order.iter().position(|name| name == status).unwrap())
        .collect();
    assert!(ranks.is_sorted(), "{seen:?}");
}

#[test]
fn the_state_never_goes_back() {
    if runtime().departs(
        "runc",
        "says that a container is gone which is being deleted",
    ) {
        return;
    }
    for _ in 0..2 {
        let container = Container::new(waits);
        let seen = seen_while(&container, || {
            let _ = container.create().ok();
            let _ = container.start().ok();
            let _ = container.kill("KILL").ok();
            container.wait_for("stopped");
            let _ = container.delete().ok();
        });
        assert!(seen.iter().any(|status| status == "gone"), "{seen:?}");
        container.assert_nothing_left();
    }
}

/// One of the commands on a container that is there.
fn call(container: &Container, number: usize) -> Option<String> {
    let arguments: &[&str] = match number % 9 {
        0 => &["state"],
        1 => &["start"],
        2 => &["pause"],
        3 => &["resume"],
        4 => &["update", "--pids-limit", "1000"],
        5 => &["ps", "--format", "json"],
        6 => &["events", "--stats"],
        7 => {
            return {
                let mut exec = container.exec_command(&[], &["true"]);
                let exec = spawn(exec.stdin(Stdio::null())).wait();
                // The container's end is that of its processes.
                (exec.code() != 137)
                    .then(|| answer_of(exec, &KNOWN))
                    .flatten()
            };
        }
        _ => {
            return {
                let mut kill = container.subcommand(["kill", &container.id, "0"]);
                answer_of(run(&mut kill), &KNOWN)
            };
        }
    };
    answer_of(begin(container, arguments).wait(), &KNOWN)
}

/// Resumes the container all the while: who has entered one that is paused then waits.
fn going_on(container: &Container, act: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = answer_of(
                    begin(container, &["resume"]).wait(),
                    &[&KNOWN[..], &KNOWN_OF_CREATION].concat(),
                );
                thread::sleep(Duration::from_millis(20));
            }
        });
        let _end = Done(&done);
        act();
    });
}

fn all_commands_at_once(callers: usize, rounds: usize) {
    let container = Container::new(waits);
    let _ = container.create().ok();
    let seen = seen_while(&container, || {
        going_on(&container, || {
            let _ = at_once(callers, |caller| {
                for round in 0..rounds {
                    let _ = call(&container, caller * 5 + round * 7);
                }
            });
            let _ = at_once(callers, |caller| match caller {
                0 => answer_of(container.kill("KILL"), &[]),
                _ => call(&container, caller),
            });
            container.wait_for("stopped");
        });
        let deleted = at_once(callers, |_| {
            answer_of(
                begin(&container, &["delete"]).wait(),
                &["container does not exist"],
            )
        });
        let won = deleted.iter().filter(|answer| answer.is_none()).count();
        assert_eq!(won, 1, "{deleted:?}");
    });
    assert!(seen.iter().any(|status| status == "running"), "{seen:?}");
    container.assert_nothing_left();
}

#[test]
fn all_commands_at_once_have_right_answers_and_one_delete_wins() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    all_commands_at_once(5, 9);
}

#[test]
#[ignore = "takes a minute: make adversity"]
fn all_commands_many_times_at_once_have_right_answers() {
    for _ in 0..10 {
        all_commands_at_once(16, 18);
    }
}

/// One of the commands, and of those that make and end containers.
fn call_or_replace(container: &Container, number: usize) {
    let known = [&KNOWN[..], &KNOWN_OF_CREATION].concat();
    let answer = match number % 12 {
        0 => answer_of(run(&mut container.create_command(&[])), &known),
        1 => answer_of(run(&mut container.run_command(&["--detach"])), &known),
        2 => answer_of(begin(container, &["delete", "--force"]).wait(), &[]),
        3 => answer_of(begin(container, &["delete"]).wait(), &known),
        4 => answer_of(container.kill("KILL"), &known),
        5 => answer_of(begin(container, &["start"]).wait(), &known),
        6 => answer_of(begin(container, &["pause"]).wait(), &known),
        7 => answer_of(begin(container, &["resume"]).wait(), &known),
        8 => answer_of(
            begin(container, &["update", "--pids-limit", "900"]).wait(),
            &known,
        ),
        9 => answer_of(begin(container, &["events", "--stats"]).wait(), &known),
        10 => {
            let exec = container.exec(&[], &["true"]);
            (exec.code() != 137)
                .then(|| answer_of(exec, &known))
                .flatten()
        }
        _ => answer_of(begin(container, &["state"]).wait(), &known),
    };
    drop(answer);
}

fn one_id_by_many(callers: usize, rounds: usize) {
    let container = Container::new(waits);
    going_on(&container, || {
        let _ = at_once(callers, |caller| {
            // Numbers that follow one another in another order for each.
            let mut number = caller * 31 + 7;
            for _ in 0..rounds {
                number = (number * 1_103_515_245 + 12345) % 0x8000_0000;
                call_or_replace(&container, number >> 16);
            }
        });
    });
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
    let _ = container.create().ok();
    assert_eq!(container.status(), "created");
}

#[test]
fn callers_that_make_and_end_containers_of_one_id_at_once_leave_nothing() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    one_id_by_many(5, 12);
}

#[test]
#[ignore = "takes a minute: make adversity"]
fn sixteen_callers_that_make_and_end_containers_of_one_id_leave_nothing() {
    for _ in 0..5 {
        one_id_by_many(16, 60);
    }
}

#[test]
fn several_deletes_of_a_stopped_container_at_once_have_one_winner_and_by_force_all_win() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    for force in [false, true] {
        let container = Container::new(waits);
        let _ = container.create().ok();
        let _ = container.kill("KILL").ok();
        container.wait_for("stopped");
        let arguments: &[&str] = match force {
            true => &["delete", "--force"],
            false => &["delete"],
        };
        let answers = at_once(8, |_| {
            answer_of(
                begin(&container, arguments).wait(),
                &["container does not exist"],
            )
        });
        let won = answers.iter().filter(|answer| answer.is_none()).count();
        assert_eq!(won, if force { 8 } else { 1 }, "{answers:?}");
        container.assert_nothing_left();
    }
}
