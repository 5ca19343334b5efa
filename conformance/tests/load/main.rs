//! Many containers at once: each is what it would be alone, and nothing is left of any.
//!
//! The counts are those that an ordinary run of the tests has time for. `make load` runs the tests that are ignored by
//! default, with 200 containers by 16 callers.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

mod lives;
mod place;

use std::fs;
use std::process::Stdio;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use conformance::process::{run, spawn};
use conformance::runtime::runtime;
use conformance::{Config, cgroup};
use place::Place;

/// How many containers there are, and how many callers who make them.
#[derive(Clone, Copy)]
struct Load {
    containers: usize,
    callers: usize,
}

const ORDINARY: Load = Load {
    containers: 48,
    callers: 8,
};
const FULL: Load = Load {
    containers: 200,
    callers: 16,
};

/// Has the callers do it for each number, as soon as one of them is free.
fn share_out(load: Load, act: impl Fn(usize) + Sync) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..load.callers {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= load.containers {
                        return;
                    }
                    act(number);
                }
            });
        }
    });
}

/// Does something over and over while something else is done, at least once.
fn meanwhile(again: impl Fn() + Sync, act: impl FnOnce()) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            loop {
                again();
                if done.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        // A panic, too, ends the other.
        let _end = Done(&done);
        act();
    });
}

struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn all_kinds_of_lives(load: Load) {
    let place = Place::new();
    // It is an error to list what is in no directory.
    fs::create_dir(place.state_root()).unwrap();
    let list = || {
        let list = place.call(&["list", "--format", "json"]);
        // runc says that a container is gone which it has just seen.
        if runtime().is_bareboat() {
            let list: serde_json::Value = serde_json::from_str(&list.ok().stdout).unwrap();
            assert!(list.is_array() || list.is_null(), "{list}");
        }
    };
    meanwhile(list, || {
        share_out(load, |number| lives::live(&place, number))
    });
    place.assert_empty();
}

#[test]
fn containers_that_are_made_at_once_are_what_they_would_be_alone_and_leave_nothing() {
    all_kinds_of_lives(ORDINARY);
}

#[test]
#[ignore = "takes a minute: make load"]
fn two_hundred_containers_by_sixteen_callers_are_what_they_would_be_alone_and_leave_nothing() {
    all_kinds_of_lives(FULL);
}

fn all_alive_at_once(load: Load) {
    let place = Place::new();
    share_out(load, |number| lives::begin(&place, number));
    share_out(load, |number| lives::visit(&place, number));
    share_out(load, |number| lives::end(&place, number));
    place.assert_empty();
}

#[test]
fn containers_that_live_at_once_are_entered_killed_and_deleted_at_once() {
    all_alive_at_once(ORDINARY);
}

#[test]
#[ignore = "takes a minute: make load"]
fn two_hundred_containers_live_at_once() {
    all_alive_at_once(FULL);
}

#[test]
fn of_callers_that_create_the_same_id_at_once_one_succeeds() {
    let place = Place::new();
    let id = place.id(0);
    let bundle = place.bundle(&id, waits);
    let bundle = bundle.to_str().unwrap();
    for _ in 0..3 {
        let together = Barrier::new(16);
        let created = AtomicUsize::new(0);
        let all = Load {
            containers: 16,
            callers: 16,
        };
        share_out(all, |_| {
            together.wait();
            let create = place.call(&["create", "--bundle", bundle, &id]);
            if create.code() == 0 {
                created.fetch_add(1, Ordering::Relaxed);
            } else {
                let _ = create.refused(&["exist"]);
            }
        });
        assert_eq!(created.into_inner(), 1);
        assert_eq!(place.status(&id), "created");
        let _ = place.call(&["delete", "--force", &id]).ok();
    }
    place.assert_empty();
}

