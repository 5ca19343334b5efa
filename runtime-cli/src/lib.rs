//! `bareboat`: an OCI runtime with runc's command line.
//!
//! What it does to containers is the work of `runtime-core`; here are the arguments, the output, the exit codes, the log,
//! and what belongs to a process in the foreground: its signals and its terminal.
//!
//! This is a library so that the program that writes the man pages and the shell completions has the same definitions as
//! the binary, which then need not carry that program. It is no interface for others: they use `runtime-core`.

mod cli;
mod command;
mod commands;
mod descriptors;
mod duration;
mod failure;
mod foreground;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod help;
mod log;
mod notify;
mod relay;
mod signals;
mod size;
mod spelling;
mod state_root;
mod sys;
mod terminal;
mod timestamp;
mod timings;
mod topics;
mod waterfall;

use std::io::{self, Write};
use std::path::Path;

use crate::cli::Request;
use crate::failure::Failure;
use crate::log::LogFormat;

pub use crate::help::definition;
pub use crate::topics::{Example, Topic, topic};

/// The program: reads its arguments, does what they say, and reports how that went. The result is its exit code.
pub fn main() -> u8 {
    sys::ignore_broken_pipes();
    if descriptors::open_missing_streams().is_err() {
        // There is nobody to tell.
        return 1;
    }
    let request = match cli::parse(std::env::args_os().collect()) {
        Ok(request) => request,
        Err(error) => {
            let log =
                start_log(error.log.as_deref(), error.log_format, false).and(error.log.as_deref());
            return report(&error.failure, log);
        }
    };
    match request {
        Request::Text(text) => match commands::output::text(&text) {
            Ok(()) => 0,
            Err(failure) => {
                start_log(None, LogFormat::Text, false);
                report(&failure, None)
            }
        },
        Request::Command(cli) => {
            // Before anything is opened here, the log for one.
            let inherited = descriptors::check(&cli.command);
            sys::keep_children_to_be_waited_for();
            sys::fail_where_files_may_not_grow();
            let globals = &cli.globals;
            let log = globals
                .log
                .as_deref()
                .filter(|path| !path.as_os_str().is_empty());
            if let Err(failure) = log::install(log, globals.log_format, globals.debug) {
                start_log(None, globals.log_format, globals.debug);
                return report(&failure, None);
            }
            if let Err(failure) = inherited {
                return report(&failure, log);
            }
            match commands::execute(cli.command, globals) {
                Ok(code) => code,
                Err(failure) => report(&failure, log),
            }
        }
    }
}

/// Logs to `file` if that can be, else to stderr. Says where it is.
fn start_log(file: Option<&Path>, format: LogFormat, debug: bool) -> Option<()> {
    let in_file = file.is_some_and(|file| log::install(Some(file), format, debug).is_ok());
    if !in_file {
        // The log is there already, or stderr is as good as it gets.
        let _ = log::install(None, format, debug);
    }
    in_file.then_some(())
}

/// The message goes to the log, and to stderr where that is not the same.
fn report(failure: &Failure, log: Option<&Path>) -> u8 {
    tracing::error!("{failure}");
    if log.is_some() {
        let _ = writeln!(io::stderr(), "{failure}");
    }
    failure.code()
}
