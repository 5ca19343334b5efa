//! How many system calls each command makes: the runtime, and what it starts until the container's program runs.

use std::path::Path;

use crate::bundle::Origin;
use crate::error::Result;
use crate::measure::stop_if_interrupted;
use crate::runtime::Subject;
use crate::samples::{Collected, Key, Samples};
use crate::scenario::Scenario;
use crate::sys::harness;
use crate::tracer::{Trace, follow};
use crate::workplace::{Guarded, Workplace};

/// Each command is traced so often: of a program with several threads the numbers differ a little.
const ROUNDS: usize = 3;

pub(crate) fn measure(workplace: &Workplace, subjects: &[Subject]) -> Result<Vec<Samples>> {
    let mut collected = Collected::default();
    for subject in subjects {
        for round in 0..ROUNDS {
            let traces = match subject.is_floor {
                true => floor(workplace, subject),
                false => runtime(workplace, subject, round),
            };
            harness::reap_ended();
            stop_if_interrupted()?;
            match traces {
                Ok(traces) => record(&mut collected, subject, &traces),
                Err(error) => {
                    eprintln!("{}: calls skipped: {error}", subject.name);
                    break;
                }
            }
        }
    }
    Ok(collected.sorted(subjects))
}

type Traces = Vec<(&'static str, Trace)>;

fn record(collected: &mut Collected, subject: &Subject, traces: &Traces) {
    for (operation, trace) in traces {
        let mut add = |regime, value: u64| {
            let key = Key::new(operation, regime, "system calls");
            collected.record(&key, &subject.name, value as f64);
        };
        add("runtime", trace.runtime);
        add("init", trace.init);
    }
}

fn floor(workplace: &Workplace, subject: &Subject) -> Result<Traces> {
    let log = workplace.log("floor");
    let end = workplace.program();
    let trace = |origin| follow(&workplace.floor_command(subject, origin), None, &end, &log);
    Ok(vec![
        ("run", trace(Origin::RuncSpec)?),
        ("run, Docker's configuration", trace(Origin::Docker)?),
    ])
}

fn runtime(workplace: &Workplace, subject: &Subject, round: usize) -> Result<Traces> {
    let mut traces = Vec::new();
    for (scenario, operation) in [
        (Scenario::Run, "run"),
        (Scenario::Docker, "run, Docker's configuration"),
    ] {
        let purpose = format!("calls-{}-{round}", scenario.name());
        let guarded = workplace.guarded(subject, &purpose, scenario)?;
        let command = guarded.runtime.run_command(&guarded.container);
        let trace = follow(&command, None, &workplace.program(), &guarded.runtime.log)?;
        traces.push((operation, trace));
    }
    let purpose = format!("calls-{round}");
    let guarded = workplace.guarded(subject, &purpose, Scenario::Exec)?;
    traces.extend(lifecycle(&guarded, &workplace.program())?);
    Ok(traces)
}

fn lifecycle(guarded: &Guarded<'_>, end: &Path) -> Result<Traces> {
    let Guarded { runtime, container } = guarded;
    let log: &Path = &runtime.log;
    let on = |name: &str, more: &[&str]| {
        let mut command = runtime.command(name);
        command.arg(&container.id).args(more);
        command
    };
    let create = follow(&runtime.create_command(container), None, end, log)?;
    let start = follow(&on("start", &[]), guarded.pid(), end, log)?;
    let state = follow(&on("state", &[]), None, end, log)?;
    let exec = follow(&on("exec", &["/bin/true"]), None, end, log)?;
    let kill = follow(&on("kill", &["KILL"]), None, end, log)?;
    guarded.reap();
    let delete = follow(&on("delete", &[]), None, end, log)?;
    Ok(vec![
        ("create", create),
        ("start", start),
        ("state", state),
        ("exec", exec),
        ("kill", kill),
        ("delete", delete),
    ])
}
