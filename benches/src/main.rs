//! bareboat against other runtimes and against the kernel's own floor: time, memory, system calls. See README.md.

mod bundle;
mod calls;
mod cgroups;
mod density;
mod error;
mod functions;
mod heap;
mod limit;
mod markdown;
mod measure;
mod memory;
mod options;
mod order;
mod page_cache;
mod plot;
mod report;
mod runtime;
mod samples;
mod scenario;
mod seccomp;
mod statistics;
mod sys;
mod table;
mod tracer;
mod workplace;

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use error::{Context, Error, Result};
use measure::Regime;
use options::{Options, USAGE};
use report::Report;
use runtime::Subject;
use samples::Samples;
use scenario::Scenario;
use sys::harness;
use workplace::Workplace;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["startup", ..] => suite(&Scenario::STARTUP, &arguments[1..]),
        ["all", ..] => suite(&Scenario::ALL, &arguments[1..]),
        ["compare", old, new] => report::compare(Path::new(old), Path::new(new)).map(print),
        ["table", file] => {
            report::read(Path::new(file)).map(|whole| print(markdown::table(&whole)))
        }
        ["table", file, readme] => markdown::rewrite(Path::new(file), Path::new(readme)),
        ["plot", file, svg, operations @ ..] => draw(Path::new(file), Path::new(svg), operations),
        ["functions", program] => functions::list(program.into()).map(print),
        // What the bench calls itself with.
        ["trace", out, rest @ ..] => tracer::main(Path::new(out), rest),
        ["create", bundle, id, state, heap, threads] => {
            heap::main(Path::new(bundle), id, Path::new(state), heap, threads)
        }
        _ => Err(Error::new(USAGE)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("benches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(text: String) {
    print!("{text}");
}

/// Draws these operations, or all.
fn draw(file: &Path, svg: &Path, operations: &[&str]) -> Result<()> {
    let mut entries = report::entries(&report::read(file)?);
    entries.retain(|entry| operations.is_empty() || operations.contains(&entry.operation.as_str()));
    fs::write(svg, plot::render(&entries)).context(svg.display())
}

fn suite(scenarios: &[Scenario], arguments: &[String]) -> Result<()> {
    let options = Options::parse(scenarios, arguments)?;
    let mut subjects = Subject::find(&options)?;
    harness::note_interrupts().context("signal handlers")?;
    harness::adopt_orphans().context("PR_SET_CHILD_SUBREAPER")?;
    let workplace = Workplace::make()?;
    workplace.install(&mut subjects)?;
    let mut report = Report::new(&subjects, workplace.cgroup_version(), options.spaced_ms);
    for &scenario in &options.only {
        for Samples { key, series } in measure(&workplace, &subjects, scenario, &options)? {
            let mut runs = 0;
            for (subject, values) in &series {
                report.add(&key, subject, values);
                runs = runs.max(values.len());
            }
            let title = format!(
                "{}, {}, {}, {runs} values",
                key.operation, key.regime, key.unit
            );
            println!("{}", table::render(&title, &series));
        }
        measure::stop_if_interrupted()?;
    }
    if let Some(file) = &options.svg {
        let entries = report::entries(&report.to_json());
        fs::write(file, plot::render(&entries)).context(file.display())?;
    }
    match &options.json {
        Some(file) => report.write(file),
        None => Ok(()),
    }
}

fn measure(
    workplace: &Workplace,
    subjects: &[Subject],
    scenario: Scenario,
    options: &Options,
) -> Result<Vec<Samples>> {
    let runs = options.runs;
    match scenario {
        Scenario::Heap => heap::measure(workplace, runs),
        Scenario::Memory => memory::measure(workplace, subjects, runs),
        Scenario::Limit => limit::measure(workplace, subjects),
        Scenario::Density => density::measure(workplace, subjects, &options.containers),
        Scenario::Calls => calls::measure(workplace, subjects),
        Scenario::Seccomp => seccomp::measure(runs),
        Scenario::Cold => measure::measure(workplace, subjects, scenario, Regime::Cold, runs),
        _ => {
            let hot = measure::measure(workplace, subjects, scenario, Regime::Hot, runs)?;
            let mut all = hot;
            if options.spaced_ms > 0 {
                let spaced = Regime::Spaced(Duration::from_millis(options.spaced_ms));
                all.extend(measure::measure(
                    workplace, subjects, scenario, spaced, runs,
                )?);
            }
            Ok(all)
        }
    }
}
