//! `bareboat create`

use clap::Args;

use super::launch::Launch;
use crate::cli::Globals;
use crate::failure::Result;

/// Arguments of `create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Name of the new container, unique on this host
    #[arg(value_name = "CONTAINER")]
    pub(crate) id: String,
    #[command(flatten)]
    pub(crate) launch: Launch,
}

impl Create {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        self.launch.timings.record(|timings| {
            let bundle = self.launch.load(timings)?;
            self.launch.check_terminal(&bundle, true)?;
            let builder = self.launch.builder(&self.id, bundle, globals, timings)?;
            builder.create()?;
            Ok(())
        })
    }
}
