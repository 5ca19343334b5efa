//! A host without /proc, with one that hides processes, or without cgroups.

use std::process::Command;

use conformance::Container;
use conformance::process::{Finished, run};

use crate::{answer, assert_can_be_replaced, fails, is_another, waits};

/// The command in a mount namespace of its own, in which the shell does this before.
fn within(script: &str, command: &Command) -> Finished {
    let mut shell = Command::new("unshare");
    let script = format!("{script} && exec \"$@\"");
    shell.args(["--mount", "sh", "-c", &script, "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    run(&mut shell)
}

const NO_PROC: &str = "mount -t tmpfs tmpfs /proc";
const NO_CGROUPS: &str = "mount -t tmpfs tmpfs /sys/fs/cgroup";
const HIDING_PROC: &str = "mount -t proc -o hidepid=invisible proc /proc";

#[test]
fn without_proc_nothing_is_said_of_a_container_and_nothing_is_done_to_it() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let other = Container::new(waits);
    let _ = container.run_detached();
    let id = container.id.as_str();
    let commands: [&[&str]; 9] = [
        &["state", id],
        &["start", id],
        &["pause", id],
        &["resume", id],
        &["kill", id, "KILL"],
        &["exec", id, "true"],
        &["update", "--pids-limit", "9", id],
        &["delete", id],
        &["delete", "--force", id],
    ];
    for arguments in commands {
        let finished = within(NO_PROC, &container.subcommand(arguments));
        fails(finished, "/proc does not show process");
    }
    let created = within(NO_PROC, &other.create_command(&[]));
    assert!(answer(created).is_some());
    assert!(!other.state_root().join(&other.id).exists());
    assert_eq!(container.status(), "running");
    assert_can_be_replaced(&container);
}

#[test]
fn a_proc_that_hides_processes_of_others_hides_none_from_root() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let id = container.id.as_str();
    for command in [
        container.create_command(&[]),
        container.subcommand(["start", id]),
        container.exec_command(&[], &["true"]),
        container.subcommand(["pause", id]),
        container.subcommand(["resume", id]),
    ] {
        let _ = within(HIDING_PROC, &command).ok();
    }
    let state = within(HIDING_PROC, &container.subcommand(["state", id])).ok();
    assert!(state.stdout.contains("\"running\""), "{state:#?}");
    assert_can_be_replaced(&container);
}

#[test]
fn without_cgroups_mounted_a_container_that_names_one_is_refused_and_one_that_runs_goes_on() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let other = Container::new(waits);
    let _ = container.run_detached();
    let created = within(NO_CGROUPS, &other.create_command(&[]));
    assert!(answer(created).is_some_and(|error| error.contains("cgroup")));
    assert!(!other.state_root().join(&other.id).exists());
    for command in ["state", "pause", "resume", "ps"] {
        let command = container.subcommand([command, &container.id]);
        let _ = answer(within(NO_CGROUPS, &command));
    }
    assert_eq!(container.status(), "running");
    assert_can_be_replaced(&container);
}
