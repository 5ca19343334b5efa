//! The measured: runtimes with runc's command line, and the floor.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::bundle::Container;
use crate::error::{Context, Error, Result};
use crate::options::Options;

/// Looked up on PATH.
const KNOWN: [&str; 3] = ["crun", "runc", "youki"];

/// A program that is measured.
#[derive(Debug)]
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) version: String,
    pub(crate) is_floor: bool,
}

impl Subject {
    /// The floor first, then bareboat, then its peers; what is missing is named on standard error.
    pub(crate) fn find(options: &Options) -> Result<Vec<Self>> {
        let own = env::current_exe().context("the bench's own path")?;
        let mut found = Vec::new();
        let floor = own.with_file_name("bench-floor");
        match floor.exists() {
            true => found.push(Self {
                name: "floor".to_owned(),
                path: floor,
                version: env!("CARGO_PKG_VERSION").to_owned(),
                is_floor: true,
            }),
            false => eprintln!("floor: skipped: there is no {}", floor.display()),
        }
        let bareboat = options.bareboat.clone();
        let beside = || own.with_file_name("bareboat");
        found.extend(Self::at("bareboat", &bareboat.unwrap_or_else(beside)));
        for name in KNOWN {
            let is_given = options.peers.iter().any(|(given, _)| given == name);
            if is_given || options.without.iter().any(|without| without == name) {
                continue;
            }
            match on_path(name) {
                Some(path) => found.extend(Self::at(name, &path)),
                None => eprintln!("{name}: skipped: not on PATH"),
            }
        }
        for (name, path) in &options.peers {
            if found.iter().any(|subject| subject.name == *name) {
                return Err(Error::new(format!(
                    "--peer {name}: there is one of that name already"
                )));
            }
            found.extend(Self::at(name, path));
        }
        Ok(found)
    }

    fn at(name: &str, path: &Path) -> Option<Self> {
        match Command::new(path).arg("--version").output() {
            Ok(output) => Some(Self {
                name: name.to_owned(),
                path: path.to_owned(),
                version: first_line(&output.stdout),
                is_floor: false,
            }),
            Err(error) => {
                eprintln!("{name}: skipped: {}: {error}", path.display());
                None
            }
        }
    }
}

fn first_line(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    text.lines().next().unwrap_or_default().to_owned()
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let is_program = |file: &PathBuf| {
        fs::metadata(file)
            .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(is_program)
}

/// One runtime with a state directory of its own.
#[derive(Debug)]
pub(crate) struct Runtime<'a> {
    pub(crate) path: &'a Path,
    pub(crate) state: PathBuf,
    /// Receives standard error of each command in turn.
    pub(crate) log: PathBuf,
}

impl Runtime<'_> {
    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = Command::new(self.path);
        command.arg("--root").arg(&self.state).arg(name);
        command
    }

    pub(crate) fn run_command(&self, container: &Container) -> Command {
        let mut command = self.command("run");
        command.arg("--bundle").arg(&container.bundle);
        command.arg(&container.id);
        command
    }

    pub(crate) fn create_command(&self, container: &Container) -> Command {
        let mut command = self.command("create");
        command.arg("--bundle").arg(&container.bundle);
        command.arg("--pid-file").arg(&container.pid_file);
        command.arg(&container.id);
        command
    }

    /// `run`: from the command's start to its end, the container's whole life included.
    pub(crate) fn run(&self, container: &Container) -> Result<Duration> {
        timed(&mut self.run_command(container), &self.log)
    }

    pub(crate) fn create(&self, container: &Container) -> Result<Duration> {
        timed(&mut self.create_command(container), &self.log)
    }

    pub(crate) fn start(&self, container: &Container) -> Result<Duration> {
        timed(self.command("start").arg(&container.id), &self.log)
    }

    pub(crate) fn state(&self, container: &Container) -> Result<Duration> {
        timed(self.command("state").arg(&container.id), &self.log)
    }

    pub(crate) fn kill(&self, container: &Container) -> Result<Duration> {
        let mut command = self.command("kill");
        timed(command.arg(&container.id).arg("KILL"), &self.log)
    }

    pub(crate) fn list(&self) -> Result<Duration> {
        timed(&mut self.command("list"), &self.log)
    }

    /// Whatever is left of the container: also of one that runs.
    pub(crate) fn delete_forced(&self, container: &Container) -> Result<Duration> {
        let mut command = self.command("delete");
        timed(command.arg("--force").arg(&container.id), &self.log)
    }

    pub(crate) fn exec_true(&self, container: &Container) -> Result<Duration> {
        let mut command = self.command("exec");
        timed(command.arg(&container.id).arg("/bin/true"), &self.log)
    }

    pub(crate) fn delete(&self, container: &Container) -> Result<Duration> {
        timed(self.command("delete").arg(&container.id), &self.log)
    }

    /// Deletes whatever is left of a container, if anything is.
    pub(crate) fn delete_leftover(&self, container: &Container) -> Result<()> {
        if !self.state.join(&container.id).exists() {
            return Ok(());
        }
        self.delete_forced(container).map(drop)
    }
}

/// Runs a command that must succeed and gives the time from its spawn to its end.
pub(crate) fn timed(command: &mut Command, log: &Path) -> Result<Duration> {
    let errors = File::create(log).context(log.display())?;
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(errors);
    let begin = Instant::now();
    let status = command.status();
    let duration = begin.elapsed();
    let status = status.context(command.get_program().display())?;
    match status.success() {
        true => Ok(duration),
        false => Err(failure(command, status, log)),
    }
}

/// What a command that failed has said.
pub(crate) fn failure(command: &Command, status: ExitStatus, log: &Path) -> Error {
    let said = fs::read_to_string(log).unwrap_or_default();
    let arguments: Vec<_> = command
        .get_args()
        .map(|word| word.to_string_lossy())
        .collect();
    let program = command.get_program().display();
    let arguments = arguments.join(" ");
    Error::new(format!("{program} {arguments}: {status}: {}", said.trim()))
}
