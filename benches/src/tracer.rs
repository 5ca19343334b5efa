//! Follows a command and the processes that it makes from system call to system call: how many there are, and how much
//! memory each process had at most.
//!
//! A process of its own does that, so that whom it has traced goes on when it is done:
//!
//! ```text
//! benches trace OUT PID END PROGRAM ARGUMENT…
//!
//! PID is that of a process to be traced beside the command, or 0; END the container's own program, which is not traced
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::error::{Context, Error, Result};
use crate::runtime::failure;
use crate::sys::harness;
use crate::sys::trace::{self, Stop};

/// Who makes a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The program that was called, with all its threads.
    Runtime,
    /// A process that it made, until the container's program runs.
    Init,
}

/// What was seen of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trace {
    /// System calls of the program that was called.
    pub(crate) runtime: u64,
    /// System calls of the processes that it made, until the container's program runs.
    pub(crate) init: u64,
    /// The most memory that one of them had, in KiB.
    pub(crate) peak: u64,
}

/// Traces a command, which must succeed, and a process beside it.
pub(crate) fn follow(
    command: &Command,
    beside: Option<i32>,
    end: &Path,
    log: &Path,
) -> Result<Trace> {
    let out = log.with_extension("trace");
    let own = std::env::current_exe().context("the bench's own path")?;
    let mut tracer = Command::new(own);
    tracer.arg("trace").arg(&out);
    tracer.arg(beside.unwrap_or(0).to_string()).arg(end);
    tracer.arg(command.get_program()).args(command.get_args());
    let errors = fs::File::create(log).context(log.display())?;
    tracer.stdin(Stdio::null()).stdout(Stdio::null());
    let status = tracer.stderr(errors).status().context("the tracer")?;
    if !status.success() {
        return Err(failure(&tracer, status, log));
    }
    let text = fs::read_to_string(&out).context(out.display())?;
    let value: Value = serde_json::from_str(&text).context(out.display())?;
    let number = |name: &str| value[name].as_u64().unwrap_or_default();
    Ok(Trace {
        runtime: number("runtime"),
        init: number("init"),
        peak: number("peak"),
    })
}

/// `benches trace`.
pub(crate) fn main(out: &Path, arguments: &[&str]) -> Result<()> {
    let [beside, end, program, arguments @ ..] = arguments else {
        return Err(Error::new("trace: PID END PROGRAM ARGUMENT... expected"));
    };
    // The command may go on after an interrupt, and is to be waited for.
    harness::note_interrupts().context("signal handlers")?;
    let beside: i32 = beside.parse().context(beside)?;
    let mut command = Command::new(program);
    command.args(arguments);
    let root = trace::spawn(&mut command).context(program)?;
    trace::go_on(root, 0);
    let mut tracer = Tracer {
        root,
        end: identity(Path::new(end)).context(end)?,
        processes: BTreeMap::new(),
        trace: Trace::default(),
    };
    tracer.know(root);
    if beside != 0 {
        for thread in threads(beside) {
            trace::attach(thread).context(format!("attaching to {thread}"))?;
            tracer.know(thread);
        }
    }
    let status = tracer.run().context("ptrace")?;
    let Trace {
        runtime,
        init,
        peak,
    } = tracer.trace;
    let result = json!({"runtime": runtime, "init": init, "peak": peak});
    fs::write(out, result.to_string()).context(out.display())?;
    match status {
        0 => Ok(()),
        _ => Err(Error::new(format!("{program}: wait status {status:#x}"))),
    }
}

fn threads(pid: i32) -> Vec<i32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter();
    let names = entries.flatten().flatten().map(|entry| entry.file_name());
    names
        .filter_map(|name| name.to_str()?.parse().ok())
        .collect()
}

struct Tracer {
    root: i32,
    end: Identity,
    processes: BTreeMap<i32, Role>,
    trace: Trace,
}

impl Tracer {
    /// Goes on until the command has ended; gives its wait status.
    fn run(&mut self) -> std::io::Result<i32> {
        loop {
            let (pid, stop) = trace::wait()?;
            let signal = match stop {
                Stop::End(status) if pid == self.root => return Ok(status),
                Stop::End(_) => {
                    self.processes.remove(&pid);
                    continue;
                }
                Stop::Entry => {
                    self.count(pid);
                    0
                }
                Stop::Program if self.is_at_its_end(pid) => {
                    self.processes.remove(&pid);
                    trace::detach(pid);
                    continue;
                }
                Stop::Exit => {
                    let peak = peak(pid).unwrap_or_default();
                    self.trace.peak = self.trace.peak.max(peak);
                    0
                }
                Stop::Program | Stop::Other => 0,
                // A process that is traced from its beginning begins with a stop of the tracer's.
                Stop::Signal(libc::SIGSTOP) if !self.processes.contains_key(&pid) => 0,
                Stop::Signal(signal) => signal,
            };
            self.know(pid);
            trace::go_on(pid, signal);
        }
    }

    fn know(&mut self, pid: i32) {
        let root = self.root;
        self.processes
            .entry(pid)
            .or_insert_with(|| match thread_group(pid) == Some(root) {
                true => Role::Runtime,
                false => Role::Init,
            });
    }

    fn count(&mut self, pid: i32) {
        match self.processes.get(&pid) {
            Some(Role::Runtime) => self.trace.runtime += 1,
            Some(Role::Init) => self.trace.init += 1,
            None => {}
        }
    }

    /// Whether it has become the container's program. It may go by any path there.
    fn is_at_its_end(&self, pid: i32) -> bool {
        let program = identity(Path::new(&format!("/proc/{pid}/exe")));
        program.is_ok_and(|program| program == self.end)
    }
}

/// Device and inode.
type Identity = (u64, u64);

fn identity(file: &Path) -> std::io::Result<Identity> {
    let metadata = fs::metadata(file)?;
    Ok((metadata.dev(), metadata.ino()))
}

fn status_field(pid: i32, name: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next().map(str::to_owned)
}

fn thread_group(pid: i32) -> Option<i32> {
    status_field(pid, "Tgid:")?.parse().ok()
}

/// In KiB.
fn peak(pid: i32) -> Option<u64> {
    status_field(pid, "VmHWM:")?.parse().ok()
}
