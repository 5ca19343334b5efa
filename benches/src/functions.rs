//! The functions of bareboat that its commands run, in the order in which they first do: the list by which `.cargo/linker` lays
//! them side by side.
//!
//! Each command is stepped through, instruction by instruction: what a profiler's samples would miss counts as well.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Context, Error, Result};
use crate::measure::stop_if_interrupted;
use crate::runtime::Subject;
use crate::scenario::Scenario;
use crate::sys::harness;
use crate::sys::trace::{self, Stop};
use crate::workplace::Workplace;

/// The names, one a line, of a program that has its symbols.
pub(crate) fn list(program: PathBuf) -> Result<String> {
    let symbols = Symbols::read(&program)?;
    harness::note_interrupts().context("signal handlers")?;
    harness::adopt_orphans().context("PR_SET_CHILD_SUBREAPER")?;
    let workplace = Workplace::make()?;
    let subject = Subject {
        name: "bareboat".to_owned(),
        path: program,
        version: String::new(),
        is_floor: false,
    };
    let mut steps = Steps::default();
    commands(&workplace, &subject, |command| {
        steps.follow(command)?;
        stop_if_interrupted()
    })?;
    let mut known = HashSet::new();
    let names = steps.order.iter().filter_map(|&step| symbols.at(step));
    let names = names.filter(|name| known.insert(*name));
    Ok(names.map(|name| format!("{name}\n")).collect())
}

/// What the commands have in common is found by the shortest ones, and comes first.
fn commands(
    workplace: &Workplace,
    subject: &Subject,
    mut follow: impl FnMut(&mut Command) -> Result<()>,
) -> Result<()> {
    let guarded = workplace.guarded(subject, "functions", Scenario::Exec)?;
    let (runtime, container) = (&guarded.runtime, &guarded.container);
    let on = |name: &str, more: &[&str]| {
        let mut command = runtime.command(name);
        command.arg(&container.id).args(more);
        command
    };
    runtime.create(container)?;
    follow(&mut on("state", &[]))?;
    follow(&mut runtime.command("list"))?;
    follow(&mut on("start", &[]))?;
    follow(&mut on("kill", &["KILL"]))?;
    guarded.reap();
    follow(&mut on("delete", &[]))?;
    run(workplace, subject, Scenario::Run, &mut follow)?;
    follow(&mut runtime.create_command(container))?;
    runtime.start(container)?;
    follow(&mut on("exec", &["/bin/true"]))?;
    follow(&mut on("delete", &["--force"]))?;
    run(workplace, subject, Scenario::Docker, &mut follow)
}

fn run(
    workplace: &Workplace,
    subject: &Subject,
    scenario: Scenario,
    follow: &mut impl FnMut(&mut Command) -> Result<()>,
) -> Result<()> {
    let guarded = workplace.guarded(subject, scenario.name(), scenario)?;
    follow(&mut guarded.runtime.run_command(&guarded.container))
}

/// The addresses of instructions in the order in which they first ran.
#[derive(Debug, Default)]
struct Steps {
    seen: HashSet<u64>,
    order: Vec<u64>,
}

impl Steps {
    /// Steps through a command, which must succeed, and through what it forks until that becomes another program.
    fn follow(&mut self, command: &mut Command) -> Result<()> {
        let name = format!("{command:?}");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let root = trace::spawn(command).context(&name)?;
        trace::step(root, 0);
        loop {
            let (pid, stop) = trace::wait().context("ptrace")?;
            let signal = match stop {
                Stop::End(0) if pid == root => return Ok(()),
                Stop::End(status) if pid == root => {
                    return Err(Error::new(format!("{name}: wait status {status:#x}")));
                }
                Stop::End(_) => continue,
                Stop::Program if pid != root => {
                    trace::detach(pid);
                    continue;
                }
                Stop::Signal(libc::SIGTRAP) => {
                    let step = trace::instruction(pid).context("ptrace")?;
                    if self.seen.insert(step) {
                        self.order.push(step);
                    }
                    0
                }
                // A process that is traced from its beginning begins with a stop of the tracer's.
                Stop::Signal(libc::SIGSTOP) => 0,
                Stop::Signal(signal) => signal,
                _ => 0,
            };
            trace::step(pid, signal);
        }
    }
}

/// The functions' ends and names, by their addresses.
#[derive(Debug)]
struct Symbols(BTreeMap<u64, (u64, String)>);

impl Symbols {
    fn read(program: &Path) -> Result<Self> {
        let mut nm = Command::new("nm");
        nm.args(["--demangle", "--print-size", "--defined-only"]);
        let output = nm.arg(program).output().context("nm")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let functions: BTreeMap<_, _> = text.lines().filter_map(function).collect();
        match functions.is_empty() {
            true => Err(Error::new(format!("{}: no symbols", program.display()))),
            false => Ok(Self(functions)),
        }
    }

    /// The function that an instruction belongs to.
    fn at(&self, address: u64) -> Option<&str> {
        let (_, (end, name)) = self.0.range(..=address).next_back()?;
        (address < *end).then_some(name)
    }
}

/// Reads a line of nm(1): address, size, kind and name, which may contain spaces. What has no size or is data is none.
fn function(line: &str) -> Option<(u64, (u64, String))> {
    let mut fields = line.splitn(4, ' ');
    let address = u64::from_str_radix(fields.next()?, 16).ok()?;
    let size = u64::from_str_radix(fields.next()?, 16).ok()?;
    let is_function = matches!(fields.next()?, "t" | "T" | "w" | "W" | "i");
    let end = address.checked_add(size)?;
    is_function.then_some((address, (end, fields.next()?.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_known_from_their_first_to_their_last_byte() {
        let lines = [
            "0000000000001000 0000000000000010 t <a as b>::c",
            "0000000000001020 0000000000000010 r data",
            "0000000000001040 T no_size",
        ];
        let symbols = Symbols(lines.iter().copied().filter_map(function).collect());
        assert_eq!(symbols.at(0xfff), None);
        assert_eq!(symbols.at(0x1000), Some("<a as b>::c"));
        assert_eq!(symbols.at(0x100f), Some("<a as b>::c"));
        assert_eq!(symbols.at(0x1010), None);
        assert_eq!(symbols.at(0x1020), None);
        assert_eq!(symbols.at(0x1040), None);
    }
}
