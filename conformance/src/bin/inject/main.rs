//! Runs a command of a container runtime, and has one of its system calls fail, or kills it there: [`conformance::fault`].
//!
//! The command and the processes that it makes are traced, until they become another program: the container's own program
//! and hooks run as ever. Exits as the command does.

mod tracer;

use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;
use std::time::Duration;

use clap::Parser;
use conformance::fault::Fault;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;
use tracer::Tracer;

/// A command that was told of a failure and still waits after so long waits for ever.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Parser)]
struct Options {
    /// Where to write what was seen, as JSON.
    #[arg(long)]
    trace: PathBuf,
    /// A process to trace beside the command: the init of a created container.
    #[arg(long)]
    attach: Option<i32>,
    /// What to inject: ROLE:CALL:COUNT=ERRNO or ROLE:CALL:COUNT!ROLE.
    #[arg(long)]
    fault: Option<Fault>,
    /// The command.
    #[arg(last = true, required = true)]
    command: Vec<String>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let options = Options::parse();
    let (program, arguments) = options.command.split_first().ok_or("there is no command")?;
    let mut command = Command::new(program);
    conformance::sys::be_traced(command.args(arguments));
    let root = Pid::from_raw(command.spawn()?.id().cast_signed());
    thread::spawn(move || {
        thread::sleep(PATIENCE);
        kill(root, Signal::SIGKILL)
    });
    let begun = std::time::Instant::now();
    let mut tracer = Tracer::new(root, options.fault)?;
    if let Some(pid) = options.attach {
        tracer.attach(Pid::from_raw(pid))?;
    }
    let status = tracer.follow()?;
    let mut trace = tracer.trace;
    trace.hung = begun.elapsed() >= PATIENCE;
    fs::write(options.trace, serde_json::to_vec(&trace)?)?;
    Ok(match status {
        WaitStatus::Exited(_, code) => ExitCode::from(u8::try_from(code)?),
        WaitStatus::Signaled(_, signal, _) => ExitCode::from(128 + u8::try_from(signal as i32)?),
        other => return Err(format!("{other:?} is no end").into()),
    })
}
