//! What a container's program gets from its caller: nothing but what was given.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs::File;
use std::os::fd::OwnedFd;
use std::process::Command;

use conformance::process::{run, spawn};
use conformance::runtime::runtime;
use conformance::sys::{block_and_ignore, inherit};
use conformance::{Config, Container, Report};

/// Descriptors on directories of the host, as a careless engine may leave open.
fn dirty(numbers: std::ops::Range<i32>) -> Vec<(OwnedFd, i32)> {
    numbers
        .map(|number| (File::open("/").unwrap().into(), number))
        .collect()
}

fn numbers(report: &Report) -> Vec<i32> {
    report.descriptors.keys().copied().collect()
}

#[test]
fn preserved_descriptors_are_the_first_after_the_standard_ones() {
    let container = Container::new(|_| {});
    let files: Vec<_> = ["three", "four", "five"]
        .iter()
        .map(|name| container.file(name, name))
        .collect();
    let mut command = container.run_command(&["--preserve-fds", "2"]);
    inherit(
        &mut command,
        files
            .iter()
            .map(|path| File::open(path).unwrap().into())
            .zip(3..)
            .collect(),
    );
    let report = Report::parse(&run(&mut command).ok());
    assert_eq!(numbers(&report), [0, 1, 2, 3, 4]);
    assert!(
        report.descriptors[&3].ends_with("three"),
        "{:?}",
        report.descriptors
    );
    assert!(
        report.descriptors[&4].ends_with("four"),
        "{:?}",
        report.descriptors
    );
}

/// The command as a service manager starts it that passes sockets to it: sd_listen_fds(3), LISTEN_PID is the process that
/// the descriptors are for.
fn activated(command: &Command, variables: &str) -> Command {
    let mut activated = Command::new("sh");
    activated
        .args(["-c", &format!("{variables} exec \"$@\""), "sh"])
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir("/");
    activated
}

fn listen_variables(report: &Report) -> Vec<&str> {
    let mut found: Vec<_> = report.env.iter().map(String::as_str).collect();
    found.retain(|variable| variable.starts_with("LISTEN_"));
    found.sort_unstable();
    found
}

#[test]
fn sockets_of_systemd_activation_are_passed_on() {
    let container = Container::new(|_| {});
    let mut command = activated(&container.run_command(&[]), "LISTEN_PID=$$ LISTEN_FDS=2");
    inherit(&mut command, dirty(3..6));
    let report = Report::parse(&run(&mut command).ok());
    assert_eq!(numbers(&report), [0, 1, 2, 3, 4]);
    assert_eq!(listen_variables(&report), ["LISTEN_FDS=2", "LISTEN_PID=1"]);
}

#[test]
fn sockets_of_systemd_activation_keep_their_names() {
    if runtime().departs("runc", "does not pass the names on") {
        return;
    }
    let container = Container::new(|_| {});
    let variables = "LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=http:https";
    let mut command = activated(&container.run_command(&[]), variables);
    inherit(&mut command, dirty(3..5));
    let report = Report::parse(&run(&mut command).ok());
    let expected = ["LISTEN_FDNAMES=http:https", "LISTEN_FDS=2", "LISTEN_PID=1"];
    assert_eq!(listen_variables(&report), expected);
}

#[test]
fn preserved_descriptors_come_after_the_sockets_of_systemd_activation() {
    let container = Container::with_path(|config, path| {
        config
            .bind(path, "/case", &["bind"])
            .shell("/probe > /case/report");
    });
    let create = container.create_command(&["--preserve-fds", "1"]);
    let mut command = activated(&create, "LISTEN_PID=$$ LISTEN_FDS=1");
    let files = ["three", "four", "five"].map(|name| container.file(name, name));
    let open = |path| File::open(path).unwrap().into();
    inherit(&mut command, files.iter().map(open).zip(3..).collect());
    let _ = run(&mut command).ok();
    let _ = container.start().ok();
    container.wait_for("stopped");
    let report: Report = serde_json::from_str(&container.read("report")).unwrap();
    assert_eq!(numbers(&report), [0, 1, 2, 3, 4]);
    assert!(report.descriptors[&3].ends_with("three"));
    assert!(report.descriptors[&4].ends_with("four"));
    assert_eq!(listen_variables(&report), ["LISTEN_FDS=1", "LISTEN_PID=1"]);
}

#[test]
fn sockets_that_are_for_another_process_stay_here() {
    for variables in ["LISTEN_PID=1 LISTEN_FDS=2", "LISTEN_FDS=2", "LISTEN_PID=$$"] {
        let container = Container::new(|_| {});
        let mut command = activated(&container.run_command(&[]), variables);
        inherit(&mut command, dirty(3..6));
        let report = Report::parse(&run(&mut command).ok());
        assert_eq!(numbers(&report), [0, 1, 2], "{variables}");
        assert_eq!(listen_variables(&report), [""; 0], "{variables}");
    }
}

