//! A container's life: create, start, state, kill, delete and their order. runtime.md of the specification.

use std::fs;
use std::thread;
use std::time::Duration;

use conformance::process::{run, spawn, until};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn waits(config: &mut Config) {
    config.waits();
}

/// The proportional set size: the init and a little stack.
#[test]
fn a_container_that_waits_for_start_holds_less_than_a_hundred_kib() {
    if !runtime().is_bareboat() {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.create().ok();
    let rollup = format!("/proc/{}/smaps_rollup", container.pid());
    conformance::process::until("the init to wait", || {
        let text = std::fs::read_to_string(&rollup).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        let size: u32 = line.split_whitespace().next()?.parse().ok()?;
        (size <= 96).then_some(())
    });
}

#[test]
fn create_does_not_run_the_program_and_start_does() {
    let container = Container::with_path(|config, path| {
        config
            .bind(path, "/case", &["bind"])
            .shell("echo ran > /case/ran");
    });
    let _ = container.create().ok();
    assert_eq!(container.status(), "created");
    thread::sleep(Duration::from_millis(50));
    assert!(!container.path().join("ran").exists());
    let _ = container.start().ok();
    container.wait_for("stopped");
    assert_eq!(container.read("ran"), "ran\n");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn without_a_process_a_container_is_created_and_not_started() {
    if runtime().departs("runc", "creates no container without a process") {
        return;
    }
    let container = Container::new(|config| {
        config.remove("/process");
    });
    let _ = container.create().ok();
    let _ = container
        .start()
        .refused(&["/process: the configuration has no process to start"]);
    assert_eq!(container.status(), "created");
    let _ = container.delete().ok();
    container.assert_nothing_left();

    let _ = container
        .run()
        .refused(&["/process: the configuration has no process to start"]);
    container.assert_nothing_left();
}

#[test]
fn a_container_is_created_then_running_then_stopped_then_unknown() {
    let container = Container::new(waits);
    let _ = container.create().ok();
    assert_eq!(container.status(), "created");
    let _ = container.start().ok();
    assert_eq!(container.status(), "running");
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    let _ = container
        .call(&["state"])
        .refused(&["container does not exist"]);
}

#[test]
fn state_has_the_fields_of_the_specification() {
    let container = Container::new(|config| {
        config
            .waits()
            .set("/annotations", json!({"org.example.key": "value"}));
    });
    container.run_detached();
    let state = container.state();
    assert_eq!(state["id"], container.id.as_str());
    assert_eq!(state["status"], "running");
    assert_eq!(state["bundle"], container.bundle().to_str().unwrap());
    assert_eq!(state["annotations"], json!({"org.example.key": "value"}));
    assert!(
        state["ociVersion"]
            .as_str()
            .is_some_and(|version| version.starts_with("1.")),
        "{state}"
    );
    let comm = fs::read_to_string(format!("/proc/{}/comm", container.pid())).unwrap();
    assert_eq!(comm.trim(), "sh", "pid is the program's own, on the host");
}

#[test]
fn state_of_a_stopped_container_has_no_process() {
    let container = Container::new(|config| {
        config.args(&["true"]);
    });
    container.run_detached();
    container.wait_for("stopped");
    assert_eq!(
        container
            .state()
            .get("pid")
            .and_then(Value::as_i64)
            .unwrap_or(0),
        0
    );
}

#[test]
fn a_bundle_path_is_reported_absolute_although_it_was_given_relative() {
    let container = Container::new(waits);
    let mut command = container.subcommand(["create", "--bundle", "bundle", &container.id]);
    let _ = run(command.current_dir(container.path())).ok();
    assert_eq!(
        container.state()["bundle"],
        container.bundle().to_str().unwrap()
    );
}

#[test]
fn an_id_can_be_used_once_at_a_time() {
    let container = Container::new(waits);
    let _ = container.create().ok();
    let pid = container.pid();
    let _ = container.create().refused(&["exist"]);
    assert_eq!(
        container.status(),
        "created",
        "the refused create has not touched the first"
    );
    assert_eq!(container.pid(), pid);
}

#[test]
fn a_deleted_id_can_be_used_again() {
    let container = Container::new(waits);
    for _ in 0..3 {
        let _ = container.create().ok();
        let _ = container.start().ok();
        let _ = container.kill("KILL").ok();
        container.wait_for("stopped");
        let _ = container.delete().ok();
        container.assert_nothing_left();
    }
}

#[test]
fn start_twice_is_refused() {
    let container = Container::new(waits);
    let _ = container.create().ok();
    let _ = container.start().ok();
    let _ = container
        .start()
        .refused(&["cannot start an already running container"]);
    assert_eq!(container.status(), "running");
}

#[test]
fn start_of_a_stopped_container_is_refused() {
    let container = Container::new(waits);
    let _ = container.create().ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container
        .start()
        .refused(&["cannot start a container that has stopped"]);
}

#[test]
fn delete_of_a_running_container_is_refused_and_does_nothing() {
    let container = Container::new(waits);
    let _ = container.run_detached();
    let _ = container.delete().refused(&[
        "cannot delete container",
        &container.id,
        "that is not stopped",
    ]);
    assert_eq!(container.status(), "running");
}

#[test]
fn delete_of_a_created_container_removes_it() {
    // runtime.md asks for "stopped"; runc removes a created one too, and engines count on it.
    let container = Container::new(waits);
    let _ = container.create().ok();
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn delete_by_force_removes_a_running_and_a_created_container() {
    for start in [true, false] {
        let container = Container::new(waits);
        let _ = container.create().ok();
        if start {
            let _ = container.start().ok();
        }
        let _ = container.delete_force().ok();
        container.assert_nothing_left();
        let _ = container
            .call(&["state"])
            .refused(&["container does not exist"]);
        let _ = container.delete_force().ok();
    }
}

#[test]
fn delete_by_force_kills_all_processes_of_a_container_in_a_shared_pid_namespace() {
    let container = Container::new(|config| {
        config.share("pid").shell("sleep 60 & sleep 60 & wait");
    });
    let _ = container.run_detached();
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
}

#[test]
fn commands_on_an_unknown_container_say_that_it_does_not_exist() {
    let container = Container::new(waits);
    for subcommand in ["state", "start", "kill", "delete", "ps"] {
        let _ = container
            .call(&[subcommand])
            .refused(&["container does not exist"]);
    }
    let _ = container
        .exec(&[], &["true"])
        .refused(&["container does not exist"]);
    let _ = container.delete_force().ok();
}

#[test]
fn kill_sends_the_signal_it_is_given_by_name_or_number() {
    for signal in ["USR1", "SIGUSR1", "10", "usr1"] {
        let container = Container::new(|config| {
            config.shell("trap 'exit 3' USR1; echo ready; while :; do sleep 0.05; done");
        });
        let running = container.run_in_foreground();
        until("the trap is set", || {
            running.printed().contains("ready").then_some(())
        });
        let _ = container.kill(signal).ok();
        assert_eq!(running.wait().code(), 3);
    }
}

#[test]
fn kill_sends_sigterm_by_default() {
    let container = Container::new(|config| {
        config.shell("trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done");
    });
    let running = container.run_in_foreground();
    until("the trap is set", || {
        running.printed().contains("ready").then_some(())
    });
    let _ = container.call(&["kill"]).ok();
    assert_eq!(running.wait().code(), 3);
}

#[test]
fn kill_of_an_unknown_signal_is_refused() {
    let container = Container::new(waits);
    let _ = container.run_detached();
    for signal in ["NOSUCH", "1000", "KILLER"] {
        assert_ne!(container.kill(signal).code(), 0, "{signal}");
    }
    assert_eq!(container.status(), "running");
}

#[test]
fn kill_of_a_created_container_reaches_its_init() {
    let container = Container::new(waits);
    let _ = container.create().ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
}

#[test]
fn kill_of_a_stopped_container_says_that_it_is_not_running() {
    let container = Container::new(waits);
    let _ = container.create().ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.kill("KILL").refused(&["container not running"]);
}

#[test]
fn kill_all_reaches_every_process() {
    let container = Container::new(|config| {
        config.share("pid").shell("sleep 60 & sleep 60 & wait");
    });
    let _ = container.run_detached();
    let _ = run(&mut container.subcommand(["kill", "--all", &container.id, "KILL"])).ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn ps_prints_the_host_pids_of_all_processes() {
    let container = Container::new(|config| {
        config.shell("sleep 60 & sleep 60 & wait");
    });
    let _ = container.run_detached();
    let comm = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let pids = until("two sleeping processes", || {
        let json = container.call(&["ps", "--format", "json"]).ok().stdout;
        let pids: Vec<i32> = serde_json::from_str(&json).unwrap();
        (pids.iter().filter(|pid| comm(pid) == "sleep\n").count() == 2).then_some(pids)
    });
    assert_eq!(pids.len(), 3, "{pids:?}");
    assert!(pids.contains(&container.pid()), "{pids:?}");
}

#[test]
fn delete_by_force_clears_what_a_killed_runtime_left() {
    for delay in [2, 5, 10, 15, 20, 25, 30] {
        let container = Container::new(waits);
        let creating = spawn(&mut container.create_command(&[]));
        thread::sleep(Duration::from_millis(delay));
        creating.signal(Signal::SIGKILL);
        drop(creating);
        let _ = container.delete_force().ok();
        if runtime().name == "runc" && !container.leftovers().is_empty() {
            // It knows a container by the state.json that it writes when the init has been set up.
            assert!(runtime().departs(
                "runc",
                "leaves the cgroup of a create that was killed early"
            ));
            container.clear();
        }
        container.assert_nothing_left();
        let _ = container.create().ok();
    }
}

#[test]
fn a_process_that_was_killed_behind_the_runtimes_back_is_stopped() {
    let container = Container::new(waits);
    let _ = container.run_detached();
    kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn a_container_that_may_have_one_descriptor_more_than_its_streams_starts() {
    if !runtime().is_bareboat() {
        return;
    }
    let container = Container::new(|config| {
        let limit = json!([{"type": "RLIMIT_NOFILE", "soft": 4, "hard": 4}]);
        config.set("/process/rlimits", limit).args(&["true"]);
    });
    let _ = container.create().ok();
    let _ = container.start().ok();
    container.wait_for("stopped");
}
