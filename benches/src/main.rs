//! Start-up latency of bareboat against other runtimes and against the kernel's own floor. See README.md.

mod bundle;
mod cgroups;
mod error;
mod floor;
mod measure;
mod options;
mod report;
mod runtime;
mod statistics;
mod sys;
mod table;
mod workplace;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use error::{Context, Result};
use measure::{Regime, Samples};
use options::{Options, USAGE};
use report::Report;
use runtime::Subject;
use sys::harness;
use workplace::Workplace;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((command, rest)) => match (command.as_str(), rest) {
            ("floor", rest) => return floor::main(rest),
            ("startup", rest) => startup(rest),
            ("compare", [old, new]) => {
                report::compare(Path::new(old), Path::new(new)).map(|text| print!("{text}"))
            }
            _ => Err(error::Error::new(USAGE)),
        },
        None => Err(error::Error::new(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn startup(arguments: &[String]) -> Result<()> {
    let options = Options::parse(arguments)?;
    let subjects = Subject::find(&options)?;
    harness::note_interrupts().context("signal handlers")?;
    harness::adopt_orphans().context("PR_SET_CHILD_SUBREAPER")?;
    let workplace = Workplace::make()?;
    let mut report = Report::new(&subjects, workplace.cgroup_version(), options.spaced_ms);
    let mut regimes = vec![Regime::Hot];
    if options.spaced_ms > 0 {
        regimes.push(Regime::Spaced(Duration::from_millis(options.spaced_ms)));
    }
    for &scenario in &options.only {
        for &regime in &regimes {
            let samples = measure::measure(&workplace, &subjects, scenario, regime, options.runs)?;
            for Samples { operation, series } in samples {
                for (subject, durations) in &series {
                    report.add(operation, regime.name(), subject, durations);
                }
                let title = format!("{operation}, {}, {} runs, ms", regime.name(), options.runs);
                println!("{}", table::render(&title, &series));
            }
        }
    }
    match &options.json {
        Some(file) => report.write(file),
        None => Ok(()),
    }
}
