//! Processes and threads.

use std::io;

use super::files::Files;
use super::parse::Malformed;
use crate::cgroup::plan::Version;

/// How many processes and threads are in a cgroup and below it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pids {
    /// Tasks, that is threads. Without the pids controller: processes of the cgroup itself.
    pub current: u64,
    /// How many there may be; nothing where there is no limit.
    pub limit: Option<u64>,
    /// How often the limit kept one from being made (Linux 4.8).
    pub refused: u64,
}

pub(super) fn read(files: &Files, _: Version) -> io::Result<Pids> {
    let Some(current) = files.number("pids.current")? else {
        // Only a threaded cgroup has no processes of its own (EOPNOTSUPP).
        let processes = files.read("cgroup.procs", count_lines)?;
        let current = match processes {
            Some(count) => Some(count),
            None => files.read("cgroup.threads", count_lines)?,
        };
        return Ok(Pids {
            current: current.unwrap_or_default(),
            ..Pids::default()
        });
    };
    let limit = files.number("pids.max")?;
    let refused = files.pairs("pids.events")?.get("max").copied();
    Ok(Pids {
        current,
        limit: limit.filter(|&limit| limit != u64::MAX),
        refused: refused.unwrap_or_default(),
    })
}

fn count_lines(text: &str) -> Result<u64, Malformed> {
    Ok(text.lines().count() as u64)
}
