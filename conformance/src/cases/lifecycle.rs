//! runtime.md, "Lifecycle".

use std::fs;

use serde_json::{Value, json};

use super::{created, errs, refuses, running};
use crate::process::{Finished, until};
use crate::{Container, cgroup};

cases! {
    Must "runtime.md#lifecycle" ["1.0.0"] "2. The container's runtime environment MUST be created according to the configuration in config.json."
        create_makes_the_environment;
    Must "runtime.md#lifecycle" ["1.0.0"] "If the runtime is unable to create the environment …, it MUST generate an error."
        an_environment_that_cannot_be_created_is_an_error;
    Must "runtime.md#lifecycle" ["1.0.0"] "the user-specified program (from process) MUST NOT be run at this time."
        the_program_is_not_run_by_create;
    Must "runtime.md#lifecycle" ["1.0.0"] "Any updates to config.json after this step MUST NOT affect the container."
        config_json_is_read_once;
    Must "runtime.md#lifecycle" ["1.0.0"] "3. The prestart hooks MUST be invoked by the runtime."
        prestart_hooks_are_invoked => || invoked("prestart");
    Must "runtime.md#lifecycle" ["1.0.0"] "If any prestart hook fails, the runtime MUST generate an error, …"
        a_prestart_hook_that_fails_is_an_error => || fails("prestart");
    Must "runtime.md#lifecycle" ["1.0.0"] "… stop the container, …"
        a_prestart_hook_that_fails_stops_the_container => || stops("prestart");
    Must "runtime.md#lifecycle" ["1.0.0"] "… and continue the lifecycle at step 12."
        a_prestart_hook_that_fails_destroys_the_container => || destroys("prestart");
    Must "runtime.md#lifecycle" ["1.0.2"] "4. The createRuntime hooks MUST be invoked by the runtime."
        create_runtime_hooks_are_invoked => || invoked("createRuntime");
    Must "runtime.md#lifecycle" ["1.0.2"] "If any createRuntime hook fails, the runtime MUST generate an error, …"
        a_create_runtime_hook_that_fails_is_an_error => || fails("createRuntime");
    Must "runtime.md#lifecycle" ["1.0.2"] "… stop the container, …"
        a_create_runtime_hook_that_fails_stops_the_container => || stops("createRuntime");
    Must "runtime.md#lifecycle" ["1.0.2"] "… and continue the lifecycle at step 12."
        a_create_runtime_hook_that_fails_destroys_the_container => || destroys("createRuntime");
    Must "runtime.md#lifecycle" ["1.0.2"] "5. The createContainer hooks MUST be invoked by the runtime."
        create_container_hooks_are_invoked => || invoked("createContainer");
    Must "runtime.md#lifecycle" ["1.0.2"] "If any createContainer hook fails, the runtime MUST generate an error, …"
        a_create_container_hook_that_fails_is_an_error => || fails("createContainer");
    Must "runtime.md#lifecycle" ["1.0.2"] "… stop the container, …"
        a_create_container_hook_that_fails_stops_the_container => || stops("createContainer");
    Must "runtime.md#lifecycle" ["1.0.2"] "… and continue the lifecycle at step 12."
        a_create_container_hook_that_fails_destroys_the_container => || destroys("createContainer");
    Must "runtime.md#lifecycle" ["1.0.2"] "7. The startContainer hooks MUST be invoked by the runtime."
        start_container_hooks_are_invoked => || invoked("startContainer");
    Must "runtime.md#lifecycle" ["1.0.2"] "If any startContainer hook fails, the runtime MUST generate an error, …"
        a_start_container_hook_that_fails_is_an_error => || fails("startContainer");
    Must "runtime.md#lifecycle" ["1.0.2"] "… stop the container, …"
        a_start_container_hook_that_fails_stops_the_container => || stops("startContainer");
    Must "runtime.md#lifecycle" ["1.0.2"] "… and continue the lifecycle at step 12."
        a_start_container_hook_that_fails_destroys_the_container => || destroys("startContainer");
    Must "runtime.md#lifecycle" ["1.0.0"] "8. The runtime MUST run the user-specified program, as specified by process."
        start_runs_the_program => || assert_eq!(super::inside("echo it ran", |_| {}), "it ran\n");
    Must "runtime.md#lifecycle" ["1.0.0"] "9. The poststart hooks MUST be invoked by the runtime."
        poststart_hooks_are_invoked => || invoked("poststart");
    Must "runtime.md#lifecycle" ["1.3.0"] "If any poststart hook fails, the runtime MUST generate an error, …"
        a_poststart_hook_that_fails_is_an_error => || fails("poststart");
    Must "runtime.md#lifecycle" ["1.3.0"] "… stop the container, …"
        a_poststart_hook_that_fails_stops_the_container => || stops("poststart");
    Must "runtime.md#lifecycle" ["1.3.0"] "… and continue the lifecycle at step 12."
        a_poststart_hook_that_fails_destroys_the_container => || destroys("poststart");
    Must "runtime.md#lifecycle" ["1.0.0"] "10. The container process exits."
        a_program_that_exits_stops_the_container;
    Must "runtime.md#lifecycle" ["1.0.0"] "12. The container MUST be destroyed by undoing the steps performed during create phase (step 2)."
        delete_undoes_create;
    Must "runtime.md#lifecycle" ["1.0.0"] "13. The poststop hooks MUST be invoked by the runtime."
        poststop_hooks_are_invoked => || invoked("poststop");
    Must "runtime.md#lifecycle" ["1.0.0"] "If any poststop hook fails, … the remaining hooks and lifecycle continue as if the hook had succeeded."
        a_poststop_hook_that_fails_does_not_keep_the_others_from_running;
}

