//! `bareboat delete`

use clap::Args;
use runtime_core::{Container, ErrorKind};

use crate::cli::Globals;
use crate::failure::Result;

/// Arguments of `delete`.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// Kill what still runs, and do not mind if there is no such container
    #[arg(short, long)]
    force: bool,
}

impl Delete {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        let root = globals.state_root()?;
        let result = match self.force {
            // What a killed `create` left may have no state that could be read.
            true => Container::remove_leftovers(&root, &self.id),
            false => Container::load(&root, &self.id).and_then(|container| container.delete(false)),
        };
        match result {
            // There is none, or another delete was faster.
            Err(error) if self.force && error.kind() == ErrorKind::NotFound => Ok(()),
            result => Ok(result?),
        }
    }
}
