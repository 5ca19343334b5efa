//! Full and read-only disks: under the state root, for the pid file and the log, and in the root file system.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use conformance::process::run;
use conformance::{Container, rootfs};
use serde_json::json;

use crate::{
    Mounted, all_answers, answer, assert_can_be_replaced, fails, is_another, own_mounts, waits,
};

const PAGE: usize = 4096;

/// Fills a file system, but for so many pages.
fn fill(root: &Path, free: usize) {
    let mut filler = File::create(root.join("~filler")).unwrap();
    let mut length = 0;
    while filler.write_all(&[0; PAGE]).is_ok() {
        length += PAGE;
    }
    filler
        .set_len(length.saturating_sub(free * PAGE) as u64)
        .unwrap();
}

#[test]
fn a_state_root_with_room_for_a_part_of_the_state_keeps_nothing() {
    if is_another() {
        return;
    }
    own_mounts();
    let container = Container::new(waits);
    let root = container.state_root();
    let _mounted = Mounted::tmpfs(&root, "size=64k");
    let mut refused = 0;
    for free in 0..6 {
        fill(&root, free);
        for mut create in [
            container.create_command(&[]),
            container.run_command(&["--detach"]),
        ] {
            if let Some(error) = answer(run(&mut create)) {
                assert!(error.contains("No space left on device"), "{error}");
                assert!(error.contains(root.to_str().unwrap()), "{error}");
                refused += 1;
                container.assert_nothing_left();
            }
            assert_eq!(answer(container.delete_force()), None);
            container.assert_nothing_left();
        }
    }
    assert!(refused > 2, "{refused}");
    fs::remove_file(root.join("~filler")).unwrap();
    assert_can_be_replaced(&container);
}

#[test]
fn a_state_root_without_inodes_keeps_nothing() {
    if is_another() {
        return;
    }
    own_mounts();
    for inodes in 1..8 {
        let container = Container::new(waits);
        let root = container.state_root();
        let _mounted = Mounted::tmpfs(&root, &format!("nr_inodes={inodes}"));
        if let Some(error) = answer(container.create()) {
            assert!(error.contains("No space left on device"), "{error}");
            container.assert_nothing_left();
        }
        assert_eq!(answer(container.delete_force()), None);
        container.assert_nothing_left();
    }
}

#[test]
fn a_container_whose_state_root_is_full_is_worked_with_and_an_update_changes_nothing() {
    if is_another() {
        return;
    }
    own_mounts();
    let container = Container::new(waits);
    let root = container.state_root();
    let _mounted = Mounted::tmpfs(&root, "size=64k");
    let _ = container.create().ok();
    fill(&root, 0);
    for (name, error) in all_answers(&container) {
        match name {
            "update" => assert!(error.unwrap().contains("No space left on device")),
            _ => assert_eq!(error, None, "{name}"),
        }
    }
    let config = root.join(&container.id).join("config.json");
    assert!(!fs::read_to_string(config).unwrap().contains("900"));
    fs::remove_file(root.join("~filler")).unwrap();
    assert_can_be_replaced(&container);
}

#[test]
fn a_read_only_state_root_takes_no_container() {
    if is_another() {
        return;
    }
    own_mounts();
    let container = Container::new(waits);
    let root = container.state_root();
    let mounted = Mounted::tmpfs(&root, "size=1m");
    mounted.set_readonly(true);
    fails(container.create(), "Read-only file system");
    fails(container.run(), "Read-only file system");
    fails(container.call(&["state"]), "container does not exist");
    assert_eq!(answer(container.delete_force()), None);
    container.assert_nothing_left();
    mounted.set_readonly(false);
    assert_can_be_replaced(&container);
}