fn create_makes_the_environment() {
    let container = created(|config| {
        config
            .mount("/mnt", "tmpfs", "tmpfs", &[])
            .set("/linux/resources/pids", json!({"limit": 55}));
    });
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", container.pid())).unwrap();
    assert!(mounts.contains(" /mnt "), "{mounts}");
    let limit = cgroup::read(&container.cgroup, "pids", "pids.max", "pids.max");
    assert_eq!(limit, "55");
}

fn an_environment_that_cannot_be_created_is_an_error() {
    refuses(|config| {
        config.bind("/no/such/source", "/mnt", &["bind"]);
    });
}

/// A file in the root file system, which is writable.
fn trace(container: &Container) -> String {
    fs::read_to_string(container.rootfs().join("trace")).unwrap_or_default()
}

fn the_program_is_not_run_by_create() {
    let container = created(|config| {
        config
            .shell("echo ran > /trace; sleep 60")
            .set("/root/readonly", json!(false));
    });
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(trace(&container), "");
    let _ = container.start().ok();
    until("the program", || {
        (trace(&container) == "ran\n").then_some(())
    });
}

fn config_json_is_read_once() {
    let container = created(|config| {
        config
            .shell("echo $WORD > /trace; sleep 60")
            .env("WORD=before")
            .set("/root/readonly", json!(false));
    });
    fs::remove_file(container.bundle().join("config.json")).unwrap();
    let _ = container.start().ok();
    until("the program", || {
        (trace(&container) == "before\n").then_some(())
    });
}

fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]})
}

/// A container with a hook of this kind, which leaves a trace and ends so, and with a poststop hook that does, too.
fn with_hook(kind: &str, ends: &str) -> Container {
    let script = |name: &str, path: &std::path::Path, ends: &str| {
        hook(&format!(
            "cat > /dev/null; echo {name} >> {}/log; {ends}",
            path.display()
        ))
    };
    Container::with_path(|config, path| {
        let directory = path.display().to_string();
        config.waits().bind(path, &directory, &["bind"]);
        config.push(&format!("/hooks/{kind}"), script(kind, path, ends));
        if kind != "poststop" {
            config.push("/hooks/poststop", script("poststop", path, "true"));
        }
    })
}

fn log(container: &Container) -> String {
    fs::read_to_string(container.path().join("log")).unwrap_or_default()
}

fn invoked(kind: &str) {
    let container = with_hook(kind, "true");
    let _ = container.create().ok();
    let _ = container.start().ok();
    if kind == "startContainer" {
        until("the hook", || (!log(&container).is_empty()).then_some(()));
    }
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    let log = log(&container);
    let times = log.lines().filter(|line| *line == kind).count();
    assert_eq!(times, 1, "{log}");
}

/// What the operation says whose hook fails.
fn with_failing_hook(kind: &str) -> (Container, Finished) {
    let container = with_hook(kind, "exit 1");
    let created = container.create();
    if !["startContainer", "poststart"].contains(&kind) {
        return (container, created);
    }
    let _ = created.ok();
    let started = container.start();
    (container, started)
}

fn fails(kind: &str) {
    let (_container, finished) = with_failing_hook(kind);
    errs(&finished);
}

fn stops(kind: &str) {
    let (container, _) = with_failing_hook(kind);
    let left = container.leftovers();
    let alive: Vec<_> = left
        .iter()
        .filter(|line| line.starts_with("process"))
        .collect();
    assert!(alive.is_empty(), "still alive: {alive:?}");
}

/// Steps 12 and 13: all that `create` did is undone, and the poststop hooks are invoked.
fn destroys(kind: &str) {
    let (container, _) = with_failing_hook(kind);
    let (left, log) = (container.leftovers(), log(&container));
    assert!(log.contains("poststop"), "no poststop hook was run: {log}");
    assert!(left.is_empty(), "not undone: {left:#?}");
}

fn a_program_that_exits_stops_the_container() {
    let container = running(|config| {
        config.args(&["false"]);
    });
    container.wait_for("stopped");
}

fn delete_undoes_create() {
    let container = running(|_| {});
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

fn a_poststop_hook_that_fails_does_not_keep_the_others_from_running() {
    let container = with_hook("poststop", "exit 1");
    let mut config = container.config();
    let path = container.path().display().to_string();
    config.args(&["true"]).push(
        "/hooks/poststop",
        hook(&format!("cat > /dev/null; echo second >> {path}/log")),
    );
    container.write_config(&config);
    let _ = container.create().ok();
    let _ = container.start().ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    assert_eq!(log(&container), "poststop\nsecond\n");
    container.assert_nothing_left();
}
