//! The six kinds of hooks: config.md, "POSIX-platform Hooks"; runtime.md, "Lifecycle".

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

const KINDS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

/// runc runs poststart hooks before the program, in `create`: they are left out for it.
fn logged() -> Vec<&'static str> {
    let late = runtime().departs("runc", "runs poststart hooks when it creates");
    KINDS
        .into_iter()
        .filter(|kind| !late || *kind != "poststart")
        .collect()
}

fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]})
}

/// Adds a hook of each kind that appends its kind and mount namespace to `log`, and keeps its standard input.
///
/// The case's directory is mounted on the same path in the container, so that all of them reach it.
fn log_all(config: &mut Config, directory: &Path) {
    let path = directory.display();
    config.bind(directory, path.to_string().as_str(), &["bind"]);
    for kind in logged() {
        let script = format!(
            "echo {kind} $(readlink /proc/self/ns/mnt) >> {path}/log; cat > {path}/{kind}.json"
        );
        config.push(&format!("/hooks/{kind}"), hook(&script));
    }
}

fn kinds(log: &str) -> Vec<&str> {
    log.lines()
        .filter_map(|line| line.split(' ').next())
        .collect()
}

#[test]
fn hooks_run_in_the_order_of_the_lifecycle() {
    let container = Container::with_path(|config, path| {
        log_all(config.waits(), path);
    });
    let _ = container.create().ok();
    assert_eq!(kinds(&container.read("log")), KINDS[..3]);
    let _ = container.start().ok();
    assert_eq!(
        kinds(&container.read("log")),
        logged()[..logged().len() - 1]
    );
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    assert_eq!(
        kinds(&container.read("log")),
        logged()[..logged().len() - 1]
    );
    let _ = container.delete().ok();
    assert_eq!(kinds(&container.read("log")), logged());
    container.assert_nothing_left();
}

#[test]
fn hooks_run_in_the_namespace_of_their_kind() {
    let container = Container::with_path(|config, path| {
        log_all(config.waits(), path);
    });
    let _ = container.run_detached();
    let own = fs::read_link("/proc/self/ns/mnt")
        .unwrap()
        .display()
        .to_string();
    let inside = fs::read_link(format!("/proc/{}/ns/mnt", container.pid()))
        .unwrap()
        .display()
        .to_string();
    let _ = container.delete_force().ok();
    let expected: Vec<_> = logged()
        .iter()
        .map(|kind| {
            format!(
                "{kind} {}",
                if kind.ends_with("Container") {
                    &inside
                } else {
                    &own
                }
            )
        })
        .collect();
    assert_eq!(container.read("log").lines().collect::<Vec<_>>(), expected);
}

#[test]
fn every_hook_gets_the_state_on_standard_input() {
    let container = Container::with_path(|config, path| {
        log_all(config.waits(), path);
        config.set("/annotations", json!({"key": "value"}));
    });
    let _ = container.run_detached();
    let pid = container.pid();
    let _ = container.delete_force().ok();
    for kind in logged() {
        let state: Value = serde_json::from_str(&container.read(&format!("{kind}.json"))).unwrap();
        let status = match kind {
            "poststart" => "running",
            "poststop" => "stopped",
            // The specification says when a container is `created` by the lifecycle's numbers (after step 2), and runc
            // by its own progress.
            "prestart" | "createRuntime" | "createContainer" if runtime().name == "runc" => {
                "creating"
            }
            _ => "created",
        };
        assert_eq!(state["status"], status, "{kind}");
        assert_eq!(state["id"], container.id.as_str(), "{kind}");
        assert_eq!(
            state["bundle"],
            container.bundle().to_str().unwrap(),
            "{kind}"
        );
        assert_eq!(state["annotations"]["key"], "value", "{kind}");
        assert!(state["ociVersion"].is_string(), "{kind}");
        let seen = state["pid"].as_i64().unwrap_or(0);
        match kind {
            "poststop" => assert_eq!(seen, 0, "{kind}"),
            // Some tell those in the container's namespace its own pid.
            "createContainer" | "startContainer" => {
                assert!(seen == i64::from(pid) || seen == 1, "{kind}: {seen}")
            }
            _ => assert_eq!(seen, i64::from(pid), "{kind}"),
        }
    }
}

#[test]
fn hooks_of_one_kind_run_in_their_order() {
    let container = Container::with_path(|config, path| {
        for number in 0..5 {
            config.push(
                "/hooks/createRuntime",
                hook(&format!("echo {number} >> {}/log", path.display())),
            );
        }
        config.args(&["true"]);
    });
    let _ = container.run().ok();
    assert_eq!(container.read("log"), "0\n1\n2\n3\n4\n");
}

#[test]
fn a_hook_has_the_arguments_and_the_environment_given_and_no_others() {
    let container = Container::with_path(|config, path| {
        let log = path.join("log");
        let script = r#"tr '\0' '\n' < /proc/self/environ > "$OUT"; echo "$0 $1 $2" >> "$OUT""#;
        let env = [
            format!("OUT={}", log.display()),
            "PATH=/bin:/usr/bin".to_owned(),
        ];
        let args = ["name", "-c", script, "zero", "one", "two words"];
        config.push(
            "/hooks/createRuntime",
            json!({"path": "/bin/sh", "args": args, "env": env}),
        );
        config.args(&["true"]);
    });
    let _ = container.run().ok();
    let log = container.read("log");
    let lines: Vec<_> = log
        .lines()
        .filter(|line| !line.starts_with("PWD="))
        .collect();
    assert!(lines.contains(&"zero one two words"), "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| !line.contains("CARGO") && !line.contains("HOME=")),
        "{lines:?}"
    );
}

