//! Namespaces in any combination: config-linux.md, "Namespaces".

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::process::Command;

use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container, Report};
use serde_json::json;

/// Names in config.json, and in /proc/PID/ns.
const KINDS: [(&str, &str); 8] = [
    ("user", "user"),
    ("pid", "pid"),
    ("network", "net"),
    ("ipc", "ipc"),
    ("uts", "uts"),
    ("mount", "mnt"),
    ("cgroup", "cgroup"),
    ("time", "time"),
];

const MAPPING: (u32, u32, u32) = (0, 100_000, 65536);

/// What a container does about one kind of namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    Inherits,
    Makes,
    Joins,
}

use Choice::{Inherits, Joins, Makes};

fn link(pid: &str, kind: &str) -> String {
    let path = format!("/proc/{pid}/ns/{kind}");
    fs::read_link(path).unwrap().display().to_string()
}

/// A running container with a namespace of every kind, in a user namespace or not.
fn holder(user: bool) -> Container {
    let container = Container::new(|config| {
        config
            .waits()
            .namespace("cgroup", None)
            .namespace("time", None);
        if user {
            config.user_namespace(&[MAPPING]);
        }
    });
    let _ = container.run_detached();
    container
}

/// Leaves out the mounts that only the owner of a namespace may make.
fn without_mounts(config: &mut Config, destinations: &[&str]) {
    let mounts = config.0["mounts"].as_array_mut().unwrap();
    mounts.retain(|mount| {
        !destinations
            .iter()
            .any(|destination| mount["destination"] == *destination)
    });
}

fn configure(config: &mut Config, choices: &[Choice; 8], holder: i32) {
    for ((kind, file), choice) in KINDS.iter().zip(choices) {
        let _ = match choice {
            Inherits => config.share(kind),
            Makes if *kind == "user" => config.user_namespace(&[MAPPING]),
            Makes => config.namespace(kind, None),
            Joins => config.namespace(kind, Some(&format!("/proc/{holder}/ns/{file}"))),
        };
    }
    let is = |wanted: &str, choice: Choice| {
        KINDS
            .iter()
            .zip(choices)
            .any(|((kind, _), chosen)| *kind == wanted && *chosen == choice)
    };
    // Who has no power over the name must not ask for one.
    if is("uts", Inherits) || is("user", Makes) && is("uts", Joins) {
        config.remove("/hostname");
    }
    if !is("user", Inherits) {
        without_mounts(config, &["/sys", "/sys/fs/cgroup", "/dev/mqueue"]);
        config.set("/linux/maskedPaths", json!([]));
    }
}

/// Runs the probe and compares each namespace with what was chosen for it.
fn check(choices: &[Choice; 8], holder: &Container) {
    let pid = holder.pid();
    let container = Container::new(|config| configure(config, choices, pid));
    let report: Report = container.report();
    for ((kind, file), choice) in KINDS.iter().zip(choices) {
        let found = report.namespaces[*file].as_str();
        let (own, theirs) = (link("self", file), link(&pid.to_string(), file));
        match choice {
            Inherits => assert_eq!(found, own, "{kind} of {choices:?}"),
            Joins => assert_eq!(found, theirs, "{kind} of {choices:?}"),
            Makes => assert!(found != own && found != theirs, "{kind} of {choices:?}"),
        }
    }
    container.assert_nothing_left();
}

