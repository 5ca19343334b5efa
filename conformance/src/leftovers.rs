//! What is left of a container on the host: there must be nothing once it was deleted or could not be made.

use std::cell::RefCell;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::mount::{MntFlags, umount2};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::{cgroup, mountinfo};

/// The environment variable by which the processes of a case are known.
pub const MARK: &str = "CONFORMANCE_CASE";

thread_local! {
    static COLLECTED: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// Runs a case whose left-overs are told and not asserted: what a foreign runtime leaves is not what the case is about.
pub fn collect<T>(case: impl FnOnce() -> T) -> (T, Vec<String>) {
    COLLECTED.set(Some(Vec::new()));
    let result = case();
    (result, COLLECTED.take().unwrap_or_default())
}

/// Adds to what is [collected](collect); false if nobody collects.
pub(crate) fn tell(found: &[String]) -> bool {
    COLLECTED.with_borrow_mut(|collected| {
        collected
            .as_mut()
            .map(|all| all.extend_from_slice(found))
            .is_some()
    })
}

/// Where a container may leave something.
#[derive(Debug)]
pub struct Places<'a> {
    /// Temporary directory of the case: mounts in it are the container's.
    pub directory: &'a Path,
    /// `--root`/ID.
    pub state: &'a Path,
    /// Its path below each hierarchy's root.
    pub cgroup: &'a str,
    /// Where systemd has its scope, if systemd is asked for one.
    pub unit: Option<PathBuf>,
    /// The value of [`MARK`] in its processes.
    pub mark: &'a str,
}

impl Places<'_> {
    /// All that is left, one line each. A process that was just killed gets a second to go.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            let found = self.look();
            if found.is_empty() || Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Removes it all, so that a case that failed does not disturb others.
    pub fn clear(&self) {
        for pid in self.processes() {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        for target in self.mounts().iter().rev() {
            let _ = umount2(target.as_str(), MntFlags::MNT_DETACH);
        }
        // Who was killed is gone a little later.
        let deadline = Instant::now() + Duration::from_secs(1);
        loop {
            cgroup::remove(self.cgroup);
            if cgroup::existing(self.cgroup).is_empty() || Instant::now() > deadline {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn look(&self) -> Vec<String> {
        let mut found: Vec<_> = self
            .mounts()
            .iter()
            .map(|target| format!("mount {target}"))
            .collect();
        found.extend(
            cgroup::existing(self.cgroup)
                .iter()
                .map(|path| format!("cgroup {}", path.display())),
        );
        found.extend(
            self.processes()
                .iter()
                .map(|pid| format!("process {pid}: {}", command_line(*pid))),
        );
        if self.state.exists() {
            found.push(format!("state directory {}", self.state.display()));
        }
        if let Some(unit) = self.unit.as_ref().filter(|unit| unit.exists()) {
            found.push(format!("unit {}", unit.display()));
        }
        found
    }

    fn mounts(&self) -> Vec<String> {
        let mounts = mountinfo::read("/proc/self/mountinfo")
            .into_iter()
            .map(|mount| mount.target);
        mounts
            .filter(|target| Path::new(target).starts_with(self.directory))
            .collect()
    }

    /// Processes that carry the mark or are in the cgroup, zombies excepted.
    fn processes(&self) -> Vec<i32> {
        let mark = format!("{MARK}={}", self.mark);
        let is_ours = |pid: &i32| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            let in_cgroup = cgroups.lines().any(|line| {
                line.splitn(3, ':')
                    .nth(2)
                    .is_some_and(|path| Path::new(path).starts_with(self.cgroup))
            });
            in_cgroup && !is_zombie(*pid)
                || environment
                    .split(|byte| *byte == 0)
                    .any(|word| word == mark.as_bytes())
        };
        pids().filter(is_ours).collect()
    }
}

/// Whether the process has ended and waits to be reaped. Of one whose first thread alone was killed others still run.
#[must_use]
pub fn is_zombie(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let threads = fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count);
    threads < 2
        && status
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('Z'))
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        std::str::from_utf8(entry.file_name().as_bytes())
            .ok()?
            .parse()
            .ok()
    })
}

fn command_line(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/cmdline"))
        .unwrap_or_default()
        .replace('\0', " ")
}
