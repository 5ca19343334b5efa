//! How many system calls a command may make: nothing creeps in unnoticed.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::process::Command;

use conformance::runtime::runtime;
use serde_json::Value;

/// Of each command: the calls of the runtime, and those of what it starts until the container's program runs. On a host with
/// nine v1 hierarchies, and in a build for developers, which asks for a little more memory. To be lowered when there are fewer; `benches all --only calls` says how many there are.
const BOUNDS: &[(&str, u64, u64)] = &[
    ("run", 325, 490),
    ("run, Docker's configuration", 350, 508),
    ("create", 285, 497),
    ("start", 79, 9),
    ("state", 47, 0),
    ("exec", 197, 174),
    ("kill", 50, 0),
    ("delete", 59, 0),
];

/// Of which v1 hierarchies there are at most, for these bounds.
const HIERARCHIES: usize = 9;

fn v1_hierarchies() -> usize {
    let mountinfo = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    mountinfo
        .lines()
        .filter(|line| line.contains(" - cgroup "))
        .count()
}

/// The fewest of several rounds, by operation and role: waiting for something may take more calls now and then.
fn counted() -> BTreeMap<(String, String), u64> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("calls.json");
    let mut bench = Command::new(env!("CARGO_BIN_EXE_benches"));
    bench.args(["all", "--only", "calls", "--bareboat"]);
    bench.arg(&runtime().path).arg("--json").arg(&file);
    for peer in ["crun", "runc", "youki"] {
        bench.args(["--without", peer]);
    }
    let output = bench.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let whole: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let results = whole["results"].as_array().unwrap().iter();
    let own = results.filter(|result| result["subject"] == "bareboat");
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    own.map(|result| {
        let key = (word(&result["operation"]), word(&result["regime"]));
        (key, result["min"].as_f64().unwrap() as u64)
    })
    .collect()
}

#[test]
fn no_command_makes_more_system_calls_than_it_did() {
    let hierarchies = v1_hierarchies();
    if hierarchies == 0 || hierarchies > HIERARCHIES {
        return eprintln!("skipped: the bounds are those of up to {HIERARCHIES} v1 hierarchies");
    }
    if !runtime().is_bareboat() {
        return eprintln!("skipped: the bounds are bareboat's");
    }
    let counted = counted();
    let mut beyond = Vec::new();
    for &(operation, of_runtime, of_init) in BOUNDS {
        for (role, bound) in [("runtime", of_runtime), ("init", of_init)] {
            let key = (operation.to_owned(), role.to_owned());
            let count = counted.get(&key).copied();
            println!("{operation}, {role}: {count:?} of {bound}");
            if count.is_none_or(|count| count > bound) {
                beyond.push(format!("{operation}, {role}: {count:?} of {bound}"));
            }
        }
    }
    assert!(beyond.is_empty(), "{beyond:#?}");
}
