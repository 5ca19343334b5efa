//! `bareboat start`

use clap::Args;

use crate::cli::Globals;
use crate::failure::Result;

/// Arguments of `start`.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

impl Start {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        Ok(super::load(globals, &self.id)?.start()?)
    }
}
