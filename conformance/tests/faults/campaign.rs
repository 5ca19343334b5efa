//! One fault after the other: what a command makes of it, and what is left.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use conformance::fault::{Act, Fault, Role, Trace};
use conformance::process::{self, Finished};
use conformance::runtime::{beside, runtime};
use nix::errno::Errno;

use crate::errors;
use crate::scenario::{Scenario, Stage};

/// How many of the faults are tried.
#[derive(Clone, Copy)]
pub(crate) enum Share {
    All,
    OneIn(usize),
}

/// As many as the machine of a pull request has processors.
const WORKERS: usize = 2;

/// What came of the faults.
#[derive(Default)]
struct Tally {
    /// The command gave an error; by what it said.
    errors: BTreeMap<String, usize>,
    /// It succeeded, and what it says it did is so.
    harmless: usize,
    /// The call was not made this time.
    missed: usize,
    kills: usize,
    /// The fault, and what was wrong.
    wrong: Vec<String>,
}

enum Outcome {
    Error(String),
    Harmless,
    Missed,
}

/// Injects the faults one by one, and fails if one of them was not survived.
pub(crate) fn inject(scenario: &Scenario, share: Share) {
    let trials = trials(scenario);
    let all = trials.len();
    let trials: Vec<_> = match share {
        Share::All => trials,
        Share::OneIn(number) => trials.into_iter().step_by(number).collect(),
    };
    let (next, tally) = (AtomicUsize::new(0), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| work(scenario, &trials, &next, &tally));
        }
    });
    let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
    tally.print(scenario, trials.len(), all);
    assert!(
        tally.wrong.is_empty(),
        "{} of the faults were not survived: {:#?}",
        tally.wrong.len(),
        tally.wrong
    );
}

fn work(scenario: &Scenario, trials: &[Trial], next: &AtomicUsize, tally: &Mutex<Tally>) {
    let mut stage = Stage::new(scenario);
    scenario.prepare(&stage);
    let _ = command(scenario, &stage, None);
    scenario.assert_done(&stage);
    stage.observe();
    stage.assert_new_beginning();
    while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
        let outcome = catch_unwind(AssertUnwindSafe(|| survive(scenario, &stage, trial)));
        if outcome.is_err() {
            stage.container.clear();
        }
        let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.count(&trial.fault, outcome);
    }
}

/// A fault, and what may come of it.
struct Trial {
    fault: Fault,
    /// It is before the runtime's `main`: what the C library and the standard library say of it is theirs.
    is_early: bool,
}

/// Every system call with each error that it may give, and both processes killed at each.
fn trials(scenario: &Scenario) -> Vec<Trial> {
    let stage = Stage::new(scenario);
    scenario.prepare(&stage);
    let (finished, trace) = command(scenario, &stage, None);
    assert_eq!(finished.code(), 0, "{finished:#?}");
    let acts = |call: &str| {
        let errors = errors::of(call).iter();
        errors
            .map(|errno| Act::Fail(*errno as i32))
            .chain([Act::Kill(Role::Runtime), Act::Kill(Role::Init)])
            .collect::<Vec<_>>()
    };
    let main = main_begins(&trace);
    let points = trace.points().into_iter().enumerate();
    points
        .flat_map(|(at, point)| {
            acts(&point.call).into_iter().map(move |act| Trial {
                fault: Fault {
                    point: point.clone(),
                    act,
                },
                is_early: at < main,
            })
        })
        .collect()
}

/// Before `main` the standard library asks for the stack for signals that there is, and then makes one.
fn main_begins(trace: &Trace) -> usize {
    let mut calls = trace.calls.iter().enumerate();
    let second = calls
        .by_ref()
        .filter(|(_, (_, call))| call == "sigaltstack")
        .nth(1);
    second.map_or(0, |(at, _)| at + 1)
}

