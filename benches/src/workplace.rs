//! What the bench makes on the machine, all of it removed in the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::bundle::{self, Container, Request};
use crate::cgroups::{Corner, Layout};
use crate::error::{Context, Result};
use crate::runtime::{Runtime, Subject, timed};
use crate::sys::harness;

/// Directories and cgroups of one run of the bench.
#[derive(Debug)]
pub(crate) struct Workplace {
    corner: Corner,
    files: TempDir,
    /// Runtimes keep their state under /run, which is a tmpfs nearly everywhere: so do they here.
    state: TempDir,
}

impl Workplace {
    pub(crate) fn make() -> Result<Self> {
        let corner = Corner::make(Layout::prepare()?)?;
        let files = tempfile::tempdir().context("temporary directory")?;
        let run = Path::new("/run");
        let state = if run.is_dir() {
            tempfile::tempdir_in(run)
        } else {
            tempfile::tempdir()
        };
        let state = state.context("state directory")?;
        bundle::make_rootfs(&files.path().join("rootfs"))?;
        Ok(Self {
            corner,
            files,
            state,
        })
    }

    fn rootfs(&self) -> PathBuf {
        self.files.path().join("rootfs")
    }

    /// What the runtimes see of cgroups, in a word.
    pub(crate) fn cgroup_version(&self) -> &'static str {
        if self.corner.layout.is_v2() {
            "v2"
        } else {
            "v1"
        }
    }

    pub(crate) fn runtime<'a>(&self, subject: &'a Subject) -> Runtime<'a> {
        Runtime {
            path: &subject.path,
            state: self.state.path().join(&subject.name),
            log: self.files.path().join(format!("{}.log", subject.name)),
        }
    }

    /// A container of its own for a subject and a purpose.
    pub(crate) fn container(
        &self,
        subject: &Subject,
        purpose: &str,
        arguments: &[&str],
    ) -> Result<Container> {
        let name = format!("{}-{purpose}", subject.name);
        let request = Request {
            id: &format!("{}-{name}", self.corner.name),
            rootfs: &self.rootfs(),
            cgroup: &format!("/{}/{name}", self.corner.name),
            cgroup_namespace: self.corner.layout.is_v2(),
            arguments,
        };
        bundle::make(self.files.path().join(&name), &request)
    }

    /// Runs the floor once.
    pub(crate) fn run_floor(&self, subject: &Subject) -> Result<Duration> {
        let name = format!("{}/floor", self.corner.name);
        let mut command = Command::new(&subject.path);
        command.args(["floor", self.cgroup_version()]);
        command.arg(self.rootfs()).arg(name);
        if !self.corner.layout.is_v2() {
            let (cpus, mems) = match &self.corner.cpuset {
                Some((cpus, mems)) => (cpus.as_str(), mems.as_str()),
                None => ("", ""),
            };
            command.args([cpus, mems]);
        }
        command.args(self.corner.layout.hierarchies());
        timed(&mut command, &self.files.path().join("floor.log"))
    }
}

/// A container that is deleted at the latest when this goes out of scope.
#[derive(Debug)]
pub(crate) struct Guarded<'a> {
    pub(crate) runtime: Runtime<'a>,
    pub(crate) container: Container,
}

impl Guarded<'_> {
    /// Waits for the end of the first process, which is our child once `create` is gone.
    pub(crate) fn reap(&self) {
        if let Some(pid) = self.take_pid() {
            harness::reap(pid);
        }
    }

    /// The pid, once: a reaped process's number may soon be another's.
    fn take_pid(&self) -> Option<libc::pid_t> {
        let text = fs::read_to_string(&self.container.pid_file).ok()?;
        fs::remove_file(&self.container.pid_file).ok()?;
        text.trim().parse().ok()
    }
}

impl Drop for Guarded<'_> {
    fn drop(&mut self) {
        if let Some(pid) = self.take_pid().filter(|&pid| harness::is_child(pid)) {
            // That it has ended already is no error.
            let _ = harness::kill(pid);
            harness::reap(pid);
        }
        if let Err(error) = self.runtime.delete_leftover(&self.container) {
            eprintln!("benches: {error}");
        }
        harness::reap_ended();
    }
}