/// The next number of a sequence without pattern (xorshift).
fn next(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// Combinations in no order; which the kernel allows is left to `allowed`.
fn combinations(
    seed: u64,
    count: usize,
    allowed: impl Fn(&[Choice; 8]) -> bool,
) -> Vec<[Choice; 8]> {
    let mut state = seed;
    let mut found = Vec::new();
    while found.len() < count {
        let mut choices =
            [Inherits; 8].map(|_| [Inherits, Makes, Joins][(next(&mut state) % 3) as usize]);
        // Mounts of the container need a namespace of its own that its user namespace owns.
        choices[5] = Makes;
        if allowed(&choices) && !found.contains(&choices) {
            found.push(choices);
        }
    }
    found
}

fn cannot_mix() -> bool {
    runtime().predates(
        "runc",
        [1, 2, 0],
        "time namespaces, and cgroup namespaces by path",
    )
}

#[test]
fn any_mix_of_new_joined_and_inherited_namespaces_is_what_the_configuration_says() {
    if cannot_mix() {
        return;
    }
    let holder = holder(false);
    for choices in combinations(0x9e37_79b9, 14, |choices| choices[0] == Inherits) {
        check(&choices, &holder);
    }
}

#[test]
fn any_mix_with_a_new_user_namespace_is_too() {
    if cannot_mix() {
        return;
    }
    let holder = holder(false);
    // A procfs is of the user namespace that owns the PID namespace.
    let allowed = |choices: &[Choice; 8]| choices[0] == Makes && choices[1] == Makes;
    for choices in combinations(0x1234_5678, 12, allowed) {
        check(&choices, &holder);
    }
}

#[test]
fn any_mix_with_a_joined_user_namespace_is_too() {
    if cannot_mix() {
        return;
    }
    let holder = holder(true);
    let allowed = |choices: &[Choice; 8]| choices[0] == Joins && choices[1] != Inherits;
    for choices in combinations(0x0bad_cafe, 12, allowed) {
        check(&choices, &holder);
    }
}

#[test]
fn all_namespaces_are_joined_in_whatever_order_they_are_listed() {
    if cannot_mix() {
        return;
    }
    let holder = holder(true);
    let mut choices = [Joins; 8];
    choices[5] = Makes;
    let pid = holder.pid();
    for rotation in [0, 3, 6] {
        let container = Container::new(|config| {
            configure(config, &choices, pid);
            let list = config.0["linux"]["namespaces"].as_array_mut().unwrap();
            list.rotate_left(rotation);
        });
        let report = container.report();
        for (kind, file) in KINDS.iter().filter(|(kind, _)| *kind != "mount") {
            assert_eq!(
                report.namespaces[*file],
                link(&pid.to_string(), file),
                "{kind}"
            );
        }
    }
}

#[test]
fn a_path_that_is_no_namespace_of_the_type_is_refused() {
    let holder = Container::new(|config| {
        config.waits();
    });
    let _ = holder.run_detached();
    let pid = holder.pid();
    for (kind, _) in KINDS {
        if kind == "time" && runtime().predates("runc", [1, 2, 0], "time namespaces") {
            continue;
        }
        let other = if kind == "uts" { "ipc" } else { "uts" };
        for path in [
            format!("/proc/{pid}/ns/{other}"),
            format!("/proc/{pid}/status"),
            "/no/such/namespace".to_owned(),
        ] {
            let container = Container::new(|config| {
                config.namespace(kind, Some(&path));
            });
            let list = &container.config().0["linux"]["namespaces"];
            let number = list.as_array().unwrap().len() - 1;
            let pointer = format!("/linux/namespaces/{number}");
            let phrases: &[&str] = if runtime().is_bareboat() {
                &[&pointer, &path]
            } else {
                &[]
            };
            let _ = container.create().refused(phrases);
            container.assert_nothing_left();
        }
    }
}

#[test]
fn a_fifo_in_place_of_a_namespace_does_not_hang_the_runtime() {
    let container = Container::with_path(|config, path| {
        let fifo = path.join("fifo");
        let _ = run(Command::new("mkfifo").arg(&fifo)).ok();
        config.namespace("network", fifo.to_str());
    });
    if runtime().departs("runc", "waits for a writer of the FIFO") {
        return;
    }
    let _ = container.create().refused(&["fifo"]);
    container.assert_nothing_left();
}

#[test]
fn a_relative_path_is_refused() {
    let container = Container::new(|config| {
        config.namespace("network", Some("proc/self/ns/net"));
    });
    if runtime().departs("runc", "takes the path from its working directory") {
        return;
    }
    let _ = container
        .create()
        .refused(&["/linux/namespaces/4/path", "proc/self/ns/net"]);
    container.assert_nothing_left();
}

#[test]
fn a_type_that_comes_twice_is_refused_new_or_joined() {
    for (kind, file) in KINDS {
        let own = format!("/proc/self/ns/{file}");
        for (first, second) in [
            (None, None),
            (None, Some(&own)),
            (Some(&own), None),
            (Some(&own), Some(&own)),
        ] {
            let container = Container::new(|config| {
                config.share(kind);
                for path in [first, second] {
                    let mut namespace = json!({"type": kind});
                    if let Some(path) = path {
                        namespace["path"] = json!(path);
                    }
                    config.push("/linux/namespaces", namespace);
                }
            });
            let phrases: &[&str] = if runtime().is_bareboat() {
                &["/linux/namespaces/", kind]
            } else {
                &[]
            };
            let _ = container.create().refused(phrases);
            container.assert_nothing_left();
        }
    }
}

#[test]
fn a_type_that_is_none_is_refused() {
    for namespace in [json!({"type": "network2"}), json!({"type": ""}), json!({})] {
        let container = Container::new(|config| {
            config.push("/linux/namespaces", namespace);
        });
        let _ = container.create().refused(&[]);
        container.assert_nothing_left();
    }
}

#[test]
fn a_cgroup_namespace_begins_at_the_containers_cgroup_whatever_else_is_made_or_joined() {
    let holder = Container::new(|config| {
        config.waits();
    });
    let _ = holder.run_detached();
    let pid = holder.pid();
    let joined = format!("/proc/{pid}/ns/pid");
    let changes: [&dyn Fn(&mut Config); 3] = [
        &|config| {
            config.user_namespace(&[MAPPING]);
        },
        &|config| {
            config.namespace("pid", Some(&joined));
        },
        &|config| {
            config.share("pid").share("ipc").share("network");
        },
    ];
    for change in changes {
        let container = Container::new(|config| {
            config.namespace("cgroup", None);
            change(config);
            config.args(&["cat", "/proc/self/cgroup"]);
        });
        let text = container.run().ok().stdout;
        assert!(!text.is_empty());
        for line in text.lines() {
            assert!(line.ends_with(":/"), "{line}");
        }
    }
}

#[test]
fn a_tenant_is_in_the_namespaces_of_the_container_whatever_their_mix() {
    if cannot_mix() {
        return;
    }
    let holder = holder(true);
    let pid = holder.pid();
    for choices in combinations(0x5eed, 4, |choices| {
        choices[0] == Joins && choices[1] != Inherits
    }) {
        let container = Container::new(|config| {
            configure(config, &choices, pid);
            config.waits();
        });
        let _ = container.run_detached();
        let report = container.exec_probe(&[]);
        for (kind, file) in KINDS {
            let own = link(&container.pid().to_string(), file);
            assert_eq!(report.namespaces[file], own, "{kind} of {choices:?}");
        }
    }
}
