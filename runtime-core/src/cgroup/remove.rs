//! Removal of a container's cgroup.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, CWD, unlinkat};
use rustix::io::Errno;

use super::create::remove_empty;
use super::files::{own_processes, tree};
use super::path::POINTER;
use super::{Cgroup, CgroupError};

/// How long killed processes may take to be gone. The kernel frees a process's memory before it leaves the cgroup.
const PATIENCE: Duration = Duration::from_secs(2);

/// How many processes an error lists.
const MOST_NAMED: usize = 10;

const SHORTEST_WAIT: Duration = Duration::from_micros(100);
const LONGEST_WAIT: Duration = Duration::from_millis(50);

impl Cgroup {
    /// Removes it, and the cgroups below it. Parents stay, and so does what was there before the container; the cgroups that
    /// are in that go. What is gone already is no error.
    ///
    /// # Errors
    ///
    /// When processes are in it and do not end in time: they are named.
    pub fn remove(&self) -> Result<(), CgroupError> {
        // What systemd does not do, because it cannot be reached for one, is done here.
        if let Some(unit) = &self.unit
            && let Err(cause) = unit.stop()
        {
            tracing::warn!("{cause}");
        }
        let deadline = Instant::now() + PATIENCE;
        // All are tried, whatever becomes of one.
        let results: Vec<_> = self
            .directories
            .iter()
            .map(|directory| {
                let remove = match self.existed.contains(&directory.path) {
                    true => remove_descendants,
                    false => remove_with_descendants,
                };
                remove_in_time(&directory.path, deadline, remove)
            })
            .collect();
        results.into_iter().collect()
    }

    /// Removes what of it is empty and was made for the container, without a look at the rest. Whether nothing is left.
    pub(crate) fn remove_if_empty(&self) -> bool {
        let is_own = self.unit.is_none() && self.existed.is_empty();
        let mut directories = self.directories.iter();
        is_own && directories.all(|directory| remove_directory(&directory.path).is_ok())
    }

    /// Removes it as [`Cgroup::remove`] does, and the parents that were made for it: for a container that came to nothing.
    ///
    /// # Errors
    ///
    /// As [`Cgroup::remove`].
    pub fn discard(&self) -> Result<(), CgroupError> {
        self.remove()?;
        remove_empty(self.made_parents.iter().rev());
        Ok(())
    }
}

/// Tries again as long as the kernel says that somebody is there.
fn remove_in_time(
    path: &Path,
    deadline: Instant,
    remove: impl Fn(&Path) -> rustix::io::Result<()>,
) -> Result<(), CgroupError> {
    let mut wait = SHORTEST_WAIT;
    loop {
        let Err(errno) = remove(path) else {
            return Ok(());
        };
        if errno != Errno::BUSY || Instant::now() > deadline {
            return Err(cannot_remove(path, errno));
        }
        sleep(wait);
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Most have none below, and no look is taken for them.
fn remove_with_descendants(path: &Path) -> rustix::io::Result<()> {
    if let Err(errno) = remove_directory(path) {
        let below = remove_descendants(path);
        return remove_directory(path).map_err(|_| below.err().unwrap_or(errno));
    }
    Ok(())
}

fn remove_descendants(path: &Path) -> rustix::io::Result<()> {
    let mut all = tree(path)?;
    all.pop();
    all.iter()
        .try_for_each(|directory| remove_directory(directory))
}

fn remove_directory(path: &Path) -> rustix::io::Result<()> {
    match unlinkat(CWD, path, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        // A cgroup with children.
        Err(Errno::NOTEMPTY) => Err(Errno::BUSY),
        Err(errno) => Err(errno),
    }
}

fn cannot_remove(path: &Path, errno: Errno) -> CgroupError {
    let error = CgroupError::failed(
        POINTER,
        format_args!("remove the cgroup {}", path.display()),
        errno,
    );
    match holders(path) {
        Some(holders) => error.explained(&holders),
        None => error,
    }
}

/// Who is in a cgroup and those below it, and where.
fn holders(path: &Path) -> Option<String> {
    let mut holders = Vec::new();
    for directory in tree(path).ok()?.into_iter().rev() {
        let place = match directory == path {
            true => "it".to_owned(),
            false => directory.display().to_string(),
        };
        for pid in own_processes(&directory).unwrap_or_default() {
            holders.push(format!("process {} is in {place}", named(pid)));
        }
    }
    if holders.len() > MOST_NAMED {
        let more = holders.len() - MOST_NAMED;
        holders.truncate(MOST_NAMED);
        holders.push(format!("and {more} more"));
    }
    (!holders.is_empty()).then(|| holders.join(", "))
}

/// A process with its program's name: `17 (sleep)`.
fn named(pid: i32) -> String {
    let stat = procfs::process::Process::new(pid).and_then(|process| process.stat());
    match stat {
        Ok(stat) if stat.state == 'Z' => format!("{pid} ({}, a zombie)", stat.comm),
        Ok(stat) => format!("{pid} ({})", stat.comm),
        Err(_) => pid.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_is_named_with_its_program_and_a_zombie_is_called_one() {
        let own = std::process::id() as i32;
        assert!(named(own).starts_with(&format!("{own} (")));
        let mut child = Command::new("true").spawn().unwrap();
        let pid = child.id() as i32;
        let deadline = Instant::now() + Duration::from_secs(10);
        while named(pid) != format!("{pid} (true, a zombie)") {
            assert!(Instant::now() < deadline, "{}", named(pid));
            sleep(Duration::from_millis(1));
        }
        child.wait().unwrap();
    }
}
