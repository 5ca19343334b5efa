//! NOTIFY_SOCKET: readiness of a container's program, told to the service manager of its host (sd_notify(3)), as runc does
//! it.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use conformance::process::{run, spawn, until};
use conformance::runtime::runtime;
use conformance::service_manager::{ServiceManager, Word};
use conformance::{Config, Container};
use nix::sys::signal::Signal;
use serde_json::json;

/// A container with the case's directory at /case, whose program is this script.
fn service(script: &str, change: impl FnOnce(&mut Config)) -> Container {
    Container::with_path(|config, path| {
        config.bind(path, "/case", &["bind"]).shell(script);
        change(config);
    })
}

fn notifying<'a>(command: &'a mut Command, socket: &Path) -> &'a mut Command {
    command.env("NOTIFY_SOCKET", socket)
}

fn create_and_start(container: &Container, manager: &ServiceManager) {
    let _ = run(notifying(&mut container.create_command(&[]), &manager.path)).ok();
    let mut start = container.subcommand(["start", &container.id]);
    let _ = run(notifying(&mut start, &manager.path)).ok();
}

/// Waits for what a service manager hears of a service that is ready: with runc in three datagrams, here in two.
fn assert_told(manager: &ServiceManager, main_pid: i32) {
    until("word of the container", || {
        (manager.lines().len() > 1).then_some(())
    });
    let mut lines = manager.lines();
    lines.sort();
    assert_eq!(lines, [format!("MAINPID={main_pid}"), "READY=1".to_owned()]);
    if runtime().predates("runc", [1, 2, 0], "barriers") {
        return;
    }
    let barrier = Word {
        text: "BARRIER=1".to_owned(),
        descriptors: 1,
    };
    until("the barrier", || {
        (manager.heard().last() == Some(&barrier)).then_some(())
    });
}

#[test]
fn start_waits_until_the_program_is_ready_and_tells_the_manager() {
    let container = service(
        "until [ -e /case/go ]; do sleep 0.01; done; /probe notify READY=1; sleep 100",
        |_| {},
    );
    let manager = ServiceManager::new(container.path(), true);
    let _ = run(notifying(&mut container.create_command(&[]), &manager.path)).ok();
    let mut start = container.subcommand(["start", &container.id]);
    let start = spawn(notifying(&mut start, &manager.path));
    container.wait_for("running");
    assert_eq!(manager.heard(), []);
    container.file("go", "");
    let _ = start.wait().ok();
    assert_told(&manager, container.pid());
}

#[test]
fn a_detached_run_waits_until_the_program_is_ready() {
    let container = service(
        "/probe notify READY=1; touch /case/ready; sleep 100",
        |_| {},
    );
    let manager = ServiceManager::new(container.path(), true);
    let mut detached = container.run_command(&["--detach"]);
    let _ = run(notifying(&mut detached, &manager.path)).ok();
    assert_told(&manager, container.pid());
}

#[test]
fn a_run_in_the_foreground_stays_the_main_process() {
    let container = service(
        "trap 'exit 5' TERM; /probe notify READY=1; while :; do sleep 0.01; done",
        |_| {},
    );
    let manager = ServiceManager::new(container.path(), true);
    let mut command = container.run_command(&[]);
    let running = spawn(notifying(&mut command, &manager.path));
    assert_told(&manager, running.id().cast_signed());
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), 5);
    container.assert_nothing_left();
}

#[test]
fn a_run_in_the_foreground_forwards_signals_before_the_program_is_ready() {
    if runtime().departs(
        "runc",
        "waits for READY=1 first, and hangs when there is none",
    ) {
        return;
    }
    let container = service(
        "trap 'exit 6' TERM; touch /case/trapped; while :; do sleep 0.01; done",
        |_| {},
    );
    let manager = ServiceManager::new(container.path(), true);
    let mut command = container.run_command(&[]);
    let running = spawn(notifying(&mut command, &manager.path));
    let trapped = container.path().join("trapped");
    until("the trap", || trapped.exists().then_some(()));
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), 6);
    assert_eq!(manager.heard(), []);
}

