//! Runs programs with a time limit, and reaps what they leave behind.
//!
//! `create` and `--detach` leave a process whose parent has gone. The test process is its subreaper, so that it does not
//! depend on when the machine's PID 1 reaps: a thread collects every zombie that is not one of the harness's own children.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{Read, Seek};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

use crate::sys;

/// What any single command may take; on a loaded machine of two cores a start takes well under a second.
pub const LIMIT: Duration = Duration::from_secs(30);

static OWN_CHILDREN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

/// A program that has ended, and what it printed.
#[derive(Debug)]
pub struct Finished {
    /// The command as it was given, for messages.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output, and that of all that inherited it, up to now.
    pub stdout: String,
    /// Its standard error, likewise.
    pub stderr: String,
}

impl Finished {
    /// The exit status; of a program that a signal killed, 128 and the signal, as a shell says it.
    #[must_use]
    pub fn code(&self) -> i32 {
        self.status
            .code()
            .unwrap_or_else(|| 128 + self.status.signal().unwrap_or(0))
    }

    /// Asserts that it exited with 0.
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code(), 0, "{self:#?}");
        self
    }

    /// Asserts that the runtime refused: exit status 1 or 255, and one line that says why, with all of the `phrases`.
    #[must_use]
    pub fn refused(self, phrases: &[&str]) -> Self {
        assert!(
            matches!(self.code(), 1 | 255),
            "expected a refusal: {self:#?}"
        );
        // runc's C half says its own about some.
        let is_error =
            |line: &&str| !line.contains("level=warning") && !line.contains("msg=\"nsexec");
        let errors: Vec<_> = self.stderr.lines().filter(is_error).collect();
        assert_eq!(errors.len(), 1, "expected one line of error: {self:#?}");
        let line = errors[0].replace('\\', "");
        for phrase in phrases {
            assert!(
                line.contains(phrase),
                "expected '{phrase}' in the error: {self:#?}"
            );
        }
        self
    }
}

/// A program that runs.
#[derive(Debug)]
pub struct Running {
    command: String,
    child: Child,
    stdout: File,
    stderr: File,
}

/// Starts the command with its output going to files: a pipe would stay open as long as the container has it.
pub fn spawn(command: &mut Command) -> Running {
    adopt_orphans();
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    command
        .stdout(stdout.try_clone().unwrap())
        .stderr(stderr.try_clone().unwrap());
    Running {
        command: format!("{command:?}"),
        child: register(command),
        stdout,
        stderr,
    }
}

/// Starts the command with the standard streams it was given.
pub fn spawn_with_own_streams(command: &mut Command) -> Running {
    adopt_orphans();
    let (stdout, stderr) = (tempfile::tempfile().unwrap(), tempfile::tempfile().unwrap());
    Running {
        command: format!("{command:?}"),
        child: register(command),
        stdout,
        stderr,
    }
}

/// Runs the command to its end, with nothing on its standard input.
pub fn run(command: &mut Command) -> Finished {
    spawn(command.stdin(Stdio::null())).wait()
}

impl Running {
    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The child's standard input, if it was piped.
    pub fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Sends the process a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(Pid::from_raw(self.child.id().cast_signed()), signal).unwrap();
    }

    /// What it printed until now.
    #[must_use]
    pub fn printed(&self) -> String {
        contents(&self.stdout)
    }

    /// Waits until it ends, at most for [`LIMIT`].
    #[must_use]
    pub fn wait(mut self) -> Finished {
        let deadline = Instant::now() + LIMIT;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                panic!(
                    "{} did not end in {LIMIT:?}: {}{}",
                    self.command,
                    contents(&self.stdout),
                    contents(&self.stderr)
                );
            }
            thread::sleep(Duration::from_millis(1));
        };
        Finished {
            command: self.command.clone(),
            status,
            stdout: contents(&self.stdout),
            stderr: contents(&self.stderr),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut children = own_children();
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
        children.remove(&self.child.id());
    }
}

/// Asks again and again until the answer is there, at most for [`LIMIT`].
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {LIMIT:?} for {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Text of a file that is shared with other processes: reopened, so that no offset of theirs is moved.
fn contents(file: &File) -> String {
    use std::os::fd::AsRawFd;
    let mut bytes = Vec::new();
    let mut reader = File::open(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap();
    reader.rewind().unwrap();
    reader.read_to_end(&mut bytes).unwrap();
    String::from_utf8_lossy(&bytes).into_owned()
}

fn own_children() -> MutexGuard<'static, BTreeSet<u32>> {
    OWN_CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn register(command: &mut Command) -> Child {
    let mut children = own_children();
    let child = command
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    children.insert(child.id());
    child
}

fn adopt_orphans() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        sys::become_child_subreaper().unwrap();
        thread::spawn(|| {
            loop {
                reap_orphans();
                thread::sleep(Duration::from_millis(10));
            }
        });
    });
}

fn reap_orphans() {
    let children = own_children();
    for task in fs::read_dir("/proc/self/task")
        .into_iter()
        .flatten()
        .flatten()
    {
        let pids = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for pid in pids
            .split_whitespace()
            .filter_map(|pid| pid.parse::<u32>().ok())
        {
            if !children.contains(&pid) {
                let _ = waitpid(Pid::from_raw(pid.cast_signed()), Some(WaitPidFlag::WNOHANG));
            }
        }
    }
}
