//! The log: `--log`, `--log-format`, `--debug`, as callers of runc know it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use conformance::Container;
use conformance::process::{Finished, run};
use conformance::runtime::runtime;
use serde_json::{Value, json};

/// Runs `GLOBALS… state ID` of a container that does not exist.
fn state_of_none(container: &Container, globals: &[&str]) -> Finished {
    let mut command = container.runtime();
    command.current_dir(container.path());
    run(command.args(globals).args(["state", &container.id]))
}

#[test]
fn an_error_is_in_the_log_and_on_standard_error() {
    let container = Container::new(|_| {});
    let finished = state_of_none(&container, &["--log", "log", "--log-format", "json"]);
    let finished = finished.refused(&["container does not exist"]);
    // To the user it is said without time and level.
    assert!(!finished.stderr.contains("level"), "{finished:?}");
    let line: Value = serde_json::from_str(container.read("log").trim()).expect("one object");
    assert_eq!(line["level"], "error");
    let message = line["msg"].as_str().unwrap_or_default();
    assert_eq!(finished.stderr.trim(), message);
    let time = line["time"].as_str().unwrap_or_default();
    // RFC 3339, in seconds.
    assert_eq!((time.len() >= 20, &time[10..11]), (true, "T"), "{time}");
    assert_eq!(
        line.as_object().map(serde_json::Map::len),
        Some(3),
        "{line}"
    );
}

#[test]
fn the_log_grows_and_its_lines_are_text_by_default() {
    let container = Container::new(|_| {});
    for _ in 0..2 {
        let _ = state_of_none(&container, &["--log", "log"]).refused(&[]);
    }
    let log = container.read("log");
    assert_eq!(log.lines().count(), 2, "{log}");
    for line in log.lines() {
        assert!(
            line.starts_with("time=\"") && line.contains(" level=error msg=\""),
            "{line}"
        );
    }
}

