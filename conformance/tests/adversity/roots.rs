//! What `--root` names: a file, nothing, a link, or a directory that was exchanged.

use std::fs;
use std::os::unix::fs::symlink;

use conformance::Container;
use conformance::process::run;

use crate::{answer, assert_can_be_replaced, fails, is_another, waits};

#[test]
fn a_state_root_that_is_a_file_is_told_of_by_every_command() {
    if is_another() {
        return;
    }
    for below in [false, true] {
        let container = Container::new(waits);
        let root = container.state_root();
        fs::write(&root, "").unwrap();
        let root = if below { root.join("below") } else { root };
        for name in [
            "create", "run", "state", "start", "kill", "delete", "exec", "pause", "list",
        ] {
            let mut command = conformance::runtime::runtime()
                .path
                .clone()
                .into_os_string();
            let mut command = std::process::Command::new(std::mem::take(&mut command));
            command.arg("--root").arg(&root).arg(name);
            if matches!(name, "create" | "run") {
                command.arg("--bundle").arg(container.bundle());
            }
            if name != "list" {
                command.arg(&container.id);
            }
            if name == "exec" {
                command.arg("true");
            }
            fails(run(&mut command), "Not a directory");
        }
        container.assert_nothing_left();
        fs::remove_file(container.state_root()).unwrap();
    }
}

#[test]
fn a_state_root_that_is_not_there_holds_no_containers() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    for command in ["state", "start", "kill", "pause", "resume", "delete", "ps"] {
        fails(container.call(&[command]), "container does not exist");
    }
    fails(run(&mut container.subcommand(["list"])), "No such file");
    assert_eq!(answer(container.delete_force()), None);
    assert!(!container.state_root().exists());
}

#[test]
fn a_state_root_that_is_replaced_by_a_link_to_where_it_went_has_its_containers() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let (root, moved) = (container.state_root(), container.path().join("moved"));
    let _ = container.create().ok();
    fs::rename(&root, &moved).unwrap();
    fails(container.call(&["state"]), "container does not exist");
    symlink(&moved, &root).unwrap();
    assert_eq!(container.status(), "created");
    let _ = container.start().ok();
    assert_can_be_replaced(&container);

    fs::remove_dir(&moved).unwrap();
    fails(container.create(), "make the state");
    container.assert_nothing_left();
}

#[test]
fn what_else_lies_in_the_state_root_is_no_container() {
    if is_another() {
        return;
    }
    let container = Container::new(waits);
    let root = container.state_root();
    let _ = container.create().ok();
    fs::write(root.join("file"), "").unwrap();
    fs::write(root.join("~file"), "").unwrap();
    fs::create_dir(root.join("not an id")).unwrap();
    symlink("/no/such", root.join("link")).unwrap();
    symlink("/etc", root.join("etc")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    let list = run(&mut container.subcommand(["list", "--quiet"])).ok();
    assert_eq!(list.stdout, format!("{}\n", container.id));
    let told = list
        .stderr
        .lines()
        .filter(|line| line.contains("level=warning"));
    assert_eq!(told.count(), 2, "of etc and empty: {list:#?}");
    for id in ["file", "link", "empty"] {
        let state = run(&mut container.subcommand(["state", id]));
        assert!(answer(state).is_some(), "{id}");
    }
    // One that never was a container's goes by force.
    let _ = run(&mut container.subcommand(["delete", "--force", "empty"])).ok();
    assert!(!root.join("empty").exists());
    fs::remove_dir(root.join("not an id")).unwrap();
    assert_can_be_replaced(&container);
}
