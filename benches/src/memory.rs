//! Memory: what waits after `create`, and the peak of `run`.

use std::collections::BTreeMap;
use std::fs;

use crate::error::{Context, Error, Result};
use crate::measure::stop_if_interrupted;
use crate::order::Order;
use crate::runtime::Subject;
use crate::samples::{Collected, Key, Samples};
use crate::scenario::Scenario;
use crate::sys::harness;
use crate::tracer::follow;
use crate::workplace::Workplace;

/// These figures hardly differ from one container to the next.
const MOST_RUNS: usize = 10;

pub(crate) fn measure(
    workplace: &Workplace,
    subjects: &[Subject],
    runs: usize,
) -> Result<Vec<Samples>> {
    let mut collected = Collected::default();
    let runtimes = subjects.iter().filter(|subject| !subject.is_floor);
    let mut runtimes: Vec<&Subject> = runtimes.collect();
    runtimes.retain(|subject| match waiting(workplace, subject, "trial") {
        Ok(_) => true,
        Err(error) => {
            eprintln!("{}: memory skipped: {error}", subject.name);
            false
        }
    });
    let mut order = Order::new(runtimes.len());
    for round in 0..runs.min(MOST_RUNS) {
        for &index in order.shuffle() {
            let subject = runtimes[index];
            let size = waiting(workplace, subject, &round.to_string())?;
            let key = Key::new("PSS after create", "waiting for start", "KiB");
            collected.record(&key, &subject.name, size as f64);
            let size = peak(workplace, subject, &round.to_string())?;
            let key = Key::new("peak memory of run", "largest process", "KiB");
            collected.record(&key, &subject.name, size as f64);
            harness::reap_ended();
            stop_if_interrupted()?;
        }
    }
    Ok(collected.sorted(subjects))
}

/// The sum over everything that runs because of a container that was created.
fn waiting(workplace: &Workplace, subject: &Subject, purpose: &str) -> Result<u64> {
    let purpose = format!("memory-{purpose}");
    let guarded = workplace.guarded(subject, &purpose, Scenario::Memory)?;
    let before = descendants()?;
    guarded.runtime.create(&guarded.container)?;
    let after = descendants()?;
    let new: Vec<i32> = after
        .into_iter()
        .filter(|pid| !before.contains(pid))
        .collect();
    if new.is_empty() {
        return Err(Error::new("create leaves no process behind"));
    }
    new.into_iter().map(proportional_set_size).sum()
}

/// What the largest of the processes had at most, until the container's own program ran.
fn peak(workplace: &Workplace, subject: &Subject, purpose: &str) -> Result<u64> {
    let purpose = format!("peak-{purpose}");
    let guarded = workplace.guarded(subject, &purpose, Scenario::Run)?;
    let command = guarded.runtime.run_command(&guarded.container);
    let trace = follow(&command, None, &workplace.program(), &guarded.runtime.log)?;
    Ok(trace.peak)
}

/// In KiB.
fn proportional_set_size(pid: i32) -> Result<u64> {
    let file = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&file).context(&file)?;
    parse_pss(&text).ok_or_else(|| Error::new(format!("{file}: no Pss")))
}

fn parse_pss(smaps: &str) -> Option<u64> {
    let line = smaps.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// All processes below this one, which adopts orphans.
fn descendants() -> Result<Vec<i32>> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("/proc")? {
        let name = entry.context("/proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        // One that has ended meanwhile has no file any more.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if let Some(parent) = parse_parent(&stat) {
            parents.insert(pid, parent);
        }
    }
    let own = std::process::id().cast_signed();
    let is_below = |pid: &i32| {
        let mut next = parents.get(pid);
        while let Some(parent) = next {
            if *parent == own {
                return true;
            }
            next = parents.get(parent);
        }
        false
    };
    Ok(parents.keys().copied().filter(is_below).collect())
}

/// The fourth field of proc_pid_stat(5), if the process has not ended; the second, in parentheses, may contain anything.
fn parse_parent(stat: &str) -> Option<i32> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    match fields.next() {
        Some("Z" | "X") => None,
        _ => fields.next()?.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_follows_a_name_that_may_have_spaces() {
        assert_eq!(parse_parent("12 (a) b (c) S 7 1 1"), Some(7));
        assert_eq!(parse_parent("12 (a) Z 7 1 1"), None);
    }

    #[test]
    fn pss_is_the_field_of_that_name() {
        let text = "00400000-7ff [rollup]\nRss:  120 kB\nPss:   84 kB\nPss_Dirty:  4 kB\n";
        assert_eq!(parse_pss(text), Some(84));
    }
}
