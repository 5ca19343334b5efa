//! A state directory whose files are damaged, lost, exchanged or another's.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use conformance::Container;
use serde_json::{Value, json};

use crate::{answer, assert_can_be_replaced, fails, is_another, waits};

fn record(container: &Container) -> PathBuf {
    container
        .state_root()
        .join(&container.id)
        .join("state.json")
}

fn running() -> Container {
    let container = Container::new(waits);
    let _ = container.run_detached();
    container
}

/// What every command says of a state that it cannot read.
#[track_caller]
fn assert_all_refuse(container: &Container, phrase: &str) {
    for command in ["state", "start", "kill", "pause", "resume", "delete", "ps"] {
        let finished = container.call(&[command]);
        fails(finished, phrase);
    }
    fails(container.exec(&[], &["true"]), phrase);
    fails(container.call(&["update", "--pids-limit", "9"]), phrase);
    fails(container.create(), "container with given ID already exists");
}

/// Damages the state of a container that runs; force removes what runs and all else.
fn assert_ended_by_force(phrase: &str, damage: impl FnOnce(&Path)) {
    let container = running();
    let pid = container.pid();
    damage(&record(&container));
    assert_all_refuse(&container, phrase);
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    assert_can_be_replaced(&container);
}

#[test]
fn a_damaged_state_is_told_of_and_the_container_is_ended_by_force() {
    if is_another() {
        return;
    }
    let texts: [(&str, &[u8]); 4] = [
        ("an empty one", b""),
        ("bytes", b"\xff\xfe\x00\x01{"),
        ("another type", b"[1, 2]"),
        ("no fields", b"{}"),
    ];
    for (name, text) in texts {
        println!("{name}");
        assert_ended_by_force("state.json is damaged", |path| {
            fs::write(path, text).unwrap();
        });
    }
    assert_ended_by_force("state.json is damaged (it is larger than 64 MiB)", |path| {
        let file = fs::File::options().write(true).open(path).unwrap();
        file.set_len(1 << 33).unwrap();
    });
}

#[test]
fn a_state_that_is_a_directory_or_a_loop_or_lost_is_told_of_and_the_container_is_ended_by_force() {
    if is_another() {
        return;
    }
    assert_ended_by_force("Is a directory", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    });
    assert_ended_by_force("Too many levels of symbolic links", |path| {
        fs::remove_file(path).unwrap();
        symlink(path, path).unwrap();
    });
    assert_ended_by_force(
        "the file was lost; delete --force removes what is left",
        |path| {
            fs::remove_file(path).unwrap();
        },
    );
    let lost = "the file was lost; delete --force removes what is left";
    assert_ended_by_force(lost, |path| {
        fs::remove_file(path).unwrap();
        symlink("/no/such", path).unwrap();
    });
}

/// A record that is cut off is none. Without the lines that came later it is that of a create that was not done.
fn assert_cut_off_at(container: &Container, whole: &[u8], length: usize) {
    fs::write(record(container), &whole[..length]).unwrap();
    let after_line = length > 0 && whole[length - 1] == b'\n';
    let after_text = length > 0 && length + 1 < whole.len() && whole[length] == b'\n';
    if after_line || after_text {
        assert_eq!(container.status(), "creating");
        fails(
            container.call(&["delete"]),
            "create was ended before it was done",
        );
    } else {
        fails(container.call(&["state"]), "state.json is damaged");
        fails(container.call(&["delete"]), "state.json is damaged");
    }
}

