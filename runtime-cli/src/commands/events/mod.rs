//! `bareboat events`

mod intel_rdt;
mod json;

use std::time::{Duration, Instant};

use clap::Args;
use runtime_core::{Container, ErrorKind, OomEvents, Status, Waited};

use super::output;
use crate::cli::Globals;
use crate::duration;
use crate::failure::{Failure, Result};

/// Arguments of `events`.
#[derive(Debug, Args)]
pub(crate) struct Events {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// Time between two lines of statistics, such as 500ms or 1m30s
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = duration::parse, allow_hyphen_values = true)]
    interval: Duration,
    /// Print the statistics once, and exit
    #[arg(long)]
    stats: bool,
}

impl Events {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        let container = super::load(globals, &self.id)?;
        if self.interval.is_zero() {
            return Err(Failure::new("duration interval must be greater than 0"));
        }
        if container.status()? == Status::Stopped {
            return Err(Failure::new(format!(
                "container with id {} is not running",
                self.id
            )));
        }
        if self.stats {
            return output::json(&json::statistics(&self.id, &container.stats()?));
        }
        self.follow(&container, container.oom_events()?)
    }

    /// Prints what happens until the container has ended.
    fn follow(&self, container: &Container, mut events: OomEvents) -> Result<()> {
        let mut next = Instant::now() + self.interval;
        loop {
            match events.wait(next.saturating_duration_since(Instant::now()))? {
                Waited::Oom(_) => output::json(&json::oom(&self.id))?,
                Waited::Ended => return Ok(()),
                _ => {
                    next = Instant::now() + self.interval;
                    match container.stats() {
                        Ok(stats) => output::json(&json::statistics(&self.id, &stats))?,
                        // It has just ended.
                        Err(error) if error.kind() == ErrorKind::NotRunning => {}
                        Err(error) => tracing::error!("{error}"),
                    }
                }
            }
        }
    }
}
