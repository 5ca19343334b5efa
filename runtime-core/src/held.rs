//! An init that does not go on because somebody in the container holds it.

use std::path::PathBuf;
use std::time::Duration;

use procfs::process::{ProcState, Process};

/// How long an init may be silent before it is looked at. What it waits for itself, memory or a slow disk, may take longer.
pub(crate) const SILENCE: Duration = Duration::from_secs(1);

/// How the process is held, if it is: who is in its PID namespace can stop it, or trace it (CVE-2016-9962), and would keep
/// the caller waiting. A debugger on the host, whose PID namespace is another, may take its time.
pub(crate) fn from_inside(pid: i32) -> Option<&'static str> {
    let process = Process::new(pid).ok()?;
    let status = process.status().ok()?;
    let state = process.stat().ok()?.state().ok()?;
    match state {
        ProcState::Stopped if is_elsewhere(pid) => {
            Some("the init was stopped by a signal from inside the container")
        }
        ProcState::Tracing
            if namespace(status.tracerpid) == namespace(pid) && is_elsewhere(pid) =>
        {
            Some("the init is traced by a process inside the container")
        }
        _ => None,
    }
}

/// Whether it is in another PID namespace than the caller.
fn is_elsewhere(pid: i32) -> bool {
    let own = std::fs::read_link("/proc/self/ns/pid").ok();
    own.is_some() && own != namespace(pid)
}

fn namespace(pid: i32) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}
