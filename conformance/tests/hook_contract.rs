//! What each kind of hook may rely on: config.md, "POSIX-platform Hooks"; runtime.md, "Lifecycle".
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use conformance::process::until;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin:/usr/sbin:/sbin"]})
}

/// Reads the state's pid from standard input.
const PID: &str = r#"pid=$(sed -E 's/.*"pid": ?([0-9]+).*/\1/')"#;

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

#[test]
fn a_hooks_path_resolves_on_the_host_but_for_start_container() {
    for kind in [
        "prestart",
        "createRuntime",
        "createContainer",
        "poststart",
        "poststop",
    ] {
        let container = Container::with_path(|config, path| {
            let program = path.join("on-the-host");
            script(&program, &format!("echo {kind} >> {}/log", path.display()));
            config
                .args(&["true"])
                .push(&format!("/hooks/{kind}"), json!({"path": program}));
        });
        let _ = container.run().ok();
        assert_eq!(container.read("log"), format!("{kind}\n"));
    }
}

#[test]
fn a_start_container_hooks_path_resolves_in_the_container() {
    let container = Container::with_path(|config, path| {
        config
            .bind(path, "/case", &["bind"])
            .args(&["true"])
            .push("/hooks/startContainer", json!({"path": "/in-the-image"}));
    });
    script(
        &container.rootfs().join("in-the-image"),
        "echo ran > /case/log",
    );
    let _ = container.run().ok();
    assert_eq!(container.read("log"), "ran\n");

    let container = Container::with_path(|config, path| {
        let program = path.join("on-the-host");
        script(&program, "true");
        config
            .args(&["true"])
            .push("/hooks/startContainer", json!({"path": program}));
    });
    assert_ne!(container.run().code(), 0);
    container.assert_nothing_left();
}

#[test]
fn hooks_of_create_see_the_mounts_made_and_the_root_not_yet_changed() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let container = Container::with_path(|config, path| {
            let log = path.join("log");
            let log = log.display();
            let script = match kind {
                "createContainer" => {
                    format!("cat > /dev/null; cat /proc/self/mountinfo > {log}")
                }
                _ => format!("{PID}; cat /proc/$pid/mountinfo > {log}"),
            };
            config
                .args(&["true"])
                .mount("/made/by/config", "tmpfs", "tmpfs", &[])
                .push(&format!("/hooks/{kind}"), hook(&script));
        });
        let _ = container.run().ok();
        let mount = container.rootfs().join("made/by/config");
        let mount = format!(" {} ", mount.display());
        let log = container.read("log");
        assert!(log.contains(&mount), "{kind}: {mount} is not in {log}");
    }
}

#[test]
fn a_hooks_first_argument_is_its_name() {
    // Of the shell itself: before the root is changed /proc has the host's numbers, and $$ is the container's.
    let script = "IFS= read -r line < /proc/self/cmdline; echo $line";
    for (kind, program, name, script) in [
        ("createRuntime", "/bin/sh", "another-name", script),
        ("createContainer", "/bin/sh", "another-name", script),
        // It decides by its name what it is.
        ("startContainer", "/bin/busybox", "sh", "echo sh"),
    ] {
        let container = Container::with_path(|config, path| {
            let own = path.display().to_string();
            let script = format!("({script}) > {own}/log");
            let hook = json!({"path": program, "args": [name, "-c", script]});
            config
                .bind(path, own.as_str(), &["bind"])
                .args(&["true"])
                .push(&format!("/hooks/{kind}"), hook);
        });
        let _ = container.run().ok();
        let log = container.read("log");
        assert!(log.starts_with(name), "{kind}: {log}");
    }
}

#[test]
fn poststart_hooks_run_after_the_program_is_executed_and_before_start_returns() {
    if runtime().departs("runc", "runs poststart hooks when it creates") {
        return;
    }
    let container = Container::with_path(|config, path| {
        let script = format!(
            "{PID}; tr '\\0' ' ' < /proc/$pid/cmdline > {0}/program; sleep 0.3; echo done > {0}/log",
            path.display()
        );
        config
            .args(&["sleep", "1000"])
            .push("/hooks/poststart", hook(&script));
    });
    let _ = container.create().ok();
    assert!(!container.path().join("program").exists());
    let _ = container.start().ok();
    assert_eq!(container.read("log"), "done\n");
    assert_eq!(container.read("program"), "sleep 1000 ");
}

