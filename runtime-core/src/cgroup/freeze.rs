//! Freezing: the freezer of version 1, `cgroup.freeze` of version 2.

use std::io;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, pread};

use super::files::{open_directory, read_value, write_file};
use super::plan::{Directory, Version};
use super::{Cgroup, stuck};

/// How long a container may take to be frozen: a process in the kernel, on a slow disk say, is not frozen before it is out.
const PATIENCE: Duration = Duration::from_secs(10);

impl Cgroup {
    /// Stops all its processes, and waits until they are.
    ///
    /// # Errors
    ///
    /// When the host has no freezer, or a process does not stop in time: it is named, and all go on.
    pub fn freeze(&self) -> io::Result<()> {
        self.freeze_within(PATIENCE).map_err(|error| {
            let pids = self.pids().unwrap_or_default();
            let thawed = self.thaw();
            if error.kind() != io::ErrorKind::TimedOut {
                return error;
            }
            let mut problem = format!("{error}: {}", stuck::describe(&pids));
            if let Err(cause) = thawed {
                problem = format!("{problem}; and they cannot be thawed: {cause}");
            }
            io::Error::new(io::ErrorKind::TimedOut, problem)
        })
    }

    /// Whether it can be frozen.
    pub(crate) fn has_freezer(&self) -> bool {
        self.freezer().is_some()
    }

    /// Whether it would be frozen by version 1.
    pub(crate) fn has_v1_freezer(&self) -> bool {
        self.with_controller("freezer").is_some()
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    ///
    /// When the kernel refuses. A cgroup that is gone, or has no freezer, is not frozen.
    pub fn thaw(&self) -> io::Result<()> {
        let Some(directory) = self.freezer() else {
            return Ok(());
        };
        match set_frozen(directory, false) {
            Ok(()) | Err(Errno::NOENT | Errno::NODEV) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether [`Cgroup::freeze`] holds. What a parent's freezing does is not counted.
    ///
    /// # Errors
    ///
    /// When its state cannot be read.
    pub fn is_frozen(&self) -> io::Result<bool> {
        self.freezer().map_or(Ok(false), is_directory_frozen)
    }

    pub(super) fn freeze_within(&self, patience: Duration) -> io::Result<()> {
        let Some(directory) = self.freezer() else {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "this host has no freezer cgroup",
            ));
        };
        let deadline = Instant::now() + patience;
        match directory.version {
            Version::V1 => freeze_v1(directory, deadline),
            Version::V2 => freeze_v2(directory, deadline),
        }
    }

    fn freezer(&self) -> Option<&Directory> {
        self.with_controller("freezer").or(self.in_v2())
    }
}

/// Whether freezing of that directory itself was asked for.
pub(super) fn is_directory_frozen(directory: &Directory) -> io::Result<bool> {
    let file = match directory.version {
        Version::V1 => "freezer.self_freezing",
        Version::V2 => "cgroup.freeze",
    };
    match read_value(CWD, directory.path.join(file)) {
        Ok(state) => Ok(state.trim() == "1"),
        // Of another controller, or gone.
        Err(Errno::NOENT | Errno::NODEV) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

fn set_frozen(directory: &Directory, frozen: bool) -> rustix::io::Result<()> {
    let (file, value) = match (directory.version, frozen) {
        (Version::V1, true) => ("freezer.state", "FROZEN"),
        (Version::V1, false) => ("freezer.state", "THAWED"),
        (Version::V2, true) => ("cgroup.freeze", "1"),
        (Version::V2, false) => ("cgroup.freeze", "0"),
    };
    write_file(open_directory(&directory.path)?, file, value)
}

/// New processes that appear meanwhile are not seen to by the kernel before the state is written again; and now and then
/// letting all run for a moment helps those that wait for one another.
fn freeze_v1(directory: &Directory, deadline: Instant) -> io::Result<()> {
    let path = open_directory(&directory.path)?;
    for attempt in 1.. {
        set_frozen(directory, true)?;
        if read_value(&path, "freezer.state")?.trim() == "FROZEN" {
            return Ok(());
        }
        if Instant::now() > deadline {
            break;
        }
        if attempt % 50 == 0 {
            set_frozen(directory, false)?;
            sleep(Duration::from_millis(10));
        } else if attempt % 5 == 0 {
            // One that is slow now may be slow for long.
            sleep(Duration::from_micros(100 * attempt.min(100)));
        }
    }
    Err(timed_out())
}

fn freeze_v2(directory: &Directory, deadline: Instant) -> io::Result<()> {
    set_frozen(directory, true)?;
    let path = open_directory(&directory.path)?;
    let events = openat(
        path,
        "cgroup.events",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    loop {
        let mut buffer = [0; 256];
        let length = pread(&events, &mut buffer, 0)?;
        if buffer[..length].windows(8).any(|line| line == b"frozen 1") {
            return Ok(());
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(timed_out());
        }
        let timeout = Timespec {
            tv_sec: left.as_secs().min(60) as _,
            tv_nsec: left.subsec_nanos().into(),
        };
        match poll(&mut [PollFd::new(&events, PollFlags::PRI)], Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn timed_out() -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        "not all of the processes stop in time",
    )
}
