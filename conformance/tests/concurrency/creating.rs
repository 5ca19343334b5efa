//! What others do to a container while its `create` works, and when that was killed.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use conformance::Container;
use conformance::process::{spawn, until};
use conformance::runtime::runtime;
use nix::sys::signal::Signal;

use crate::{answer, answer_of, begin, waits};

const KNOWN: [&str; 3] = [
    "container does not exist",
    "container not running",
    "a container that is being created",
];

/// Moments of a create, the last of which are after its end.
fn moments(count: u64) -> impl Iterator<Item = Duration> {
    (0..count).map(move |moment| Duration::from_micros(moment * 36_000 / count))
}

fn beside_create(delay: Duration, arguments: &[&str]) -> (Option<String>, Option<String>) {
    let container = Container::new(waits);
    let create = spawn(container.create_command(&[]).stdin(Stdio::null()));
    thread::sleep(delay);
    let other = answer_of(begin(&container, arguments).wait(), &KNOWN);
    let created = answer(create.wait());
    let deleted = arguments[0] == "delete" && other.is_none();
    if deleted && arguments.len() == 1 {
        container.assert_nothing_left();
    }
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
    let _ = container.create().ok();
    (created, other)
}

#[test]
fn a_delete_beside_create_is_refused_or_comes_after_it() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    for delay in moments(7) {
        let (created, _) = beside_create(delay, &["delete"]);
        assert_eq!(created, None);
    }
}

#[test]
fn a_delete_by_force_beside_create_leaves_nothing_or_comes_before_it() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    for delay in moments(7) {
        let (created, deleted) = beside_create(delay, &["delete", "--force"]);
        assert_eq!((created, deleted), (None, None));
    }
}

#[test]
fn a_kill_beside_create_is_refused_or_reaches_the_container() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    for delay in moments(7) {
        let _ = beside_create(delay, &["kill"]);
    }
}

fn killed_after(delay: Duration) -> &'static str {
    let container = Container::new(waits);
    let create = spawn(container.create_command(&[]).stdin(Stdio::null()));
    thread::sleep(delay);
    create.signal(Signal::SIGKILL);
    drop(create);
    let known = [
        "container does not exist",
        "its create was ended before it was done",
        "cannot start a container that has stopped",
    ];
    // Until it has executed the init, the child of a create has a copy of the lock.
    let answer = until("the lock is free", || {
        let started = begin(&container, &["start"]).wait();
        let is_locked = started.stderr.contains("a container that is being created");
        (!is_locked).then_some(started)
    });
    let reached = match answer_of(answer, &known) {
        None => "created",
        Some(error) if error.contains(known[0]) => "nothing",
        Some(_) => "begun",
    };
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
    let _ = container.create().ok();
    assert_eq!(container.status(), "created");
    reached
}

#[test]
fn a_start_after_a_create_that_was_killed_works_or_says_what_removes_what_is_left() {
    if runtime().departs("runc", "knows nothing of what a killed create left") {
        return;
    }
    for delay in moments(8) {
        let _ = killed_after(delay);
    }
}

#[test]
#[ignore = "takes a minute: make adversity"]
fn a_create_that_is_killed_at_any_moment_leaves_what_delete_by_force_removes() {
    let all: Vec<_> = moments(400).map(killed_after).collect();
    for reached in ["nothing", "begun", "created"] {
        let count = all.iter().filter(|&&one| one == reached).count();
        println!("{reached}: {count} of {}", all.len());
    }
}
