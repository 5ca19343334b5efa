//! Watches a cgroup for want of memory and for its end.
//!
//! Version 2 wakes whoever polls `memory.events` and `cgroup.events` when they change. Version 1 writes to an eventfd that
//! was registered at `cgroup.event_control`, at each shortage and when the cgroup is removed; that it has no processes any
//! more is known from the version 2 hierarchy where the host has one beside, and otherwise not before the removal.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fs::{Mode, OFlags, accessat, openat};
use rustix::io::{Errno, pread, read};

use super::Cgroup;
use super::files::{open_directory, write_file};
use super::plan::{Directory, Version};

/// The kernel does not wake a poller of a file that goes away, and it may drop the last change before a removal: so this is
/// the longest time without a look of one's own.
const LOOK: Duration = Duration::from_secs(2);

/// What a watch saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noticed {
    Oom { kills: u64 },
    Ended,
    Nothing,
}

/// A cgroup that is watched.
#[derive(Debug)]
pub(crate) struct Watch {
    memory: Memory,
    /// `cgroup.events` of version 2.
    population: Option<OwnedFd>,
    cgroup: Cgroup,
    kills: u64,
}

#[derive(Debug)]
enum Memory {
    /// The eventfd, and the directory whose removal signals it as well.
    V1 { event: OwnedFd, path: PathBuf },
    /// `memory.events`.
    V2(OwnedFd),
}

impl Cgroup {
    /// Watches it from now on. Nothing when no memory controller does.
    ///
    /// # Errors
    ///
    /// When the kernel does not let it be watched.
    pub(crate) fn watch_memory(&self) -> io::Result<Option<Watch>> {
        let Some(directory) = self.place_of("memory") else {
            return Ok(None);
        };
        let memory = match directory.version {
            Version::V1 => watch_v1(directory),
            Version::V2 => open_file(directory, "memory.events").map(Memory::V2),
        };
        let memory = match memory {
            Err(Errno::NOENT) => return Ok(None),
            memory => memory?,
        };
        let population = self
            .in_v2()
            .map(|directory| open_file(directory, "cgroup.events"));
        let population = match population.transpose() {
            Err(Errno::NOENT) => None,
            population => population?,
        };
        Ok(Some(Watch {
            memory,
            population,
            kills: self.oom_kills()?.unwrap_or_default(),
            cgroup: self.clone(),
        }))
    }
}

impl Watch {
    /// Waits for something to happen, but not longer than `patience`.
    pub(crate) fn wait(&mut self, patience: Duration) -> io::Result<Noticed> {
        let deadline = Instant::now().checked_add(patience);
        loop {
            // Looking first means that nothing is missed: a file that changes after it was read wakes its poller at once.
            match self.look()? {
                Noticed::Nothing => {}
                noticed => return Ok(noticed),
            }
            let left = deadline.map_or(LOOK, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                return Ok(Noticed::Nothing);
            }
            self.sleep(left.min(LOOK))?;
        }
    }

    fn look(&mut self) -> io::Result<Noticed> {
        if let Some(kills) = self.shortage()? {
            self.kills = kills;
            return Ok(Noticed::Oom { kills });
        }
        match self.has_ended()? {
            true => Ok(Noticed::Ended),
            false => Ok(Noticed::Nothing),
        }
    }

    /// Whether there was one since the last look; how many processes were killed by now.
    fn shortage(&self) -> io::Result<Option<u64>> {
        match &self.memory {
            Memory::V1 { event, .. } => match read(event, &mut [0; 8]) {
                Ok(_) => {
                    let kills = self.cgroup.oom_kills()?;
                    // A removal signals it too, and nobody counts after that.
                    Ok(kills.or_else(|| (!self.is_removed()).then_some(self.kills)))
                }
                Err(Errno::AGAIN | Errno::INTR) => Ok(None),
                Err(errno) => Err(errno.into()),
            },
            Memory::V2(events) => {
                let kills = read_again(events)?
                    .and_then(|text| value(&text, "oom_kill"))
                    .unwrap_or(self.kills);
                Ok((kills > self.kills).then_some(kills))
            }
        }
    }

    fn has_ended(&self) -> io::Result<bool> {
        let populated = match &self.population {
            Some(events) => read_again(events)?.and_then(|text| value(&text, "populated")),
            None => Some(1),
        };
        Ok(populated != Some(1) || self.is_removed())
    }

