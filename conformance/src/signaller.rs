//! A hostile process in a container that sends a signal to whatever appears beside it.

use std::fs;
use std::io;
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::scan::last_pid;

/// Sends the signal to every process that appears, until the file `stop` is there; `/watching` says that it has begun. Then
/// those that were stopped go on.
pub fn run(signal: Signal, stop: &Path) -> io::Result<()> {
    let mut next = last_pid() + 1;
    fs::write("/watching", "")?;
    for round in 0u32.. {
        if round % 128 == 0 {
            if stop.exists() {
                break;
            }
            next = next.max(last_pid());
        }
        if kill(Pid::from_raw(next), signal) != Err(Errno::ESRCH) {
            next += 1;
        }
    }
    let _ = kill(Pid::from_raw(-1), Signal::SIGCONT);
    Ok(())
}
