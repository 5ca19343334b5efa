//! Limits so low that a container, or a further process in it, comes to nothing: the error says which limit it was.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use conformance::driver::is_systemd_and;
use conformance::process::{run, until};
use conformance::runtime::runtime;
use conformance::{Container, Finished, cgroup};
use serde_json::{Value, json};

const OOM: &str = "container init was OOM-killed (memory limit too low?)";

fn refused(finished: Finished, phrases: &[&str], own: &[&str]) {
    let phrases = match runtime().is_bareboat() {
        true => [phrases, own].concat(),
        false => phrases.to_vec(),
    };
    let _ = finished.refused(&phrases);
}

fn limited(limit: u64) -> Value {
    json!({"limit": limit, "swap": limit})
}

#[test]
fn an_init_that_is_killed_for_want_of_memory_is_explained_by_the_limit() {
    if runtime().departs("runc", "fails in other ways with so little") {
        return;
    }
    for limit in [4096, 16384, 65536] {
        let container = Container::new(|config| {
            config
                .waits()
                .set("/linux/resources/memory", limited(limit));
        });
        let value = format!("the limit is {limit} bytes");
        let own = ["/linux/resources/memory/limit", value.as_str()];
        refused(container.run(), &[OOM], &own);
        container.assert_nothing_left();
    }
}

/// Filled while the container is made, and its own to pay for.
#[test]
fn what_a_mount_copies_from_the_image_counts_as_the_containers_memory() {
    if runtime().departs("runc", "copies as somebody else") {
        return;
    }
    let container = Container::new(|config| {
        let mount = json!({"destination": "/copied", "type": "tmpfs", "options": ["tmpcopyup"]});
        let config = config.waits().set("/mounts", json!([mount]));
        config.set("/linux/resources/memory", limited(4 << 20));
    });
    let copied = container.rootfs().join("copied");
    fs::create_dir(&copied).unwrap();
    fs::write(copied.join("large"), vec![1; 8 << 20]).unwrap();
    let own = [
        "/linux/resources/memory/limit",
        "the limit is 4194304 bytes",
    ];
    refused(container.create(), &[OOM], &own);
    container.assert_nothing_left();
}

#[test]
fn whichever_step_of_a_containers_life_is_the_last_is_explained() {
    if runtime().departs("runc", "fails in other ways with so little") {
        return;
    }
    // At some of these the init is set up, and killed when it is to become the user's program.
    for pages in [1, 2, 4, 8].into_iter().chain((16..=32).step_by(2)) {
        let limit = pages * 4096;
        let container = Container::new(|config| {
            config
                .args(&["sleep", "60"])
                .set("/linux/resources/memory", limited(limit));
        });
        let value = format!("the limit is {limit} bytes");
        let explanation = [OOM, "/linux/resources/memory/limit", value.as_str()];
        let created = container.create();
        if created.code() != 0 {
            refused(created, &explanation, &[]);
            container.assert_nothing_left();
            continue;
        }
        let started = container.start();
        if started.code() != 0 {
            refused(started, &explanation, &[]);
            assert_eq!(container.status(), "stopped");
        }
    }
}

#[test]
fn a_limit_that_is_given_as_unified_is_named_as_such() {
    if cgroup::is_v1("memory") {
        eprintln!("skipped: unified is for cgroup v2");
        return;
    }
    let container = Container::new(|config| {
        config.waits().set(
            "/linux/resources/unified",
            json!({"memory.max": "4096", "memory.swap.max": "0"}),
        );
    });
    let own = ["/linux/resources/unified/memory.max", "the limit is 4096"];
    refused(container.create(), &[OOM], &own);
    container.assert_nothing_left();
}

#[test]
fn a_hook_in_the_container_that_is_killed_for_want_of_memory_is_explained_by_the_limit() {
    if runtime().departs("runc", "has hooks in the runtime's cgroup") {
        return;
    }
    for kind in ["createContainer", "startContainer"] {
        let container = Container::new(|config| {
            config.waits();
            let hook = json!({
                "path": "/bin/busybox",
                "args": ["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"],
            });
            config
                .set("/hooks", json!({kind: [hook]}))
                .set("/linux/resources/memory", limited(8 << 20));
        });
        let own = [OOM, "/linux/resources/memory/limit", "busybox"];
        refused(container.run(), &[], &own);
        container.assert_nothing_left();
    }
}

