//! `bareboat kill`

use clap::Args;
use runtime_core::ErrorKind;

use crate::cli::Globals;
use crate::failure::Result;
use crate::signals;

/// Arguments of `kill`.
#[derive(Debug, Args)]
pub(crate) struct Kill {
    /// Name of the container
    #[arg(value_name = "CONTAINER")]
    id: String,
    /// Signal by name or number
    #[arg(value_name = "SIGNAL", default_value = "SIGTERM")]
    signal: String,
    /// Send it to all processes of the container
    #[arg(short, long)]
    all: bool,
}

impl Kill {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        let container = super::load(globals, &self.id)?;
        let signal = match self.signal.as_str() {
            "" => signals::parse("SIGTERM"),
            signal => signals::parse(signal),
        }?;
        if !self.all {
            return Ok(container.kill(signal)?);
        }
        // runc since 1.2 takes the option for nothing: SIGKILL ends all processes without it, and another signal goes to the
        // first process with it. Here it says what it does, as for runc before, since containerd passes on a user's
        // `ctr task kill --all`, whatever the signal.
        match container.kill_all(signal) {
            // All of no processes have the signal: containerd calls `kill --all ID 9` when the first has ended, for those
            // that it may have left in a shared PID namespace, and wants no error where it left none. So does runc.
            Err(error) if error.kind() == ErrorKind::NotRunning => Ok(()),
            result => Ok(result?),
        }
    }
}
