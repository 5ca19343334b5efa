//! config.md, "POSIX-platform Hooks".

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{created, errs, refuses};
use crate::process::until;
use crate::{Config, Container};

cases! {
    Must "config.md#posix-platform-hooks" ["1.0.0"] "This specification extends the IEEE standard in that path MUST be absolute."
        a_relative_path_of_a_hook_is_an_error => || refuses(|config| { config.push("/hooks/prestart", json!({"path": "true"})); });
    Must "config.md#posix-platform-hooks" ["1.0.0"] "args (array of strings, OPTIONAL) with the same semantics as … execv's argv."
        a_hook_gets_its_arguments;
    Must "config.md#posix-platform-hooks" ["1.0.0"] "args (array of strings, OPTIONAL)"
        a_hook_needs_no_arguments => || drop(created(|config| { config.push("/hooks/prestart", json!({"path": "/bin/true"})); }));
    Must "config.md#posix-platform-hooks" ["1.0.0"] "env (array of strings, OPTIONAL) with the same semantics as IEEE Std 1003.1-2008's environ."
        a_hook_gets_its_environment;
    Must "config.md#posix-platform-hooks" ["1.0.0"] "timeout (int, OPTIONAL) is the number of seconds before aborting the hook."
        a_hook_that_takes_too_long_is_aborted;
    Must "config.md#posix-platform-hooks" ["1.0.0"] "If set, timeout MUST be greater than zero."
        a_timeout_of_zero_is_an_error => || refuses(|config| { config.push("/hooks/prestart", json!({"path": "/bin/true", "timeout": 0})); });
    Must "config.md#posix-platform-hooks" ["1.0.0"] "Hooks MUST be called in the listed order."
        hooks_are_called_in_the_listed_order;

    Must "config.md#posix-platform-hooks" ["1.0.0"] "The state of the container MUST be passed to hooks over stdin"
        prestart_hooks_get_the_state => || gets_the_state("prestart");
    Must "config.md#posix-platform-hooks" ["1.0.2"] "The state of the container MUST be passed to hooks over stdin"
        create_runtime_hooks_get_the_state => || gets_the_state("createRuntime");
    Must "config.md#posix-platform-hooks" ["1.0.2"] "The state of the container MUST be passed to hooks over stdin"
        create_container_hooks_get_the_state => || gets_the_state("createContainer");
    Must "config.md#posix-platform-hooks" ["1.0.2"] "The state of the container MUST be passed to hooks over stdin"
        start_container_hooks_get_the_state => || gets_the_state("startContainer");
    Must "config.md#posix-platform-hooks" ["1.0.0"] "The state of the container MUST be passed to hooks over stdin"
        poststart_hooks_get_the_state => || gets_the_state("poststart");
    Must "config.md#posix-platform-hooks" ["1.0.0"] "The state of the container MUST be passed to hooks over stdin"
        poststop_hooks_get_the_state => || gets_the_state("poststop");

    Must "config.md#prestart" ["1.1.0"] "The prestart hooks MUST be called as part of the create operation …"
        prestart_hooks_are_part_of_create => || is_part_of_create("prestart");
    Must "config.md#prestart" ["1.1.0"] "… after the runtime environment has been created …"
        prestart_hooks_find_the_namespaces => || finds_the_namespaces("prestart");
    Must "config.md#prestart" ["1.1.0"] "… but before the pivot_root or any equivalent operation has been executed."
        prestart_hooks_come_before_pivot_root => || comes_before_pivot_root("prestart");
    Must "config.md#prestart" ["1.1.0"] "The prestart hooks MUST be called before the createRuntime hooks."
        prestart_hooks_come_before_create_runtime_hooks => || assert!(order().contains("prestart createRuntime "));
    Must "config.md#prestart" ["1.0.0"] "The prestart hooks' path MUST resolve in the runtime namespace."
        the_path_of_a_prestart_hook_is_the_runtimes => || resolves_on_the_host("prestart");
    Must "config.md#prestart" ["1.0.0"] "The prestart hooks MUST be executed in the runtime namespace."
        prestart_hooks_run_in_the_runtime_namespace => || runs_in("prestart", false);

    Must "config.md#createruntime-hooks" ["1.0.2"] "The createRuntime hooks MUST be called as part of the create operation …"
        create_runtime_hooks_are_part_of_create => || is_part_of_create("createRuntime");
    Must "config.md#createruntime-hooks" ["1.0.2"] "… after the runtime environment has been created …"
        create_runtime_hooks_find_the_namespaces => || finds_the_namespaces("createRuntime");
    Must "config.md#createruntime-hooks" ["1.0.2"] "… but before the pivot_root or any equivalent operation has been executed."
        create_runtime_hooks_come_before_pivot_root => || comes_before_pivot_root("createRuntime");
    Must "config.md#createruntime-hooks" ["1.0.2"] "The createRuntime hooks' path MUST resolve in the runtime namespace."
        the_path_of_a_create_runtime_hook_is_the_runtimes => || resolves_on_the_host("createRuntime");
    Must "config.md#createruntime-hooks" ["1.0.2"] "The createRuntime hooks MUST be executed in the runtime namespace."
        create_runtime_hooks_run_in_the_runtime_namespace => || runs_in("createRuntime", false);

    Must "config.md#createcontainer-hooks" ["1.0.2"] "The createContainer hooks MUST be called as part of the create operation …"
        create_container_hooks_are_part_of_create => || is_part_of_create("createContainer");
    Must "config.md#createcontainer-hooks" ["1.0.2"] "… but before the pivot_root or any equivalent operation has been executed."
        create_container_hooks_come_before_pivot_root => || resolves_on_the_host("createContainer");
    Must "config.md#createcontainer-hooks" ["1.0.2"] "The createContainer hooks MUST be called after the createRuntime hooks."
        create_container_hooks_come_after_create_runtime_hooks => || assert!(order().contains("createRuntime createContainer "));
    Must "config.md#createcontainer-hooks" ["1.0.2"] "The createContainer hooks' path MUST resolve in the runtime namespace."
        the_path_of_a_create_container_hook_is_the_runtimes => || resolves_on_the_host("createContainer");
    Must "config.md#createcontainer-hooks" ["1.0.2"] "The createContainer hooks MUST be executed in the container namespace."
        create_container_hooks_run_in_the_container_namespace => || runs_in("createContainer", true);

    Must "config.md#startcontainer-hooks" ["1.0.2"] "The startContainer hooks MUST be called before the user-specified process is executed as part of the start operation."
        start_container_hooks_come_before_the_program;
    Must "config.md#startcontainer-hooks" ["1.0.2"] "The startContainer hooks' path MUST resolve in the container namespace."
        the_path_of_a_start_container_hook_is_the_containers;
    Must "config.md#startcontainer-hooks" ["1.0.2"] "The startContainer hooks MUST be executed in the container namespace."
        start_container_hooks_run_in_the_container_namespace => || runs_in("startContainer", true);

    Must "config.md#poststart" ["1.0.0"] "The poststart hooks MUST be called after the user-specified process is executed …"
        poststart_hooks_come_after_the_program_is_executed;
    Must "config.md#poststart" ["1.0.0"] "… but before the start operation returns."
        poststart_hooks_end_before_start_returns;
    Must "config.md#poststart" ["1.0.0"] "The poststart hooks' path MUST resolve in the runtime namespace."
        the_path_of_a_poststart_hook_is_the_runtimes => || resolves_on_the_host("poststart");
    Must "config.md#poststart" ["1.0.0"] "The poststart hooks MUST be executed in the runtime namespace."
        poststart_hooks_run_in_the_runtime_namespace => || runs_in("poststart", false);

    Must "config.md#poststop" ["1.0.0"] "The poststop hooks MUST be called after the container is deleted …"
        poststop_hooks_come_after_the_container_is_deleted;
    Must "config.md#poststop" ["1.0.0"] "… but before the delete operation returns."
        poststop_hooks_end_before_delete_returns;
    Must "config.md#poststop" ["1.0.0"] "The poststop hooks' path MUST resolve in the runtime namespace."
        the_path_of_a_poststop_hook_is_the_runtimes => || resolves_on_the_host("poststop");
    Must "config.md#poststop" ["1.0.0"] "The poststop hooks MUST be executed in the runtime namespace."
        poststop_hooks_run_in_the_runtime_namespace => || runs_in("poststop", false);
}

