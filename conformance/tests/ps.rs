//! `ps`: the processes of a container, as the host sees them.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;

use conformance::process::{run, until};
use conformance::{Container, Finished, cgroup};

fn two_sleepers() -> Container {
    let container = Container::new(|config| {
        config.shell("sleep 61 & sleep 62 & wait");
    });
    let _ = container.run_detached();
    // A child that the shell has made looks like the shell until it executes its program.
    until("the shell and two sleeps", || {
        let pids = pids(&container);
        let sleeps = pids.iter().filter(|&&pid| is_sleep(pid)).count();
        ((pids.len(), sleeps) == (3, 2)).then_some(())
    });
    container
}

fn is_sleep(pid: i32) -> bool {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments.starts_with(b"sleep\0")
}

fn pids(container: &Container) -> Vec<i32> {
    let json = container.call(&["ps", "--format", "json"]).ok().stdout;
    serde_json::from_str(&json).unwrap()
}

fn ps(container: &Container, options: &[&str]) -> Finished {
    run(container
        .subcommand(["ps", &container.id])
        .args(options)
        .stdin(std::process::Stdio::null()))
}

/// A cgroup below the container's, with one of its processes in it.
fn move_below(container: &Container, pid: i32) -> PathBuf {
    let below = cgroup::of_process(container.pid(), "devices").join("below");
    fs::create_dir(&below).unwrap();
    fs::write(below.join("cgroup.procs"), pid.to_string()).unwrap();
    below
}

#[test]
fn the_table_is_that_of_ps_with_the_containers_processes_alone() {
    let container = two_sleepers();
    let table = ps(&container, &[]).ok().stdout;
    let mut lines = table.lines();
    let title = lines.next().unwrap();
    assert!(title.starts_with("UID") && title.contains("PID"), "{table}");
    assert_eq!(lines.clone().count(), 3, "{table}");
    for program in ["sleep 61", "sleep 62"] {
        assert!(lines.clone().any(|line| line.ends_with(program)), "{table}");
    }
}

#[test]
fn options_after_the_container_go_to_ps() {
    let container = two_sleepers();
    let table = ps(&container, &["-e", "-x"]).ok().stdout;
    assert!(table.trim_start().starts_with("PID"), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");
    let table = ps(&container, &["-e", "-o", "comm,pid"]).ok().stdout;
    let second: Vec<_> = table
        .lines()
        .filter(|line| line.starts_with("sleep"))
        .collect();
    assert_eq!(second.len(), 2, "{table}");
}

#[test]
fn options_of_the_runtime_stand_before_the_container() {
    let container = two_sleepers();
    for options in [["-f", "json"], ["--format", "json"]] {
        let mut command = container.subcommand(["ps"]);
        let json = run(command.args(options).arg(&container.id)).ok().stdout;
        let pids: Vec<i32> = serde_json::from_str(&json).unwrap();
        assert!(pids.contains(&container.pid()), "{json}");
    }
    let mut command = container.subcommand(["ps", "-f", "yaml", &container.id]);
    assert_eq!(run(&mut command).code(), 1);
}

#[test]
fn options_without_a_pid_or_that_ps_does_not_know_are_refused() {
    let container = two_sleepers();
    let _ =
        ps(&container, &["-e", "-o", "comm"]).refused(&["couldn't find PID field in ps output"]);
    assert_eq!(ps(&container, &["--no-such-option"]).code(), 1);
}

#[test]
fn a_process_in_a_cgroup_below_the_containers_is_shown() {
    let container = two_sleepers();
    let sleeper = pids(&container)
        .into_iter()
        .find(|&pid| pid != container.pid())
        .unwrap();
    let below = move_below(&container, sleeper);
    assert!(pids(&container).contains(&sleeper));
    assert_eq!(pids(&container).len(), 3);
    let _ = container.delete_force().ok();
    assert!(!below.exists());
}

#[test]
fn a_stopped_container_has_no_processes() {
    let container = Container::new(|config| {
        config.args(&["true"]);
    });
    let _ = container.run_detached();
    container.wait_for("stopped");
    let table = ps(&container, &[]).ok().stdout;
    assert_eq!(table.lines().count(), 1, "{table}");
}
