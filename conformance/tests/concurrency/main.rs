//! Many callers of one container, and callers that end in the middle: each gets a right answer or a clear error, what
//! `state` says never goes back, exactly one of those who can only win alone wins, and nothing hangs or is left.
//!
//! The counts are those that an ordinary run of the tests has time for; `make adversity` runs more.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in helpers of tests, too, a panic is a failure"
)]

mod callers;
mod creating;
mod ending;
mod hooks;
mod roots;
mod starting;

use std::process::Stdio;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use conformance::process::{Finished, Running, spawn};
use conformance::{Config, Container};

fn waits(config: &mut Config) {
    config.waits();
}

/// Starts `SUBCOMMAND… ID`, and does not wait for it.
fn begin(container: &Container, arguments: &[&str]) -> Running {
    let mut command = container.subcommand(arguments);
    spawn(command.arg(&container.id).stdin(Stdio::null()))
}

/// Tells other threads at its end, that of a panic as well.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What so many callers get who do it at the same moment.
fn at_once<T: Send>(callers: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let together = Barrier::new(callers);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..callers)
            .map(|number| {
                let (together, act) = (&together, &act);
                scope.spawn(move || {
                    together.wait();
                    act(number)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    })
}

/// The one line of error of a command that failed, without quotes around parts of it; none when it succeeded.
#[track_caller]
fn answer(finished: Finished) -> Option<String> {
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
    if finished.code() == 0 {
        return None;
    }
    let stderr = finished.refused(&[]).stderr.replace('\\', "");
    let mut lines = stderr
        .lines()
        .filter(|line| !line.contains("level=warning"));
    lines.next().map(str::to_owned)
}

/// The same; an error has one of these phrases.
#[track_caller]
fn answer_of(finished: Finished, known: &[&str]) -> Option<String> {
    let command = finished.command.clone();
    let error = answer(finished)?;
    assert!(
        known.iter().any(|phrase| error.contains(phrase)),
        "{command}: {error}"
    );
    Some(error)
}
