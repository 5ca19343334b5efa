//! runtime.md, "Operations".

use std::fs;

use serde_json::json;

use super::runtime::{
    a_create_that_fails_leaves_nothing, stopped, the_id_of_another_is_refused,
    the_state_adheres_to_the_schema,
};
use super::{created, errs, refused, running};
use crate::process::{run, until};
use crate::{Container, cgroup, leftovers, mountinfo};

cases! {
    Must "runtime.md#query-state" ["1.0.0"] "This operation MUST generate an error if it is not provided the ID of a container."
        state_without_an_id_is_an_error => || without_id("state", &[]);
    Must "runtime.md#query-state" ["1.0.0"] "Attempting to query a container that does not exist MUST generate an error."
        state_of_a_container_that_does_not_exist_is_an_error => || errs(&Container::empty().call(&["state"]));
    Must "runtime.md#query-state" ["1.0.0"] "This operation MUST return the state of a container as specified in the State section."
        state_returns_the_state => the_state_adheres_to_the_schema;

    Must "runtime.md#create" ["1.0.0"] "This operation MUST generate an error if it is not provided a path to the bundle …"
        create_without_a_bundle_is_an_error;
    Must "runtime.md#create" ["1.0.0"] "… and the container ID to associate with the container."
        create_without_an_id_is_an_error;
    Must "runtime.md#create" ["1.0.0"] "If the ID provided is not unique …, the implementation MUST generate an error …"
        create_with_the_id_of_another_is_an_error => the_id_of_another_is_refused;
    Must "runtime.md#create" ["1.0.0"] "… and a new container MUST NOT be created."
        create_with_the_id_of_another_does_not_disturb_it;
    Must "runtime.md#create" ["1.0.0"] "If the ID provided … is not valid in any other way, the implementation MUST generate an error and a new container MUST NOT be created."
        create_with_an_id_that_is_a_path_is_an_error;
    Must "runtime.md#create" ["1.0.0"] "This operation MUST create a new container."
        create_makes_a_container => || drop(created(|_| {}));
    Must "runtime.md#create" ["1.0.0"] "All of the properties configured in config.json except for process MUST be applied."
        create_applies_the_mounts;
    Must "runtime.md#create" ["1.0.0"] "All of the properties configured in config.json except for process MUST be applied."
        create_makes_the_namespaces;
    Must "runtime.md#create" ["1.0.0"] "All of the properties configured in config.json except for process MUST be applied."
        create_sets_the_limits;
    Must "runtime.md#create" ["1.0.0"] "process.args MUST NOT be applied until triggered by the start operation."
        create_does_not_run_the_program;
    Must "runtime.md#create" ["1.0.0"] "If the runtime cannot apply a property …, it MUST generate an error and a new container MUST NOT be created."
        create_that_cannot_mount_makes_no_container => a_create_that_fails_leaves_nothing;
    Must "runtime.md#create" ["1.0.0"] "Any changes made to the config.json file after this operation will not have an effect on the container."
        a_change_of_config_json_after_create_has_no_effect;

    Must "runtime.md#start" ["1.0.0"] "This operation MUST generate an error if it is not provided the container ID."
        start_without_an_id_is_an_error => || without_id("start", &[]);
    Must "runtime.md#start" ["1.0.0"] "Attempting to start a container that is not created MUST … generate an error."
        start_of_a_container_that_does_not_exist_is_an_error => || errs(&Container::empty().start());
    Must "runtime.md#start" ["1.0.0"] "Attempting to start a container that is not created MUST have no effect on the container and MUST generate an error."
        a_second_start_is_an_error_and_has_no_effect;
    Must "runtime.md#start" ["1.0.0"] "Attempting to start a container that is not created MUST have no effect on the container and MUST generate an error."
        start_of_a_stopped_container_is_an_error_and_has_no_effect;
    Must "runtime.md#start" ["1.0.0"] "This operation MUST run the user-specified program as specified by process."
        start_runs_the_program;
    Must "runtime.md#start" ["1.0.0"] "This operation MUST generate an error if process was not set."
        a_container_without_a_process_does_not_start;

    Must "runtime.md#kill" ["1.0.0"] "This operation MUST generate an error if it is not provided the container ID."
        kill_without_an_id_is_an_error => || without_id("kill", &[]);
    Must "runtime.md#kill" ["1.0.0"] "Attempting to send a signal to a container that is neither created nor running MUST … generate an error."
        kill_of_a_container_that_does_not_exist_is_an_error => || errs(&Container::empty().kill("KILL"));
    Must "runtime.md#kill" ["1.0.0"] "Attempting to send a signal to a container that is neither created nor running MUST have no effect on the container and MUST generate an error."
        kill_of_a_stopped_container_is_an_error_and_has_no_effect;
    Must "runtime.md#kill" ["1.0.0"] "This operation MUST send the specified signal to the container process."
        kill_sends_the_signal_by_name => || signals(&["TERM", "USR1", "HUP"]);
    Must "runtime.md#kill" ["1.0.0"] "This operation MUST send the specified signal to the container process."
        kill_sends_the_signal_by_number => || signals(&["15", "10", "1"]);
    Must "runtime.md#kill" ["1.0.0"] "… neither created nor running …: a created container can be signalled"
        kill_ends_a_created_container;

    Must "runtime.md#delete" ["1.0.0"] "This operation MUST generate an error if it is not provided the container ID."
        delete_without_an_id_is_an_error => || without_id("delete", &[]);
    Must "runtime.md#delete" ["1.0.0"] "Attempting to delete a container that is not stopped MUST … generate an error."
        delete_of_a_container_that_does_not_exist_is_an_error => || errs(&Container::empty().delete());
    Must "runtime.md#delete" ["1.0.0"] "Attempting to delete a container that is not stopped MUST have no effect on the container and MUST generate an error."
        delete_of_a_running_container_is_an_error_and_has_no_effect => || is_not_deleted(&running(|_| {}), "running");
    Must "runtime.md#delete" ["1.0.0"] "Attempting to delete a container that is not stopped MUST have no effect on the container and MUST generate an error."
        delete_of_a_created_container_is_an_error_and_has_no_effect => || is_not_deleted(&created(|_| {}), "created");
    Must "runtime.md#delete" ["1.0.0"] "Deleting a container MUST delete the resources that were created during the create step."
        delete_removes_all_that_create_made;
    Must "runtime.md#delete" ["1.0.0"] "resources associated with the container, but not created by this container, MUST NOT be deleted."
        delete_leaves_what_was_bound_into_the_container;
    Must "runtime.md#delete" ["1.0.0"] "resources associated with the container, but not created by this container, MUST NOT be deleted."
        delete_leaves_a_namespace_that_was_joined;
    Must "runtime.md#delete" ["1.0.0"] "resources associated with the container, but not created by this container, MUST NOT be deleted."
        delete_leaves_a_cgroup_that_was_there_before;
    Must "runtime.md#delete" ["1.0.0"] "Once a container is deleted its ID MAY be used by a subsequent container."
        an_id_can_be_used_again_after_delete;
}

