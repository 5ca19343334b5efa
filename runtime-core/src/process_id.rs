//! A container's first process, as it is recorded.

use std::fs::File;
use std::io::{self, Read};

use rustix::process::{Pid, test_kill_process};
use serde::{Deserialize, Serialize};

/// A process that a reused pid is not mistaken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProcessId {
    pub(crate) pid: i32,
    /// Clock ticks after boot at which it started (proc_pid_stat(5), field 22).
    pub(crate) start_time: u64,
}

/// What proc_pid_stat(5) says of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ProcessStat {
    /// The name of its program, which it can change.
    pub(crate) comm: String,
    has_ended: bool,
    flags: u32,
    start_time: u64,
}

/// It is shorter. Where there is room for all that may come, the standard library reads at once, and otherwise bit by bit.
const LINE: usize = 1024;

/// PF_EXITING of linux/sched.h.
const EXITING: u32 = 4;

impl ProcessStat {
    fn read(pid: i32) -> io::Result<ProcessStat> {
        let mut text = Vec::with_capacity(LINE);
        let file = File::open(format!("/proc/{pid}/stat"))?;
        file.take(LINE as u64).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        ProcessStat::parse(&text).ok_or_else(|| {
            io::Error::other(format!("/proc/{pid}/stat is not what the kernel writes"))
        })
    }

    fn parse(text: &str) -> Option<ProcessStat> {
        // The name may have spaces and brackets itself.
        let (before, after) = text.rsplit_once(") ")?;
        let (_, comm) = before.split_once('(')?;
        let fields: Vec<&str> = after.split_whitespace().collect();
        Some(ProcessStat {
            comm: comm.to_owned(),
            has_ended: matches!(*fields.first()?, "Z" | "X"),
            flags: fields.get(6)?.parse().ok()?,
            start_time: fields.get(19)?.parse().ok()?,
        })
    }

    /// Whether it is on its way out.
    pub(crate) fn is_exiting(&self) -> bool {
        self.flags & EXITING != 0
    }
}

impl ProcessId {
    /// Of a process that runs now.
    pub(crate) fn of(pid: i32) -> io::Result<ProcessId> {
        Ok(ProcessId {
            pid,
            start_time: ProcessStat::read(pid)?.start_time,
        })
    }

    /// The process, unless it has ended: a zombie has.
    ///
    /// That it cannot be looked at does not say that it has ended: the caller may have no descriptor left, or no /proc.
    pub(crate) fn look(&self) -> io::Result<Option<ProcessStat>> {
        let is_gone = |error: &io::Error| {
            matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ENOTDIR | libc::ESRCH)
            )
        };
        let stat = match ProcessStat::read(self.pid) {
            Err(error) if is_gone(&error) => {
                if !self.has_pid_of_a_process() {
                    return Ok(None);
                }
                // Another one may have got the pid just now.
                ProcessStat::read(self.pid).map_err(|error| match is_gone(&error) {
                    true => io::Error::other(format!(
                        "/proc does not show process {}: is it mounted, and does it show the processes of others?",
                        self.pid
                    )),
                    false => error,
                })?
            }
            stat => stat?,
        };
        Ok((stat.start_time == self.start_time && !stat.has_ended).then_some(stat))
    }

    fn has_pid_of_a_process(&self) -> bool {
        let found = Pid::from_raw(self.pid).map(test_kill_process);
        matches!(found, Some(Ok(()) | Err(rustix::io::Errno::PERM)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_ended_is_not_taken_for_another_with_its_pid() {
        let own = ProcessId::of(std::process::id() as i32).unwrap();
        assert!(own.look().unwrap().is_some());
        let earlier = ProcessId {
            start_time: own.start_time + 1,
            ..own
        };
        assert_eq!(earlier.look().unwrap(), None);
    }

    #[test]
    fn a_zombie_has_ended_and_so_has_a_process_that_was_waited_for() {
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let process = ProcessId::of(child.id() as i32).unwrap();
        assert_eq!(process.look().unwrap().unwrap().comm, "sleep");
        child.kill().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while process.look().unwrap().is_some() {
            assert!(std::time::Instant::now() < deadline);
        }
        child.wait().unwrap();
        assert_eq!(process.look().unwrap(), None);
    }

    #[test]
    fn a_name_may_have_brackets_and_spaces() {
        let line = |comm: &str| {
            format!("7 ({comm}) S 1 7 7 0 -1 4194308 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 1\n")
        };
        for comm in ["sh", "a) Z 1", "(", ") ) ", ""] {
            let stat = ProcessStat::parse(&line(comm)).unwrap();
            assert_eq!((stat.comm.as_str(), stat.start_time), (comm, 12345));
            assert!(stat.is_exiting() && !stat.has_ended);
        }
        assert_eq!(ProcessStat::parse("7 (sh) S 1"), None);
        assert_eq!(ProcessStat::parse(""), None);
    }
}