/// The command under [`conformance::fault`]'s program, to its end, and what that saw.
fn command(scenario: &Scenario, stage: &Stage, fault: Option<&Fault>) -> (Finished, Trace) {
    let mut command = Command::new(beside("inject"));
    let trace = stage.path("trace");
    command.arg("--trace").arg(&trace);
    if let Some(fault) = fault {
        command.arg("--fault").arg(fault.to_string());
    }
    if scenario.involves_init {
        command.args(["--attach", &stage.container.pid().to_string()]);
    }
    command
        .arg("--")
        .arg(&runtime().path)
        .arg("--root")
        .arg(stage.container.state_root())
        .args(scenario.words(&stage.container))
        .env("TMPDIR", stage.path("temporary"))
        .env(conformance::leftovers::MARK, &stage.container.id)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(stage.append(scenario))
        .stderr(File::create(stage.path("errors")).unwrap());
    let mut finished = process::spawn_with_own_streams(&mut command).wait();
    finished.stderr = stage.container.read("errors");
    let trace = serde_json::from_str(&stage.container.read("trace")).unwrap();
    (finished, trace)
}

fn survive(scenario: &Scenario, stage: &Stage, trial: &Trial) -> Outcome {
    scenario.prepare(stage);
    let (finished, trace) = command(scenario, stage, Some(&trial.fault));
    assert!(!trace.hung, "it hangs: {finished:#?}");
    let outcome = judge(scenario, stage, trial, &finished, &trace);
    stage.assert_new_beginning();
    outcome
}

fn judge(
    scenario: &Scenario,
    stage: &Stage,
    trial: &Trial,
    finished: &Finished,
    trace: &Trace,
) -> Outcome {
    if trial.is_early && finished.code() != 0 {
        return Outcome::Error("before main".to_owned());
    }
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
    let act = trial.fault.act;
    if matches!(act, Act::Kill(Role::Runtime)) && trace.injected {
        return Outcome::Error("killed".to_owned());
    }
    let hits_init = trace.injected
        && match act {
            Act::Fail(_) => trial.fault.point.role == Role::Init,
            Act::Kill(_) => trace.killed > 0,
        };
    if hits_init && scenario.is_over(stage, finished) {
        return Outcome::Error("the init ended when all was done".to_owned());
    }
    if finished.code() == 0 {
        scenario.assert_done(stage);
        return if trace.injected {
            Outcome::Harmless
        } else {
            Outcome::Missed
        };
    }
    assert!(
        matches!(finished.code(), 1 | 255),
        "an exit status that is no error's: {finished:#?}"
    );
    let is_error = |line: &&str| line.contains("level=error");
    let errors: Vec<_> = finished.stderr.lines().filter(is_error).collect();
    assert_eq!(errors.len(), 1, "one line says what failed: {finished:#?}");
    let message = errors[0].split_once("msg=").map_or("", |(_, text)| text);
    if let Act::Fail(errno) = act {
        let phrase = Errno::from_raw(errno).desc().to_lowercase();
        // All that a C library says of the stack that it could not get (pthread_create(3), EAGAIN).
        let is_for_thread = errno == libc::ENOMEM && message.contains("start a thread");
        assert!(
            message.contains(&format!("os error {errno}"))
                || message.contains(&phrase)
                || is_for_thread,
            "the error is not told: {finished:#?}"
        );
    }
    Outcome::Error(message.replace(&stage.container.id, "ID"))
}

impl Tally {
    fn count(&mut self, fault: &Fault, outcome: thread::Result<Outcome>) {
        if let Act::Kill(_) = fault.act {
            self.kills += 1;
        }
        match outcome {
            Ok(Outcome::Error(message)) => *self.errors.entry(message).or_default() += 1,
            Ok(Outcome::Harmless) => self.harmless += 1,
            Ok(Outcome::Missed) => self.missed += 1,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref().copied()).unwrap_or("");
                self.wrong.push(format!("{fault}: {text}"));
            }
        }
    }

    fn print(&self, scenario: &Scenario, tried: usize, all: usize) {
        let errors: usize = self.errors.values().sum();
        println!(
            "{}: {tried} of {all} faults, {} of them kills; {errors} gave an error or were kills of the runtime, {} made no \
             difference, {} were not met",
            scenario.name, self.kills, self.harmless, self.missed
        );
        for (message, count) in &self.errors {
            println!("    {count:5} {message}");
        }
    }
}
