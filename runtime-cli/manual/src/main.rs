//! usage: manual DIRECTORY DATE
//!
//! Writes the man pages and the shell completions of `bareboat` into a directory, laid out as below `PREFIX/share`.
//! DATE, as in 2026-01-31, is the one at the foot of the pages.

mod completions;
mod facts;
mod page;

use std::io;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, date] = arguments.as_slice() else {
        eprintln!("usage: manual DIRECTORY DATE");
        return ExitCode::from(2);
    };
    match write(Path::new(directory), date) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("write the manual to {directory}: {cause}");
            ExitCode::FAILURE
        }
    }
}

fn write(share: &Path, date: &str) -> io::Result<()> {
    let mut definition = runtime_cli::definition();
    definition.build();
    page::write_all(&definition, date, &share.join("man/man8"))?;
    completions::write_all(share)
}
