//! `bareboat features`

use clap::Args;

use super::output;
use crate::failure::Result;

/// Arguments of `features`: none.
#[derive(Debug, Args)]
pub(crate) struct Features {}

impl Features {
    pub(crate) fn execute(self) -> Result<()> {
        output::json_indented(&runtime_core::features(), "    ")
    }
}
