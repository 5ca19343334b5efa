//! Several state roots, and lists of one that changes.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use conformance::Container;
use conformance::process::run;
use conformance::runtime::runtime;
use serde_json::{Value, json};

use crate::{Done, waits};

#[test]
fn containers_of_one_id_under_two_state_roots_have_nothing_to_do_with_each_other() {
    let (one, mut two) = (Container::new(waits), Container::new(waits));
    two.id.clone_from(&one.id);
    let _ = one.run_detached();
    let _ = two.run_detached();
    assert_ne!(one.pid(), two.pid());
    let _ = one.call(&["pause"]).ok();
    assert_eq!(
        (one.status(), two.status()),
        ("paused".into(), "running".into())
    );
    let _ = one.delete_force().ok();
    assert_eq!(two.status(), "running");
    let _ = two.exec(&[], &["true"]).ok();
    let _ = one.call(&["state"]).refused(&["container does not exist"]);
}

#[test]
fn a_container_whose_cgroup_another_one_of_its_id_is_in_is_refused_and_the_other_goes_on() {
    if runtime().departs(
        "runc",
        "takes a cgroup that others are in with a warning, by its version",
    ) {
        return;
    }
    if conformance::driver::is_systemd_and("it has one unit of a name") {
        return;
    }
    let (one, mut two) = (Container::new(waits), Container::new(waits));
    two.id.clone_from(&one.id);
    let mut config = two.config();
    two.write_config(config.set("/linux/cgroupsPath", json!(one.cgroups_path)));
    let _ = one.run_detached();
    let _ = two.create().refused(&["cgroup is not empty"]);
    assert!(!two.state_root().join(&two.id).exists());
    let _ = two.delete_force().ok();
    assert_eq!(one.status(), "running");
    // The processes of both are known by the ID.
    let _ = one.delete_force().ok();
}

#[test]
fn a_list_while_containers_come_and_go_is_a_list_without_a_word_besides() {
    if runtime().departs(
        "runc",
        "says that a container is gone which it has just seen",
    ) {
        return;
    }
    let container = Container::new(waits);
    fs::create_dir(container.state_root()).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let list = run(&mut container.subcommand(["list", "--format", "json"])).ok();
                    let all: Value = serde_json::from_str(&list.stdout).unwrap();
                    assert!(all.as_array().is_some_and(|all| all.len() < 2), "{all}");
                    assert_eq!(list.stderr, "");
                }
            });
        }
        let _end = Done(&done);
        for _ in 0..6 {
            let _ = container.run_detached();
            let _ = container.delete_force().ok();
        }
    });
}
