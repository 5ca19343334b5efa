//! `delete`: what holds a container up, and what force does about it.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use conformance::driver::is_systemd_and;
use conformance::process::{Running, spawn, until};
use conformance::runtime::runtime;
use conformance::{Config, Container, cgroup};
use nix::sys::signal::Signal;

/// A process of the test's own; it ends with the test.
fn stranger() -> Running {
    spawn(Command::new("sleep").arg("60").stdin(Stdio::null()))
}

fn end(stranger: Running) {
    stranger.signal(Signal::SIGKILL);
    assert_eq!(stranger.wait().code(), 137);
}

fn waits(config: &mut Config) {
    config.waits();
}

/// A stopped container and a stranger in its cgroup, or in one below that.
fn held(below: Option<&str>) -> (Container, Running) {
    let container = Container::new(waits);
    let _ = container.run_detached();
    let mut directory = cgroup::of_process(container.pid(), "devices");
    if let Some(below) = below {
        directory.push(below);
        fs::create_dir(&directory).unwrap();
    }
    let stranger = stranger();
    fs::write(directory.join("cgroup.procs"), stranger.id().to_string()).unwrap();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    (container, stranger)
}

#[test]
fn a_cgroup_that_another_process_is_in_is_not_removed_and_the_error_says_who_it_is() {
    if is_systemd_and("it ends all that is in a unit") {
        return;
    }
    if runtime().departs("runc", "does not say who it is") {
        return;
    }
    let (container, stranger) = held(None);
    let started = Instant::now();
    let phrases: &[&str] = &[
        "busy",
        &format!("process {} (sleep) is in it", stranger.id()),
    ];
    let refused = container.delete();
    assert!(started.elapsed() < Duration::from_secs(15), "{refused:?}");
    let line = refused.stderr.to_lowercase();
    for phrase in phrases {
        assert!(line.contains(phrase), "{phrase}: {refused:?}");
    }
    assert_eq!(container.status(), "stopped");
    end(stranger);
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn who_is_in_a_cgroup_below_the_containers_is_told_with_its_place() {
    if is_systemd_and("it ends all that is in a unit") {
        return;
    }
    if runtime().departs("runc", "does not say who it is") {
        return;
    }
    let (container, stranger) = held(Some("below"));
    let refused = container.delete();
    let place = format!("process {} (sleep) is in /sys/fs/cgroup/", stranger.id());
    assert_ne!(refused.code(), 0);
    assert!(refused.stderr.contains(&place), "{refused:?}");
    assert!(refused.stderr.contains("/below"), "{refused:?}");
    end(stranger);
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn force_ends_every_process_in_the_cgroup() {
    if runtime().departs("runc", "leaves strangers in the cgroup alone") {
        return;
    }
    let (container, stranger) = held(None);
    let _ = container.delete_force().ok();
    assert_eq!(stranger.wait().code(), 137);
    container.assert_nothing_left();
}

fn with_processes_below(frozen: bool) -> Container {
    let container = Container::new(|config| {
        config.share("pid").shell("sleep 61 & sleep 62 & wait");
    });
    let _ = container.run_detached();
    let pid = container.pid();
    let children = until("two children", || {
        let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let children: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        (children.len() == 2).then_some(children)
    });
    let freezer = cgroup::of_process(pid, "freezer");
    for (child, place) in children.iter().zip(["a", "b/c"]) {
        let directory = freezer.join(place);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("cgroup.procs"), child).unwrap();
        if frozen {
            cgroup::freeze(&directory, true);
        }
    }
    container
}

#[test]
fn processes_in_cgroups_below_the_containers_go_with_it() {
    let container = with_processes_below(false);
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
}

#[test]
fn frozen_processes_in_cgroups_below_the_containers_go_with_it() {
    if runtime().departs("runc", "does not thaw cgroups below the container's") {
        return;
    }
    let container = with_processes_below(true);
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
}

#[test]
fn a_frozen_container_is_deleted_by_force() {
    if runtime().departs(
        "runc",
        "does not thaw in version 1 what it killed by version 2",
    ) {
        return;
    }
    for share in [true, false] {
        let container = Container::new(|config| {
            config.waits();
            if share {
                config.share("pid");
            }
        });
        let _ = container.run_detached();
        cgroup::freeze(&cgroup::of_process(container.pid(), "freezer"), true);
        let _ = container.delete().refused(&["is not stopped"]);
        let _ = container.delete_force().ok();
        container.assert_nothing_left();
    }
}

#[test]
fn several_deletes_by_force_at_once_all_succeed() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    let container = Container::new(waits);
    let _ = container.run_detached();
    let delete = || {
        spawn(
            container
                .subcommand(["delete", "--force", &container.id])
                .stdin(Stdio::null()),
        )
    };
    let deletes: Vec<Running> = (0..4).map(|_| delete()).collect();
    for delete in deletes {
        let _ = delete.wait().ok();
    }
    container.assert_nothing_left();
}

/// What `delete` waits for: flock(2) on the container's directory, which `create` holds. /proc/locks lists who waits.
fn waits_for_a_lock(process: &Running) -> bool {
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let pid = process.id().to_string();
    let mut waiting = locks.lines().filter(|line| line.contains("-> FLOCK"));
    waiting.any(|line| line.split_whitespace().any(|word| word == pid))
}

#[test]
fn force_waits_for_a_create_that_has_written_nothing_yet_and_takes_back_what_it_made() {
    if runtime().departs("runc", "takes no lock") {
        return;
    }
    let container = Container::new(waits);
    let _ = container.create().ok();
    // As it was just after the directory had been made.
    let directory = container.state_root().join(&container.id);
    let (record, hidden) = (
        directory.join("state.json"),
        container.path().join("hidden"),
    );
    fs::rename(&record, &hidden).unwrap();
    let lock = fs::File::open(&directory).unwrap();
    lock.lock().unwrap();
    let delete = spawn(
        container
            .subcommand(["delete", "--force", &container.id])
            .stdin(Stdio::null()),
    );
    until("delete waits for create", || {
        waits_for_a_lock(&delete).then_some(())
    });
    fs::rename(&hidden, &record).unwrap();
    lock.unlock().unwrap();
    let _ = delete.wait().ok();
    container.assert_nothing_left();
}

#[test]
fn processes_that_fork_and_exit_all_the_time_are_deleted_by_force() {
    let container = Container::new(|config| {
        config
            .share("pid")
            .shell("walk() { walk & }; walk; walk; walk; while :; do sleep 0.05; done");
    });
    let _ = container.run_detached();
    std::thread::sleep(Duration::from_millis(100));
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
}

#[test]
fn what_a_killed_run_left_is_deleted_by_force() {
    let container = Container::new(waits);
    let running = container.run_in_foreground();
    until("the container runs", || {
        let state = container.call(&["state"]);
        (state.code() == 0 && state.stdout.contains("\"running\"")).then_some(())
    });
    running.signal(Signal::SIGKILL);
    drop(running);
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
    let _ = container.create().ok();
}
