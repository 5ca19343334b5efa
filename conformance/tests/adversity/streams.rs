//! Standard streams that are full, or closed, or whose reader is gone.

use std::fs::{self, File};
use std::process::{Command, Stdio};

use conformance::Container;
use conformance::process::{Finished, run, spawn_with_own_streams};
use conformance::runtime::runtime;

use crate::{answer, assert_can_be_replaced, is_another, waits};

/// Runs it with this for its standard output, and its standard error in a file.
fn with_stdout(container: &Container, command: &mut Command, stdout: impl Into<Stdio>) -> Finished {
    let errors = container.path().join("errors");
    let command = command
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(File::create(&errors).unwrap());
    let mut finished = spawn_with_own_streams(command).wait();
    finished.stderr = fs::read_to_string(errors).unwrap();
    finished
}

/// All that prints something.
fn printing(container: &Container) -> Vec<Command> {
    let id = container.id.as_str();
    let of_container: [&[&str]; 7] = [
        &["state", id],
        &["list"],
        &["list", "--format", "json"],
        &["ps", id],
        &["events", "--stats", id],
        &["features"],
        &["exec", "--help"],
    ];
    let mut all: Vec<_> = of_container
        .into_iter()
        .map(|arguments| container.subcommand(arguments))
        .collect();
    for argument in ["--help", "--version"] {
        let mut command = Command::new(&runtime().path);
        command.arg(argument);
        all.push(command);
    }
    let mut plan = container.subcommand(["plan", "--bundle"]);
    plan.arg(container.bundle()).arg("planned");
    all.push(plan);
    all
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let _ = container.run_detached();
    for mut command in printing(&container) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = answer(with_stdout(&container, &mut command, full)).unwrap();
        assert!(error.contains("No space left on device"), "{error}");
    }
    for mut command in printing(&container) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let error = answer(with_stdout(&container, &mut command, writer)).unwrap();
        assert!(error.contains("Broken pipe"), "{error}");
    }
    assert_can_be_replaced(&container);
}

/// The same command with descriptors closed before it.
fn closed(command: &Command, streams: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("exec \"$@\" {streams}"), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell
}

#[test]
fn commands_work_with_closed_streams() {
    if is_another() {
        return;
    }
    for streams in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"] {
        let container = Container::new(waits);
        let call = |command: &Command| {
            let finished = run(&mut closed(command, streams));
            assert_eq!(finished.code(), 0, "{streams}: {finished:#?}");
        };
        call(&container.create_command(&[]));
        for name in ["start", "pause", "resume", "state"] {
            call(&container.subcommand([name, &container.id]));
        }
        call(&container.exec_command(&[], &["true"]));
        assert_eq!(container.status(), "running", "{streams}");
        call(&container.subcommand(["delete", "--force", &container.id]));
        container.assert_nothing_left();
    }
}

#[test]
fn an_error_that_nobody_can_be_told_has_its_exit_code() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let state = container.subcommand(["state", &container.id]);
    for streams in ["2>&-", "2>/dev/full", ">&- 2>&- <&-"] {
        let finished = run(&mut closed(&state, streams));
        assert_eq!(finished.code(), 1, "{streams}: {finished:#?}");
    }
}
