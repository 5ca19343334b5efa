//! The ids of a user namespace: config-linux.md, "User namespace mappings".

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;

use conformance::Container;
use conformance::runtime::runtime;
use serde_json::{Value, json};

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
        container.assert_refused_at(pointer);
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
    let holder = Container::new(|config| {
        config.waits().user_namespace(&[(0, 100_000, 65536)]);
    });
    let _ = holder.run_detached();
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
