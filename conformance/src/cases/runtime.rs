//! runtime.md: the scope and the state of a container, errors and warnings.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{created, errs, running};
use crate::Container;
use crate::process::run;

cases! {
    Must "runtime.md#scope-of-a-container" ["1.0.0"] "The entity using a runtime to create a container MUST be able to use the operations defined in this specification against that same container."
        who_creates_a_container_can_query_start_kill_and_delete_it;

    Must "runtime.md#state" ["1.0.0"] "ociVersion (string, REQUIRED) is version of the … Specification with which the state complies."
        the_state_has_the_version_of_the_specification;
    Must "runtime.md#state" ["1.0.0"] "id (string, REQUIRED) is the container's ID."
        the_state_has_the_id;
    Must "runtime.md#state" ["1.0.0"] "[id] MUST be unique across all containers on this host."
        an_id_that_is_taken_is_an_error => the_id_of_another_is_refused;
    Must "runtime.md#state" ["1.0.0"] "status (string, REQUIRED): created: … the container process has neither exited nor executed the user-specified program"
        the_status_is_created_after_create => || assert_eq!(created(|_| {}).status(), "created");
    Must "runtime.md#state" ["1.0.0"] "status (string, REQUIRED): running: the container process has executed the user-specified program but has not exited"
        the_status_is_running_after_start => || assert_eq!(running(|_| {}).status(), "running");
    Must "runtime.md#state" ["1.0.0"] "status (string, REQUIRED): stopped: the container process has exited"
        the_status_is_stopped_after_the_program_has_exited => || drop(stopped());
    Must "runtime.md#state" ["1.0.0"] "status (string, REQUIRED): creating: the container is being created (step 2); created: after step 2"
        the_status_is_creating_or_created_in_a_create_runtime_hook;
    Must "runtime.md#state" ["1.0.0"] "pid (int, REQUIRED when status is created or running on Linux …) is the ID of the container process."
        the_state_has_the_pid_of_the_created_process => || has_pid(&created(|_| {}));
    Must "runtime.md#state" ["1.0.0"] "pid (int, REQUIRED when status is created or running on Linux …)"
        the_state_has_the_pid_of_the_running_process => || has_pid(&running(|_| {}));
    Must "runtime.md#state" ["1.0.0"] "For hooks executed in the runtime namespace, it is the pid as seen by the runtime."
        a_hook_in_the_runtime_namespace_gets_the_runtimes_pid;
    Must "runtime.md#state" ["1.1.0"] "For hooks executed in the container namespace, it is the pid as seen by the container."
        a_hook_in_the_container_namespace_gets_the_containers_pid;
    Must "runtime.md#state" ["1.0.0"] "bundle (string, REQUIRED) is the absolute path to the container's bundle directory."
        the_state_has_the_absolute_path_of_the_bundle;
    Must "runtime.md#state" ["1.0.0"] "annotations (map, OPTIONAL) contains the list of annotations associated with the container."
        the_state_has_the_annotations;
    Must "runtime.md#state" ["1.1.0"] "When serialized in JSON, the format MUST adhere to the JSON Schema schema/state-schema.json."
        the_state_adheres_to_the_schema;

    Must "runtime.md#errors" ["1.0.0"] "generating an error MUST leave the state of the environment as if the operation were never attempted"
        a_create_that_fails_leaves_nothing;
    Must "runtime.md#errors" ["1.0.0"] "generating an error MUST leave the state of the environment as if the operation were never attempted"
        a_create_that_fails_late_leaves_nothing;
    Must "runtime.md#warnings" ["1.0.0"] "Unless otherwise stated, logging a warning … MUST continue as if the warning had not been logged."
        a_warning_does_not_change_the_exit_status;

    Must "runtime.md#operations" ["1.0.0"] "Unless otherwise stated, runtimes MUST support the following operations."
        the_five_operations_are_supported => who_creates_a_container_can_query_start_kill_and_delete_it;
}

pub(super) fn stopped() -> Container {
    let container = running(|config| {
        config.args(&["true"]);
    });
    container.wait_for("stopped");
    container
}

fn who_creates_a_container_can_query_start_kill_and_delete_it() {
    let container = created(|_| {});
    let _ = container.call(&["state"]).ok();
    let _ = container.start().ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
}

fn the_state_has_the_version_of_the_specification() {
    let state = created(|_| {}).state();
    let version = state["ociVersion"].as_str().expect("a string");
    let numbers: Vec<_> = version.splitn(3, '.').collect();
    assert_eq!(numbers.len(), 3, "not a version by SemVer 2.0.0: {version}");
}

fn the_state_has_the_id() {
    let container = created(|_| {});
    assert_eq!(container.state()["id"], container.id);
}

