//! `bareboat plan`

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use runtime_core::{Bundle, Container};

use super::{launch, output};
use crate::cli::Globals;
use crate::failure::Result;
use crate::waterfall;

/// Arguments of `plan`.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// The bundle: a directory with config.json
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    format: PlanFormat,
    /// Name that the container would have
    #[arg(
        value_name = "CONTAINER",
        default_value = "plan",
        hide_default_value = true
    )]
    id: String,
    /// Print a file of timings as a waterfall, in place of a plan
    #[arg(long, value_name = "FILE", conflicts_with_all = ["bundle", "format", "id"])]
    timings: Option<PathBuf>,
}

/// The forms of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PlanFormat {
    Text,
    Json,
}

impl Plan {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        if let Some(file) = launch::given(self.timings.as_deref()) {
            return output::text(&waterfall::of_file(file)?);
        }
        let bundle = Bundle::load(launch::directory_or_current(&self.bundle))?;
        let builder = Container::builder(&self.id, bundle).cgroup_driver(globals.cgroup_driver());
        let plan = match globals.rootless.cgroups() {
            Some(rootless) => builder.rootless_cgroups(rootless).plan()?,
            None => builder.plan()?,
        };
        match self.format {
            PlanFormat::Json => output::json_indented(&plan, "  "),
            PlanFormat::Text => output::text(&format!("{}\n", plan.to_string().trim_end())),
        }
    }
}
