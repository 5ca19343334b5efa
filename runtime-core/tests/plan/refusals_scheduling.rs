//! What is refused of the settings of where and when a process runs.

use serde_json::json;

use crate::refusals::{Row, at};

pub(crate) fn scheduling() -> Vec<Row> {
    let deadline = |runtime: u32, deadline: u32, period: u32| json!({"policy": "SCHED_DEADLINE", "runtime": runtime, "deadline": deadline, "period": period});
    let schedulers = [
        (
            json!({"policy": "SCHED_OTHER", "nice": 20}),
            "/process/scheduler/nice",
        ),
        (
            json!({"policy": "SCHED_IDLE", "nice": -21}),
            "/process/scheduler/nice",
        ),
        (
            json!({"policy": "SCHED_OTHER", "priority": 1}),
            "/process/scheduler/priority",
        ),
        (
            json!({"policy": "SCHED_DEADLINE", "priority": 1}),
            "/process/scheduler/priority",
        ),
        (
            json!({"policy": "SCHED_FIFO", "priority": 100}),
            "/process/scheduler/priority",
        ),
        (
            json!({"policy": "SCHED_RR", "priority": 0}),
            "/process/scheduler/priority",
        ),
        (
            json!({"policy": "SCHED_RR", "priority": -1}),
            "/process/scheduler/priority",
        ),
        (json!({"policy": "SCHED_RR"}), "/process/scheduler"),
        (
            json!({"policy": "SCHED_FIFO", "priority": 1, "runtime": 1}),
            "/process/scheduler/runtime",
        ),
        (
            json!({"policy": "SCHED_BATCH", "deadline": 1}),
            "/process/scheduler/deadline",
        ),
        (
            json!({"policy": "SCHED_BATCH", "period": 1}),
            "/process/scheduler/period",
        ),
        (deadline(0, 5000, 0), "/process/scheduler"),
        (deadline(6000, 5000, 0), "/process/scheduler"),
        (deadline(4000, 5000, 4999), "/process/scheduler"),
    ];
    let mut rows: Vec<Row> = at("/process/scheduler", schedulers).collect();
    for (affinity, pointer) in [
        (
            json!({"initial": "1-0"}),
            "/process/execCPUAffinity/initial",
        ),
        (
            json!({"initial": "0", "final": "65536"}),
            "/process/execCPUAffinity/final",
        ),
    ] {
        rows.push(("/process/execCPUAffinity", affinity, pointer));
    }
    for priority in [-1, 8] {
        rows.push((
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": priority}),
            "/process/ioPriority/priority",
        ));
    }
    rows
}

pub(crate) fn memory_policies() -> Vec<Row> {
    let with = |mode: &str, nodes: &str| json!({"mode": mode, "nodes": nodes});
    let nodes = "/linux/memoryPolicy/nodes";
    let rows = [
        (with("MPOL_DEFAULT", "0"), nodes),
        (with("MPOL_LOCAL", "0-7"), nodes),
        (with("MPOL_BIND", ""), "/linux/memoryPolicy"),
        (json!({"mode": "MPOL_INTERLEAVE"}), "/linux/memoryPolicy"),
        (with("MPOL_PREFERRED_MANY", ""), "/linux/memoryPolicy"),
        (with("MPOL_WEIGHTED_INTERLEAVE", ""), "/linux/memoryPolicy"),
        (with("MPOL_BIND", "1-0"), nodes),
        (with("MPOL_BIND", "0-9876543210"), nodes),
        (with("MPOL_BIND", "a"), nodes),
        (
            json!({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES", "MPOL_F_RELATIVE_NODES"]}),
            "/linux/memoryPolicy/flags",
        ),
    ];
    at("/linux/memoryPolicy", rows).collect()
}