pub(super) fn the_id_of_another_is_refused() {
    let container = created(|_| {});
    errs(&container.create());
}

fn the_status_is_creating_or_created_in_a_create_runtime_hook() {
    let container = with_hook("createRuntime", "cat >");
    let state: Value = serde_json::from_str(&container.read("hook")).unwrap();
    // The create operation has not ended, and step 2 of the lifecycle has: the specification says both.
    let status = state["status"].as_str().unwrap_or_default();
    assert!(["creating", "created"].contains(&status), "{state}");
}

/// A created container whose hook of this kind has written a file `hook` with the command.
fn with_hook(kind: &str, command: &str) -> Container {
    let container = Container::with_path(|config, path| {
        let directory = path.display().to_string();
        let script = format!("{command} {directory}/hook");
        config.waits().bind(path, &directory, &["bind"]).push(
            &format!("/hooks/{kind}"),
            json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}),
        );
    });
    let _ = container.create().ok();
    container
}

fn a_hook_in_the_runtime_namespace_gets_the_runtimes_pid() {
    let container = with_hook("createRuntime", "cat >");
    let state: Value = serde_json::from_str(&container.read("hook")).unwrap();
    assert_eq!(state["pid"], container.pid());
}

fn a_hook_in_the_container_namespace_gets_the_containers_pid() {
    let container = with_hook("startContainer", "cat >");
    let _ = container.start().ok();
    let state: Value = serde_json::from_str(&container.read("hook")).unwrap();
    assert_eq!(state["pid"], 1, "{state}");
}

fn has_pid(container: &Container) {
    let pid = container.pid();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(
        cgroups.contains(&container.id),
        "{pid} is not in the container's cgroup: {cgroups}"
    );
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let inner = status.lines().find(|line| line.starts_with("NSpid:"));
    assert!(
        inner.is_some_and(|line| line.ends_with("\t1")),
        "{pid} is not process 1 of the container: {inner:?}"
    );
}

fn the_state_has_the_absolute_path_of_the_bundle() {
    let container = Container::new(|config| {
        config.waits();
    });
    let mut command = container.subcommand(["create", "--bundle", "bundle"]);
    let _ = run(command.arg(&container.id).current_dir(container.path())).ok();
    let state = container.state();
    let bundle = Path::new(state["bundle"].as_str().expect("a string"));
    assert!(bundle.is_absolute(), "{state}");
    assert_eq!(bundle.canonicalize().unwrap(), container.bundle());
}

fn the_state_has_the_annotations() {
    let annotations = json!({"com.example.one": "1", "com.example.empty": ""});
    let container = created(|config| {
        config.set("/annotations", annotations.clone());
    });
    let state = container.state();
    for (key, value) in annotations.as_object().unwrap() {
        assert_eq!(&state["annotations"][key], value, "{state}");
    }
}

pub(super) fn the_state_adheres_to_the_schema() {
    let container = running(|config| {
        config.set("/annotations", json!({"com.example.one": "1"}));
    });
    adheres(&container.state());
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    adheres(&container.state());
}

fn adheres(state: &Value) {
    for string in ["ociVersion", "id", "bundle"] {
        assert!(state[string].is_string(), "{string}: {state}");
    }
    let status = state["status"].as_str().unwrap_or_default();
    let known = ["creating", "created", "running", "stopped"];
    assert!(known.contains(&status), "status: {state}");
    let pid = state.get("pid").is_none_or(Value::is_u64);
    assert!(pid, "pid: {state}");
    let annotations = state.get("annotations").is_none_or(|map| {
        map.as_object()
            .is_some_and(|map| map.values().all(Value::is_string))
    });
    assert!(annotations, "annotations: {state}");
}

pub(super) fn a_create_that_fails_leaves_nothing() {
    let container = Container::new(|config| {
        config.mount("/mnt", "no-such-file-system", "none", &[]);
    });
    errs(&container.create());
    errs(&container.call(&["state"]));
    container.assert_nothing_left();
}

/// The mounts are made when the hook fails.
fn a_create_that_fails_late_leaves_nothing() {
    let container = Container::new(|config| {
        config
            .mount("/mnt", "tmpfs", "tmpfs", &[])
            .push("/hooks/createContainer", json!({"path": "/bin/false"}));
    });
    errs(&container.create());
    errs(&container.call(&["state"]));
    container.assert_nothing_left();
}

/// The last operation of a container is to warn of a poststop hook, and to succeed.
fn a_warning_does_not_change_the_exit_status() {
    let container = running(|config| {
        config
            .args(&["true"])
            .push("/hooks/poststop", json!({"path": "/bin/false"}));
    });
    container.wait_for("stopped");
    let _ = container.delete().ok();
}
