//! The lowest memory limit under which a container starts.

use std::fs::File;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};
use crate::measure::stop_if_interrupted;
use crate::runtime::Subject;
use crate::samples::{Collected, Key, Samples};
use crate::scenario::Scenario;
use crate::sys::harness;
use crate::workplace::{Guarded, Workplace};

const KIB: u64 = 1024;
/// The kernel counts in pages; a container of 64 MiB starts everywhere.
const STEP: u64 = 4 * KIB;
const LARGEST: u64 = 64 * KIB * KIB;
/// A limit is one under which so many starts of as many succeed.
const STARTS: usize = 5;
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn measure(workplace: &Workplace, subjects: &[Subject]) -> Result<Vec<Samples>> {
    let mut collected = Collected::default();
    for subject in subjects.iter().filter(|subject| !subject.is_floor) {
        let guarded = workplace.guarded(subject, "limit", Scenario::Limit)?;
        let starts = |limit| starts(workplace, &guarded, limit);
        match lowest(STEP, LARGEST, STEP, starts) {
            Ok(limit) => {
                let key = Key::new("lowest memory limit", workplace.cgroup_version(), "KiB");
                collected.record(&key, &subject.name, (limit / KIB) as f64);
            }
            Err(error) => eprintln!("{}: limit skipped: {error}", subject.name),
        }
        stop_if_interrupted()?;
    }
    Ok(collected.sorted(subjects))
}

/// The lowest value that holds, by halving; the largest has to.
fn lowest(
    mut low: u64,
    mut high: u64,
    step: u64,
    holds: impl Fn(u64) -> Result<bool>,
) -> Result<u64> {
    if !holds(high)? {
        return Err(Error::new(format!("nothing starts with {high} bytes")));
    }
    while low < high {
        let middle = low + (high - low) / step / 2 * step;
        match holds(middle)? {
            true => high = middle,
            false => low = middle + step,
        }
    }
    Ok(high)
}

fn starts(workplace: &Workplace, guarded: &Guarded<'_>, limit: u64) -> Result<bool> {
    workplace.limit_memory(&guarded.container, limit)?;
    for _ in 0..STARTS {
        stop_if_interrupted()?;
        if !start(guarded)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a container runs to its end.
fn start(guarded: &Guarded<'_>) -> Result<bool> {
    let Guarded { runtime, container } = guarded;
    let mut command = runtime.run_command(container);
    let log = File::create(&runtime.log).context(runtime.log.display())?;
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let mut child = command.stderr(log).spawn().context("run")?;
    let begin = Instant::now();
    let status = loop {
        match child.try_wait().context("run")? {
            Some(status) => break Some(status),
            None if begin.elapsed() > PATIENCE => break None,
            None => thread::sleep(Duration::from_millis(1)),
        }
    };
    if status.is_none() {
        child.kill().context("run")?;
        child.wait().context("run")?;
    }
    let succeeded = status.is_some_and(|status| status.success());
    if !succeeded {
        // What a runtime leaves behind that could not start a container is not the question here.
        let _ = runtime.delete_leftover(container);
    }
    harness::reap_ended();
    Ok(succeeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_that_holds_is_found() {
        for limit in [1, 2, 17, 99, 100] {
            let found = lowest(1, 100, 1, |value| Ok(value >= limit)).unwrap();
            assert_eq!(found, limit);
        }
        assert!(lowest(1, 100, 1, |_| Ok(false)).is_err());
    }
}
