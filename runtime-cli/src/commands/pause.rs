//! `bareboat pause` and `bareboat resume`

use clap::Args;

use crate::cli::Globals;
use crate::failure::Result;

/// Arguments of `pause`.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

impl Pause {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        Ok(super::load(globals, &self.id)?.pause()?)
    }
}

/// Arguments of `resume`.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

impl Resume {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        Ok(super::load(globals, &self.id)?.resume()?)
    }
}
