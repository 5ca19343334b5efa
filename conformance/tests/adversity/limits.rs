//! Limits of the runtime's own process: descriptors, memory, sizes of files.

use std::process::Command;

use conformance::Container;
use conformance::process::{Finished, run};

use crate::{answer, assert_can_be_replaced, is_another, limited, waits};

/// The hard limit stays: the container's own is set within it.
fn descriptors(count: usize) -> String {
    format!("-S -n {count}")
}

fn with_descriptors(command: &Command, count: usize) -> Finished {
    run(&mut limited(command, &[&descriptors(count)]))
}

/// The fewest descriptors with which the command works; with fewer it says that there are too few, and `check` looks at
/// what it left.
fn fewest(command: &Command, check: impl Fn()) -> usize {
    for count in 3..64 {
        match answer(with_descriptors(command, count)) {
            None => return count,
            Some(error) => assert!(
                error.contains("Too many open files") || error.contains("descriptor"),
                "{count}: {error}"
            ),
        }
        check();
    }
    panic!("64 descriptors are too few for {command:?}");
}

#[test]
fn a_create_or_run_with_too_few_descriptors_says_so_and_leaves_nothing() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let create = fewest(&container.create_command(&[]), || {
        container.assert_nothing_left();
    });
    let _ = container.delete_force().ok();
    let run = fewest(&container.run_command(&["--detach"]), || {
        container.assert_nothing_left();
    });
    println!("create works with {create} descriptors, run with {run}");
    assert_can_be_replaced(&container);
}

#[test]
fn a_start_with_too_few_descriptors_leaves_the_container_created() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let _ = container.create().ok();
    let start = container.subcommand(["start", &container.id]);
    let count = fewest(&start, || assert_eq!(container.status(), "created"));
    println!("start works with {count} descriptors");
    assert_eq!(container.status(), "running");
    assert_can_be_replaced(&container);
}

#[test]
fn other_commands_with_too_few_descriptors_say_so_and_change_nothing() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let _ = container.run_detached();
    let id = container.id.as_str();
    let commands: [&[&str]; 8] = [
        &["state", id],
        &["list"],
        &["ps", "--format", "json", id],
        &["events", "--stats", id],
        &["update", "--pids-limit", "900", id],
        &["exec", id, "true"],
        &["kill", id, "0"],
        &["pause", id],
    ];
    for arguments in commands {
        let count = fewest(&container.subcommand(arguments), || {
            assert_eq!(container.status(), "running", "{arguments:?}");
        });
        println!("{} works with {count} descriptors", arguments[0]);
    }
    let _ = fewest(&container.subcommand(["resume", id]), || {
        assert_eq!(container.status(), "paused");
    });
    let kill = container.subcommand(["kill", id, "KILL"]);
    let _ = fewest(&kill, || assert_eq!(container.status(), "running"));
    container.wait_for("stopped");
    let _ = fewest(&container.subcommand(["delete", id]), || {});
    container.assert_nothing_left();
    assert_can_be_replaced(&container);
}

#[test]
fn a_delete_by_force_with_too_few_descriptors_can_be_done_again() {
    if is_another() {
        return;
    }
    for count in 3..14 {
        let container = Container::new(waits);
        let _ = container.run_detached();
        let delete = container.subcommand(["delete", "--force", &container.id]);
        if answer(with_descriptors(&delete, count)).is_none() {
            container.assert_nothing_left();
        }
        assert_can_be_replaced(&container);
    }
}

#[test]
fn files_that_may_not_grow_are_an_error_and_not_a_signal() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    // Room for the line of error: the harness has it in a file.
    for create in [
        container.create_command(&[]),
        container.run_command(&["--detach"]),
    ] {
        let error = answer(run(&mut limited(&create, &["-S -f 1"]))).unwrap();
        assert!(error.contains("File too large"), "{error}");
        container.assert_nothing_left();
    }
    let _ = container.run_detached();
    for (arguments, works) in [
        (&["state"][..], true),
        (&["pause"], true),
        (&["resume"], true),
        (&["update", "--pids-limit", "900"], false),
    ] {
        let mut command = container.subcommand(arguments);
        let command = limited(command.arg(&container.id), &["-S -f 0"]);
        let finished = run(&mut to_null(&command));
        assert_eq!(finished.code() == 0, works, "{arguments:?}: {finished:#?}");
        assert!(finished.status.code().is_some(), "{finished:#?}");
    }
    assert_eq!(container.status(), "running");
    assert_can_be_replaced(&container);
}

/// The command with its output thrown away.
fn to_null(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" >/dev/null 2>&1", "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell
}

/// Kilobytes.
const LITTLE: [u32; 7] = [1000, 3000, 6000, 10_000, 14_000, 20_000, 40_000];

/// With so little memory the kernel may not even be able to execute the program, and an allocation that fails ends it: by a
/// signal. What it has made by then is removed by force.
fn with_little_memory(option: &str) {
    let mut worked = 0;
    for kilobytes in LITTLE {
        let container = Container::new(waits);
        let limit = format!("-S {option} {kilobytes}");
        for create in [
            container.create_command(&[]),
            container.run_command(&["--detach"]),
        ] {
            let finished = run(&mut limited(&create, &[&limit]));
            assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
            match finished.status.code() {
                Some(0) => worked += 1,
                Some(1) => container.assert_nothing_left(),
                _ => {}
            }
            let _ = container.delete_force().ok();
            container.assert_nothing_left();
        }
        assert_can_be_replaced(&container);
    }
    println!(
        "{worked} of {} with ulimit {option} worked",
        2 * LITTLE.len()
    );
}

#[test]
fn a_runtime_with_little_address_space_leaves_what_delete_by_force_removes() {
    if is_another() {
        return;
    }
    with_little_memory("-v");
}

#[test]
fn a_runtime_with_little_data_leaves_what_delete_by_force_removes() {
    if is_another() {
        return;
    }
    with_little_memory("-d");
}

#[test]
fn a_small_stack_and_no_locked_memory_or_processes_are_enough() {
    if is_another() {
        return;
    }
    for limits in [
        &["-S -s 1024"][..],
        &["-S -l 0"],
        &["-S -p 1"],
        &["-S -c 0", "-S -t 60"],
    ] {
        let container = Container::new(waits);
        for command in [
            container.create_command(&[]),
            container.subcommand(["start", &container.id]),
            container.exec_command(&[], &["true"]),
        ] {
            assert_eq!(answer(run(&mut limited(&command, limits))), None);
        }
        assert_can_be_replaced(&container);
    }
}