#[test]
fn a_failing_poststart_hook_is_an_error_that_destroys_the_container() {
    if runtime().departs("runc", "runs poststart hooks when it creates") {
        return;
    }
    let container = Container::with_path(|config, path| {
        config
            .waits()
            .push("/hooks/poststart", hook("echo 'went wrong' >&2; exit 3"))
            .push(
                "/hooks/poststop",
                hook(&format!("echo poststop > {}/log", path.display())),
            );
    });
    let _ = container.create().ok();
    let finished = container.start();
    assert_ne!(finished.code(), 0);
    assert!(
        finished.stderr.contains("poststart") && finished.stderr.contains("went wrong"),
        "{finished:#?}"
    );
    assert_eq!(container.read("log"), "poststop\n");
    container.assert_nothing_left();
}

#[test]
fn poststop_hooks_run_after_the_container_is_deleted_and_before_delete_returns() {
    let container = Container::with_path(|config, path| {
        let script = format!(
            "ls {0}/state > {0}/states; sleep 0.3; echo done > {0}/log",
            path.display()
        );
        config
            .args(&["true"])
            .push("/hooks/poststop", hook(&script));
    });
    let _ = container.create().ok();
    let _ = container.start().ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    assert_eq!(container.read("log"), "done\n");
    if !runtime().departs("runc", "runs poststop hooks before it removes the state") {
        assert_eq!(container.read("states"), "");
    }
}

#[test]
fn a_failing_poststop_hook_does_not_keep_the_next_from_running() {
    if runtime().departs("runc", "gives up after one poststop hook failed") {
        return;
    }
    let container = Container::with_path(|config, path| {
        config
            .args(&["true"])
            .push("/hooks/poststop", hook("exit 3"))
            .push(
                "/hooks/poststop",
                hook(&format!("echo second > {}/log", path.display())),
            );
    });
    let _ = container.create().ok();
    let _ = container.start().ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    assert_eq!(container.read("log"), "second\n");
    container.assert_nothing_left();
}

#[test]
fn a_failing_hook_of_create_is_followed_by_the_poststop_hooks() {
    for kind in ["prestart", "createRuntime", "createContainer"] {
        let container = Container::with_path(|config, path| {
            config.push(&format!("/hooks/{kind}"), hook("exit 3")).push(
                "/hooks/poststop",
                hook(&format!("cat > {}/poststop.json", path.display())),
            );
        });
        assert_ne!(container.create().code(), 0);
        let state: Value = serde_json::from_str(&container.read("poststop.json")).unwrap();
        assert_eq!(state["status"], "stopped", "{kind}");
        container.assert_nothing_left();
    }
}

/// A hook that starts a child, and waits for it too long.
fn slow(path: &Path) -> Value {
    let script = format!("sleep 1000 & echo $! > {}/child; wait", path.display());
    let mut hook = hook(&script);
    hook["timeout"] = json!(1);
    hook
}

#[test]
fn a_timeout_ends_a_hook_with_all_that_it_started() {
    if runtime().departs("runc", "kills the hook's first process alone") {
        return;
    }
    for kind in ["createRuntime", "poststart"] {
        let container = Container::with_path(|config, path| {
            config.waits().push(&format!("/hooks/{kind}"), slow(path));
        });
        let finished = container.run();
        assert_ne!(finished.code(), 0, "{kind}");
        assert!(
            finished.stderr.contains("did not end within 1 seconds"),
            "{kind}: {finished:#?}"
        );
        let child = container.read("child");
        let child = Path::new("/proc").join(child.trim());
        until("the end of the hook's child", || {
            (!is_running(&child)).then_some(())
        });
    }
}

/// A zombie has ended.
fn is_running(process: &Path) -> bool {
    fs::read_to_string(process.join("stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn a_timeout_ends_a_hook_in_the_container_too() {
    if runtime().departs("runc", "kills the hook's first process alone") {
        return;
    }
    for kind in ["createContainer", "startContainer"] {
        let container = Container::with_path(|config: &mut Config, path| {
            config
                .args(&["true"])
                .bind(path, path.display().to_string().as_str(), &["bind"]);
            config.push(&format!("/hooks/{kind}"), slow(path));
        });
        let finished = container.run();
        assert_ne!(finished.code(), 0, "{kind}");
        container.assert_nothing_left();
    }
}
