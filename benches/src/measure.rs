//! The scenarios that are timed round-robin, so that a drift of the machine hits all subjects alike.

use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::order::Order;
use crate::page_cache::Files;
use crate::runtime::{Subject, timed};
use crate::samples::{Collected, Key, Samples, milliseconds};
use crate::scenario::Scenario;
use crate::sys::harness;
use crate::workplace::{Guarded, Workplace};

/// How closely measurements follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Regime {
    /// Back to back.
    Hot,
    /// Each after a pause.
    Spaced(Duration),
    /// Each after its files left the page cache.
    Cold,
}

impl Regime {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Spaced(_) => "spaced",
            Self::Cold => "cold",
        }
    }
}

/// A subject made ready for a scenario.
struct Candidate<'a> {
    name: &'a str,
    workplace: &'a Workplace,
    scenario: Scenario,
    kind: Kind<'a>,
    /// What leaves the page cache before each measurement.
    files: Option<Files>,
}

enum Kind<'a> {
    Spawn,
    Floor(&'a Subject),
    Runtime(Guarded<'a>),
}

/// The operation and how long it took.
type Times = Vec<(&'static str, Duration)>;

impl<'a> Candidate<'a> {
    /// Nothing where the scenario has no meaning for the subject.
    fn prepare(
        workplace: &'a Workplace,
        subject: &'a Subject,
        scenario: Scenario,
        regime: Regime,
    ) -> Result<Option<Self>> {
        let is_run = matches!(scenario, Scenario::Run | Scenario::Docker | Scenario::Cold);
        let kind = match subject.is_floor {
            true if scenario == Scenario::Spawn => Kind::Spawn,
            true if is_run => Kind::Floor(subject),
            false if scenario != Scenario::Spawn => {
                let purpose = format!("{}-{}", scenario.name(), regime.name());
                Kind::Runtime(workplace.guarded(subject, &purpose, scenario)?)
            }
            _ => return Ok(None),
        };
        let mut files = None;
        if regime == Regime::Cold {
            let bundle = match &kind {
                Kind::Runtime(guarded) => Some(guarded.container.bundle.join("config.json")),
                _ => None,
            };
            let others = [workplace.program()].into_iter().chain(bundle);
            files = Some(Files::of(&subject.path, others)?);
        }
        if let (Kind::Runtime(guarded), Scenario::Exec) = (&kind, scenario) {
            guarded.runtime.create(&guarded.container)?;
            guarded.runtime.start(&guarded.container)?;
        }
        Ok(Some(Self {
            name: match kind {
                Kind::Spawn => "spawn",
                _ => &subject.name,
            },
            workplace,
            scenario,
            kind,
            files,
        }))
    }

    fn measure(&self) -> Result<Times> {
        if let Some(files) = &self.files {
            files.leave_the_cache()?;
        }
        match &self.kind {
            Kind::Spawn => {
                let mut command = Command::new(self.workplace.rootfs().join("bin/true"));
                let time = timed(&mut command, &self.workplace.log("spawn"))?;
                Ok(vec![("spawn", time)])
            }
            Kind::Floor(subject) => {
                let origin = self.scenario.origin();
                let time = self.workplace.run_floor(subject, origin)?;
                Ok(vec![(self.operation(), time)])
            }
            Kind::Runtime(guarded) => self.measure_runtime(guarded),
        }
    }

    fn measure_runtime(&self, guarded: &Guarded<'_>) -> Result<Times> {
        let Guarded { runtime, container } = guarded;
        match self.scenario {
            Scenario::Exec => Ok(vec![("exec", runtime.exec_true(container)?)]),
            Scenario::Lifecycle => {
                let create = runtime.create(container)?;
                let start = runtime.start(container)?;
                let state = runtime.state(container)?;
                let kill = runtime.kill(container)?;
                guarded.reap();
                let delete = runtime.delete(container)?;
                Ok(vec![
                    ("create", create),
                    ("start", start),
                    ("state", state),
                    ("kill", kill),
                    ("delete", delete),
                    ("create+start+delete", create + start + delete),
                ])
            }
            _ => Ok(vec![(self.operation(), runtime.run(container)?)]),
        }
    }

    fn operation(&self) -> &'static str {
        match self.scenario {
            Scenario::Docker => "run, Docker's configuration",
            _ => "run",
        }
    }
}

/// Measures a scenario in one regime. A subject that fails the trial before the first round is left out with a word.
pub(crate) fn measure(
    workplace: &Workplace,
    subjects: &[Subject],
    scenario: Scenario,
    regime: Regime,
    runs: usize,
) -> Result<Vec<Samples>> {
    let mut candidates = Vec::new();
    for subject in subjects {
        match prepare_and_try(workplace, subject, scenario, regime) {
            Ok(candidate) => candidates.extend(candidate),
            Err(error) => eprintln!("{}: {} skipped: {error}", subject.name, scenario.name()),
        }
        stop_if_interrupted()?;
    }
    let mut collected = Collected::default();
    let mut order = Order::new(candidates.len());
    for _ in 0..runs {
        for &index in order.shuffle() {
            if let Regime::Spaced(pause) = regime {
                thread::sleep(pause);
            }
            let candidate = &candidates[index];
            let result = candidate.measure();
            harness::reap_ended();
            stop_if_interrupted()?;
            for (operation, time) in result? {
                let key = Key::new(operation, regime.name(), "ms");
                collected.record(&key, candidate.name, milliseconds(time));
            }
        }
    }
    Ok(collected.sorted(subjects))
}

fn prepare_and_try<'a>(
    workplace: &'a Workplace,
    subject: &'a Subject,
    scenario: Scenario,
    regime: Regime,
) -> Result<Option<Candidate<'a>>> {
    let candidate = Candidate::prepare(workplace, subject, scenario, regime)?;
    if let Some(candidate) = &candidate {
        candidate.measure()?;
        if let Some(files) = &candidate.files {
            files.check_that_they_leave()?;
        }
    }
    Ok(candidate)
}

pub(crate) fn stop_if_interrupted() -> Result<()> {
    if harness::interrupted() {
        return Err(Error::new("interrupted"));
    }
    Ok(())
}
