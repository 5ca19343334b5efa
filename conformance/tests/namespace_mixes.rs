//! Namespaces in any combination: config-linux.md, "Namespaces", "User namespace mappings", "Offset for Time Namespace".

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::process::Command;

use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container, Report};
use serde_json::{Value, json};

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
    let holder = holder(false);
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

/// So many mappings: one with the ids that mounts ask for, the others of one id each.
fn ranges(count: u32) -> Vec<(u32, u32, u32)> {
    let others = (10..).map(|id| (id, id + 1000, 1));
    let first = (0, 1000, 10);
    [first]
        .into_iter()
        .chain(others)
        .take(count as usize)
        .collect()
}

fn numbers(text: &str) -> Vec<u32> {
    text.split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect()
}

#[test]
fn a_user_namespace_has_as_many_mappings_as_the_kernel_takes() {
    for count in [5, 6, 300] {
        let ranges = ranges(count);
        let container = Container::new(|config| {
            config.user_namespace(&ranges).args(&[
                "cat",
                "/proc/self/uid_map",
                "/proc/self/gid_map",
            ]);
        });
        let printed = numbers(&container.run().ok().stdout);
        let expected: Vec<_> = ranges
            .iter()
            .chain(&ranges)
            .flat_map(|(a, b, c)| [*a, *b, *c])
            .collect();
        assert_eq!(printed, expected, "{count}");
    }
    // As short as 340 lines can be.
    let ranges: Vec<_> = (0..340).map(|id| (id, id, 1)).collect();
    let container = Container::new(|config| {
        config
            .user_namespace(&ranges)
            .args(&["cat", "/proc/self/uid_map"]);
    });
    assert_eq!(numbers(&container.run().ok().stdout).len(), 3 * 340);
}

#[test]
fn more_mappings_than_the_kernel_takes_are_refused_with_the_reason() {
    if runtime().departs("runc", "says only what the kernel's errno is") {
        return;
    }
    let many = Container::new(|config| {
        config.user_namespace(&(0..341).map(|id| (id, id, 1)).collect::<Vec<_>>());
    });
    let _ = many
        .create()
        .refused(&["/linux/uidMappings", "341 mappings"]);
    many.assert_nothing_left();
    let long = Container::new(|config| {
        config.user_namespace(
            &(0..340)
                .map(|id| (id, id + 100_000_000, 1))
                .collect::<Vec<_>>(),
        );
    });
    let _ = long
        .create()
        .refused(&["/linux/uidMappings", "a page is the most"]);
    long.assert_nothing_left();
}

#[test]
fn mappings_that_cannot_be_are_refused() {
    for (uids, gids, pointer) in [
        (
            json!([[0, 1000, 10], [5, 5000, 10]]),
            json!([[0, 1000, 10]]),
            "/linux/uidMappings",
        ),
        (
            json!([[0, 1000, 10]]),
            json!([[0, 1000, 10], [50, 1005, 10]]),
            "/linux/gidMappings",
        ),
        (
            json!([[u32::MAX, 1000, 2]]),
            json!([[0, 1000, 10]]),
            "/linux/uidMappings",
        ),
        (
            json!([[0, u32::MAX, 2]]),
            json!([[0, 1000, 10]]),
            "/linux/uidMappings",
        ),
        (
            json!([[0, 1000, 0]]),
            json!([[0, 1000, 10]]),
            "/linux/uidMappings/0/size",
        ),
        (json!([]), json!([[0, 1000, 10]]), "/linux/uidMappings"),
        (json!([[0, 1000, 10]]), json!([]), "/linux/gidMappings"),
    ] {
        let container = Container::new(|config| {
            config
                .namespace("user", None)
                .set("/linux/uidMappings", mappings(&uids))
                .set("/linux/gidMappings", mappings(&gids));
        });
        let phrases: &[&str] = if runtime().is_bareboat() {
            &[pointer]
        } else {
            &[]
        };
        let _ = container.create().refused(phrases);
        container.assert_nothing_left();
    }
}

/// Rows of container, host and size as config.json has them.
fn mappings(rows: &Value) -> Value {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| json!({"containerID": row[0], "hostID": row[1], "size": row[2]}))
        .collect()
}

