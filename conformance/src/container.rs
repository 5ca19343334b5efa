//! One container of one case: its bundle, its own state root, and the runtime's commands on it.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::config::Config;
use crate::driver::driver;
use crate::leftovers::{self, Places};
use crate::process::{self, Finished, Running};
use crate::report::Report;
use crate::rootfs;
use crate::runtime::runtime;

/// A bundle and the container that is made of it. When it goes out of scope the container is deleted by force, and the
/// case fails if anything is left of it.
#[derive(Debug)]
pub struct Container {
    directory: TempDir,
    /// The container's ID.
    pub id: String,
    /// The cgroup that its configuration asks for: like the ID, the case's own. A path below each hierarchy's root.
    pub cgroup: String,
    /// The `cgroupsPath` that asks for it.
    pub cgroups_path: String,
}

impl Container {
    /// A bundle with the default configuration, changed by the case.
    #[must_use]
    pub fn new(change: impl FnOnce(&mut Config)) -> Self {
        let container = Self::empty();
        let mut config = Config::default();
        config.set("/linux/cgroupsPath", json!(container.cgroups_path));
        config.env(&format!("{}={}", leftovers::MARK, container.id));
        change(&mut config);
        container.write_config(&config);
        container
    }

    /// A bundle whose configuration needs to know where the case's own [directory](Self::path) is.
    #[must_use]
    pub fn with_path(change: impl FnOnce(&mut Config, &Path)) -> Self {
        let container = Self::new(|_| {});
        let mut config = container.config();
        change(&mut config, container.path());
        container.write_config(&config);
        container
    }