fn without_id(operation: &str, options: &[&str]) {
    let container = running(|_| {});
    errs(&run(container.subcommand([operation]).args(options)));
    assert_eq!(container.status(), "running");
}

fn create_without_a_bundle_is_an_error() {
    let container = Container::empty();
    let mut command = container.subcommand(["create", "--bundle", "/no/such/bundle"]);
    errs(&run(command.arg(&container.id)));
    // Of a command without --bundle the working directory is the bundle: here it is not one.
    errs(&run(container.subcommand(["create"]).arg(&container.id)));
    container.assert_nothing_left();
}

fn create_without_an_id_is_an_error() {
    let container = Container::new(|_| {});
    let mut command = container.subcommand(["create", "--bundle"]);
    errs(&run(command.arg(container.bundle())));
    container.assert_nothing_left();
}

fn create_with_the_id_of_another_does_not_disturb_it() {
    let container = created(|_| {});
    let before = container.state();
    errs(&container.create());
    assert_eq!(container.state(), before);
    let _ = container.start().ok();
    assert_eq!(container.status(), "running");
}

fn create_with_an_id_that_is_a_path_is_an_error() {
    for id in ["", "..", "../outside", "a/b", "/"] {
        let container = Container::new(|_| {});
        let mut command = container.subcommand(["create", "--bundle"]);
        let finished = run(command.arg(container.bundle()).arg(id));
        errs(&finished);
        assert!(!container.path().join("outside").exists());
        container.assert_nothing_left();
    }
}

fn create_applies_the_mounts() {
    let container = created(|config| {
        config.mount("/mnt", "tmpfs", "tmpfs", &["size=64k"]);
    });
    let mounts = mountinfo::read(format!("/proc/{}/mountinfo", container.pid()));
    assert!(
        mounts.iter().any(|mount| mount.target == "/mnt"),
        "{mounts:#?}"
    );
    let root = mounts.iter().find(|mount| mount.target == "/").unwrap();
    assert!(root.has("ro"), "{root:?}");
}

fn create_makes_the_namespaces() {
    let container = created(|_| {});
    for kind in ["mnt", "uts", "ipc", "net", "pid"] {
        let of = |process: &str| fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap();
        assert_ne!(of("self"), of(&container.pid().to_string()), "{kind}");
    }
}

fn create_sets_the_limits() {
    let container = created(|config| {
        config.set("/linux/resources/pids", json!({"limit": 77}));
    });
    let limit = cgroup::read(&container.cgroup, "pids", "pids.max", "pids.max");
    assert_eq!(limit, "77");
}

fn create_does_not_run_the_program() {
    let container = Container::with_path(|config, path| {
        let directory = path.to_str().unwrap();
        let script = format!("echo > {directory}/ran; sleep 60");
        config
            .shell(&script)
            .bind(directory, directory, &["bind", "rw"]);
    });
    let _ = container.create().ok();
    std::thread::sleep(std::time::Duration::from_millis(50));
    assert_eq!(container.status(), "created");
    assert!(!container.path().join("ran").exists());
    let _ = container.start().ok();
    until("the program", || {
        container.path().join("ran").exists().then_some(())
    });
}

