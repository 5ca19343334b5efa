//! `process.terminal` and `process.consoleSize`.

use oci_spec::runtime::Process;
use runtime_init::{Console, Step};

use crate::error::{Error, Result};
use crate::plan::{Builder, Origin, pointer};

/// Opens the terminal. `mount` puts it at /dev/console too, which is the container's own process's to have.
pub(crate) fn open(plan: &mut Builder<'_>, process: &Process, mount: bool) -> Result<()> {
    if !process.terminal().unwrap_or(false) {
        return Ok(());
    }
    let (columns, rows) = match process.console_size() {
        None => (0, 0),
        Some(size) => (
            cells("width", size.width())?,
            cells("height", size.height())?,
        ),
    };
    let uid = process.user().uid();
    plan.plan.console = true;
    plan.step(
        pointer("/process/terminal"),
        &Step::OpenConsole(Console {
            uid,
            columns,
            rows,
            mount,
        }),
    );
    Ok(())
}

/// Makes the terminal that was opened the session's, of which the process is the leader by now.
pub(crate) fn take(plan: &mut Builder<'_>) {
    if plan.plan.console {
        plan.step(pointer("/process/terminal"), &Step::TakeTerminal);
    }
}

fn cells(name: &str, number: u64) -> Result<u16> {
    let pointer = format!("/process/consoleSize/{name}");
    u16::try_from(number).map_err(|_| {
        Error::config(
            pointer,
            format!("{number} is more than a terminal can have (65535)"),
        )
    })
}

/// Lets the user reopen its standard streams.
pub(crate) fn chown_stdio(plan: &mut Builder<'_>, process: &Process) {
    let uid = process.user().uid();
    plan.step(
        Origin::Default("owner of the standard streams"),
        &Step::ChownStdio { uid },
    );
}
