//! Many containers at once, made and deleted by several callers: what one of them costs.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bundle::Container;
use crate::error::{Error, Result};
use crate::measure::stop_if_interrupted;
use crate::runtime::{Runtime, Subject};
use crate::samples::{Collected, Key, Samples, milliseconds};
use crate::scenario::Scenario;
use crate::sys::harness;
use crate::workplace::Workplace;

/// Who call the runtime at the same time.
const CALLERS: usize = 8;
/// So often is the list of all containers asked for.
const LISTS: u32 = 5;

pub(crate) fn measure(
    workplace: &Workplace,
    subjects: &[Subject],
    numbers: &[usize],
) -> Result<Vec<Samples>> {
    let mut collected = Collected::default();
    for &number in numbers {
        let mut runtimes: Vec<&Subject> = subjects
            .iter()
            .filter(|subject| !subject.is_floor)
            .collect();
        for round in 0..rounds(number) {
            let mut failed = Vec::new();
            for &subject in &runtimes {
                let times = all(workplace, subject, number, round);
                harness::reap_ended();
                stop_if_interrupted()?;
                match times {
                    Ok(times) => record(&mut collected, subject, number, times),
                    Err(error) => {
                        eprintln!("{}: {number} containers skipped: {error}", subject.name);
                        failed.push(subject.name.clone());
                    }
                }
            }
            runtimes.retain(|subject| !failed.contains(&subject.name));
        }
    }
    Ok(collected.sorted(subjects))
}

/// Of a few containers one measurement says little.
fn rounds(number: usize) -> usize {
    (200 / number).clamp(1, 5)
}

fn record(collected: &mut Collected, subject: &Subject, number: usize, times: Times) {
    for (operation, time) in times {
        let key = Key::new(
            operation,
            format!("{number} containers"),
            "ms per container",
        );
        let share = milliseconds(time) / number as f64;
        collected.record(&key, &subject.name, share);
    }
}

/// The operation and how long it took for all containers.
type Times = Vec<(&'static str, Duration)>;

fn all(workplace: &Workplace, subject: &Subject, number: usize, round: usize) -> Result<Times> {
    let containers = (0..number).map(|index| {
        let purpose = format!("density-{number}-{round}-{index}");
        workplace.container(&subject.name, &purpose, Scenario::Density)
    });
    let crowd = Crowd {
        workplace,
        subject,
        containers: containers.collect::<Result<_>>()?,
    };
    let create = crowd.in_parallel(|runtime, container| runtime.create(container))?;
    let runtime = workplace.runtime(subject);
    let mut list = Duration::ZERO;
    for _ in 0..LISTS {
        list += runtime.list()?;
    }
    let delete = crowd.in_parallel(|runtime, container| runtime.delete_forced(container))?;
    Ok(vec![
        ("create many", create),
        ("list many", list / LISTS),
        ("delete many", delete),
    ])
}

/// Containers that are deleted at the latest when this goes out of scope.
struct Crowd<'a> {
    workplace: &'a Workplace,
    subject: &'a Subject,
    containers: Vec<Container>,
}

impl Crowd<'_> {
    /// Has the callers do something to all containers, until it fails; gives the time until all is done.
    fn in_parallel(
        &self,
        act: impl Fn(&Runtime<'_>, &Container) -> Result<Duration> + Sync,
    ) -> Result<Duration> {
        let failure: Mutex<Option<Error>> = Mutex::new(None);
        let begin = Instant::now();
        self.for_each(|runtime, container| {
            let result = stop_if_interrupted().and_then(|()| act(runtime, container));
            let is_success = result.is_ok();
            if let (Err(error), Ok(mut failure)) = (result, failure.lock()) {
                failure.get_or_insert(error);
            }
            is_success
        });
        let time = begin.elapsed();
        match failure.into_inner() {
            Ok(None) => Ok(time),
            Ok(Some(error)) => Err(error),
            Err(_) => Err(Error::new("a caller panicked")),
        }
    }

    /// Has the callers share the containers, until one says that it is enough.
    fn for_each(&self, act: impl Fn(&Runtime<'_>, &Container) -> bool + Sync) {
        let next = AtomicUsize::new(0);
        let call = |caller: usize| {
            let mut runtime = self.workplace.runtime(self.subject);
            runtime.log.set_extension(format!("{caller}.log"));
            while let Some(container) = self.containers.get(next.fetch_add(1, Ordering::Relaxed)) {
                if !act(&runtime, container) {
                    next.store(self.containers.len(), Ordering::Relaxed);
                }
            }
        };
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let call = &call;
                scope.spawn(move || call(caller));
            }
        });
    }
}

impl Drop for Crowd<'_> {
    fn drop(&mut self) {
        self.for_each(|runtime, container| {
            if let Err(error) = runtime.delete_leftover(container) {
                eprintln!("benches: {error}");
            }
            // Bundles of a thousand containers would be in the way of later scenarios.
            let _ = std::fs::remove_dir_all(&container.bundle);
            true
        });
        harness::reap_ended();
    }
}
