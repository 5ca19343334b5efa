//! Cgroups that somebody else removes, freezes or fills.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use conformance::driver::is_systemd_and;
use conformance::process::{run, spawn, until};
use conformance::{Container, cgroup};
use serde_json::json;

use crate::{all_answers, answer, assert_can_be_replaced, fails, is_another, waits};

/// The cgroup's directories in all hierarchies.
fn directories(container: &Container) -> Vec<PathBuf> {
    cgroup::existing(&container.cgroup)
}

/// Moves the processes of the container to the root of each hierarchy, and removes its cgroup.
fn remove_behind_its_back(container: &Container) {
    for directory in directories(container) {
        let root = directory.parent().unwrap().join("cgroup.procs");
        until("the cgroup is empty", || {
            let pids = fs::read_to_string(directory.join("cgroup.procs")).unwrap();
            for pid in pids.lines() {
                drop(fs::write(&root, pid));
            }
            pids.is_empty().then_some(())
        });
        until("the cgroup is gone", || fs::remove_dir(&directory).ok());
    }
}

#[test]
fn a_cgroup_that_was_removed_is_an_error_for_those_who_need_it_and_no_hindrance_to_the_end() {
    if is_another() || is_systemd_and("it removes its units itself") {
        return;
    }
    for started in [false, true] {
        let container = Container::new(waits);
        let _ = container.create().ok();
        if started {
            let _ = container.start().ok();
        }
        remove_behind_its_back(&container);
        for (name, error) in all_answers(&container) {
            match (name, started) {
                ("state" | "list" | "kill" | "ps", _) => assert_eq!(error, None, "{name}"),
                ("start", false) => assert_eq!(error, None, "{name}"),
                ("exec" | "update" | "pause", _) => {
                    let error = error.unwrap();
                    assert!(
                        error.contains("cgroup") || error.contains("freeze"),
                        "{error}"
                    );
                }
                _ => {}
            }
        }
        let _ = container.kill("KILL").ok();
        container.wait_for("stopped");
        let _ = container.delete().ok();
        container.assert_nothing_left();
        assert_can_be_replaced(&container);
    }
}

#[test]
fn a_cgroup_that_was_removed_while_the_container_ran_is_no_hindrance_to_force() {
    if is_another() || is_systemd_and("it removes its units itself") {
        return;
    }
    for share in [false, true] {
        let container = Container::new(|config| {
            config.waits();
            if share {
                config.share("pid");
            }
        });
        let _ = container.run_detached();
        remove_behind_its_back(&container);
        assert_can_be_replaced(&container);
    }
}

#[test]
fn a_cgroup_that_somebody_froze_is_paused_and_can_be_resumed_killed_and_deleted() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let _ = container.create().ok();
    let freezer = cgroup::of_process(container.pid(), "freezer");
    cgroup::freeze(&freezer, true);
    assert_eq!(container.status(), "paused");
    fails(
        container.start(),
        "cannot start a container in the paused state",
    );
    fails(container.delete(), "is not stopped: paused");
    let _ = container.call(&["resume"]).ok();
    let _ = container.start().ok();
    cgroup::freeze(&freezer, true);
    fails(container.call(&["pause"]), "paused");
    fails(
        container.exec(&[], &["true"]),
        "cannot exec in a paused container",
    );
    let _ = container.call(&["update", "--pids-limit", "900"]).ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    assert_can_be_replaced(&container);
}

#[test]
fn a_cgroup_that_is_there_with_a_stranger_in_it_or_frozen_takes_no_container() {
    if is_another() || is_systemd_and("it makes the cgroup") {
        return;
    }
    let container = Container::new(waits);
    let directory = cgroup::directory("freezer", &container.cgroup);
    fs::create_dir(&directory).unwrap();
    let stranger = spawn(Command::new("sleep").arg("60").stdin(Stdio::null()));
    fs::write(directory.join("cgroup.procs"), stranger.id().to_string()).unwrap();
    fails(container.create(), "cgroup is not empty");
    assert!(!container.state_root().join(&container.id).exists());
    assert_eq!(answer(container.delete_force()), None);
    stranger.signal(nix::sys::signal::Signal::SIGKILL);
    assert_eq!(stranger.wait().code(), 137, "force has not ended it before");
    cgroup::freeze(&directory, true);
    fails(container.create(), "unexpectedly frozen");
    cgroup::freeze(&directory, false);
    let _ = container.create().ok();
    let _ = container.delete_force().ok();
    drop(fs::remove_dir(&directory));
    container.assert_nothing_left();
}

/// A cgroup above the container's that may have so many processes.
fn limited_parent(container: &Container, limit: &str) -> PathBuf {
    let parent = cgroup::directory("pids", &container.cgroup);
    fs::create_dir(&parent).unwrap();
    if !cgroup::is_v1("pids") {
        for directory in [parent.parent().unwrap(), &parent] {
            fs::write(directory.join("cgroup.subtree_control"), "+pids").unwrap();
        }
    }
    fs::write(parent.join("pids.max"), limit).unwrap();
    parent
}

#[test]
fn a_pids_limit_of_a_parent_is_told_of_and_leaves_nothing() {
    if is_another() || is_systemd_and("it makes the cgroup") {
        return;
    }
    for limit in ["0", "1", "2"] {
        let container = Container::new(waits);
        let parent = limited_parent(&container, limit);
        let mut config = container.config();
        config.set(
            "/linux/cgroupsPath",
            json!(format!("{}/below", container.cgroup)),
        );
        container.write_config(&config);
        for mut create in [
            container.create_command(&[]),
            container.run_command(&["--detach"]),
        ] {
            if let Some(error) = answer(run(&mut create)) {
                let told = [
                    "pids limit too low",
                    "pids.max",
                    "Resource temporarily unavailable",
                ];
                assert!(
                    told.iter().any(|told| error.contains(told)),
                    "{limit}: {error}"
                );
                assert!(!parent.join("below").exists(), "{limit}");
                assert!(!container.state_root().join(&container.id).exists());
            }
            assert_eq!(answer(container.delete_force()), None, "{limit}");
        }
        cgroup::remove(&container.cgroup);
        container.assert_nothing_left();
    }
}
