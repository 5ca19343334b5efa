//! A container's first process, as it is recorded.

use std::io;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, read};
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
    /// A letter.
    state: u8,
    flags: u32,
    start_time: u64,
}

/// It is shorter, and where there is room the kernel gives all of it at once.
const LINE: usize = 1024;

/// PF_EXITING of linux/sched.h.
const EXITING: u32 = 4;

/// PF_FREEZER_SKIP, until Linux 6.0.
const NOT_WAITED_FOR_BY_FREEZER: u32 = 0x4000_0000;

impl ProcessStat {
    fn read(pid: i32) -> io::Result<ProcessStat> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = open(format!("/proc/{pid}/stat"), flags, Mode::empty())?;
        let mut line = [0; LINE];
        let length = loop {
            match read(&file, &mut line) {
                Err(Errno::INTR) => {}
                answer => break answer?,
            }
        };
        let line = line.get(..length).unwrap_or_default();
        ProcessStat::parse(line).ok_or_else(|| {
            io::Error::other(format!("/proc/{pid}/stat is not what the kernel writes"))
        })
    }

    fn parse(line: &[u8]) -> Option<ProcessStat> {
        // The name may have spaces and brackets itself.
        let begin = line.iter().position(|byte| *byte == b'(')?;
        let end = line.iter().rposition(|byte| *byte == b')')?;
        let comm = String::from_utf8_lossy(line.get(begin + 1..end)?);
        let after = str::from_utf8(line.get(end + 1..)?).ok()?;
        let mut fields = after.split_ascii_whitespace();
        Some(ProcessStat {
            comm: comm.into_owned(),
            state: *fields.next()?.as_bytes().first()?,
            flags: fields.nth(5)?.parse().ok()?,
            start_time: fields.nth(12)?.parse().ok()?,
        })
    }

    fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Whether the freezer of cgroup version 1 does not hold it, told without a look at that. What it holds cannot be woken
    /// by a signal, so that its state is not `S`: it is `D`, and `R` from Linux 6.1 to 6.12. Until Linux 6.0 the freezer did not
    /// wait for those that sleep in some system calls.
    pub(crate) fn is_free_in_v1(&self) -> bool {
        self.state == b'S' && self.flags & NOT_WAITED_FOR_BY_FREEZER == 0
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
        Ok((stat.start_time == self.start_time && !stat.has_ended()).then_some(stat))
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
            let stat = ProcessStat::parse(line(comm).as_bytes()).unwrap();
            assert_eq!((stat.comm.as_str(), stat.start_time), (comm, 12345));
            assert!(stat.is_exiting() && !stat.has_ended());
        }
        assert_eq!(ProcessStat::parse(b") sh ("), None);
        assert_eq!(ProcessStat::parse(b"7 (sh) S 1"), None);
        assert_eq!(ProcessStat::parse(b""), None);
    }

    #[test]
    fn a_process_that_sleeps_is_free_unless_the_freezer_may_have_passed_over_it() {
        let stat = |state: char, flags: u32| {
            let line =
                format!("7 (sh) {state} 1 7 7 0 -1 {flags} 1 0 0 0 0 0 0 0 20 0 1 0 12345 1");
            ProcessStat::parse(line.as_bytes()).unwrap()
        };
        assert!(stat('S', 0x0040_0100).is_free_in_v1());
        assert!(!stat('S', 0x4040_0100).is_free_in_v1());
        for state in ['D', 'R', 'T', 't', 'I'] {
            assert!(!stat(state, 0).is_free_in_v1(), "{state}");
        }
    }
}
