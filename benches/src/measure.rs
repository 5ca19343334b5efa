//! The order of measurements: round-robin, so that a drift of the machine hits all subjects alike.

use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::runtime::Subject;
use crate::sys::harness;
use crate::workplace::{Guarded, Workplace};

/// What a container's user does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// `run` of /bin/true.
    Run,
    /// `create`, `start` and, after its end, `delete` of /bin/true.
    Lifecycle,
    /// `exec` of /bin/true in a container that runs `sleep`.
    Exec,
}

impl Scenario {
    pub(crate) const ALL: [Self; 3] = [Self::Run, Self::Lifecycle, Self::Exec];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Lifecycle => "lifecycle",
            Self::Exec => "exec",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.name() == name)
    }

    /// The floor knows one thing alone.
    fn applies_to(self, subject: &Subject) -> bool {
        self == Self::Run || !subject.is_floor
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Run | Self::Lifecycle => &["/bin/true"],
            Self::Exec => &["/bin/sleep", "1000000"],
        }
    }
}

/// How closely measurements follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Regime {
    /// Back to back.
    Hot,
    /// Each after a pause.
    Spaced(Duration),
}

impl Regime {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Hot => "hot",
            Self::Spaced(_) => "spaced",
        }
    }
}

/// What was measured of one operation (`create`, say).
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) operation: &'static str,
    /// By subject, in the order of the subjects.
    pub(crate) series: Vec<(String, Vec<Duration>)>,
}

/// A subject made ready for a scenario.
struct Candidate<'a> {
    name: &'a str,
    workplace: &'a Workplace,
    kind: Kind<'a>,
}

enum Kind<'a> {
    Floor(&'a Subject),
    Runtime(Scenario, Guarded<'a>),
}

impl<'a> Candidate<'a> {
    fn prepare(
        workplace: &'a Workplace,
        subject: &'a Subject,
        scenario: Scenario,
        regime: Regime,
    ) -> Result<Self> {
        let kind = if subject.is_floor {
            Kind::Floor(subject)
        } else {
            let purpose = format!("{}-{}", scenario.name(), regime.name());
            let container = workplace.container(subject, &purpose, scenario.arguments())?;
            let runtime = workplace.runtime(subject);
            let guarded = Guarded { runtime, container };
            if scenario == Scenario::Exec {
                guarded.runtime.create(&guarded.container)?;
                guarded.runtime.start(&guarded.container)?;
            }
            Kind::Runtime(scenario, guarded)
        };
        Ok(Self {
            name: &subject.name,
            workplace,
            kind,
        })
    }

    fn measure(&self) -> Result<Vec<(&'static str, Duration)>> {
        let (scenario, guarded) = match &self.kind {
            Kind::Floor(subject) => return Ok(vec![("run", self.workplace.run_floor(subject)?)]),
            Kind::Runtime(scenario, guarded) => (scenario, guarded),
        };
        let Guarded { runtime, container } = guarded;
        match scenario {
            Scenario::Run => Ok(vec![("run", runtime.run(container)?)]),
            Scenario::Exec => Ok(vec![("exec", runtime.exec_true(container)?)]),
            Scenario::Lifecycle => {
                let create = runtime.create(container)?;
                let start = runtime.start(container)?;
                guarded.reap();
                let delete = runtime.delete(container)?;
                Ok(vec![
                    ("create", create),
                    ("start", start),
                    ("delete", delete),
                    ("create+start+delete", create + start + delete),
                ])
            }
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
    for subject in subjects
        .iter()
        .filter(|subject| scenario.applies_to(subject))
    {
        let trial = Candidate::prepare(workplace, subject, scenario, regime)
            .and_then(|candidate| candidate.measure().map(|_| candidate));
        match trial {
            Ok(candidate) => candidates.push(candidate),
            Err(error) => eprintln!("{}: {} skipped: {error}", subject.name, scenario.name()),
        }
        stop_if_interrupted()?;
    }
    let mut samples = Vec::new();
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
            record(&mut samples, candidate.name, result?);
        }
    }
    sort(&mut samples, subjects);
    Ok(samples)
}

fn stop_if_interrupted() -> Result<()> {
    if harness::interrupted() {
        return Err(Error::new("interrupted"));
    }
    Ok(())
}

fn record(samples: &mut Vec<Samples>, subject: &str, durations: Vec<(&'static str, Duration)>) {
    for (operation, duration) in durations {
        let known = samples
            .iter()
            .position(|entry| entry.operation == operation);
        let index = known.unwrap_or_else(|| {
            let series = Vec::new();
            samples.push(Samples { operation, series });
            samples.len() - 1
        });
        let series = &mut samples[index].series;
        match series.iter_mut().find(|(name, _)| name == subject) {
            Some((_, durations)) => durations.push(duration),
            None => series.push((subject.to_owned(), vec![duration])),
        }
    }
}

fn sort(samples: &mut [Samples], subjects: &[Subject]) {
    for Samples { series, .. } in samples {
        series.sort_by_key(|(name, _)| subjects.iter().position(|subject| subject.name == *name));
    }
}

/// A new order in each round: what a start leaves behind, such as a network namespace to be torn down in the
/// background, must not always fall upon the same successor. The sequence is the same in each run of the bench.
struct Order {
    indices: Vec<usize>,
    state: u64,
}

impl Order {
    fn new(length: usize) -> Self {
        Self {
            indices: (0..length).collect(),
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    fn shuffle(&mut self) -> &[usize] {
        for last in (1..self.indices.len()).rev() {
            let other = self.random() % (last + 1);
            self.indices.swap(last, other);
        }
        &self.indices
    }

    /// Marsaglia's xorshift64.
    fn random(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_each_subject_once_and_orders_differ() {
        let mut order = Order::new(4);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut round = order.shuffle().to_vec();
            seen.insert(round.clone());
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2, 3]);
        }
        assert_eq!(seen.len(), 24);
    }
}