#[test]
fn an_exec_has_no_sockets_of_systemd_activation() {
    if runtime().predates("runc", [1, 2, 0], "that they are for the first process") {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let exec = container.exec_command(&["--preserve-fds", "1"], &["/probe"]);
    let mut command = activated(&exec, "LISTEN_PID=$$ LISTEN_FDS=2");
    inherit(&mut command, dirty(3..6));
    let report = Report::parse(&run(&mut command).ok());
    assert_eq!(numbers(&report), [0, 1, 2, 3]);
    assert_eq!(listen_variables(&report), [""; 0]);
}

#[test]
fn a_descriptor_that_is_not_open_is_named_and_none_of_the_runtimes_takes_its_place() {
    if runtime().departs("runc", "lets one of its own take the place") {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let log = container.path().join("log");
    let refused = |mut command: Command, phrase: &str| {
        inherit(&mut command, dirty(3..5));
        let finished = run(&mut command).refused(&[phrase]);
        assert!(finished.stdout.is_empty(), "{finished:?}");
    };
    let run_command = container.run_command(&["--preserve-fds", "3"]);
    refused(run_command, "unable to stat preserved-fd 2 (of 3)");
    let mut with_log = container.runtime();
    with_log
        .arg("--log")
        .arg(&log)
        .args(["create", "--preserve-fds", "3", "--bundle"]);
    with_log.arg(container.bundle()).arg(&container.id);
    refused(with_log, "unable to stat preserved-fd 2 (of 3)");
    assert!(container.read("log").contains("preserved-fd 2"));
    let sockets = activated(&container.run_command(&[]), "LISTEN_PID=$$ LISTEN_FDS=4");
    refused(sockets, "$LISTEN_FDS says 4, and descriptor 5 is not open");
    container.assert_nothing_left();

    let _ = container.run_detached();
    let exec = container.exec_command(&["--preserve-fds", "3"], &["true"]);
    refused(exec, "unable to stat preserved-fd 2 (of 3)");
}

#[test]
fn standard_streams_that_are_closed_are_the_null_device_in_the_container() {
    let container = Container::new(|config| {
        config.shell(
            "for n in 0 1 2; do [ $(readlink /proc/$$/fd/$n) = /dev/null ] || exit $((10 + n)); done",
        );
    });
    let closed = ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"];
    let null = "</dev/null >/dev/null 2>/dev/null";
    for streams in closed {
        let script = format!(r#"exec "$0" "$@" {null} {streams}"#);
        let command = container.run_command(&[]);
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(command.get_program());
        shell.args(command.get_args());
        assert_eq!(run(&mut shell).code(), 0, "{streams}");
    }
    container.assert_nothing_left();
}

/// The signals that a shell in the container finds blocked, and those it finds ignored.
fn signals(container: &Container, prepare: impl FnOnce(&mut Command)) -> [u64; 2] {
    let mut command = container.run_command(&[]);
    prepare(&mut command);
    let text = spawn(&mut command).wait().ok().stdout;
    let masks: Vec<_> = text
        .split_whitespace()
        .map(|mask| u64::from_str_radix(mask, 16).unwrap())
        .collect();
    masks.try_into().unwrap()
}

fn prints_signals(config: &mut Config) {
    config.shell("sed -n -E 's/^Sig(Blk|Ign):.//p' /proc/self/status");
}

const SIGPIPE: u64 = 1 << (libc::SIGPIPE - 1);

#[test]
fn no_signal_is_blocked_and_a_broken_pipe_kills() {
    let [blocked, ignored] = signals(&Container::new(prints_signals), |_| {});
    assert_eq!(blocked, 0);
    assert_eq!(ignored & SIGPIPE, 0);
}

#[test]
fn signals_that_the_caller_blocks_are_not_blocked_in_the_program() {
    if runtime().departs("runc", "passes the caller's signal mask on") {
        return;
    }
    let prepare = |command: &mut Command| block_and_ignore(command, libc::SIGUSR1, libc::SIGPIPE);
    let [blocked, ignored] = signals(&Container::new(prints_signals), prepare);
    assert_eq!(blocked, 0);
    assert_eq!(ignored & SIGPIPE, 0);
}

#[test]
fn nothing_of_the_callers_environment_gets_in() {
    let container = Container::new(|_| {});
    let mut command = container.run_command(&[]);
    let report = Report::parse(&run(command.env("SECRET_OF_THE_CALLER", "1")).ok());
    assert!(
        !report
            .env
            .iter()
            .any(|variable| variable.starts_with("SECRET")),
        "{:?}",
        report.env
    );
}

#[test]
fn the_callers_nice_value_and_groups_do_not_give_rights() {
    let container = Container::new(|_| {});
    let mut command = Command::new("setpriv");
    command
        .args(["--groups=4,5,6"])
        .arg(&runtime().path)
        .arg("--root")
        .arg(container.state_root());
    let finished = run(command
        .args(["run", "--bundle"])
        .arg(container.bundle())
        .arg(&container.id))
    .ok();
    assert_eq!(Report::parse(&finished).status("Groups"), "");
}
