//! `--timings FILE`: what each step took, for `bareboat plan --timings` and ui.perfetto.dev.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use clap::Args;
use runtime_core::Timings;

use crate::commands::launch::given;
use crate::failure::{Failure, Result};

/// The option of commands whose steps can be timed.
#[derive(Debug, Args)]
pub(crate) struct TimingsFile {
    /// File to write what each step took to, as a trace
    #[arg(long, value_name = "FILE")]
    timings: Option<PathBuf>,
}

impl TimingsFile {
    /// Does the work of a command, and writes what its steps took, also of one that fails. A file that cannot be written
    /// is an error before anything is done; one that cannot be completed changes nothing about what was done.
    pub(crate) fn record<T>(&self, work: impl FnOnce(Option<&Timings>) -> Result<T>) -> Result<T> {
        let Some(path) = given(self.timings.as_deref()) else {
            return work(None);
        };
        let attempt = format!("write the timings to {}", path.display());
        let file = File::create(path).map_err(|cause| Failure::io(&attempt, cause))?;
        let timings = Timings::new();
        let outcome = work(Some(&timings));
        if let Err(cause) = timings.write(BufWriter::new(file)) {
            tracing::error!("{attempt}: {cause}");
        }
        outcome
    }
}

/// Does something, and takes down what that took if somebody wants to know.
pub(crate) fn during<T>(timings: Option<&Timings>, what: &str, work: impl FnOnce() -> T) -> T {
    match timings {
        Some(timings) => timings.during(what, work),
        None => work(),
    }
}

/// Waits for the user's program.
pub(crate) fn while_program_runs<T>(timings: Option<&Timings>, wait: impl FnOnce() -> T) -> T {
    match timings {
        Some(timings) => timings.while_program_runs(wait),
        None => wait(),
    }
}