#[test]
fn a_container_whose_state_root_turned_read_only_is_worked_with_until_it_is_deleted() {
    if is_another() {
        return;
    }
    own_mounts();
    let container = Container::new(waits);
    let root = container.state_root();
    let mounted = Mounted::tmpfs(&root, "size=1m");
    let _ = container.create().ok();
    mounted.set_readonly(true);
    for (name, error) in all_answers(&container) {
        match name {
            "update" => assert!(error.unwrap().contains("Read-only file system")),
            _ => assert_eq!(error, None, "{name}"),
        }
    }
    assert_eq!(container.status(), "running");
    fails(
        container.start(),
        "cannot start an already running container",
    );
    // What runs is ended; the directory cannot go yet.
    fails(container.delete_force(), "remove the state directory");
    assert_eq!(container.status(), "stopped");
    mounted.set_readonly(false);
    assert_can_be_replaced(&container);
}

#[test]
fn a_pid_file_that_cannot_be_written_makes_no_container_and_leaves_no_part_of_it() {
    if is_another() {
        return;
    }
    own_mounts();
    let container = Container::new(waits);
    let place = container.path().join("full");
    let mounted = Mounted::tmpfs(&place, "size=16k");
    fill(&place, 0);
    let file = place.join("pid");
    let options = ["--pid-file", file.to_str().unwrap()];
    let refused = |phrase: &str| {
        fails(run(&mut container.create_command(&options)), phrase);
        container.assert_nothing_left();
        fails(run(&mut container.run_command(&options)), phrase);
        container.assert_nothing_left();
        let names = fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["~filler"]);
    };
    refused("No space left on device");
    mounted.set_readonly(true);
    refused("Read-only file system");
    let _ = container.run_detached();
    fails(container.exec(&options, &["true"]), "write the pid file");
    assert_eq!(container.status(), "running");
    assert_can_be_replaced(&container);
}

#[test]
fn a_log_that_cannot_be_written_stops_nothing_and_one_that_cannot_be_opened_is_told_of() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let with_log = |log: &str, arguments: &[&str]| {
        let mut command = container.runtime();
        command.args(["--log", log, "--debug"]).args(arguments);
        run(command.arg(&container.id))
    };
    let bundle = container.bundle();
    let _ = with_log(
        "/dev/full",
        &["create", "--bundle", bundle.to_str().unwrap()],
    )
    .ok();
    for command in ["start", "state", "pause", "resume"] {
        let _ = with_log("/dev/full", &[command]).ok();
    }
    fails(
        with_log("/dev/full", &["start"]),
        "cannot start an already running container",
    );
    fails(
        with_log("/no/such/directory/log", &["state"]),
        "open /no/such/directory/log",
    );
    let _ = with_log("/dev/full", &["delete", "--force"]).ok();
    container.assert_nothing_left();
}

#[test]
fn a_mount_whose_target_cannot_be_made_in_the_root_is_refused_by_its_pointer() {
    if is_another() {
        return;
    }
    own_mounts();
    for readonly in [true, false] {
        let container = Container::new(|config| {
            config.waits().set("/root/readonly", json!(false)).mount(
                "/new/directory",
                "tmpfs",
                "tmpfs",
                &[],
            );
        });
        let root = container.rootfs();
        let mounted = if readonly {
            let mounted = Mounted::bound(&root);
            mounted.set_readonly(true);
            mounted
        } else {
            let mounted = Mounted::tmpfs(&root, "nr_inodes=1000");
            rootfs::fill(&root);
            let mut number = 0;
            while File::create(root.join(format!("tmp/{number}"))).is_ok() {
                number += 1;
            }
            mounted
        };
        let cause = match readonly {
            true => "Read-only file system",
            false => "No space left on device",
        };
        for finished in [container.create(), container.run()] {
            let error = answer(finished).unwrap();
            assert!(
                error.contains("/mounts/7") && error.contains(cause),
                "{error}"
            );
            container.assert_nothing_left();
        }
        drop(mounted);
        assert_can_be_replaced(&container);
    }
}

#[test]
fn a_spec_that_cannot_be_written_leaves_no_part_of_it() {
    if is_another() {
        return;
    }
    own_mounts();
    let container = Container::new(waits);
    let place = container.path().join("full");
    let _mounted = Mounted::tmpfs(&place, "size=16k");
    fill(&place, 0);
    let mut spec = container.subcommand(["spec", "--bundle"]);
    fails(run(spec.arg(&place)), "No space left on device");
    assert!(!place.join("config.json").exists());
}
