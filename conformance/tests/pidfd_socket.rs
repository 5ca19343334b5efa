//! `--pidfd-socket`: a descriptor of the new process for who supervises it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::Command;

use conformance::console::ConsoleSocket;
use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container};

fn is_unknown() -> bool {
    let others = ["crun", "youki"].iter();
    runtime().predates("runc", [1, 2, 0], "--pidfd-socket")
        || others
            .into_iter()
            .any(|name| runtime().departs(name, "has no --pidfd-socket"))
}

fn container() -> Container {
    Container::new(|config: &mut Config| {
        config.waits();
    })
}

/// The process that a pidfd is of: proc_pid_fdinfo(5).
fn pid_of(pidfd: &OwnedFd) -> i32 {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let info = fs::read_to_string(path).unwrap();
    let pid = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    pid.expect("it is a pidfd").trim().parse().unwrap()
}

/// What the command sends to the socket that it is told of.
fn sent(container: &Container, command: impl FnOnce(&[&str]) -> Command) -> (String, i32) {
    let socket = ConsoleSocket::named(container.path(), "pidfd.sock");
    let path = socket.path.clone();
    let mut command = command(&["--pidfd-socket", path.to_str().unwrap()]);
    let _ = run(&mut command).ok();
    let (text, pidfd) = socket.receive_descriptor();
    fs::remove_file(path).unwrap();
    (text, pid_of(&pidfd))
}

#[test]
fn create_and_run_send_a_descriptor_of_the_containers_first_process() {
    if is_unknown() {
        return;
    }
    let created = container();
    let pidfd = sent(&created, |options| created.create_command(options));
    assert_eq!(pidfd, ("standard".to_owned(), created.pid()));
    let detached = container();
    let pidfd = sent(&detached, |options| {
        detached.run_command(&[&["--detach"], options].concat())
    });
    assert_eq!(pidfd, ("standard".to_owned(), detached.pid()));
}

#[test]
fn exec_sends_a_descriptor_of_its_own_process() {
    if is_unknown() {
        return;
    }
    let container = container();
    let _ = container.run_detached();
    let file = container.path().join("exec.pid");
    let pidfd = sent(&container, |options| {
        let pid_file = ["--detach", "--pid-file", file.to_str().unwrap()];
        container.exec_command(&[&pid_file, options].concat(), &["sleep", "60"])
    });
    let pid = container.read("exec.pid").parse().unwrap();
    assert_eq!(pidfd, ("setns".to_owned(), pid));
    assert_ne!(pid, container.pid());
}

#[test]
fn where_nobody_listens_there_is_no_container_and_the_error_names_the_path() {
    if is_unknown() {
        return;
    }
    let container = container();
    let path = container.path().join("nobody.sock");
    let path = path.to_str().unwrap();
    for detach in [&[][..], &["--detach"]] {
        let options = [detach, &["--pidfd-socket", path]].concat();
        let phrases = [path, "o such file or directory"];
        let _ = run(&mut container.run_command(&options)).refused(&phrases);
        container.assert_nothing_left();
    }
    let options = ["--pidfd-socket", path];
    let _ = run(&mut container.create_command(&options)).refused(&[path]);
    container.assert_nothing_left();
    let _ = container.run_detached();
    let _ = container.exec(&options, &["true"]).refused(&[path]);
    assert_eq!(container.status(), "running");
}

#[test]
fn the_descriptor_is_sent_before_the_pid_file_is_written() {
    if is_unknown() {
        return;
    }
    let container = container();
    let socket = ConsoleSocket::named(container.path(), "pidfd.sock");
    let path = socket.path.clone();
    let options = [
        "--pidfd-socket",
        path.to_str().unwrap(),
        "--pid-file",
        "/no/such/directory/pid",
    ];
    let finished = run(&mut container.create_command(&options));
    let _ = finished.refused(&["o such file or directory"]);
    let (text, _) = socket.receive_descriptor();
    assert_eq!(text, "standard");
    container.assert_nothing_left();
}