#[test]
fn mappings_beside_the_path_of_a_user_namespace_have_to_be_the_namespaces_own() {
    if runtime().predates("runc", [1, 2, 0], "joining a user namespace by path") {
        return;
    }
    let holder = holder(true);
    let path = format!("/proc/{}/ns/user", holder.pid());
    let joining = |users: Value, groups: Value| {
        Container::new(|config| {
            config
                .namespace("user", Some(&path))
                .set("/linux/uidMappings", mappings(&users))
                .set("/linux/gidMappings", mappings(&groups));
        })
    };
    let (same, other) = (json!([[0, 100_000, 65536]]), json!([[0, 200_000, 65536]]));
    let report = joining(same.clone(), same.clone()).report();
    assert_eq!(
        report.namespaces["user"],
        fs::read_link(&path).unwrap().to_str().unwrap()
    );
    for (users, groups, pointer) in [
        (other.clone(), same.clone(), "/linux/uidMappings"),
        (same, other, "/linux/gidMappings"),
    ] {
        let container = joining(users, groups);
        let phrases: &[&str] = if runtime().is_bareboat() {
            &[pointer, "other mappings: 0 100000 65536"]
        } else {
            &[]
        };
        let _ = container.create().refused(phrases);
        container.assert_nothing_left();
    }
}

#[test]
fn a_cgroup_namespace_begins_at_the_containers_cgroup_whatever_else_is_made_or_joined() {
    let holder = holder(false);
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

/// The boot time clock, and the monotonic one by what the probe says of it.
fn offsets(offsets: Value, script: &str) -> Container {
    Container::new(|config| {
        config
            .namespace("time", None)
            .set("/linux/timeOffsets", offsets)
            .shell(script);
    })
}

fn uptime(text: &str) -> f64 {
    text.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn clocks_are_set_forward_and_back_by_seconds_and_nanoseconds() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    let host = || uptime(&fs::read_to_string("/proc/uptime").unwrap());
    for (secs, nanosecs) in [
        (1_000_000, 0),
        (-100, 0),
        (-100, 500_000_000),
        (0, 999_999_999),
    ] {
        let asked = json!({"boottime": {"secs": secs, "nanosecs": nanosecs}});
        let container = offsets(asked, "cat /proc/uptime /proc/self/timens_offsets");
        let before = host();
        let text = container.run().ok().stdout;
        let after = host();
        let offset = f64::from(secs) + f64::from(nanosecs) / 1e9;
        let inside = uptime(&text);
        // The file has hundredths, cut off.
        assert!(
            inside > before + offset - 0.02 && inside < after + offset + 0.02,
            "{text}: {before} {after}"
        );
        let line = text.lines().last().unwrap().split_whitespace();
        let expected = ["boottime", &secs.to_string(), &nanosecs.to_string()];
        assert_eq!(line.collect::<Vec<_>>(), expected);
    }
}

#[test]
fn either_part_of_an_offset_may_be_left_out_and_each_clock() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    for (asked, expected) in [
        (json!({}), ["monotonic 0 0", "boottime 0 0"]),
        (json!({"monotonic": {}}), ["monotonic 0 0", "boottime 0 0"]),
        (
            json!({"monotonic": {"secs": -5}}),
            ["monotonic -5 0", "boottime 0 0"],
        ),
        (
            json!({"boottime": {"nanosecs": 7}}),
            ["monotonic 0 0", "boottime 0 7"],
        ),
        (
            json!({"boottime": {"secs": 3, "nanosecs": 4}, "monotonic": {"secs": 1, "nanosecs": 2}}),
            ["monotonic 1 2", "boottime 3 4"],
        ),
    ] {
        let text = offsets(asked, "cat /proc/self/timens_offsets")
            .run()
            .ok()
            .stdout;
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(lines, expected);
    }
}

#[test]
fn an_offset_that_no_clock_can_have_is_refused() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    for (clock, offset, at) in [
        ("realtime", json!({"secs": 1}), "realtime"),
        ("a/b", json!({"secs": 1}), "a~1b"),
        ("boottime", json!({"nanosecs": 1_000_000_000}), "boottime"),
        // The clock would be negative.
        (
            "monotonic",
            json!({"secs": -4_000_000_000_i64}),
            "monotonic",
        ),
        ("monotonic", json!({"secs": i64::MAX}), "monotonic"),
    ] {
        let mut asked = json!({});
        asked[clock] = offset;
        let container = offsets(asked, "true");
        let pointer = format!("/linux/timeOffsets/{at}");
        let phrases: &[&str] = if runtime().is_bareboat() {
            &[&pointer]
        } else {
            &[]
        };
        let _ = container.create().refused(phrases);
        container.assert_nothing_left();
    }
}

#[test]
fn offsets_without_a_new_time_namespace_are_refused() {
    if runtime().predates("runc", [1, 2, 0], "time namespaces") {
        return;
    }
    let holder = holder(false);
    let path = format!("/proc/{}/ns/time", holder.pid());
    for joined in [None, Some(path.as_str())] {
        let container = Container::new(|config| {
            if joined.is_some() {
                config.namespace("time", joined);
            }
            config.set("/linux/timeOffsets", json!({"boottime": {"secs": 1}}));
        });
        let phrases: &[&str] = if runtime().is_bareboat() {
            &["/linux/timeOffsets"]
        } else {
            &[]
        };
        let _ = container.create().refused(phrases);
        container.assert_nothing_left();
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
