//! Where in the order the settings of the program's own process come, and what they are.

use runtime_core::ErrorKind;
use runtime_core::plan::HostFacts;
use runtime_init::Step;
use serde_json::{Value, json};

use crate::configurations::{config, default, patched, rich};
use crate::{compile_for, compiled, names, position};

fn with_labels() -> HostFacts {
    HostFacts {
        apparmor: true,
        selinux: true,
        ..HostFacts::typical()
    }
}

/// What is written to files of the private procfs, with the number of the step.
fn written(config: &Value, facts: &HostFacts) -> Vec<(usize, String, String)> {
    let plan = compile_for(config, facts).unwrap();
    let steps = plan.steps().enumerate();
    steps
        .filter_map(|(number, (_, step))| match step {
            Step::WriteProc { path, value } => {
                let text = |text: &std::ffi::CStr| text.to_str().unwrap().to_owned();
                Some((number, text(path.0), text(value.0)))
            }
            _ => None,
        })
        .collect()
}

fn number(config: &Value, facts: &HostFacts, name: &str) -> usize {
    let plan = compile_for(config, facts).unwrap();
    let mut steps = plan.steps();
    steps
        .position(|(_, step)| format!("{step:?}").starts_with(name))
        .unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn an_apparmor_profile_is_set_for_the_execve_through_the_private_procfs() {
    for profile in ["docker-default", "unconfined"] {
        let config = patched(rich(), "/process/apparmorProfile", json!(profile));
        let facts = with_labels();
        let (step, path, value) = written(&config, &facts).pop().unwrap();
        assert_eq!(path, "self/attr/apparmor/exec");
        assert_eq!(value, format!("exec {profile}"));
        assert!(number(&config, &facts, "OpenProc") < number(&config, &facts, "AttachRoot"));
        assert!(number(&config, &facts, "PivotRoot") < step);
        // Waiting for `start` closes the procfs, and the filter may forbid to write.
        assert!(step < number(&config, &facts, "AwaitStart"));
        assert!(step < number(&config, &facts, "SetNoNewPrivileges"));
        assert!(step < number(&config, &facts, "LoadSeccomp"));
        assert!(step < number(&config, &facts, "SetUser"));
    }
}

#[test]
fn a_selinux_label_is_the_programs_and_its_keyrings() {
    let label = "system_u:system_r:container_t:s0:c1,c2";
    let config = patched(config(), "/process/selinuxLabel", json!(label));
    let facts = with_labels();
    let steps: Vec<_> = written(&config, &facts)
        .into_iter()
        .map(|(_, path, value)| (path, value))
        .collect();
    let expected = [
        ("self/attr/keycreate", label),
        ("self/attr/keycreate", ""),
        ("self/attr/exec", label),
    ];
    assert_eq!(
        steps,
        expected.map(|(path, value)| (path.to_owned(), value.to_owned()))
    );
    let keyring = number(&config, &facts, "NewKeyring");
    let numbers: Vec<usize> = written(&config, &facts)
        .iter()
        .map(|(step, ..)| *step)
        .collect();
    assert!(numbers[0] < keyring && keyring < numbers[1], "{numbers:?}");
    assert!(number(&config, &facts, "OpenProc") < numbers[0]);
}

#[test]
fn labels_are_in_words_in_a_printed_plan() {
    let changes = [
        ("/process/apparmorProfile", "web"),
        ("/process/selinuxLabel", "u:r:t:s0"),
    ];
    let config = changes.into_iter().fold(config(), |config, (place, text)| {
        patched(config, place, json!(text))
    });
    let text = compile_for(&config, &with_labels()).unwrap().to_string();
    for line in [
        "apply apparmor profile \"web\"",
        "set selinux label \"u:r:t:s0\"",
        "set selinux label \"u:r:t:s0\" of keys",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn a_profile_or_label_is_refused_where_the_kernel_enforces_none() {
    for (place, words) in [
        ("/process/apparmorProfile", "apparmor not supported"),
        ("/process/selinuxLabel", "selinux is disabled"),
    ] {
        let config = patched(config(), place, json!("web"));
        let error = compile_for(&config, &HostFacts::typical()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        assert_eq!(error.origin(), Some(place), "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[test]
fn nobody_is_confined_where_there_is_no_apparmor_nor_by_an_empty_name() {
    let plain = compiled(&config()).to_string();
    for (profile, facts) in [("unconfined", HostFacts::typical()), ("", with_labels())] {
        let config = patched(config(), "/process/apparmorProfile", json!(profile));
        let plan = compile_for(&config, &facts).unwrap();
        assert_eq!(plan.to_string(), plain, "{profile:?}");
    }
    let names = names(&compiled(&config()));
    assert!(!names.contains(&"OpenProc".to_owned()), "{names:?}");
    assert!(position(&names, "NewKeyring") > 0);
}

#[test]
fn the_scheduler_and_io_priority_are_set_while_the_process_is_privileged() {
    let scheduler = json!({
        "policy": "SCHED_DEADLINE", "nice": 3, "runtime": 42_000, "deadline": 100_000, "period": 1_000_000
    });
    let io = json!({"class": "IOPRIO_CLASS_RT", "priority": 7});
    let change = |config| {
        let config = patched(config, "/process/scheduler", scheduler.clone());
        patched(config, "/process/ioPriority", io.clone())
    };
    let plan = compiled(&change(default()));
    let found: Vec<_> = plan
        .steps()
        .map(|(_, step)| format!("{step:?}"))
        .filter(|step| step.starts_with("SetScheduler") || step.starts_with("SetIoPriority"))
        .collect();
    let expected = [
        "SetScheduler(Scheduling { policy: 6, flags: 0, nice: 3, priority: 0, runtime: 42000, deadline: 100000, period: 1000000 })",
        "SetIoPriority { value: 8199 }",
    ];
    assert_eq!(found, expected);
    let names = names(&plan);
    for step in ["SetScheduler", "SetIoPriority"] {
        for later in ["SetLimit", "LimitBoundingSet", "SetUser", "Wait Ready"] {
            assert!(position(&names, step) < position(&names, later), "{later}");
        }
    }

    // In a user namespace nobody has the privileges, so the runtime does it.
    let plan = compiled(&change(rich()));
    let names = self::names(&plan);
    assert!(!names.contains(&"SetScheduler".to_owned()), "{names:?}");
    let json = serde_json::to_value(&plan).unwrap();
    assert_eq!(json["scheduler"]["origin"], "/process/scheduler");
    assert_eq!(json["scheduler"]["what"]["deadline"], 100_000);
    assert_eq!(json["ioPriority"]["what"], 8199);
    let text = plan.to_string();
    for words in [
        "set scheduling policy SCHED_DEADLINE",
        "set I/O priority IOPRIO_CLASS_RT 7",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
}

#[test]
fn what_the_scheduler_is_to_keep_need_not_be_given() {
    for scheduler in [
        json!({"policy": "SCHED_RR", "flags": ["SCHED_FLAG_KEEP_PARAMS"]}),
        json!({"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_KEEP_POLICY"]}),
    ] {
        let config = patched(config(), "/process/scheduler", scheduler);
        assert!(names(&compiled(&config)).contains(&"SetScheduler".to_owned()));
    }
}

#[test]
fn a_memory_policy_is_the_kernels_number_of_its_mode_and_flags_and_a_mask_of_nodes() {
    for (policy, mode, nodes, words) in [
        (
            json!({"mode": "MPOL_BIND", "nodes": "0-2,8", "flags": ["MPOL_F_NUMA_BALANCING"]}),
            2 | 1 << 13,
            vec![7, 1, 0, 0, 0, 0, 0, 0],
            "MPOL_BIND MPOL_F_NUMA_BALANCING for nodes 0-2,8",
        ),
        (
            json!({"mode": "MPOL_PREFERRED", "flags": ["MPOL_F_STATIC_NODES"], "nodes": "1"}),
            1 | 1 << 15,
            vec![2, 0, 0, 0, 0, 0, 0, 0],
            "MPOL_PREFERRED MPOL_F_STATIC_NODES for nodes 1",
        ),
        (
            json!({"mode": "MPOL_PREFERRED"}),
            1,
            vec![],
            "MPOL_PREFERRED",
        ),
        (json!({"mode": "MPOL_DEFAULT"}), 0, vec![], "MPOL_DEFAULT"),
        (
            json!({"mode": "MPOL_LOCAL", "nodes": ""}),
            4,
            vec![],
            "MPOL_LOCAL",
        ),
        (
            json!({"mode": "MPOL_WEIGHTED_INTERLEAVE", "nodes": "0"}),
            6,
            vec![1, 0, 0, 0, 0, 0, 0, 0],
            "MPOL_WEIGHTED_INTERLEAVE (from Linux 6.9 on) for nodes 0",
        ),
    ] {
        let plan = compiled(&patched(config(), "/linux/memoryPolicy", policy));
        let found = plan.steps().find_map(|(_, step)| match step {
            Step::SetMemoryPolicy { mode, nodes } => Some((mode, nodes.0.to_vec())),
            _ => None,
        });
        assert_eq!(found, Some((mode, nodes)), "{words}");
        let text = plan.to_string();
        assert!(
            text.contains(&format!("set memory policy {words}\n")),
            "{text}"
        );
    }
}