#[test]
fn a_program_that_ends_without_being_ready_ends_the_waiting() {
    if runtime().departs(
        "runc",
        "hangs as long as nobody reaps the container's process",
    ) {
        return;
    }
    let container = service("/probe notify STATUS=starting; exit 3", |_| {});
    let manager = ServiceManager::new(container.path(), true);
    create_and_start(&container, &manager);
    container.wait_for("stopped");
    let _ = container.delete().ok();
    let mut detached = container.run_command(&["--detach"]);
    let _ = run(notifying(&mut detached, &manager.path)).ok();
    let _ = container.delete_force().ok();
    let foreground = run(notifying(&mut container.run_command(&[]), &manager.path));
    assert_eq!(foreground.code(), 3);
    assert_eq!(manager.heard(), []);
}

#[test]
fn the_last_words_of_a_program_are_heard() {
    let container = service("/probe notify READY=1; exit 4", |_| {});
    let manager = ServiceManager::new(container.path(), true);
    let mut command = container.run_command(&[]);
    let running = spawn(notifying(&mut command, &manager.path));
    let pid = running.id().cast_signed();
    assert_eq!(running.wait().code(), 4);
    assert_told(&manager, pid);
}

#[test]
fn ready_is_found_in_any_line_and_nothing_else_is_passed_on() {
    if runtime().departs("runc", "looks at the first line alone") {
        return;
    }
    let container = service(
        "/probe notify READY=0; /probe notify FDSTORE=1; \
         /probe notify \"$(printf 'STATUS=up\\nMAINPID=1\\nREADY=1\\nWATCHDOG=trigger')\"; sleep 100",
        |_| {},
    );
    let manager = ServiceManager::new(container.path(), true);
    create_and_start(&container, &manager);
    assert_told(&manager, container.pid());
}

#[test]
fn a_barrier_of_the_program_is_answered_and_its_descriptor_goes_nowhere() {
    let container = service(
        "/probe notify READY=1; /probe barrier; touch /case/answered; sleep 100",
        |_| {},
    );
    let manager = ServiceManager::new(container.path(), true);
    create_and_start(&container, &manager);
    let answered = container.path().join("answered");
    until("the answer", || answered.exists().then_some(()));
    if runtime().predates("runc", [1, 2, 0], "barriers") {
        return;
    }
    let descriptors: Vec<_> = manager
        .heard()
        .iter()
        .map(|word| word.descriptors)
        .collect();
    assert_eq!(
        descriptors.iter().sum::<usize>(),
        1,
        "the runtime's own barrier"
    );
}

#[test]
fn a_manager_that_knows_no_barriers_does_not_hold_up_the_end_of_a_container() {
    if runtime().departs("runc", "waits for 30 seconds") {
        return;
    }
    let container = service("/probe notify READY=1; exit 7", |_| {});
    let manager = ServiceManager::new(container.path(), false);
    let begin = Instant::now();
    let finished = run(notifying(&mut container.run_command(&[]), &manager.path));
    assert_eq!(finished.code(), 7);
    assert!(begin.elapsed() < Duration::from_secs(15), "{finished:?}");
}

#[test]
fn a_status_that_nobody_wants_does_not_block_the_program_in_the_end() {
    if runtime().departs("runc", "lets the socket's queue fill up") {
        return;
    }
    // net.unix.max_dgram_qlen messages fit into the queue, 512 as a rule.
    let limit = std::fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
    let count: u32 = limit.trim().parse::<u32>().unwrap().min(600) + 10;
    let script = format!(
        "/probe notify READY=1; i=0; while [ $i -lt {count} ]; do /probe notify STATUS=$i || exit 1; i=$((i+1)); done"
    );
    let container = service(&script, |_| {});
    let manager = ServiceManager::new(container.path(), true);
    let _ = run(notifying(&mut container.run_command(&[]), &manager.path)).ok();
    until("word of the container", || {
        (manager.lines().len() == 2).then_some(())
    });
}

