//! `conformance`: puts a runtime to the specification, clause by clause. See `docs/conformance-suite.md`.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use conformance::suite::{Case, Level, Verdict};
use conformance::{cases, runtime, suite};

mod table;

/// Puts an OCI runtime to the OCI Runtime Specification 1.3, clause by clause.
///
/// Exits with 1 if a MUST is broken.
#[derive(Debug, Parser)]
struct Arguments {
    /// The runtime: a program with runc's command line, or a script that calls one [default: $RUNTIME, or the workspace's bareboat]
    #[arg(long, value_name = "PROGRAM", env = "RUNTIME")]
    runtime: Option<OsString>,
    /// Another runtime, to be shown beside it; can be given several times
    #[arg(long, value_name = "PROGRAM")]
    compare: Vec<OsString>,
    /// Only cases whose name, clause or text contains this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Only cases of this level
    #[arg(long, value_enum)]
    level: Option<Wanted>,
    /// Judge by this version of the specification instead of the one that the runtime implements
    #[arg(long, value_name = "VERSION")]
    spec: Option<String>,
    /// How many cases run at a time
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// How to print
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Print the cases, and run none; as markdown, all of them by the specification's headings
    #[arg(long)]
    list: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Wanted {
    Must,
    Should,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
    Markdown,
}

impl Arguments {
    fn wants(&self, case: &Case) -> bool {
        let level = match self.level {
            None => true,
            Some(Wanted::Must) => case.level == Level::Must,
            Some(Wanted::Should) => case.level == Level::Should,
        };
        let text = self.filter.as_ref().is_none_or(|filter| {
            [case.name().as_str(), case.clause, case.text]
                .iter()
                .any(|text| text.contains(filter.as_str()))
        });
        level && text
    }

    /// The same for another runtime: each has a process of its own.
    fn of(&self, runtime: &OsString) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec!["--runtime".into(), runtime.clone()];
        words.extend(["--format".into(), "json".into()]);
        words.extend(["--jobs".into(), self.jobs.to_string().into()]);
        if let Some(filter) = &self.filter {
            words.extend(["--filter".into(), filter.into()]);
        }
        if let Some(spec) = &self.spec {
            words.extend(["--spec".into(), spec.into()]);
        }
        words
    }
}

fn main() -> io::Result<ExitCode> {
    let arguments = Arguments::parse();
    if cfg!(panic = "abort") {
        let problem = "a case fails by a panic that unwinds: build this without --release";
        return Err(io::Error::other(problem));
    }
    let all = cases::all();
    let wanted: Vec<_> = all
        .into_iter()
        .filter(|case| arguments.wants(case))
        .collect();
    let mut output = io::stdout().lock();
    if arguments.list {
        match arguments.format {
            Format::Markdown => write!(output, "{}", cases::table())?,
            format => table::list(&mut output, &wanted, format == Format::Json)?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut columns = vec![of_this_process(&arguments, &wanted)];
    for other in &arguments.compare {
        columns.push(of_a_child(&arguments.of(other))?);
    }
    match arguments.format {
        Format::Json => table::json(&mut output, &columns)?,
        Format::Text => table::text(&mut output, &wanted, &columns)?,
        Format::Markdown => table::markdown(&mut output, &wanted, &columns)?,
    }
    output.flush()?;
    let broken = columns
        .first()
        .is_some_and(|column| column.verdicts.iter().any(Verdict::breaks_a_must));
    Ok(ExitCode::from(u8::from(broken)))
}

fn of_this_process(arguments: &Arguments, wanted: &[&'static Case]) -> table::Column {
    let runtime = match &arguments.runtime {
        Some(program) => runtime::choose(program.clone()),
        None => runtime::runtime(),
    };
    let version = arguments
        .spec
        .as_deref()
        .map_or(runtime.specification, runtime::numbers);
    let [major, minor, patch] = runtime.version;
    let [first, second, third] = version;
    table::Column {
        runtime: format!("{} {major}.{minor}.{patch}", runtime.name),
        specification: format!("{first}.{second}.{third}"),
        verdicts: suite::run(wanted, version, arguments.jobs),
    }
}

fn of_a_child(arguments: &[OsString]) -> io::Result<table::Column> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    let output = command
        .args(arguments)
        .stderr(std::process::Stdio::inherit())
        .output()?;
    let mut columns: Vec<table::Column> = serde_json::from_slice(&output.stdout)?;
    columns
        .pop()
        .ok_or_else(|| io::Error::other(format!("{command:?}: {}", output.status)))
}
