//! What the bench makes on the machine, all of it removed in the end.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::bundle::{self, Container, Origin, Request};
use crate::cgroups::{Corner, Layout};
use crate::error::{Context, Result};
use crate::runtime::{Runtime, Subject, timed};
use crate::scenario::Scenario;
use crate::seccomp;
use crate::sys::harness;

/// Directories and cgroups of one run of the bench.
#[derive(Debug)]
pub(crate) struct Workplace {
    corner: Corner,
    files: TempDir,
    /// Where the runtimes keep their state.
    state: TempDir,
    /// Docker's filter, for the floor.
    filter: String,
}

/// Runtimes keep their state under /run, which is a tmpfs nearly everywhere. On a disk they would be measured with what it
/// takes to free a block of it, which each directory has that is removed.
fn place_of_state() -> PathBuf {
    let is_tmpfs =
        |path: &&str| rustix::fs::statfs(*path).is_ok_and(|found| found.f_type == TMPFS_MAGIC);
    let found = ["/run", "/dev/shm"].into_iter().find(is_tmpfs);
    found.map_or_else(std::env::temp_dir, PathBuf::from)
}

/// statfs(2).
const TMPFS_MAGIC: rustix::fs::FsWord = 0x0102_1994;

impl Workplace {
    pub(crate) fn make() -> Result<Self> {
        let corner = Corner::make(Layout::prepare()?)?;
        let files = tempfile::tempdir().context("temporary directory")?;
        let state = tempfile::tempdir_in(place_of_state()).context("state directory")?;
        bundle::make_rootfs(&files.path().join("rootfs"))?;
        bundle::make_docker_files(&files.path().join("docker-files"))?;
        Ok(Self {
            corner,
            files,
            state,
            filter: seccomp::in_hexadecimal()?,
        })
    }

    /// Copies what was built here, as an installation does. A linker writes a file in pieces, which lie singly in the page cache,
    /// and each start takes the longer for it; other runtimes were installed.
    pub(crate) fn install(&self, subjects: &mut [Subject]) -> Result<()> {
        let built = ["floor", "bareboat"];
        for subject in subjects {
            if built.contains(&subject.name.as_str()) {
                let copy = self.files.path().join(&subject.name);
                let program = fs::read(&subject.path).context(subject.path.display())?;
                fs::write(&copy, program).context(copy.display())?;
                fs::set_permissions(&copy, Permissions::from_mode(0o755))
                    .context(copy.display())?;
                subject.path = copy;
            }
        }
        Ok(())
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.files.path().join("rootfs")
    }

    /// What the containers run.
    pub(crate) fn program(&self) -> PathBuf {
        self.rootfs().join("bin/busybox")
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
            state: self.state_of(&subject.name),
            log: self.log(&subject.name),
        }
    }

    /// Where a runtime keeps its state.
    pub(crate) fn state_of(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// Where a command's standard error goes.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.files.path().join(format!("{name}.log"))
    }

    /// A container of its own for a subject and a purpose.
    pub(crate) fn container(
        &self,
        subject: &str,
        purpose: &str,
        scenario: Scenario,
    ) -> Result<Container> {
        let name = format!("{subject}-{purpose}");
        let id = format!("{}-{name}", self.corner.name);
        self.request(&name, &id, scenario, None, |request| {
            bundle::make(self.files.path().join(&name), request)
        })
    }

    /// Gives a container another memory limit.
    pub(crate) fn limit_memory(&self, container: &Container, bytes: u64) -> Result<()> {
        let name = container.bundle.file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let (scenario, limit) = (Scenario::Limit, Some(bytes));
        self.request(&name, &container.id, scenario, limit, |request| {
            bundle::configure(container, request)
        })
    }

    fn request<T>(
        &self,
        name: &str,
        id: &str,
        scenario: Scenario,
        memory_limit: Option<u64>,
        then: impl FnOnce(&Request<'_>) -> T,
    ) -> T {
        then(&Request {
            id,
            origin: scenario.origin(),
            rootfs: &self.rootfs(),
            files: &self.files.path().join("docker-files"),
            cgroup: &format!("/{}/{name}", self.corner.name),
            cgroup_namespace: self.corner.layout.is_v2(),
            arguments: scenario.arguments(),
            memory_limit,
        })
    }

    pub(crate) fn guarded<'a>(
        &self,
        subject: &'a Subject,
        purpose: &str,
        scenario: Scenario,
    ) -> Result<Guarded<'a>> {
        Ok(Guarded {
            runtime: self.runtime(subject),
            container: self.container(&subject.name, purpose, scenario)?,
        })
    }

    pub(crate) fn floor_command(&self, subject: &Subject, origin: Origin) -> Command {
        let mut command = Command::new(&subject.path);
        match origin {
            Origin::RuncSpec => command.arg("default"),
            Origin::Docker => {
                let files = self.files.path().join("docker-files");
                command.arg("docker").arg(files).arg(&self.filter)
            }
        };
        command.arg(self.cgroup_version());
        command.arg(format!("{}/floor", self.corner.name));
        if !self.corner.layout.is_v2() {
            let (cpus, mems) = match &self.corner.cpuset {
                Some((cpus, mems)) => (cpus.as_str(), mems.as_str()),
                None => ("", ""),
            };
            command.args([cpus, mems]);
        }
        command.args(self.corner.layout.hierarchies());
        command.arg("--").arg(self.rootfs());
        command
    }

    /// Runs the floor once.
    pub(crate) fn run_floor(&self, subject: &Subject, origin: Origin) -> Result<Duration> {
        let mut command = self.floor_command(subject, origin);
        timed(&mut command, &self.log("floor"))
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

    /// The pid of the first process.
    pub(crate) fn pid(&self) -> Option<libc::pid_t> {
        let text = fs::read_to_string(&self.container.pid_file).ok()?;
        text.trim().parse().ok()
    }

    /// The pid, once: a reaped process's number may soon be another's.
    fn take_pid(&self) -> Option<libc::pid_t> {
        let pid = self.pid()?;
        fs::remove_file(&self.container.pid_file).ok()?;
        Some(pid)
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
