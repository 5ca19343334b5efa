//! `agreement`: gives generated resource configurations to a runtime and to a reference, and compares the cgroups that
//! come of them. See `docs/cgroups.md`.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use conformance::agreement::{Outcome, Side, compare, generate};
use conformance::runtime::Runtime;

/// Compares what two runtimes make of linux.resources, in the files of cgroups and by trying devices.
///
/// Needs root. Exits with 1 if there is a difference that is not intended.
#[derive(Debug, Parser)]
struct Arguments {
    /// The runtime
    #[arg(long, value_name = "PROGRAM", env = "RUNTIME")]
    runtime: OsString,
    /// The other one
    #[arg(long, value_name = "PROGRAM", default_value = "runc")]
    reference: OsString,
    /// How many configurations
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    cases: usize,
    /// Leave out the first ones
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    skip: usize,
    /// Which configurations
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Let systemd make the cgroups
    #[arg(long)]
    systemd_cgroup: bool,
    /// This configuration alone, with its intended differences
    #[arg(long, value_name = "NUMBER")]
    only: Option<usize>,
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    let side = |program: &OsString, name| {
        Side::new(
            Runtime::named(program.clone()),
            name,
            arguments.systemd_cgroup,
        )
    };
    let (ours, theirs) = (
        side(&arguments.runtime, "a"),
        side(&arguments.reference, "b"),
    );
    let configurations = generate(arguments.seed, arguments.cases);
    let wanted = configurations
        .into_iter()
        .skip(arguments.skip)
        .filter(|configuration| {
            arguments
                .only
                .is_none_or(|only| configuration.number == only)
        });
    let mut output = io::stdout().lock();
    let mut outcomes = Vec::new();
    for configuration in wanted {
        let outcome = compare(&ours, &theirs, configuration);
        print(&mut output, &outcome, arguments.only.is_some())?;
        outcomes.push(outcome);
    }
    summary(&mut output, &outcomes)?;
    let differ = outcomes.is_empty() || outcomes.iter().any(|outcome| !outcome.failures.is_empty());
    Ok(ExitCode::from(u8::from(differ)))
}

fn print(output: &mut impl Write, outcome: &Outcome, all: bool) -> io::Result<()> {
    let configuration = &outcome.configuration;
    if all || !outcome.failures.is_empty() {
        writeln!(
            output,
            "{}: {}",
            configuration.number, configuration.resources
        )?;
    }
    for failure in &outcome.failures {
        writeln!(output, "    {failure}")?;
    }
    for (difference, intended) in outcome.intended.iter().filter(|_| all) {
        writeln!(output, "    {difference} (intended: {})", intended.reason)?;
    }
    output.flush()
}

fn summary(output: &mut impl Write, outcomes: &[Outcome]) -> io::Result<()> {
    let mut counts: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for (_, intended) in outcomes.iter().flat_map(|outcome| &outcome.intended) {
        counts
            .entry(intended.what)
            .or_insert((0, intended.reason))
            .0 += 1;
    }
    let count = |is: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| is(outcome)).count();
    writeln!(
        output,
        "{} configurations: {} the same, of which both refuse {}; {} with intended differences alone, {} with others",
        outcomes.len(),
        count(|outcome| outcome.failures.is_empty() && outcome.intended.is_empty()),
        count(|outcome| outcome.refused),
        count(|outcome| outcome.failures.is_empty() && !outcome.intended.is_empty()),
        count(|outcome| !outcome.failures.is_empty()),
    )?;
    for (what, (count, reason)) in counts {
        writeln!(output, "  {count:4}  {what}: {reason}")?;
    }
    Ok(())
}
