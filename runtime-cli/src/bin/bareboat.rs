//! `bareboat`: an OCI runtime with runc's command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime_cli::main()
}