#[test]
fn a_program_that_is_killed_for_want_of_memory_is_no_error_of_the_runtime() {
    let container = Container::new(|config| {
        config
            .args(&["dd", "if=/dev/zero", "of=/dev/null", "bs=64M", "count=1"])
            .set("/linux/resources/memory", limited(16 << 20));
    });
    let finished = container.run();
    assert_eq!((finished.code(), finished.stderr.as_str()), (137, ""));
}

#[test]
fn a_further_process_that_is_killed_for_want_of_memory_is_explained() {
    let container = Container::new(|config| {
        config
            .args(&["sleep", "60"])
            .set("/linux/resources/memory", limited(8 << 20));
    });
    let _ = container.run_detached();
    let directory = cgroup::of_process(container.pid(), "memory");
    let (file, value) = match cgroup::is_v1("memory") {
        true => ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        false => ("memory.max", "memory.current"),
    };
    // No more than what is used now. The kernel counts some pages as used that each processor has in store, and a process
    // may come by on these.
    let failed = until("a process that is killed", || {
        let used = fs::read_to_string(directory.join(value)).unwrap();
        fs::write(directory.join(file), used.trim()).unwrap();
        let finished = container.exec(&[], &["true"]);
        (finished.code() != 0).then_some(finished)
    });
    // Without a word of the runtime, its program was killed already; or the container's was, after the one before.
    let is_otherwise = failed.code() == 137 || failed.stderr.contains("stopped container");
    if runtime().is_bareboat() && !is_otherwise {
        let own = ["OOM-killed", "/linux/resources/memory/limit"];
        refused(failed, &[], &own);
    }
}

#[test]
fn a_process_that_the_pids_limit_keeps_out_is_explained() {
    if runtime().departs("runc", "says nothing of the limit") {
        return;
    }
    let container = Container::new(|config| {
        config
            .args(&["sleep", "60"])
            .set("/linux/resources/pids", json!({"limit": 1}));
    });
    let _ = container.run_detached();
    let own = [
        "no further process may be in the container (pids limit too low?)",
        "/linux/resources/pids/limit",
        "the limit is 1 processes",
    ];
    refused(container.exec(&[], &["true"]), &[], &own);
}

/// A cgroup with room for one process, which the runtime is in, and the container's beside that.
fn one_process_cgroup(container: &Container) -> PathBuf {
    let limited = cgroup::directory("pids", &container.cgroup);
    fs::create_dir(&limited).unwrap();
    if !cgroup::is_v1("pids") {
        for parent in [limited.parent().unwrap(), &limited] {
            fs::write(parent.join("cgroup.subtree_control"), "+pids").unwrap();
        }
    }
    let own = limited.join("runtime");
    fs::create_dir(&own).unwrap();
    fs::write(limited.join("pids.max"), "1").unwrap();
    own
}

#[test]
fn a_host_that_lets_the_caller_have_no_process_more_is_told_by_what_may_be_the_limit() {
    if runtime().departs("runc", "needs threads itself") {
        return;
    }
    if is_systemd_and("it has another process in the cgroup") {
        return;
    }
    let container = Container::new(|_| {});
    let mut config = container.config();
    let path = format!("{}/container", container.cgroup);
    container.write_config(config.set("/linux/cgroupsPath", json!(path)));
    let own = one_process_cgroup(&container);
    let mut script = Command::new("sh");
    script.args(["-c", "echo $$ >\"$1\" && shift && exec \"$@\"", "sh"]);
    script.arg(own.join("cgroup.procs")).arg(&runtime().path);
    script.args(container.create_command(&[]).get_args());
    let _ = run(&mut script).refused(&["/linux/namespaces", "pids.max of a cgroup allow"]);
    fs::remove_dir(own).unwrap();
    cgroup::remove(&container.cgroup);
    container.assert_nothing_left();
}