    /// A bundle that has a root file system and no config.json.
    #[must_use]
    pub fn empty() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let id = format!("conformance-{}-{number}", std::process::id());
        let directory = tempfile::Builder::new()
            .prefix("conformance-")
            .tempdir()
            .unwrap();
        // A container with a user namespace has to reach its root file system.
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let container = Self {
            cgroup: driver().cgroup(&id),
            cgroups_path: driver().cgroups_path(&id),
            id,
            directory,
        };
        fs::create_dir(container.bundle()).unwrap();
        rootfs::fill(&container.rootfs());
        container
    }

    /// The case's temporary directory: absolute, without symbolic links.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> PathBuf {
        self.path().join("bundle")
    }

    /// The bundle's root file system.
    #[must_use]
    pub fn rootfs(&self) -> PathBuf {
        self.bundle().join("rootfs")
    }

    /// The directory that the runtime is given as `--root`.
    #[must_use]
    pub fn state_root(&self) -> PathBuf {
        self.path().join("state")
    }

    /// Makes a file in the case's directory.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Reads a file of the case's directory.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The configuration as it is on disk.
    #[must_use]
    pub fn config(&self) -> Config {
        let text = fs::read(self.bundle().join("config.json")).unwrap();
        Config(serde_json::from_slice(&text).unwrap())
    }

    /// Writes the configuration.
    pub fn write_config(&self, config: &Config) {
        fs::write(self.bundle().join("config.json"), config.0.to_string()).unwrap();
    }

    /// The runtime with this container's state root and the cgroup driver, and nothing else; the working directory is `/`.
    #[must_use]
    pub fn runtime(&self) -> Command {
        let mut command = Command::new(&runtime().path);
        command
            .arg("--root")
            .arg(self.state_root())
            .args(driver().options())
            .current_dir("/")
            .env(leftovers::MARK, &self.id);
        command
    }

    /// The runtime with this subcommand.
    #[must_use]
    pub fn subcommand<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.runtime();
        command.args(arguments);
        command
    }

    /// Runs `SUBCOMMAND [OPTIONS…] ID`.
    pub fn call(&self, subcommand: &[&str]) -> Finished {
        process::run(self.subcommand(subcommand).arg(&self.id))
    }

    /// `create --bundle BUNDLE ID`.
    pub fn create(&self) -> Finished {
        process::run(&mut self.create_command(&[]))
    }

    /// The command of [`create`](Self::create), with options.
    #[must_use]
    pub fn create_command(&self, options: &[&str]) -> Command {
        self.bundle_command("create", options)
    }

    /// The command of [`run`](Self::run), with options.
    #[must_use]
    pub fn run_command(&self, options: &[&str]) -> Command {
        self.bundle_command("run", options)
    }

    fn bundle_command(&self, subcommand: &str, options: &[&str]) -> Command {
        let mut command = self.subcommand([subcommand, "--bundle"]);
        command.arg(self.bundle()).args(options).arg(&self.id);
        command
    }

    /// `run --bundle BUNDLE ID`, to the end of the container.
    pub fn run(&self) -> Finished {
        process::run(&mut self.run_command(&[]))
    }

    /// `run` in the foreground, while the case goes on.
    pub fn run_in_foreground(&self) -> Running {
        process::spawn(self.run_command(&[]).stdin(std::process::Stdio::null()))
    }

    /// `run --detach`, and asserts that it worked.
    pub fn run_detached(&self) -> Finished {
        process::run(&mut self.run_command(&["--detach"])).ok()
    }

    /// `start ID`.
    pub fn start(&self) -> Finished {
        self.call(&["start"])
    }

    /// `kill ID SIGNAL`.
    pub fn kill(&self, signal: &str) -> Finished {
        process::run(
            self.subcommand(["kill", &self.id, signal])
                .stdin(std::process::Stdio::null()),
        )
    }

    /// Asserts that `create` refuses the configuration, bareboat by this JSON pointer, and leaves nothing.
    pub fn assert_refused_at(&self, pointer: &str) {
        let phrases: &[&str] = if runtime().is_bareboat() {
            &[pointer]
        } else {
            &[]
        };
        let _ = self.create().refused(phrases);
        self.assert_nothing_left();
    }

    /// `delete ID`.
    pub fn delete(&self) -> Finished {
        self.call(&["delete"])
    }

    /// `delete --force ID`.
    pub fn delete_force(&self) -> Finished {
        self.call(&["delete", "--force"])
    }

    /// `exec OPTIONS… ID PROGRAM…`.
    pub fn exec(&self, options: &[&str], program: &[&str]) -> Finished {
        process::run(&mut self.exec_command(options, program))
    }

    /// The command of [`exec`](Self::exec).
    #[must_use]
    pub fn exec_command(&self, options: &[&str], program: &[&str]) -> Command {
        let mut command = self.subcommand(["exec"]);
        command.args(options).arg(&self.id).args(program);
        command
    }

    /// What the probe reports when it is run by `exec` with these options.
    pub fn exec_probe(&self, options: &[&str]) -> Report {
        Report::parse(&self.exec(options, &["/probe"]).ok())
    }

    /// Runs the container to its end; its program is the probe.
    pub fn report(&self) -> Report {
        Report::parse(&self.run().ok())
    }

    /// `state ID`, parsed.
    pub fn state(&self) -> Value {
        serde_json::from_str(&self.call(&["state"]).ok().stdout).expect("state prints JSON")
    }

    /// The status that `state` prints.
    pub fn status(&self) -> String {
        self.state()["status"]
            .as_str()
            .expect("status is a string")
            .to_owned()
    }

    /// The container's PID on the host.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.state()["pid"].as_i64().expect("pid is a number")).unwrap()
    }

    /// Waits until the status is this.
    pub fn wait_for(&self, status: &str) {
        process::until(&format!("status {status}"), || {
            (self.status() == status).then_some(())
        });
    }

    /// All that is left of it on the host.
    #[must_use]
    pub fn leftovers(&self) -> Vec<String> {
        let state = self.state_root().join(&self.id);
        self.places(&state).leftovers()
    }

    /// Asserts that there is nothing left of it, before it was deleted by force.
    pub fn assert_nothing_left(&self) {
        let leftovers = self.leftovers();
        assert!(leftovers.is_empty(), "left behind: {leftovers:#?}");
    }

    /// Removes all that is left of it, without the runtime.
    pub fn clear(&self) {
        let state = self.state_root().join(&self.id);
        self.places(&state).clear();
        driver().forget(&self.id);
        drop(fs::remove_dir_all(state));
    }

    fn places<'a>(&'a self, state: &'a Path) -> Places<'a> {
        Places {
            directory: self.path(),
            state,
            cgroup: &self.cgroup,
            unit: driver().unit(&self.id),
            mark: &self.id,
        }
    }
}

/// What the probe sees in a container with this configuration.
#[must_use]
pub fn probe(change: impl FnOnce(&mut Config)) -> Report {
    Container::new(change).report()
}

/// What a shell script prints in a container with this configuration; it must exit with 0.
#[must_use]
pub fn output_of(script: &str, change: impl FnOnce(&mut Config)) -> String {
    let container = Container::new(|config| {
        config.shell(script);
        change(config);
    });
    container.run().ok().stdout
}

impl Drop for Container {
    fn drop(&mut self) {
        let deleted = process::run(self.subcommand(["delete", "--force"]).arg(&self.id));
        let leftovers = self.leftovers();
        self.clear();
        if !leftovers::tell(&leftovers) && !thread::panicking() {
            assert_eq!(
                deleted.code(),
                0,
                "delete --force of any container succeeds: {deleted:#?}"
            );
            assert!(
                leftovers.is_empty(),
                "left behind after delete --force: {leftovers:#?}"
            );
        }
    }
}
