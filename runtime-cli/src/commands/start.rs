//! `bareboat start`

use clap::Args;
use runtime_core::{Status, Timings};

use crate::cli::Globals;
use crate::failure::Result;
use crate::notify;
use crate::timings::{TimingsFile, during};

/// Arguments of `start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
    #[command(flatten)]
    timings: TimingsFile,
}

impl Start {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        self.timings.record(|timings| self.start(globals, timings))
    }

    fn start(&self, globals: &Globals, timings: Option<&Timings>) -> Result<()> {
        let load = || super::load(globals, &self.id);
        let mut container = during(timings, "load the container", load)?;
        if let Some(timings) = timings {
            container = container.timings(timings);
        }
        // Of one that cannot be started, `start` says why.
        let listens = notify::supervisor().is_some() && container.status()? == Status::Created;
        let readiness = if listens {
            notify::listen(&container)?
        } else {
            None
        };
        container.start()?;
        notify::forward_of_detached(&container, readiness);
        Ok(())
    }
}