fn a_change_of_config_json_after_create_has_no_effect() {
    let script = |word: &str| format!("echo {word} > /out; sleep 60");
    let container = created(|config| {
        config
            .shell(&script("before"))
            .set("/root/readonly", json!(false));
    });
    let mut config = container.config();
    config
        .shell(&script("after"))
        .set("/process/user/uid", json!(1000));
    container.write_config(&config);
    let _ = container.start().ok();
    let out = container.rootfs().join("out");
    let text = until("the program", || {
        fs::read_to_string(&out)
            .ok()
            .filter(|text| !text.is_empty())
    });
    assert_eq!(text, "before\n");
}

fn a_second_start_is_an_error_and_has_no_effect() {
    let container = running(|_| {});
    let before = container.state();
    errs(&container.start());
    assert_eq!(container.state(), before);
}

fn start_of_a_stopped_container_is_an_error_and_has_no_effect() {
    let container = stopped();
    errs(&container.start());
    assert_eq!(container.status(), "stopped");
}

fn start_runs_the_program() {
    let container = running(|config| {
        config.set("/root/readonly", json!(false)).args(&[
            "sh",
            "-c",
            "echo \"$0 $1\" > /out",
            "one",
            "two words",
        ]);
    });
    container.wait_for("stopped");
    let out = fs::read_to_string(container.rootfs().join("out")).unwrap();
    assert_eq!(out, "one two words\n");
}

/// A runtime may validate the configuration before: then there is no container that could be started.
fn a_container_without_a_process_does_not_start() {
    let container = Container::new(|config| {
        config.remove("/process");
    });
    if container.create().code() == 0 {
        errs(&container.start());
    } else {
        refused(&container);
    }
}

fn kill_of_a_stopped_container_is_an_error_and_has_no_effect() {
    let container = stopped();
    errs(&container.kill("KILL"));
    assert_eq!(container.status(), "stopped");
}

fn signals(signals: &[&str]) {
    let script =
        "trap 'echo TERM >> /got' TERM; trap 'echo USR1 >> /got' USR1; trap 'echo HUP >> /got' HUP;
        echo ready > /got; while :; do sleep 0.01; done";
    let container = running(|config| {
        config.shell(script).set("/root/readonly", json!(false));
    });
    let got = || fs::read_to_string(container.rootfs().join("got")).unwrap_or_default();
    let mut expected = "ready\n".to_owned();
    until("the traps", || (got() == expected).then_some(()));
    for (signal, name) in signals.iter().zip(["TERM", "USR1", "HUP"]) {
        let _ = container.kill(signal).ok();
        expected.push_str(name);
        expected.push('\n');
        until(signal, || (got() == expected).then_some(()));
    }
}

fn kill_ends_a_created_container() {
    let container = created(|_| {});
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
}

fn is_not_deleted(container: &Container, status: &str) {
    let before = container.state();
    errs(&container.delete());
    assert_eq!(container.state(), before);
    assert_eq!(container.status(), status);
}

fn delete_removes_all_that_create_made() {
    let container = running(|config| {
        config.shell("sleep 100 & true");
    });
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
    errs(&container.call(&["state"]));
}

fn delete_leaves_what_was_bound_into_the_container() {
    let container = Container::with_path(|config, path| {
        fs::create_dir(path.join("volume")).unwrap();
        config
            .args(&["true"])
            .bind(path.join("volume"), "/volume", &["bind"]);
    });
    container.file("volume/data", "kept");
    let _ = container.run().ok();
    assert_eq!(container.read("volume/data"), "kept");
    assert!(container.rootfs().join("bin/busybox").exists());
}

fn delete_leaves_a_namespace_that_was_joined() {
    let holder = running(|_| {});
    let path = format!("/proc/{}/ns/net", holder.pid());
    let container = Container::new(|config| {
        config.args(&["true"]).namespace("network", Some(&path));
    });
    let _ = container.run().ok();
    assert_eq!(holder.status(), "running");
}

fn delete_leaves_a_cgroup_that_was_there_before() {
    let container = Container::new(|config| {
        config.args(&["true"]);
    });
    let made: Vec<_> = cgroup::hierarchies()
        .into_iter()
        .filter(|(names, _)| !names.iter().any(|name| name == "cpuset"))
        .map(|(_, mount)| mount.join(container.id.as_str()))
        .collect();
    for directory in &made {
        fs::create_dir(directory).unwrap();
    }
    let finished = container.run();
    let gone: Vec<_> = made
        .iter()
        .filter(|directory| !directory.exists())
        .collect();
    cgroup::remove(&container.cgroup);
    let _ = finished.ok();
    assert!(
        gone.is_empty(),
        "were there before the container, and are gone: {gone:?}"
    );
}

fn an_id_can_be_used_again_after_delete() {
    let container = stopped();
    let _ = container.delete().ok();
    let _ = container.create().ok();
    assert_eq!(container.status(), "created");
    assert!(!leftovers::is_zombie(container.pid()));
}