const KINDS: [&str; 6] = [
    "prestart",
    "createRuntime",
    "createContainer",
    "startContainer",
    "poststart",
    "poststop",
];

fn hook(script: &str) -> Value {
    json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin:/sbin:/usr/sbin"]})
}

/// A container that waits, with one hook; `DIR` in its script is the case's directory, which is there in the container, too.
fn with_hook(kind: &str, script: &str) -> Container {
    with_hooks(&[(kind, script)])
}

fn with_hooks(hooks: &[(&str, &str)]) -> Container {
    Container::with_path(|config, path| {
        let directory = path.display().to_string();
        config.waits().bind(path, &directory, &["bind"]);
        for (kind, script) in hooks {
            let script = script.replace("DIR", &directory);
            config.push(&format!("/hooks/{kind}"), hook(&script));
        }
    })
}

/// From create to delete. A runtime whose `start` does not wait for the startContainer hooks gets the time for them: whether
/// it has to wait is not what these cases are about.
fn live(container: &Container) {
    let _ = container.create().ok();
    let _ = container.start().ok();
    let waits = container.config().0["process"]["args"].clone();
    let deadline = Instant::now() + Duration::from_secs(2);
    while running_program(container) != waits && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    end(container);
}

fn running_program(container: &Container) -> Value {
    let line = fs::read(format!("/proc/{}/cmdline", container.pid())).unwrap_or_default();
    let text = String::from_utf8_lossy(&line).into_owned();
    text.trim_end_matches('\0').split('\0').collect()
}