#[test]
fn a_state_that_is_cut_off_anywhere_is_never_taken_for_one() {
    if is_another() {
        return;
    }
    let container = running();
    let path = record(&container);
    let whole = fs::read(&path).unwrap();
    let step = whole.len() / 40;
    let line = whole.iter().position(|&byte| byte == b'\n').unwrap();
    let ends = [line, line + 1, whole.len() - 2];
    for length in (0..whole.len() - 1).step_by(step).chain(ends) {
        assert_cut_off_at(&container, &whole, length);
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(container.status(), "running");
    assert_can_be_replaced(&container);
}

#[test]
#[ignore = "takes a minute: make adversity"]
fn a_state_that_is_cut_off_at_any_byte_is_never_taken_for_one() {
    let container = running();
    let path = record(&container);
    let whole = fs::read(&path).unwrap();
    for length in 0..whole.len() - 1 {
        assert_cut_off_at(&container, &whole, length);
        if length % 16 == 0 {
            let other = running();
            fs::write(record(&other), &fs::read(record(&other)).unwrap()[..length]).unwrap();
            assert_can_be_replaced(&other);
        }
    }
    fs::write(&path, &whole).unwrap();
    println!("{} lengths", whole.len());
}

fn change(container: &Container, act: impl FnOnce(&mut Value)) {
    let path = record(container);
    let lines = fs::read_to_string(&path).unwrap();
    let mut state: Value = serde_json::from_str(lines.lines().last().unwrap()).unwrap();
    act(&mut state);
    fs::write(path, state.to_string()).unwrap();
}

#[test]
fn a_state_with_a_field_of_the_wrong_type_is_damaged() {
    if is_another() {
        return;
    }
    for (field, value) in [
        ("init", json!("7")),
        ("init", json!({"pid": -1, "startTime": 1})),
        ("init", json!({"pid": 0, "startTime": 1})),
        ("id", json!("another")),
        ("bundle", json!(7)),
        ("cgroup", json!({"directories": 7})),
        ("namespaces", json!(-1)),
    ] {
        let container = running();
        change(&container, |state| state[field] = value.clone());
        fails(container.call(&["state"]), "state.json is damaged");
        assert_can_be_replaced(&container);
    }
}

#[test]
fn a_state_of_a_later_version_with_fields_that_are_unknown_is_read() {
    if is_another() {
        return;
    }
    let container = running();
    change(&container, |state| {
        state["fieldOfTheFuture"] = json!({"a": [1, 2]});
        state["init"]["another"] = json!(true);
    });
    assert_eq!(container.status(), "running");
    let _ = container.exec(&[], &["true"]).ok();
    assert_can_be_replaced(&container);
}

#[test]
fn a_pid_that_another_process_has_is_not_taken_for_the_containers() {
    if is_another() {
        return;
    }
    let container = running();
    let (pid, own) = (container.pid(), std::process::id());
    change(&container, |state| state["init"]["pid"] = json!(own));
    assert_eq!(container.status(), "stopped");
    fails(container.kill("KILL"), "container not running");
    fails(
        container.exec(&[], &["true"]),
        "cannot exec in a stopped container",
    );
    assert!(Path::new(&format!("/proc/{pid}")).exists());
    assert_can_be_replaced(&container);
}

#[test]
fn the_state_of_another_container_is_not_taken_for_ones_own() {
    if is_another() {
        return;
    }
    let (one, other) = (running(), running());
    fs::copy(record(&one), record(&other)).unwrap();
    fails(
        other.call(&["state"]),
        "state.json is damaged (it is of another container)",
    );
    assert_can_be_replaced(&other);
    assert_eq!(one.status(), "running");
}

#[test]
fn each_file_of_the_state_directory_can_be_lost_and_the_container_is_ended_by_force() {
    if is_another() {
        return;
    }
    for started in [false, true] {
        for names in [
            &["config.json"][..],
            &["start.sock"],
            &["state.json"],
            &["state.json", "start.sock"],
        ] {
            let container = Container::new(waits);
            let _ = container.create().ok();
            if started {
                let _ = container.start().ok();
            }
            for name in names {
                let path = container.state_root().join(&container.id).join(name);
                drop(fs::remove_file(path));
            }
            for command in ["state", "start", "pause", "resume", "kill"] {
                let _ = answer(container.call(&[command]));
            }
            let _ = answer(container.exec(&[], &["true"]));
            assert_can_be_replaced(&container);
        }
    }
}

#[test]
fn a_lost_or_damaged_configuration_is_told_of_by_those_who_need_it() {
    if is_another() {
        return;
    }
    for text in [None, Some("{"), Some("[]"), Some("")] {
        let container = running();
        let path = container
            .state_root()
            .join(&container.id)
            .join("config.json");
        match text {
            None => fs::remove_file(&path).unwrap(),
            Some(text) => fs::write(&path, text).unwrap(),
        }
        assert_eq!(container.status(), "running");
        fails(container.exec(&[], &["true"]), "config");
        fails(container.call(&["update", "--pids-limit", "9"]), "config");
        let _ = container.call(&["pause"]).ok();
        let _ = container.call(&["resume"]).ok();
        let _ = container.kill("KILL").ok();
        container.wait_for("stopped");
        let _ = container.delete().ok();
        container.assert_nothing_left();
        assert_can_be_replaced(&container);
    }
}

#[test]
fn an_empty_state_directory_is_what_delete_by_force_removes() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let directory = container.state_root().join(&container.id);
    fs::create_dir_all(&directory).unwrap();
    assert_all_refuse(&container, "is not there");
    assert_can_be_replaced(&container);
    // Nothing to warn of: there was none.
    fs::create_dir_all(&directory).unwrap();
    assert_eq!(container.delete_force().ok().stderr, "");
}

#[test]
fn a_pid_file_that_is_lost_or_another_containers_matters_to_nobody() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let file = container.path().join("pid");
    let options = ["--pid-file", file.to_str().unwrap()];
    let _ = conformance::process::run(&mut container.create_command(&options)).ok();
    fs::remove_file(&file).unwrap();
    let _ = container.start().ok();
    fs::write(&file, "1").unwrap();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    assert_can_be_replaced(&container);
}
