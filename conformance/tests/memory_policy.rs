//! From which NUMA nodes a container's memory comes: config-linux.md, "Memory policy".

use conformance::container::output_of;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

/// The policy of the first mapping (proc_pid_numa_maps(5)).
const SHOW: &str = "head -n 1 /proc/self/numa_maps | cut -d ' ' -f 2";

fn no_policies() -> bool {
    runtime().predates("runc", [1, 4, 0], "memoryPolicy")
}

fn policy(policy: Value) -> impl FnOnce(&mut Config) {
    move |config| {
        config.set("/linux/memoryPolicy", policy);
    }
}

#[test]
fn every_mode_is_the_programs() {
    if no_policies() {
        return;
    }
    for (mode, nodes, expected) in [
        ("MPOL_DEFAULT", "", "default"),
        ("MPOL_LOCAL", "", "local"),
        ("MPOL_BIND", "0", "bind:0"),
        ("MPOL_INTERLEAVE", "0", "interleave:0"),
        ("MPOL_PREFERRED", "0", "prefer:0"),
        ("MPOL_PREFERRED", "", "local"),
        ("MPOL_PREFERRED_MANY", "0", "prefer (many):0"),
        ("MPOL_WEIGHTED_INTERLEAVE", "0", "weighted interleave:0"),
    ] {
        let container = Container::new(|config| {
            config
                .shell("head -n 1 /proc/self/numa_maps")
                .set("/linux/memoryPolicy", json!({"mode": mode, "nodes": nodes}));
        });
        let finished = container.run();
        if finished.stderr.contains("from Linux") {
            // The kernel is older than the mode, and the error says so.
            continue;
        }
        let shown = finished.ok().stdout;
        let (_, shown) = shown.split_once(' ').unwrap();
        assert!(
            shown.starts_with(&format!("{expected} ")),
            "{mode}: {shown}"
        );
    }
}

#[test]
fn flags_are_the_programs_too() {
    if no_policies() {
        return;
    }
    let shown = output_of(
        SHOW,
        policy(json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]})),
    );
    assert_eq!(shown, "bind=static:0\n");
    let shown = output_of(
        SHOW,
        policy(json!({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]})),
    );
    assert_eq!(shown, "prefer=relative:0\n");
}

#[test]
fn a_process_that_joins_has_the_containers_policy() {
    if no_policies() {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
        policy(json!({"mode": "MPOL_INTERLEAVE", "nodes": "0"}))(config);
    });
    let _ = container.run_detached();
    let shown = container.exec(&[], &["sh", "-c", SHOW]).ok().stdout;
    assert_eq!(shown, "interleave:0\n");
}

#[test]
fn without_one_the_policy_is_the_kernels_default() {
    assert_eq!(output_of(SHOW, |_| {}), "default\n");
}

#[test]
fn what_is_no_policy_is_refused_by_its_pointer() {
    if no_policies() {
        return;
    }
    for (value, pointer, words) in [
        (json!({}), "/linux/memoryPolicy", "invalid memory policy"),
        (
            json!({"nodes": "0-7"}),
            "/linux/memoryPolicy",
            "invalid memory policy mode",
        ),
        (
            json!({"mode": "INTERLEAVE", "nodes": "0"}),
            "/linux/memoryPolicy/mode",
            "invalid memory policy mode",
        ),
        (
            json!({"mode": "MPOL_PREFERRED", "nodes": "0", "flags": ["badflag"]}),
            "/linux/memoryPolicy/flags/0",
            "invalid memory policy flag",
        ),
        (
            json!({"mode": "MPOL_DEFAULT", "nodes": "0-7"}),
            "/linux/memoryPolicy/nodes",
            "mode requires 0 nodes but got 8",
        ),
        (
            json!({"mode": "MPOL_BIND", "nodes": "0-9876543210"}),
            "/linux/memoryPolicy/nodes",
            "invalid memory policy node",
        ),
    ] {
        let container = Container::new(policy(value));
        let finished = container.create().refused(&[words]);
        if runtime().is_bareboat() {
            assert!(finished.stderr.contains(pointer), "{finished:?}");
        }
        container.assert_nothing_left();
    }
}

#[test]
fn a_node_that_the_machine_has_not_is_an_error_that_names_it() {
    if no_policies() {
        return;
    }
    let container = Container::new(policy(json!({"mode": "MPOL_BIND", "nodes": "1023"})));
    let phrases: &[&str] = match runtime().is_bareboat() {
        true => &["/linux/memoryPolicy", "MPOL_BIND for nodes 1023"],
        false => &[],
    };
    let _ = container.create().refused(phrases);
    container.assert_nothing_left();
}