    fn is_removed(&self) -> bool {
        match &self.memory {
            Memory::V1 { path, .. } => {
                let flags = rustix::fs::AtFlags::empty();
                accessat(rustix::fs::CWD, path, rustix::fs::Access::EXISTS, flags).is_err()
            }
            // Its population is gone with it.
            Memory::V2(_) => false,
        }
    }

    fn sleep(&self, time: Duration) -> io::Result<()> {
        let memory = match &self.memory {
            Memory::V1 { event, .. } => PollFd::new(event, PollFlags::IN),
            Memory::V2(events) => PollFd::new(events, PollFlags::PRI),
        };
        let mut all = vec![memory];
        if let Some(events) = &self.population {
            all.push(PollFd::new(events, PollFlags::PRI));
        }
        let timeout = Timespec {
            tv_sec: time.as_secs() as _,
            tv_nsec: time.subsec_nanos().into(),
        };
        match poll(&mut all, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }
}

fn watch_v1(directory: &Directory) -> rustix::io::Result<Memory> {
    let path = open_directory(&directory.path)?;
    let control = open_file(directory, "memory.oom_control")?;
    let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let registration = format!("{} {}", event.as_raw_fd(), control.as_raw_fd());
    write_file(path, "cgroup.event_control", &registration)?;
    Ok(Memory::V1 {
        event,
        path: directory.path.clone(),
    })
}

fn open_file(directory: &Directory, file: &str) -> rustix::io::Result<OwnedFd> {
    openat(
        open_directory(&directory.path)?,
        file,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )
}

/// The content of an open file from its beginning; nothing when its cgroup is gone.
fn read_again(file: impl AsFd) -> io::Result<Option<String>> {
    let mut buffer = [0; 4096];
    match pread(&file, &mut buffer, 0) {
        Ok(length) => Ok(buffer
            .get(..length)
            .map(|text| String::from_utf8_lossy(text).into_owned())),
        Err(Errno::NODEV) => Ok(None),
        Err(Errno::INTR) => read_again(file),
        Err(errno) => Err(errno.into()),
    }
}

/// The number after a name.
fn value(text: &str, name: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const AT_ONCE: Duration = Duration::ZERO;

    /// A cgroup of version 2 whose files are ordinary ones: nothing wakes who polls them, but each wait looks first.
    #[test]
    fn of_version_2_each_rise_of_the_count_is_noticed_once_and_then_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let write = |file: &str, text: &str| fs::write(directory.path().join(file), text).unwrap();
        write("memory.events", "oom 1\noom_kill 1\n");
        write("cgroup.events", "populated 1\nfrozen 0\n");
        let cgroup = Cgroup {
            directories: vec![Directory {
                version: Version::V2,
                controllers: vec!["memory".to_owned()],
                mount_point: "/sys/fs/cgroup".into(),
                path: directory.path().to_owned(),
            }],
            existed: Vec::new(),
            made_parents: Vec::new(),
            unit: None,
        };
        let mut watch = cgroup.watch_memory().unwrap().unwrap();
        assert_eq!(watch.wait(AT_ONCE).unwrap(), Noticed::Nothing);
        write("memory.events", "oom 1\noom_kill 3\n");
        assert_eq!(watch.wait(AT_ONCE).unwrap(), Noticed::Oom { kills: 3 });
        assert_eq!(watch.wait(AT_ONCE).unwrap(), Noticed::Nothing);
        write("cgroup.events", "populated 0\nfrozen 0\n");
        assert_eq!(watch.wait(AT_ONCE).unwrap(), Noticed::Ended);
    }

    #[test]
    fn without_a_memory_controller_there_is_nothing_to_watch() {
        let directory = tempfile::tempdir().unwrap();
        let cgroup = Cgroup {
            directories: vec![Directory {
                version: Version::V2,
                controllers: Vec::new(),
                mount_point: "/sys/fs/cgroup".into(),
                path: directory.path().to_owned(),
            }],
            existed: Vec::new(),
            made_parents: Vec::new(),
            unit: None,
        };
        assert!(cgroup.watch_memory().unwrap().is_none());
    }

    #[test]
    fn a_number_is_found_by_its_whole_name() {
        let events = "low 0\noom 5\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(value(events, "oom_kill"), Some(2));
        assert_eq!(value(events, "oom"), Some(5));
        assert_eq!(value(events, "kill"), None);
        assert_eq!(value("populated x", "populated"), None);
    }
}
