//! How many system calls a command may make: nothing creeps in unnoticed.
#![allow(clippy::unwrap_used, clippy::panic)]

mod results;

use conformance::runtime::runtime;

/// Of each command: the calls of the runtime, and those of what it starts until the container's program runs. On a host with
/// nine v1 hierarchies, and in a build for developers, which asks for a little more memory. To be lowered when there are fewer;
/// `benches all --only calls` says how many there are.
const BOUNDS: &[(&str, u64, u64)] = &[
    ("run", 320, 385),
    ("run, Docker's configuration", 344, 425),
    ("create", 288, 398),
    ("start", 77, 9),
    ("state", 38, 0),
    ("exec", 183, 174),
    ("kill", 47, 0),
    ("delete", 61, 0),
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

#[test]
fn no_command_makes_more_system_calls_than_it_did() {
    let hierarchies = v1_hierarchies();
    if hierarchies == 0 || hierarchies > HIERARCHIES {
        return eprintln!("skipped: the bounds are those of up to {HIERARCHIES} v1 hierarchies");
    }
    if !runtime().is_bareboat() {
        return eprintln!("skipped: the bounds are bareboat's");
    }
    // Waiting for something may take more calls now and then.
    let counted = results::least("calls");
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