#[test]
fn a_failing_hook_stops_the_creation_and_leaves_nothing() {
    for kind in &KINDS[..3] {
        let container = Container::with_path(|config, path| {
            config.push(
                &format!("/hooks/{kind}"),
                hook("echo 'what went wrong' >&2; exit 3"),
            );
            config.push(
                "/hooks/poststop",
                hook(&format!("echo poststop >> {}/log", path.display())),
            );
        });
        let finished = container.create();
        assert_eq!(finished.code(), 1, "{kind}: {finished:?}");
        assert!(finished.stderr.contains("hook"), "{kind}: {finished:?}");
        container.assert_nothing_left();
    }
}

#[test]
fn a_failing_hook_keeps_those_after_it_from_running() {
    let container = Container::with_path(|config, path| {
        config.push("/hooks/createRuntime", hook("exit 1"));
        config.push(
            "/hooks/createRuntime",
            hook(&format!("touch {}/ran", path.display())),
        );
    });
    assert_eq!(container.create().code(), 1);
    assert!(!container.path().join("ran").exists());
}

#[test]
fn a_failing_start_container_hook_stops_the_start() {
    let container = Container::with_path(|config, path| {
        config
            .bind(path, "/case", &["bind"])
            .shell("touch /case/ran");
        config.push("/hooks/startContainer", hook("exit 3"));
    });
    let _ = container.create().ok();
    let _ = container.start();
    if !runtime().departs("runc", "leaves the container stopped until delete") {
        container.assert_nothing_left();
    }
    assert!(!container.path().join("ran").exists());
}

#[test]
fn a_failing_poststop_hook_does_not_keep_the_container() {
    let container = Container::new(|config| {
        config
            .args(&["true"])
            .push("/hooks/poststop", hook("exit 3"));
    });
    let _ = container.create().ok();
    let _ = container.start().ok();
    container.wait_for("stopped");
    let _ = container.delete();
    container.assert_nothing_left();
}

#[test]
fn a_hook_that_is_not_there_is_an_error_that_names_it() {
    let container = Container::new(|config| {
        config.push("/hooks/createRuntime", json!({"path": "/no/such/hook"}));
    });
    let _ = container.create().refused(&["/no/such/hook"]);
    container.assert_nothing_left();
}

#[test]
fn a_hook_with_a_relative_path_or_a_timeout_of_zero_is_refused() {
    for hook in [
        json!({"path": "bin/true"}),
        json!({"path": "/bin/true", "timeout": 0}),
    ] {
        if runtime().departs("runc", "takes them") {
            return;
        }
        let container = Container::new(|config| {
            config.push("/hooks/createRuntime", hook);
        });
        let _ = container.create().refused(&["/hooks/createRuntime/0"]);
        container.assert_nothing_left();
    }
}

#[test]
fn a_hook_that_takes_too_long_is_killed_and_is_a_failure() {
    let container = Container::new(|config| {
        // A shell with a child of its own, which the hook's end must not wait for.
        let mut hook = hook(if runtime().name == "runc" {
            "exec sleep 25"
        } else {
            "sleep 25; true"
        });
        hook["timeout"] = json!(1);
        config.push("/hooks/createRuntime", hook);
    });
    let begin = Instant::now();
    let finished = container.create();
    assert_eq!(finished.code(), 1, "{finished:?}");
    let took = begin.elapsed();
    assert!(
        took > Duration::from_millis(900) && took < Duration::from_secs(10),
        "{took:?}"
    );
    container.assert_nothing_left();
}

#[test]
fn a_hook_within_its_timeout_is_not_disturbed() {
    let container = Container::new(|config| {
        let mut hook = hook("sleep 0.2");
        hook["timeout"] = json!(20);
        config.args(&["true"]).push("/hooks/createRuntime", hook);
    });
    let begin = Instant::now();
    let _ = container.run().ok();
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_network_hook_finds_the_namespace_by_the_pid_in_the_state() {
    // As CNI and libnetwork do.
    let container = Container::with_path(|config, path| {
        let script = format!(
            "pid=$(sed -E 's/.*\"pid\": ?([0-9]+).*/\\1/'); readlink /proc/$pid/ns/net > {}/net",
            path.display()
        );
        config.push("/hooks/prestart", hook(&script));
    });
    let report = container.report();
    assert_eq!(container.read("net").trim(), report.namespaces["net"]);
}

#[test]
fn what_a_create_container_hook_does_to_a_relative_path_is_done_to_the_root() {
    let container = Container::with_path(|config, _| {
        config
            .push("/hooks/createContainer", hook("echo here > ./made-by-hook"))
            .set("/root/readonly", json!(false))
            .shell("cat /made-by-hook");
    });
    assert_eq!(container.run().ok().stdout, "here\n");
    assert!(!std::path::Path::new("/made-by-hook").exists());
}

#[test]
fn a_start_container_hook_without_an_environment_has_that_of_the_process() {
    let container = Container::new(|config| {
        let script = "test \"$ONE\" = two && test -n \"$HOME\"";
        config
            .push(
                "/hooks/startContainer",
                json!({"path": "/bin/sh", "args": ["sh", "-c", script]}),
            )
            .push("/process/env", json!("ONE=two"))
            .args(&["true"]);
    });
    let _ = container.run().ok();
}
