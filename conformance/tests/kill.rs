//! `kill`: signals to the first process, and SIGKILL to all where the kernel would not end them with the first.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use conformance::process::{run, until};
use conformance::runtime::runtime;
use conformance::{Config, Container, cgroup};

fn pids(container: &Container) -> Vec<i32> {
    let json = container.call(&["ps", "--format", "json"]).ok().stdout;
    serde_json::from_str::<Option<_>>(&json)
        .unwrap()
        .unwrap_or_default()
}

fn with_children(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.shell("sleep 61 & sleep 62 & wait");
        change(config);
    });
    let _ = container.run_detached();
    until("three processes", || {
        (pids(&container).len() == 3).then_some(())
    });
    container
}

/// The processes of a cgroup, by its directory.
fn processes(directory: &Path) -> Vec<String> {
    let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn main_cgroup(container: &Container) -> PathBuf {
    cgroup::of_process(container.pid(), "devices")
}

fn until_empty(directory: &Path) {
    until("an empty cgroup", || {
        processes(directory).is_empty().then_some(())
    });
}

#[test]
fn sigkill_ends_all_processes_of_a_container_in_the_hosts_pid_namespace() {
    if runtime().predates(
        "runc",
        [1, 2, 0],
        "killing all without a PID namespace of their own",
    ) {
        return;
    }
    let container = with_children(|config| {
        config.share("pid");
    });
    let directory = main_cgroup(&container);
    let _ = container.kill("KILL").ok();
    until_empty(&directory);
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn sigkill_ends_all_processes_of_a_container_in_anothers_pid_namespace_and_not_the_others() {
    if runtime().predates(
        "runc",
        [1, 2, 0],
        "killing all without a PID namespace of their own",
    ) {
        return;
    }
    let first = with_children(|_| {});
    let path = format!("/proc/{}/ns/pid", first.pid());
    let second = with_children(|config| {
        config.namespace("pid", Some(&path));
    });
    let directory = main_cgroup(&second);
    let _ = second.kill("KILL").ok();
    until_empty(&directory);
    assert_eq!(pids(&first).len(), 3);
    assert_eq!(first.status(), "running");
}

#[test]
fn sigkill_after_the_end_of_the_first_process_ends_those_it_left() {
    if runtime().predates(
        "runc",
        [1, 2, 0],
        "killing all without a PID namespace of their own",
    ) {
        return;
    }
    let container = Container::new(|config| {
        config
            .share("pid")
            .shell("sleep 61 >/dev/null 2>&1 & sleep 62 >/dev/null 2>&1 &");
    });
    let _ = container.create().ok();
    let directory = main_cgroup(&container);
    let _ = container.start().ok();
    container.wait_for("stopped");
    assert_eq!(processes(&directory).len(), 2);
    let _ = container.kill("KILL").ok();
    until_empty(&directory);
}

#[test]
fn sigkill_ends_a_frozen_container_that_runs_or_waits_for_its_start() {
    if runtime().departs(
        "runc",
        "does not thaw in version 1 what it killed by version 2",
    ) {
        return;
    }
    for start in [true, false] {
        for share in [true, false] {
            let container = Container::new(|config| {
                config.waits();
                if share {
                    config.share("pid");
                }
            });
            let _ = container.create().ok();
            if start {
                let _ = container.start().ok();
            }
            cgroup::freeze(&cgroup::of_process(container.pid(), "freezer"), true);
            let _ = container.kill("KILL").ok();
            container.wait_for("stopped");
            let _ = container.delete().ok();
            container.assert_nothing_left();
        }
    }
}

#[test]
fn another_signal_waits_until_a_frozen_container_goes_on() {
    let container = Container::new(|config| {
        config.shell("trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done");
    });
    let running = container.run_in_foreground();
    until("the trap is set", || {
        running.printed().contains("ready").then_some(())
    });
    let freezer = cgroup::of_process(container.pid(), "freezer");
    cgroup::freeze(&freezer, true);
    let _ = container.kill("USR1").ok();
    assert_eq!(container.status(), "paused");
    cgroup::freeze(&freezer, false);
    assert_eq!(running.wait().code(), 3);
}

#[test]
fn a_container_that_waits_for_its_start_ends_when_it_is_asked_to() {
    let others = ["crun", "youki"].iter();
    if others
        .into_iter()
        .any(|name| runtime().departs(name, "is deaf before its program runs"))
    {
        return;
    }
    for (signal, share) in [
        ("TERM", false),
        ("INT", false),
        ("HUP", false),
        ("QUIT", false),
        ("TERM", true),
    ] {
        let container = Container::new(|config| {
            config.waits();
            if share {
                config.share("pid");
            }
        });
        let _ = container.create().ok();
        if !share {
            // The first process of a PID namespace, which has no handler for it.
            let _ = container.kill("USR1").ok();
            assert_eq!(container.status(), "created");
        }
        let _ = container.kill(signal).ok();
        container.wait_for("stopped");
        let _ = container.start().refused(&["stopped"]);
        let _ = container.delete().ok();
        container.assert_nothing_left();
    }
}

#[test]
fn a_program_has_no_signal_blocked_for_that_its_container_could_be_asked_to_end_before() {
    let container = Container::new(|config| {
        config.shell("grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; ls -l /proc/self/fd; sleep 60");
    });
    let file = container.path().join("output");
    let output = fs::File::create(&file).unwrap();
    let mut create = container.create_command(&[]);
    let created = conformance::process::spawn_with_own_streams(
        create.stdin(std::process::Stdio::null()).stdout(output),
    );
    let _ = created.wait().ok();
    let _ = container.start().ok();
    let printed = until("its output", || {
        let text = fs::read_to_string(&file).ok()?;
        text.contains("/dev/null").then_some(text)
    });
    assert!(printed.contains("SigBlk:\t0000000000000000"), "{printed}");
    assert!(!printed.contains("signalfd"), "{printed}");
}

#[test]
fn a_real_time_signal_is_sent_by_its_number() {
    let container = Container::new(|config| {
        config.shell("trap 'exit 3' 40; echo ready; while :; do sleep 0.05; done");
    });
    let running = container.run_in_foreground();
    until("the trap is set", || {
        running.printed().contains("ready").then_some(())
    });
    let _ = container.kill("40").ok();
    assert_eq!(running.wait().code(), 3);
}

#[test]
fn an_empty_signal_is_sigterm() {
    let container = Container::new(|config| {
        config.shell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    });
    let running = container.run_in_foreground();
    until("the trap is set", || {
        running.printed().contains("ready").then_some(())
    });
    let _ = container.kill("").ok();
    assert_eq!(running.wait().code(), 3);
}

#[test]
fn all_of_a_stopped_containers_processes_have_any_signal() {
    let container = Container::new(|config| {
        config.args(&["true"]);
    });
    let _ = container.run_detached();
    container.wait_for("stopped");
    let _ = container.kill("KILL").refused(&["container not running"]);
    for arguments in [["--all", "KILL"], ["-a", "TERM"]] {
        let [option, signal] = arguments;
        let _ = run(&mut container.subcommand(["kill", option, &container.id, signal])).ok();
    }
}

#[test]
fn with_all_another_signal_reaches_every_process_too() {
    if runtime().departs("runc", "1.2 and later takes --all for nothing") {
        return;
    }
    let container = with_children(|config| {
        config.share("pid");
    });
    let directory = main_cgroup(&container);
    let _ = run(&mut container.subcommand(["kill", "--all", &container.id, "TERM"])).ok();
    until_empty(&directory);
}

#[test]
fn processes_that_fork_and_exit_faster_than_they_are_listed_are_all_ended() {
    if runtime().predates(
        "runc",
        [1, 2, 0],
        "killing all without a PID namespace of their own",
    ) {
        return;
    }
    for share in [true, false] {
        let container = Container::new(|config| {
            config.shell("walk() { walk & }; walk; walk; walk; while :; do sleep 0.05; done");
            if share {
                config.share("pid");
            }
        });
        let _ = container.run_detached();
        let directory = main_cgroup(&container);
        let first = processes(&directory);
        until("other processes", || {
            let now = processes(&directory);
            (now.iter().filter(|pid| !first.contains(pid)).count() >= 3).then_some(())
        });
        let _ = container.kill("KILL").ok();
        until_empty(&directory);
        container.wait_for("stopped");
        let _ = container.delete().ok();
        container.assert_nothing_left();
    }
}
