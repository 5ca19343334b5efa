//! Signals for all processes of a cgroup.

use std::collections::BTreeSet;
use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;

use super::Cgroup;
use super::files::{open_directory, processes, tree, write_file};
use super::sys;

/// How long processes may take to be frozen before they are signalled anyway.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long processes are looked for that were started while others were signalled, where they cannot be frozen.
const LIMIT: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Sends a signal to all processes in it and below it. SIGKILL reaches frozen ones too; others stay frozen, and get
    /// another signal when they go on.
    ///
    /// # Errors
    ///
    /// When the processes cannot be listed, or one cannot be signalled. A cgroup that is gone has none.
    pub fn kill_all(&self, signal: i32) -> io::Result<()> {
        if signal != libc::SIGKILL {
            return self.signal_frozen(signal);
        }
        let killed_by_kernel = self.kill_v2()?;
        if killed_by_kernel && self.task_file_count() == 0 {
            return Ok(());
        }
        self.kill_v1()
    }

    /// The kernel kills a tree of version 2 as a whole, with what it forks meanwhile. Whether there is one.
    fn kill_v2(&self) -> io::Result<bool> {
        let Some(directory) = self.in_v2() else {
            return Ok(false);
        };
        match open_directory(&directory.path).and_then(|path| write_file(path, "cgroup.kill", "1"))
        {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NODEV) => Ok(true),
            // A threaded cgroup cannot be killed as a whole.
            Err(Errno::OPNOTSUPP) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Frozen processes do not fork, so one round reaches all; if they cannot be frozen, there are rounds until nobody new
    /// appears.
    fn kill_v1(&self) -> io::Result<()> {
        let mut signalled = BTreeSet::new();
        let deadline = Instant::now() + LIMIT;
        while Instant::now() < deadline {
            let pids = self.all_processes()?;
            if pids.iter().all(|pid| signalled.contains(pid)) {
                break;
            }
            let frozen = self.freeze_others(&pids);
            let result = self
                .all_processes()
                .and_then(|pids| signal_each(&pids, libc::SIGKILL, &mut signalled));
            self.thaw()?;
            self.thaw_below()?;
            result?;
            if frozen {
                return Ok(());
            }
            sleep(Duration::from_millis(1));
        }
        // One that was frozen before all this dies when it goes on.
        self.thaw()
    }

    /// Cgroups that the container made in the freezer of version 1 and froze: a frozen process there does not die.
    fn thaw_below(&self) -> io::Result<()> {
        let Some(freezer) = self.with_controller("freezer") else {
            return Ok(());
        };
        for directory in tree(&freezer.path)? {
            if directory == freezer.path {
                continue;
            }
            let thawed = open_directory(&directory)
                .and_then(|directory| write_file(directory, "freezer.state", "THAWED"));
            match thawed {
                Ok(()) | Err(Errno::NOENT | Errno::NODEV) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        Ok(())
    }

    fn signal_frozen(&self, signal: i32) -> io::Result<()> {
        let was_frozen = self.is_frozen()?;
        if !was_frozen {
            self.freeze_others(&self.all_processes()?);
        }
        let result = self
            .all_processes()
            .and_then(|pids| signal_each(&pids, signal, &mut BTreeSet::new()));
        if !was_frozen {
            self.thaw()?;
        }
        result
    }

    /// Freezes them unless the caller is one of them. Whether all are.
    fn freeze_others(&self, pids: &BTreeSet<i32>) -> bool {
        let own = rustix::process::getpid().as_raw_nonzero().get();
        !pids.contains(&own) && self.freeze_within(PATIENCE).is_ok()
    }

    /// Of all hierarchies: a process that is just joining may be in some and not yet in others.
    fn all_processes(&self) -> io::Result<BTreeSet<i32>> {
        let mut pids = BTreeSet::new();
        for directory in &self.directories {
            pids.extend(processes(&directory.path)?);
        }
        Ok(pids)
    }
}

fn signal_each(pids: &BTreeSet<i32>, signal: i32, signalled: &mut BTreeSet<i32>) -> io::Result<()> {
    for &pid in pids {
        match sys::kill(pid, signal) {
            Ok(()) | Err(Errno::SRCH) => signalled.insert(pid),
            Err(errno) => return Err(errno.into()),
        };
    }
    Ok(())
}