#[test]
fn a_container_that_is_deleted_by_force_while_it_is_created_was_there_or_not_but_leaves_nothing() {
    if runtime().departs(
        "runc",
        "takes no lock: its create fails, and leaves a cgroup",
    ) {
        return;
    }
    let place = Place::new();
    let load = Load {
        containers: 16,
        callers: 4,
    };
    share_out(load, |number| {
        let id = place.id(number);
        let bundle = place.bundle(&id, waits);
        let delete = || drop(place.call(&["delete", "--force", &id]).ok());
        meanwhile(delete, || {
            let mut create = place.command(&["create", "--bundle", bundle.to_str().unwrap(), &id]);
            let _ = run(&mut create).ok();
        });
        delete();
        let _ = place
            .call(&["state", &id])
            .refused(&["container does not exist"]);
    });
    place.assert_empty();
}

#[test]
fn parents_of_cgroups_that_somebody_removes_all_the_time_are_made_again() {
    if runtime().departs("runc", "makes parents once") {
        return;
    }
    let place = Place::new();
    let parents: Vec<_> = place.parents().collect();
    let mounts: Vec<_> = cgroup::hierarchies()
        .into_iter()
        .map(|(_, mount)| mount)
        .collect();
    let remove = || {
        for parent in parents.iter().rev() {
            for mount in &mounts {
                drop(fs::remove_dir(mount.join(&parent[1..])));
            }
        }
    };
    let load = Load {
        containers: 16,
        callers: 4,
    };
    meanwhile(remove, || {
        share_out(load, |number| {
            let id = place.id(number);
            let bundle = place.bundle(&id, |config| {
                config.args(&["hostname"]);
            });
            let run = place
                .call(&["run", "--bundle", bundle.to_str().unwrap(), &id])
                .ok();
            assert_eq!(run.stdout, format!("{id}\n"));
        });
    });
    place.assert_empty();
}

#[test]
fn containers_that_share_a_bundle_make_the_mount_points_in_its_root_at_once() {
    let place = Place::new();
    fs::write(place.path("source"), "from the host\n").unwrap();
    let together = Barrier::new(8);
    let all = Load {
        containers: 8,
        callers: 8,
    };
    for round in 0..4 {
        let bundle = place.bundle(&format!("round-{round}"), |config| {
            let script = format!("cat /new-{round}/for/a/file && grep -c new-{round} /proc/mounts");
            // Each has a cgroup that is named after its ID, at the top.
            config
                .shell(&script)
                .set("/root/readonly", false.into())
                .remove("/linux/cgroupsPath")
                .bind(
                    place.path("source"),
                    &format!("/new-{round}/for/a/file"),
                    &["bind", "ro"],
                )
                .mount(
                    &format!("/new-{round}/for/a/directory"),
                    "tmpfs",
                    "tmpfs",
                    &[],
                );
        });
        share_out(all, |number| {
            let id = format!("{}-{round}", place.id(number));
            together.wait();
            let run = place
                .call(&["run", "--bundle", bundle.to_str().unwrap(), &id])
                .ok();
            assert_eq!(run.stdout, "from the host\n2\n");
            assert_eq!(
                cgroup::existing(&format!("/{id}")),
                [""; 0].map(std::path::PathBuf::from)
            );
        });
    }
    place.assert_empty();
}

/// How long a container takes when so many are made at once. Nothing is asserted: it is printed, to be looked at.
#[test]
#[ignore = "prints times: make load"]
fn the_time_that_a_container_takes_by_the_count_of_callers() {
    let place = Place::new();
    for callers in [1, 4, 16] {
        let load = Load {
            containers: 64,
            callers,
        };
        let longest = AtomicUsize::new(0);
        let start = Instant::now();
        share_out(load, |number| {
            let id = place.id(number);
            let bundle = place.bundle(&id, |config| {
                config.args(&["true"]);
            });
            let start = Instant::now();
            let mut command = place.command(&["run", "--bundle", bundle.to_str().unwrap(), &id]);
            let _ = spawn(command.stdin(Stdio::null())).wait().ok();
            let time = usize::try_from(start.elapsed().as_millis()).unwrap();
            longest.fetch_max(time, Ordering::Relaxed);
        });
        let each = start.elapsed() / u32::try_from(load.containers).unwrap();
        println!(
            "{} run by {callers:2} callers: {:5.1} ms each, {} ms the longest",
            runtime().name,
            each.as_secs_f64() * 1000.0,
            longest.into_inner(),
        );
    }
    place.assert_empty();
}

fn waits(config: &mut Config) {
    config.waits();
}
