//! `bareboat start`

use clap::Args;
use runtime_core::Status;

use crate::cli::Globals;
use crate::failure::Result;
use crate::notify;

/// Arguments of `start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

impl Start {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        let container = super::load(globals, &self.id)?;
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
