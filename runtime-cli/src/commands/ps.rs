//! `bareboat ps`

use std::process::Command;

use clap::Args;

use super::list::ListFormat;
use super::output;
use crate::cli::Globals;
use crate::failure::{Failure, Result};

/// Arguments of `ps`.
#[derive(Debug, Args)]
pub(crate) struct Ps {
    /// Name of the container, then options for ps(1) [default: -ef]
    #[arg(value_names = ["CONTAINER", "PS_OPTION"], required = true, num_args = 1.., trailing_var_arg = true)]
    operands: Vec<String>,
    /// Form of the output
    #[arg(short, long, value_enum, default_value = "table")]
    format: ListFormat,
}

impl Ps {
    pub(crate) fn execute(self, globals: &Globals) -> Result<()> {
        let (id, options) = super::exec::split_operands(&self.operands);
        let pids = super::load(globals, id)?.pids()?;
        match self.format {
            ListFormat::Json => output::json(&pids),
            ListFormat::Table => output::text(&select(&ps(options)?, &pids)?),
        }
    }
}

/// The output of ps(1), which knows far more about processes than is worth doing again here.
fn ps(options: &[String]) -> Result<String> {
    let mut command = Command::new("ps");
    if options.is_empty() {
        command.arg("-ef");
    }
    let output = command
        .args(options)
        .output()
        .map_err(|cause| Failure::io("execute ps", cause))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Failure::new(format!("ps: {}: {said}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The title and the lines of the given processes.
fn select(listing: &str, pids: &[i32]) -> Result<String> {
    let mut lines = listing.lines();
    let title = lines.next().unwrap_or_default();
    let column = title
        .split_whitespace()
        .position(|name| name == "PID")
        .ok_or_else(|| Failure::new("couldn't find PID field in ps output"))?;
    let of_container = |line: &&str| {
        let pid = line
            .split_whitespace()
            .nth(column)
            .and_then(|field| field.parse().ok());
        pid.is_some_and(|pid| pids.contains(&pid))
    };
    Ok(std::iter::once(title)
        .chain(lines.filter(of_container))
        .flat_map(|line| [line, "\n"])
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_processes_are_shown() {
        let listing = "UID          PID    PPID CMD\nroot           1       0 init\nroot          17       1 sh\n\n";
        assert_eq!(
            select(listing, &[17]).unwrap(),
            "UID          PID    PPID CMD\nroot          17       1 sh\n"
        );
        assert_eq!(
            select(listing, &[]).unwrap(),
            "UID          PID    PPID CMD\n"
        );
    }

    #[test]
    fn options_that_hide_the_pid_are_refused() {
        assert_eq!(
            select("CMD\nsh\n", &[1]).unwrap_err().to_string(),
            "couldn't find PID field in ps output"
        );
        assert!(select("", &[1]).is_err());
    }
}