#[test]
fn without_a_log_an_error_is_a_line_of_the_log_on_standard_error() {
    let container = Container::new(|_| {});
    let text = state_of_none(&container, &[]).refused(&["level=error", "container does not exist"]);
    assert!(text.stderr.starts_with("time="), "{text:?}");
    let json = state_of_none(&container, &["--log-format=json"]).refused(&[]);
    let line: Value = serde_json::from_str(json.stderr.trim()).expect("one object");
    assert_eq!(line["level"], "error");
    // An empty value is none.
    if !runtime().predates("runc", [1, 2, 0], "an empty --log-format") {
        let _ = state_of_none(&container, &["--log=", "--log-format="]).refused(&["level=error"]);
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_an_error_and_nothing_is_done() {
    let container = Container::new(|_| {});
    for path in ["no/such/directory/log", "."] {
        let mut command = container.runtime();
        command.current_dir(container.path()).args(["--log", path]);
        command.args(["run", "--bundle"]).arg(container.bundle());
        let finished = run(command.arg(&container.id)).refused(&["open ", path]);
        assert!(finished.stdout.is_empty(), "{finished:?}");
        assert_eq!(finished.code(), 1);
    }
    container.assert_nothing_left();
}

#[test]
fn a_form_of_the_log_that_is_none_is_refused() {
    let container = Container::new(|_| {});
    for format in ["xml", "JSON"] {
        let finished = state_of_none(&container, &["--log-format", format]);
        assert_eq!(
            finished
                .refused(&[&format!("invalid log-format: {format}")])
                .code(),
            1
        );
    }
}

#[test]
fn a_state_root_may_be_relative() {
    let container = Container::new(|config| {
        config.waits();
    });
    let from_there = |words: &[&str]| {
        let mut command = container.runtime();
        command
            .current_dir(container.path())
            .args(["--root", "elsewhere"]);
        run(command.args(words)).ok()
    };
    let bundle = container.bundle();
    let bundle = bundle.to_str().unwrap_or_default();
    let _ = from_there(&["run", "--detach", "--bundle", bundle, &container.id]);
    let mut absolute = container.runtime();
    absolute
        .arg("--root")
        .arg(container.path().join("elsewhere"));
    let state = run(absolute.args(["state", &container.id])).ok();
    assert!(state.stdout.contains("\"running\""), "{state:?}");
    let _ = from_there(&["delete", "--force", &container.id]);
}

/// Runs the command with `--debug`, and gives the messages of its log.
fn messages(container: &Container, words: &[&str]) -> Vec<String> {
    let mut command = container.runtime();
    command.current_dir(container.path());
    command.args(["--debug", "--log", "log", "--log-format", "json"]);
    let finished = run(command.args(words)).ok();
    assert!(!finished.stderr.contains("debug"), "{finished:?}");
    let log = container.read("log");
    std::fs::remove_file(container.path().join("log")).expect("the log can be removed");
    let message = |line: &str| {
        let line: Value = serde_json::from_str(line).expect("an object");
        line["msg"].as_str().unwrap_or_default().to_owned()
    };
    log.lines().map(message).collect()
}

/// Asserts that there is a message with each of the texts, in this order.
fn assert_in_order(messages: &[String], texts: &[&str]) {
    let mut rest = messages.iter();
    for text in texts {
        assert!(
            rest.any(|message| message.contains(text)),
            "{text}: {messages:#?}"
        );
    }
}

#[test]
fn the_debug_log_has_the_stations_of_a_start() {
    let container = Container::new(|config| {
        config.waits();
    });
    let bundle = container.bundle();
    let bundle = bundle.to_str().unwrap_or_default();
    let start = messages(
        &container,
        &["run", "--detach", "--bundle", bundle, &container.id],
    );
    let stations = [
        "nsexec container setup",
        "child process in init()",
        "init: closing the pipe to signal completion",
    ];
    assert_in_order(&start, &stations);
    let exec = messages(&container, &["exec", &container.id, "true"]);
    assert_in_order(
        &exec,
        &[stations[0], stations[1], "setns_init: about to exec"],
    );
}

#[test]
fn the_debug_log_has_the_cpus_that_an_exec_begins_with() {
    if runtime().predates("runc", [1, 4, 0], "execCPUAffinity") {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let allowed = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let allowed = allowed
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let first = allowed.unwrap_or_default().trim();
    let first: u32 = first
        .split([',', '-'])
        .next()
        .unwrap_or_default()
        .parse()
        .unwrap_or_default();
    let process = json!({
        "args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0},
        "execCPUAffinity": {"initial": first.to_string()},
    });
    let file = container.file("process.json", &process.to_string());
    let file = file.to_str().unwrap_or_default();
    let exec = messages(&container, &["exec", "--process", file, &container.id]);
    let mask = format!(": affinity: {:#x}", 1_u128 << first);
    let found = |message: &&String| message.contains("nsexec") && message.contains(&mask);
    assert!(
        exec.iter().any(|message| found(&message)),
        "{mask}: {exec:#?}"
    );
}

#[test]
fn the_debug_log_says_what_the_host_did() {
    if !runtime().is_bareboat() {
        eprintln!("skipped: the words are bareboat's");
        return;
    }
    let container = Container::new(|config| {
        config
            .waits()
            .set("/hooks/createRuntime", json!([{"path": "/bin/true"}]))
            .set("/hooks/poststart", json!([{"path": "/bin/true"}]));
    });
    let bundle = container.bundle();
    let bundle = bundle.to_str().unwrap_or_default();
    let start = messages(
        &container,
        &["run", "--detach", "--bundle", bundle, &container.id],
    );
    let state = format!("the state is kept in {}", container.state_root().display());
    assert_in_order(
        &start,
        &[
            &state,
            "run createRuntime hook #0: /bin/true",
            "the program runs",
            "run poststart hook #0: /bin/true",
        ],
    );
    assert!(
        start
            .iter()
            .any(|message| message.starts_with("the cgroup is made: ")),
        "{start:#?}"
    );
}
