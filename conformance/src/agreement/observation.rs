//! What a runtime makes of a configuration: a refusal, or the files of a cgroup and what its devices rules let happen.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::device_probe::{self, Verdicts};
use crate::process::{self, Finished, LIMIT};
use crate::runtime::Runtime;
use crate::{Config, cgroup, rootfs};

/// Files that processes, time or the kernel's bookkeeping change, those that do something when they are written, and one
/// that shows another's value.
const NOT_LIMITS: [&str; 26] = [
    "cgroup.clone_children",
    "cgroup.event_control",
    "cgroup.kill",
    "cgroup.pressure",
    "cgroup.procs",
    "cgroup.threads",
    "cpuacct.usage",
    "cpuset.memory_pressure",
    "io.pressure",
    "io.cost.model",
    "irq.pressure",
    "cpu.pressure",
    "cpu.weight.nice",
    "memory.pressure",
    "memory.failcnt",
    "memory.force_empty",
    "memory.kmem.failcnt",
    "memory.kmem.max_usage_in_bytes",
    "memory.kmem.tcp.failcnt",
    "memory.kmem.tcp.max_usage_in_bytes",
    "memory.max_usage_in_bytes",
    "memory.memsw.failcnt",
    "memory.memsw.max_usage_in_bytes",
    "memory.peak",
    "memory.swap.peak",
    "tasks",
];

/// What can be read and not written, and tells of the configuration all the same.
const TELLING: [&str; 3] = ["cgroup.controllers", "cgroup.type", "devices.list"];

/// What a runtime made of a configuration.
#[derive(Clone, Debug)]
pub enum Observation {
    /// It made a container.
    Created {
        /// The cgroup's files by hierarchy and name (`memory/memory.limit_in_bytes`, `unified/memory.max`), trimmed.
        files: BTreeMap<String, String>,
        /// What the container's processes may do with devices.
        devices: Verdicts,
    },
    /// It did not, and said this.
    Refused(String),
}

/// One of the two runtimes, with a bundle and a state directory of its own.
#[derive(Debug)]
pub struct Side {
    /// The program.
    pub runtime: Runtime,
    directory: TempDir,
    id: String,
    systemd: bool,
    probe: PathBuf,
}

impl Side {
    /// Makes the bundle.
    #[must_use]
    pub fn new(runtime: Runtime, name: &str, systemd: bool) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("agreement-")
            .tempdir()
            .unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        rootfs::fill(&directory.path().join("rootfs"));
        Self {
            id: format!("agreement-{}-{name}", std::process::id()),
            probe: directory.path().join("rootfs/probe"),
            runtime,
            directory,
            systemd,
        }
    }

    /// Whether systemd makes its cgroups.
    #[must_use]
    pub fn is_systemd(&self) -> bool {
        self.systemd
    }

    /// Creates a container of the configuration, looks, and deletes it.
    #[must_use]
    pub fn observe(&self, resources: &Value) -> Observation {
        self.write_config(resources);
        let pid_file = self.directory.path().join("pid");
        let mut create = self.command("create");
        create
            .arg("--bundle")
            .arg(self.directory.path())
            .arg("--pid-file")
            .arg(&pid_file);
        let created = process::run(create.arg(&self.id));
        if created.code() != 0 {
            let _ = process::run(self.command("delete").args(["--force", &self.id]));
            // What crun leaves would be the next case's.
            cgroup::remove(&format!("/{}", self.id));
            return Observation::Refused(refusal(&created));
        }
        let pid = fs::read_to_string(&pid_file).unwrap();
        let directories = directories(pid.trim());
        let observation = Observation::Created {
            files: directories
                .iter()
                .flat_map(|(name, path)| limits(name, path))
                .collect(),
            devices: self.devices(&directories),
        };
        self.delete(&directories);
        observation
    }

    fn devices(&self, directories: &[(String, PathBuf)]) -> Verdicts {
        let decides = |name: &str| directories.iter().find(|(hierarchy, _)| hierarchy == name);
        let Some((_, directory)) = decides("devices").or_else(|| decides("unified")) else {
            return Verdicts::new();
        };
        device_probe::ask(&self.probe, directory)
    }

    /// runc gives up after a second on a busy machine, and may return before systemd has removed a scope.
    fn delete(&self, directories: &[(String, PathBuf)]) {
        let is_there = |(_, path): &(String, PathBuf)| path.exists();
        let deadline = Instant::now() + LIMIT;
        loop {
            let deleted = process::run(self.command("delete").args(["--force", &self.id]));
            if deleted.code() == 0 && !directories.iter().any(is_there) {
                return;
            }
            if deleted.code() == 0 && !self.runtime.is_bareboat() {
                // Having given up once, it has forgotten the container and leaves its cgroup.
                cgroup::remove(&format!("/{}", self.id));
            }
            assert!(Instant::now() < deadline, "still there: {deleted:?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = Command::new(&self.runtime.path);
        command
            .arg("--root")
            .arg(self.directory.path().join("state"));
        if self.systemd {
            command.arg("--systemd-cgroup");
        }
        command.arg(subcommand).current_dir("/");
        command
    }

    fn write_config(&self, resources: &Value) {
        let path = if self.systemd {
            format!("system.slice:agreement:{}", self.id)
        } else {
            format!("/{}", self.id)
        };
        let mut config = Config::default();
        config
            .args(&["true"])
            .share("network")
            .set("/linux/cgroupsPath", json!(path))
            .set("/linux/resources", resources.clone());
        if self.runtime.specification >= [1, 2, 0] {
            config.version("1.2.0");
        }
        fs::write(
            self.directory.path().join("config.json"),
            config.0.to_string(),
        )
        .unwrap();
    }
}

/// The last line of error: before it there may be warnings.
fn refusal(finished: &Finished) -> String {
    let lines = finished
        .stderr
        .lines()
        .filter(|line| !line.contains("level=warning"));
    lines.fold("nothing said", |_, line| line).to_owned()
}

/// The directories of a process's cgroup, by the first controller of the hierarchy.
fn directories(pid: &str) -> Vec<(String, PathBuf)> {
    let hierarchies = cgroup::hierarchies();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let directory = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?);
        let controller = match controllers.split(',').next()? {
            "" => "unified",
            name => name,
        };
        let (_, mount) = hierarchies
            .iter()
            .find(|(names, _)| names.iter().any(|name| name == controller))?;
        Some((
            controller.to_owned(),
            mount.join(path.trim_start_matches('/')),
        ))
    };
    cgroups.lines().filter_map(directory).collect()
}

fn limits<'a>(
    hierarchy: &'a str,
    directory: &'a Path,
) -> impl Iterator<Item = (String, String)> + 'a {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(move |entry| {
        let name = entry.file_name().into_string().ok()?;
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let is_limit =
            metadata.permissions().mode() & 0o600 == 0o600 && !NOT_LIMITS.contains(&name.as_str());
        if !is_limit && !TELLING.contains(&name.as_str()) {
            return None;
        }
        let text = fs::read_to_string(entry.path()).ok()?;
        let mut lines: Vec<&str> = text
            .lines()
            .filter(|line| !tells_of_processes(line))
            .collect();
        if name == "devices.list" {
            // A set: in which order the rules came does not change what they do.
            lines.sort_unstable();
        }
        Some((
            format!("{hierarchy}/{name}"),
            lines.join("\n").trim().to_owned(),
        ))
    })
}

/// memory.oom_control shows counters beside what was set.
fn tells_of_processes(line: &str) -> bool {
    ["under_oom ", "oom_kill "]
        .iter()
        .any(|counter| line.starts_with(counter))
}
