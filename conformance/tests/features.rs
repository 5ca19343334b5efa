//! `features`, and that what it lists is what the runtime takes: features.md, features-linux.md; config.md,
//! "Specification version".
#![allow(clippy::unwrap_used, clippy::expect_used)]

use conformance::process;
use conformance::runtime::runtime;
use conformance::{Agent, Config, Container, agent::Answer};
use serde_json::{Value, json};

fn features() -> Value {
    let container = Container::empty();
    let finished = process::run(&mut container.subcommand(["features"])).ok();
    serde_json::from_str(&finished.stdout).expect("features prints JSON")
}

fn list(pointer: &str) -> Vec<String> {
    let features = features();
    let names = features.pointer(pointer).and_then(Value::as_array).unwrap();
    assert!(!names.is_empty(), "{pointer}");
    names
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect()
}

/// Asserts that a container with this configuration can be created.
fn is_taken(what: &str, change: impl FnOnce(&mut Config)) {
    let container = Container::new(|config| {
        config.waits();
        change(config);
    });
    let finished = container.create();
    assert_eq!(finished.code(), 0, "{what}: {finished:#?}");
}

#[test]
fn every_mount_option_of_the_document_is_taken() {
    if runtime().predates("runc", [1, 2, 0], "all of the document") {
        return;
    }
    for option in list("/mountOptions") {
        let needs_a_mapping = option == "idmap" || option == "ridmap";
        if needs_a_mapping || option == "remount" {
            continue;
        }
        // A kernel without CONFIG_MANDATORY_FILE_LOCKING, as all are since Linux 5.15, refuses it.
        if option == "mand" {
            continue;
        }
        is_taken(&option, |config| {
            if option.contains("bind") && !option.ends_with("unbindable") {
                config.bind("/tmp", "/mnt", &[option.as_str()]);
            } else {
                config.mount("/mnt", "tmpfs", "tmpfs", &[option.as_str()]);
            }
        });
    }
}

#[test]
fn every_namespace_and_capability_of_the_document_is_taken() {
    if runtime().predates("runc", [1, 2, 0], "all of the document") {
        return;
    }
    is_taken("namespaces", |config| {
        let names = list("/linux/namespaces");
        let namespaces: Vec<_> = names
            .iter()
            .map(|name| json!({"type": name}))
            .filter(|namespace| namespace["type"] != "user")
            .collect();
        config.set("/linux/namespaces", json!(namespaces));
    });
    let names = list("/linux/capabilities");
    assert!(names.contains(&"CAP_CHECKPOINT_RESTORE".to_owned()));
    let container = Container::new(|config| {
        config.args(&["true"]);
        let names: Vec<_> = names.iter().map(String::as_str).collect();
        config.capabilities(&names);
    });
    let finished = container.run().ok();
    assert!(
        !finished.stderr.contains("not a capability") && !finished.stderr.contains("unknown"),
        "{finished:#?}"
    );
}

#[test]
fn every_hook_of_the_document_is_run() {
    let names = list("/hooks");
    let container = Container::with_path(|config, path| {
        config
            .args(&["true"])
            .bind(path, path.to_str().unwrap(), &["bind"]);
        for name in &names {
            let script = format!("echo {name} >> {}/log", path.display());
            let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", script]});
            config.push(&format!("/hooks/{name}"), hook);
        }
    });
    let _ = container.run().ok();
    let mut log: Vec<_> = container.read("log").lines().map(str::to_owned).collect();
    log.sort();
    let mut expected = names;
    expected.sort();
    assert_eq!(log, expected);
}

#[test]
fn everything_of_seccomp_in_the_document_is_taken() {
    if runtime().predates("runc", [1, 2, 0], "all of the document") {
        return;
    }
    let in_seccomp = |name: &str| list(&format!("/linux/seccomp/{name}"));
    for action in in_seccomp("actions") {
        let container = Container::with_path(|config, path| {
            let rule = json!({"names": ["acct"], "action": action});
            let profile = json!({
                "defaultAction": "SCMP_ACT_ALLOW",
                "listenerPath": path.join("agent.sock"),
                "syscalls": [rule],
            });
            config.args(&["true"]).set("/linux/seccomp", profile);
        });
        let _agent = Agent::new(container.path(), |_| Answer::Continue);
        let _ = container.run().ok();
    }
    for operator in in_seccomp("operators") {
        let args = json!([{"index": 0, "value": 1, "op": operator}]);
        is_taken(&operator, |config| {
            let rule = json!({"names": ["acct"], "action": "SCMP_ACT_ERRNO", "args": args});
            let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
            config.set("/linux/seccomp", profile);
        });
    }
    for (member, name) in [("flags", "supportedFlags"), ("architectures", "archs")] {
        for value in in_seccomp(name) {
            if value.ends_with("WAIT_KILLABLE_RECV") {
                continue;
            }
            is_taken(&value, |config| {
                config.args(&["true"]).set(
                    "/linux/seccomp",
                    json!({"defaultAction": "SCMP_ACT_ALLOW", member: [value]}),
                );
            });
        }
    }
}

#[test]
fn versions_from_the_oldest_to_the_newest_of_the_document_run() {
    let features = features();
    let ends = ["ociVersionMin", "ociVersionMax"].map(|end| features[end].as_str().unwrap());
    let between = [
        "1.0.0",
        "1.0.1",
        "1.0.2",
        "1.0.2-dev",
        "1.0.0-rc5",
        "1.1.0",
        "1.1.0-rc.2",
        "1.2.0",
        "1.2.1+dev",
        "1.3.0",
        "1.3.1",
        // A version that only adds to what is known.
        "1.4.0",
    ];
    for version in ends.into_iter().chain(between) {
        let container = Container::new(|config| {
            config.waits().set("/ociVersion", json!(version));
        });
        let _ = container.create().ok();
        let told = container.state()["ociVersion"].clone();
        if runtime().is_bareboat() {
            assert_eq!(told, version);
        }
    }
}

#[test]
fn other_major_versions_and_what_is_no_version_are_refused() {
    if runtime().departs("runc", "looks at no version") {
        return;
    }
    for version in [
        "0.9.0", "2.0.0", "1.0", "1", "", "v1.0.2", "1.0.2-", "latest",
    ] {
        let container = Container::new(|config| {
            config.set("/ociVersion", json!(version));
        });
        let _ = container.create().refused(&["/ociVersion"]);
        container.assert_nothing_left();
    }
    let container = Container::new(|config| {
        config.remove("/ociVersion");
    });
    let _ = container.create().refused(&["ociVersion"]);
    container.assert_nothing_left();
}

#[test]
fn the_supplementary_groups_of_the_caller_are_kept_where_an_annotation_says_so() {
    if runtime().departs("runc", "does not know the annotation of crun") {
        return;
    }
    let groups = |value: Option<&str>| {
        let container = Container::new(|config| {
            config.set("/process/user/additionalGids", json!([17]));
            if let Some(value) = value {
                config.set(
                    "/annotations",
                    json!({"run.oci.keep_original_groups": value}),
                );
            }
        });
        let mut command = container.run_command(&[]);
        conformance::sys::set_groups(&mut command, vec![4242, 4243]);
        conformance::Report::parse(&process::run(&mut command).ok())
            .status("Groups")
            .to_owned()
    };
    assert_eq!(groups(None), "17");
    assert_eq!(groups(Some("0")), "17");
    assert_eq!(groups(Some("1")), "4242 4243");
    assert!(
        list("/potentiallyUnsafeConfigAnnotations")
            .contains(&"run.oci.keep_original_groups".to_owned())
    );
}
