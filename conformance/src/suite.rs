//! Runs the [cases](crate::cases) and says what came of each.
//!
//! A case is a function that panics when the clause does not hold, as the body of a test does. It is skipped when it calls
//! [`skip`] (the machine lacks what the case needs), and not applicable when the runtime says that it implements a version
//! of the specification in which the clause was not yet.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{self, AssertUnwindSafe, PanicHookInfo};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::leftovers;
use crate::runtime::numbers;

/// How strongly the specification asks for it: RFC 2119.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Level {
    /// MUST, MUST NOT, REQUIRED; and what a property's description says it does, because `create` MUST apply them all.
    Must,
    /// SHOULD, SHOULD NOT.
    Should,
}

/// One clause of the specification, and how it is seen from outside.
#[derive(Debug)]
pub struct Case {
    /// Document and heading.
    pub clause: &'static str,
    /// The sentence, shortened.
    pub text: &'static str,
    /// MUST or SHOULD.
    pub level: Level,
    /// The first version of the specification that has it.
    pub since: &'static str,
    /// The module it is in.
    pub module: &'static str,
    /// What holds when it passes, as a sentence.
    pub sentence: &'static str,
    /// Panics when it does not hold.
    pub run: fn(),
}

impl Case {
    /// `module::sentence`.
    #[must_use]
    pub fn name(&self) -> String {
        let module = self.module.rsplit("::").next().unwrap_or_default();
        format!("{module}::{}", self.sentence)
    }

    /// Whether a runtime that implements this version has to satisfy it.
    #[must_use]
    pub fn applies_to(&self, version: [u32; 3]) -> bool {
        numbers(self.since) <= version
    }
}

/// What came of a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "why")]
pub enum Outcome {
    /// The clause holds.
    Pass,
    /// It does not: what was seen.
    Fail(String),
    /// The machine lacks what the case needs.
    Skip(String),
    /// The version of the specification that the runtime implements does not have the clause.
    #[serde(rename = "n/a")]
    NotApplicable(String),
}

impl Outcome {
    /// One word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail(_) => "FAIL",
            Self::Skip(_) => "skip",
            Self::NotApplicable(_) => "n/a",
        }
    }

    /// What was seen, or why it did not run.
    #[must_use]
    pub fn why(&self) -> &str {
        match self {
            Self::Pass => "",
            Self::Fail(why) | Self::Skip(why) | Self::NotApplicable(why) => why,
        }
    }
}

/// A case's outcome with one runtime.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verdict {
    /// [`Case::name`].
    pub case: String,
    /// [`Case::clause`].
    pub clause: String,
    /// [`Case::level`].
    pub level: Level,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What the runtime left on the host after `delete --force`; it has been removed.
    pub leftovers: Vec<String>,
    /// What it took.
    pub milliseconds: u64,
}

impl Verdict {
    /// Whether the runtime breaks a MUST.
    #[must_use]
    pub fn breaks_a_must(&self) -> bool {
        self.level == Level::Must && matches!(self.outcome, Outcome::Fail(_))
    }
}

struct Skip(String);

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Ends the case: the machine lacks what it needs.
pub fn skip(reason: impl Into<String>) -> ! {
    // Not a panic of Rust's own: the hook is not called.
    panic::resume_unwind(Box::new(Skip(reason.into())))
}

/// Runs the cases, so many at a time, in their order.
#[must_use]
pub fn run(cases: &[&'static Case], version: [u32; 3], jobs: usize) -> Vec<Verdict> {
    let hook = panic::take_hook();
    panic::set_hook(Box::new(remember));
    let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(number) else { break };
                    let verdict = run_one(case, version);
                    verdicts.lock().unwrap().insert(number, verdict);
                }
            });
        }
    });
    panic::set_hook(hook);
    verdicts.into_inner().unwrap().into_values().collect()
}

fn run_one(case: &'static Case, version: [u32; 3]) -> Verdict {
    let start = Instant::now();
    let (outcome, leftovers) = if case.applies_to(version) {
        leftovers::collect(|| attempt(case.run))
    } else {
        let why = format!("since {}", case.since);
        (Outcome::NotApplicable(why), Vec::new())
    };
    Verdict {
        case: case.name(),
        clause: case.clause.to_owned(),
        level: case.level,
        outcome,
        leftovers,
        milliseconds: milliseconds(start.elapsed()),
    }
}

fn attempt(body: fn()) -> Outcome {
    match panic::catch_unwind(AssertUnwindSafe(body)) {
        Ok(()) => Outcome::Pass,
        Err(payload) => outcome(payload.as_ref()),
    }
}

fn outcome(payload: &(dyn Any + Send)) -> Outcome {
    match payload.downcast_ref::<Skip>() {
        Some(Skip(reason)) => Outcome::Skip(reason.clone()),
        None => {
            let message = PANIC.with_borrow_mut(Option::take);
            Outcome::Fail(message.unwrap_or_else(|| "panicked".to_owned()))
        }
    }
}

/// Keeps the first message: one that comes while a case unwinds says less.
fn remember(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |location| {
        format!("{}:{}: ", location.file(), location.line())
    });
    let payload = info.payload();
    let message = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("panicked");
    PANIC.with_borrow_mut(|kept| {
        kept.get_or_insert_with(|| format!("{place}{message}"));
    });
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