#[test]
fn the_program_has_a_socket_of_the_containers_own_and_may_not_put_another_in_its_place() {
    let script = "echo $NOTIFY_SOCKET; ls -l /run/notify | grep -c notify.sock; stat -c %a /run/notify/notify.sock; \
                  rm /run/notify/notify.sock 2>/dev/null || echo kept; /probe notify READY=1; \
                  grep ' /run/notify ' /proc/self/mountinfo | cut -d' ' -f6";
    let container = service(script, |config| {
        config
            .set("/process/user/uid", json!(1000))
            .push("/process/env", json!("NOTIFY_SOCKET=/of/the/image"));
    });
    let manager = ServiceManager::new(container.path(), true);
    let output = run(notifying(&mut container.run_command(&[]), &manager.path)).ok();
    let lines: Vec<_> = output.stdout.lines().collect();
    assert_eq!(lines[..4], ["/run/notify/notify.sock", "1", "777", "kept"]);
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(lines[4].split(',').any(|set| set == option), "{lines:?}");
    }
}

#[test]
fn a_user_namespace_makes_no_difference() {
    let container = Container::new(|config| {
        config
            .shell("/probe notify READY=1; sleep 100")
            .user_namespace(&[(0, 100_000, 65536)]);
    });
    // Nobody in the namespace owns the root file system here.
    std::fs::create_dir_all(container.rootfs().join("run/notify")).unwrap();
    let manager = ServiceManager::new(container.path(), true);
    let mut detached = container.run_command(&["--detach"]);
    let _ = run(notifying(&mut detached, &manager.path)).ok();
    assert_told(&manager, container.pid());
}

#[test]
fn a_state_root_with_a_path_too_long_for_an_address_makes_no_difference() {
    if runtime().departs("runc", "binds the socket by its whole path") {
        return;
    }
    let container = service("/probe notify READY=1", |_| {});
    let manager = ServiceManager::new(container.path(), true);
    // The last of two counts.
    let mut command = container.runtime();
    command
        .arg("--root")
        .arg(container.path().join("a".repeat(120)))
        .args(["run", "--bundle"])
        .arg(container.bundle())
        .arg(&container.id);
    let _ = run(notifying(&mut command, &manager.path)).ok();
    until("word of the container", || {
        (manager.lines().len() == 2).then_some(())
    });
}

#[test]
fn a_manager_that_is_not_there_is_no_reason_not_to_start() {
    for subcommand in [["run"].as_slice(), &["run", "--detach"]] {
        let container = service("exit 0", |_| {});
        let mut command = container.subcommand(subcommand);
        command
            .arg("--bundle")
            .arg(container.bundle())
            .arg(&container.id);
        let _ = run(notifying(&mut command, Path::new("/no/such/socket"))).ok();
    }
}

#[test]
fn start_of_a_container_that_was_created_without_a_socket_is_refused_and_can_be_tried_again() {
    let container = service("exit 0", |_| {});
    let manager = ServiceManager::new(container.path(), true);
    let _ = container.create().ok();
    let mut start = container.subcommand(["start", &container.id]);
    let _ = run(notifying(&mut start, &manager.path)).refused(&["notif"]);
    assert_eq!(container.status(), "created");
    let _ = container.start().ok();
}

#[test]
fn hooks_do_not_speak_for_the_service() {
    if runtime().departs("runc", "hands its environment to hooks") {
        return;
    }
    let script = "#!/bin/sh\nenv > \"$(dirname \"$0\")/hook-env\"\n";
    let container = service("/probe notify READY=1", |_| {});
    let hook = container.file("hook", script);
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut config = container.config();
    config.set("/hooks/createRuntime", json!([{"path": hook}]));
    container.write_config(&config);
    let manager = ServiceManager::new(container.path(), true);
    let mut command = container.run_command(&[]);
    command.env("A_VARIABLE", "is there");
    let _ = run(notifying(&mut command, &manager.path)).ok();
    let env = container.read("hook-env");
    assert!(
        env.contains("A_VARIABLE=is there") && !env.contains("NOTIFY_SOCKET"),
        "{env}"
    );
}

#[test]
fn exec_has_no_socket_of_the_callers() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let mut command = container.exec_command(&[], &["env"]);
    let env = run(notifying(&mut command, Path::new("/no/such/socket"))).ok();
    assert!(!env.stdout.contains("NOTIFY_SOCKET"), "{env:?}");
}
