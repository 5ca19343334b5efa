//! Processes that enter a container, and changes to it, while it ends.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use conformance::process::{spawn, until};
use conformance::runtime::runtime;
use conformance::{Config, Container};

use crate::{Done, answer_of, at_once, begin, waits};

/// How an exec into a container that ends may be refused. In version 1 what is killed is frozen for a moment.
const KNOWN: [&str; 5] = [
    "cannot exec in a stopped container",
    "the container has stopped meanwhile",
    "container not running",
    "container does not exist",
    "cannot exec in a paused container",
];

/// Has callers enter the container over and over, and ends it meanwhile.
fn enter_while(container: &Container, callers: usize, end: impl Fn() + Sync) {
    let entered = AtomicUsize::new(0);
    let _ = at_once(callers + 1, |caller| {
        if caller == callers {
            until("some have entered", || {
                (entered.load(Ordering::Relaxed) >= callers).then_some(())
            });
            end();
            return;
        }
        loop {
            let mut exec = container.exec_command(&[], &["true"]);
            let exec = spawn(exec.stdin(Stdio::null())).wait();
            // The program ran, and ended with the container.
            if exec.code() == 137 || answer_of(exec, &KNOWN).is_none() {
                entered.fetch_add(1, Ordering::Relaxed);
            } else {
                return;
            }
        }
    });
}

fn while_it_is_killed(change: impl FnOnce(&mut Config), callers: usize) {
    let container = Container::new(change);
    let _ = container.run_detached();
    enter_while(&container, callers, || {
        let _ = container.kill("KILL").ok();
    });
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

fn shares_pids(config: &mut Config) {
    config.waits().share("pid");
}

#[test]
fn an_exec_into_a_container_that_ends_runs_or_says_that_it_has_stopped() {
    if runtime().departs("runc", "says whatever fails") {
        return;
    }
    for _ in 0..3 {
        while_it_is_killed(waits, 4);
    }
    while_it_is_killed(shares_pids, 4);
}

#[test]
#[ignore = "takes a minute: make adversity"]
fn many_execs_into_containers_that_end_run_or_say_that_they_have_stopped() {
    for _ in 0..40 {
        while_it_is_killed(waits, 8);
        while_it_is_killed(shares_pids, 8);
    }
}

#[test]
fn an_exec_beside_delete_by_force_runs_or_says_that_there_is_no_container() {
    if runtime().departs("runc", "says whatever fails") {
        return;
    }
    for share in [false, true] {
        let container = Container::new(if share { shares_pids } else { waits });
        let _ = container.run_detached();
        enter_while(&container, 4, || {
            let _ = container.delete_force().ok();
        });
        container.assert_nothing_left();
    }
}

#[test]
fn an_update_beside_delete_works_or_says_that_there_is_no_container() {
    if runtime().departs("runc", "says whatever fails") {
        return;
    }
    let known = ["container does not exist", "container not running"];
    for _ in 0..3 {
        let container = Container::new(waits);
        let _ = container.run_detached();
        let _ = at_once(4, |caller| {
            if caller == 0 {
                let _ = container.delete_force().ok();
                return;
            }
            let limit = (100 + caller).to_string();
            let update = ["update", "--pids-limit", limit.as_str()];
            while answer_of(begin(&container, &update).wait(), &known).is_none() {}
        });
        container.assert_nothing_left();
    }
}

#[test]
fn a_run_beside_delete_by_force_ends_and_leaves_nothing() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    let container = Container::new(|config| {
        config.args(&["true"]);
    });
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let _ = container.delete_force().ok();
            }
        });
        let _end = Done(&done);
        for _ in 0..10 {
            let run = container.run();
            // Killed with the container, or run to its end.
            if run.code() != 137 {
                assert_eq!((run.code(), run.stderr.as_str()), (0, ""), "{run:#?}");
            }
        }
    });
    container.assert_nothing_left();
}
