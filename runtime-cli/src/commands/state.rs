//! `bareboat state`

use clap::Args;

use super::output;
use super::summary::Summaries;
use crate::cli::Globals;
use crate::failure::Result;

/// Arguments of `state`.
#[derive(Debug, Args)]
pub(crate) struct State {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
}

impl State {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        let container = super::load(globals, &self.id)?;
        output::json_indented(&Summaries::new().of(&container)?, "  ")
    }
}