fn end(container: &Container) {
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// What the hook wrote to `DIR/log`.
fn log(container: &Container) -> String {
    read(&container.path().join("log"))
}

fn log_of(kind: &str, script: &str) -> String {
    let container = with_hook(kind, script);
    live(&container);
    log(&container)
}

fn a_hook_gets_its_arguments() {
    let container = Container::with_path(|config, path| {
        let script = format!(
            "cat > /dev/null; echo \"$0|$1|$2\" > {}/log",
            path.display()
        );
        let args = json!(["name", "-c", script, "zero", "", "two words"]);
        config.waits().push(
            "/hooks/createRuntime",
            json!({"path": "/bin/sh", "args": args}),
        );
    });
    let _ = container.create().ok();
    assert_eq!(log(&container), "zero||two words\n");
}

fn a_hook_gets_its_environment() {
    let container = Container::with_path(|config, path| {
        let script = format!(
            "cat > /dev/null; tr '\\0' '\\n' < /proc/$$/environ | sort > {}/log",
            path.display()
        );
        let mut hook = hook(&script);
        hook["env"] = json!(["ONE=1", "EMPTY=", "PATH=/bin:/usr/bin"]);
        config.waits().push("/hooks/createRuntime", hook);
    });
    let _ = container.create().ok();
    assert_eq!(log(&container), "EMPTY=\nONE=1\nPATH=/bin:/usr/bin\n");
}

fn a_hook_that_takes_too_long_is_aborted() {
    let container = Container::new(|config| {
        config.waits().push(
            "/hooks/createRuntime",
            json!({"path": "/bin/sleep", "args": ["sleep", "20"], "timeout": 1}),
        );
    });
    let start = Instant::now();
    errs(&container.create());
    assert!(
        start.elapsed() < Duration::from_secs(10),
        "{:?}",
        start.elapsed()
    );
}

fn hooks_are_called_in_the_listed_order() {
    for kind in KINDS {
        let container = with_hooks(&[
            (kind, "cat > /dev/null; echo 1 >> DIR/log"),
            (kind, "cat > /dev/null; sleep 0.02; echo 2 >> DIR/log"),
            (kind, "cat > /dev/null; echo 3 >> DIR/log"),
        ]);
        live(&container);
        assert_eq!(log(&container), "1\n2\n3\n", "{kind}");
    }
}

fn gets_the_state(kind: &str) {
    let container = with_hook(kind, "cat > DIR/log");
    live(&container);
    let text = log(&container);
    let state: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{kind}: {error}: {text}"));
    assert_eq!(state["id"], container.id, "{state}");
    assert!(state["ociVersion"].is_string(), "{state}");
    assert_eq!(state["bundle"], json!(container.bundle()), "{state}");
    let expected: &[&str] = match kind {
        "startContainer" => &["created"],
        "poststart" => &["running"],
        "poststop" => &["stopped"],
        _ => &["creating", "created"],
    };
    let status = state["status"].as_str().unwrap_or_default();
    assert!(expected.contains(&status), "{kind}: {state}");
}

fn is_part_of_create(kind: &str) {
    let container = with_hook(kind, "cat > /dev/null; echo ran > DIR/log");
    let _ = container.create().ok();
    assert_eq!(log(&container), "ran\n");
}

/// The PID in the state that the hook is given.
const PID: &str = "pid=$(tr ',{}' '\\n\\n\\n' | sed -n 's/^ *\"pid\": *\\([0-9]*\\).*/\\1/p');";

fn finds_the_namespaces(kind: &str) {
    let script = format!("{PID} for n in net uts ipc pid mnt; do
        test $(readlink /proc/$pid/ns/$n) != $(readlink /proc/self/ns/$n) && echo $n >> DIR/log; done; true");
    assert_eq!(log_of(kind, &script), "net\nuts\nipc\npid\nmnt\n");
}

/// The container's process still sees the host's files.
fn comes_before_pivot_root(kind: &str) {
    let script = format!(
        "{PID} test -e /proc/$pid/root/DIR/bundle/config.json && test -d /proc/$pid/root/boot -o -d /proc/$pid/root/lib && echo before > DIR/log"
    );
    assert_eq!(log_of(kind, &script), "before\n");
}

/// All kinds, one after another.
fn order() -> String {
    let script = |kind: &str| format!("cat > /dev/null; printf '%s ' {kind} >> DIR/log");
    let scripts = KINDS.map(|kind| (kind, script(kind)));
    // Not in the order in which they are called.
    let hooks: Vec<_> = scripts
        .iter()
        .rev()
        .map(|(kind, script)| (*kind, script.as_str()))
        .collect();
    let container = with_hooks(&hooks);
    live(&container);
    log(&container)
}

/// The hook's file is on the host only.
fn resolves_on_the_host(kind: &str) {
    let container = Container::with_path(|config, path| {
        config.waits().push(
            &format!("/hooks/{kind}"),
            json!({"path": path.join("the-hook"), "env": ["PATH=/bin:/usr/bin"]}),
        );
    });
    let log = container.path().join("log");
    let script = format!("#!/bin/sh\ncat > /dev/null; echo ran > {}\n", log.display());
    executable(&container.file("the-hook", &script));
    live(&container);
    assert_eq!(read(&log), "ran\n", "{kind}");
}

fn executable(path: &Path) {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

fn runs_in(kind: &str, container_namespace: bool) {
    let container = with_hook(
        kind,
        "cat > /dev/null; for n in mnt net uts ipc; do readlink /proc/self/ns/$n >> DIR/log; done",
    );
    let _ = container.create().ok();
    let pid = container.pid();
    let link = |process: &str, kind| fs::read_link(format!("/proc/{process}/ns/{kind}")).unwrap();
    let inside = KINDS_OF_NAMESPACES.map(|kind| link(&pid.to_string(), kind).display().to_string());
    let outside = KINDS_OF_NAMESPACES.map(|kind| link("self", kind).display().to_string());
    let _ = container.start().ok();
    end(&container);
    let log = log(&container);
    let seen: Vec<_> = log.lines().collect();
    assert_eq!(seen.len(), KINDS_OF_NAMESPACES.len(), "{kind}: {seen:?}");
    if container_namespace {
        assert_eq!(seen, inside, "{kind}");
    } else {
        // The runtime may be a script that made a mount namespace for it.
        assert_ne!(seen[0], inside[0], "{kind}");
        assert_eq!(seen[1..], outside[1..], "{kind}");
    }
}

const KINDS_OF_NAMESPACES: [&str; 4] = ["mnt", "net", "uts", "ipc"];

fn start_container_hooks_come_before_the_program() {
    let container = with_hook(
        "startContainer",
        "cat > /dev/null; sleep 0.05; echo hook >> DIR/log",
    );
    let mut config = container.config();
    let script = format!(
        "echo program >> {}/log; sleep 60",
        container.path().display()
    );
    config.shell(&script);
    container.write_config(&config);
    let _ = container.create().ok();
    assert_eq!(log(&container), "", "not before start");
    let _ = container.start().ok();
    until("the program", || {
        log(&container).contains("program").then_some(())
    });
    assert_eq!(log(&container), "hook\nprogram\n");
}

fn the_path_of_a_start_container_hook_is_the_containers() {
    let container = Container::new(|config: &mut Config| {
        config
            .waits()
            .set("/root/readonly", json!(false))
            .push("/hooks/startContainer", json!({"path": "/the-hook"}));
    });
    let path = container.rootfs().join("the-hook");
    fs::write(&path, "#!/bin/sh\ncat > /dev/null; echo ran > /log\n").unwrap();
    executable(&path);
    let _ = container.create().ok();
    let _ = container.start().ok();
    until("the hook", || {
        (read(&container.rootfs().join("log")) == "ran\n").then_some(())
    });
}

fn poststart_hooks_come_after_the_program_is_executed() {
    let script = format!("{PID} tr '\\0' ' ' < /proc/$pid/cmdline > DIR/log");
    let container = with_hook("poststart", &script);
    let mut config = container.config();
    config.args(&["sleep", "60"]);
    container.write_config(&config);
    let _ = container.create().ok();
    assert_eq!(log(&container), "", "not before start");
    let _ = container.start().ok();
    until("the hook", || (!log(&container).is_empty()).then_some(()));
    assert_eq!(log(&container), "sleep 60 ");
}

fn poststart_hooks_end_before_start_returns() {
    let container = with_hook(
        "poststart",
        "cat > /dev/null; sleep 0.1; echo ran > DIR/log",
    );
    let _ = container.create().ok();
    assert_eq!(log(&container), "", "not before start");
    let _ = container.start().ok();
    assert_eq!(log(&container), "ran\n");
}

fn poststop_hooks_come_after_the_container_is_deleted() {
    let container = with_hook(
        "poststop",
        "cat > /dev/null; ls -d /sys/fs/cgroup/*/ID /sys/fs/cgroup/ID > DIR/log 2> /dev/null; echo done >> DIR/log",
    );
    let mut config = container.config();
    let script = config.0["hooks"]["poststop"][0]["args"][2]
        .as_str()
        .unwrap()
        .replace("ID", &container.id);
    config.set("/hooks/poststop/0/args/2", json!(script));
    container.write_config(&config);
    live(&container);
    assert_eq!(log(&container), "done\n", "the cgroups are still there");
}

fn poststop_hooks_end_before_delete_returns() {
    let container = with_hook("poststop", "cat > /dev/null; sleep 0.1; echo ran > DIR/log");
    let _ = container.create().ok();
    let _ = container.start().ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    assert_eq!(log(&container), "", "not before delete");
    let _ = container.delete().ok();
    assert_eq!(log(&container), "ran\n");
}
