//! Lives of containers that are told from each other by what they print: their names, and exit statuses of their own.

use std::fs;
use std::process::Stdio;

use conformance::Config;
use conformance::process::{Finished, spawn_with_own_streams, until};

use crate::place::Place;

/// One of four kinds of lives.
pub(crate) fn live(place: &Place, number: usize) {
    match number % 4 {
        0 => {
            begin(place, number);
            visit(place, number);
            end(place, number);
        }
        1 => in_the_foreground(place, number),
        2 => detached_and_deleted_by_force(place, number),
        _ => refused(place, number),
    }
}

/// An exit status that containers at the same time do not have.
fn code(number: usize) -> i32 {
    i32::try_from(number % 100).unwrap() + 20
}

/// One in three has a user namespace, one in five a cgroup namespace; all have those of the default, with the network's.
fn vary(place: &Place, number: usize, config: &mut Config) {
    if number.is_multiple_of(3) {
        place.map_ids(config);
    }
    if number.is_multiple_of(5) {
        config.namespace("cgroup", None);
    }
}

/// What every container prints: its name, and its descriptors, of which it has three and that of the list.
const PRINT: &str = "hostname; echo /proc/self/fd/*";
const DESCRIPTORS: &str = "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3";

fn printed(id: &str) -> String {
    format!("{id}\n{DESCRIPTORS}\n")
}

/// `create` and `start`, and the program has said who it is.
pub(crate) fn begin(place: &Place, number: usize) {
    let id = place.id(number);
    let bundle = place.bundle(&id, |config| {
        vary(place, number, config);
        config.shell(&format!("{PRINT}; exec sleep 600"));
    });
    let (path, output) = place.output(&id);
    let pid_file = bundle.join("pid");
    let options = [
        "create",
        "--bundle",
        bundle.to_str().unwrap(),
        "--pid-file",
        pid_file.to_str().unwrap(),
        &id,
    ];
    let mut create = place.command(&options);
    let create = create
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::null());
    let _ = spawn_with_own_streams(create).wait().ok();
    assert_eq!(place.status(&id), "created");
    let pid = fs::read_to_string(pid_file).unwrap();
    assert!(
        place
            .call(&["state", &id])
            .ok()
            .stdout
            .contains(&format!("\"pid\": {pid},")),
        "{id}"
    );
    let _ = place.call(&["start", &id]).ok();
    until("the container says who it is", || {
        let text = fs::read_to_string(&path).unwrap();
        (text == printed(&id)).then_some(())
    });
}

/// `exec`.
pub(crate) fn visit(place: &Place, number: usize) {
    let id = place.id(number);
    let script = format!("{PRINT}; exit {}", code(number));
    let exec = place.call(&["exec", &id, "sh", "-c", &script]);
    assert_eq!(
        (exec.stdout.as_str(), exec.code()),
        (printed(&id).as_str(), code(number)),
        "{exec:?}"
    );
}

/// `kill` and `delete`.
pub(crate) fn end(place: &Place, number: usize) {
    let id = place.id(number);
    let _ = place.call(&["kill", &id, "KILL"]).ok();
    until("the container has stopped", || {
        (place.status(&id) == "stopped").then_some(())
    });
    let _ = place.call(&["delete", &id]).ok();
    let _ = place
        .call(&["state", &id])
        .refused(&["container does not exist"]);
}

fn run(place: &Place, id: &str, options: &[&str], change: impl FnOnce(&mut Config)) -> Finished {
    let bundle = place.bundle(id, change);
    let first = ["run", "--bundle", bundle.to_str().unwrap()];
    place.call(&[&first, options, &[id]].concat())
}

fn in_the_foreground(place: &Place, number: usize) {
    let id = place.id(number);
    let run = run(place, &id, &[], |config| {
        vary(place, number, config);
        config.shell(&format!("{PRINT}; exit {}", code(number)));
    });
    assert_eq!(
        (run.stdout.as_str(), run.code()),
        (printed(&id).as_str(), code(number)),
        "{run:?}"
    );
}

fn detached_and_deleted_by_force(place: &Place, number: usize) {
    let id = place.id(number);
    let _ = run(place, &id, &["--detach"], |config| {
        vary(place, number, config);
        config.args(&["sleep", "600"]);
    })
    .ok();
    visit(place, number);
    let _ = place.call(&["delete", "--force", &id]).ok();
    let _ = place
        .call(&["state", &id])
        .refused(&["container does not exist"]);
}

/// A start that fails, at one of three places.
fn refused(place: &Place, number: usize) {
    let id = place.id(number);
    let run = run(place, &id, &[], |config| {
        vary(place, number, config);
        match number / 4 % 3 {
            0 => config.args(&["/no/such/program"]),
            1 => config.bind("/no/such/source", "/mnt", &["bind"]),
            _ => config.set(
                "/hooks/createRuntime",
                serde_json::json!([{"path": "/bin/false"}]),
            ),
        };
    });
    assert_eq!(run.code(), 1, "{run:?}");
    let _ = place
        .call(&["state", &id])
        .refused(&["container does not exist"]);
}
