//! What a shell proposes when the tabulator key is pressed.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use clap::{ArgAction, Command};
use clap_complete::{Shell, generate};

/// Where each shell looks for the completions of a command, below `PREFIX/share`.
const PLACES: [(Shell, &str); 3] = [
    (Shell::Bash, "bash-completion/completions/bareboat"),
    (Shell::Zsh, "zsh/site-functions/_bareboat"),
    (Shell::Fish, "fish/vendor_completions.d/bareboat.fish"),
];

/// Writes a file for each shell.
pub(crate) fn write_all(share: &Path) -> io::Result<()> {
    for (shell, place) in PLACES {
        let path = share.join(place);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory)?;
        }
        let mut definition = with_plain_switches(runtime_cli::definition());
        generate(shell, &mut definition, "bareboat", &mut File::create(path)?);
    }
    Ok(())
}

/// Shells do not know of a value that is there only after `=`: they would propose files after `--detach`.
fn with_plain_switches(command: Command) -> Command {
    command
        .mut_args(|arg| match arg.is_require_equals_set() {
            true => arg
                .require_equals(false)
                .hide_default_value(false)
                .allow_hyphen_values(false)
                .num_args(0)
                .action(ArgAction::SetTrue),
            false => arg,
        })
        .mut_subcommands(with_plain_switches)
}
