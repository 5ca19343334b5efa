//! The plan of a process that joins a container.

use oci_spec::runtime::{Process, Spec};
use runtime_init::Step;
use serde_json::{Value, json};

use super::{HostFacts, Options, Plan, tenant};
use crate::cgroup::Entry;
use crate::error::Result;
use crate::namespaces::{NEWNS, NEWPID, NEWUSER};

fn plan(change: Value, facts: &HostFacts, options: &Options) -> Result<Plan> {
    let mut process = json!({"cwd": "/", "args": ["true"], "user": {"uid": 0, "gid": 0}});
    if let (Some(process), Value::Object(change)) = (process.as_object_mut(), change) {
        process.extend(change);
    }
    let spec = json!({"ociVersion": "1.3.0", "linux": {}});
    let spec: Spec = serde_json::from_value(spec).unwrap();
    let process: Process = serde_json::from_value(process).unwrap();
    let entry = Entry::Itself { hierarchies: 0 };
    tenant(
        &spec,
        &process,
        facts,
        options,
        entry,
        NEWUSER | NEWPID | NEWNS,
    )
}

/// The number of the step that begins like this.
fn position(plan: &Plan, beginning: &str) -> Option<usize> {
    plan.steps()
        .position(|(_, step)| format!("{step:?}").starts_with(beginning))
}

#[test]
fn a_label_is_written_through_a_procfs_that_the_container_never_had_in_reach() {
    let facts = HostFacts {
        apparmor: true,
        selinux: true,
        ..HostFacts::typical()
    };
    let labels = json!({"apparmorProfile": "web", "selinuxLabel": "u:r:t:s0"});
    let plan = plan(labels, &facts, &Options::default()).unwrap();
    let opened = position(&plan, "OpenProc").unwrap();
    assert!(opened < position(&plan, "JoinNamespaces").unwrap());
    let written: Vec<usize> = plan
        .steps()
        .enumerate()
        .filter(|(_, (_, step))| matches!(step, Step::WriteProc { .. }))
        .map(|(number, _)| number)
        .collect();
    let keyring = position(&plan, "NewKeyring").unwrap();
    let user = position(&plan, "SetUser").unwrap();
    assert!(written[0] < keyring && keyring < written[1], "{written:?}");
    assert!(
        written.len() == 4 && written.iter().all(|step| *step < user),
        "{written:?}"
    );
}

#[test]
fn without_labels_it_needs_no_procfs() {
    let plan = plan(json!({}), &HostFacts::typical(), &Options::default()).unwrap();
    assert_eq!(position(&plan, "OpenProc"), None);
}

#[test]
fn it_joins_the_containers_session_keyring_unless_that_has_none() {
    let facts = HostFacts::typical();
    let with = plan(json!({}), &facts, &Options::default()).unwrap();
    assert!(
        position(
            &with,
            "NewKeyring { name: \"_ses.container\", permissions: 0 }"
        )
        .is_some()
    );
    let options = Options {
        no_new_keyring: true,
        ..Options::default()
    };
    let without = plan(json!({}), &facts, &options).unwrap();
    assert_eq!(position(&without, "NewKeyring"), None);
}

#[test]
fn a_label_where_there_is_none_is_refused_by_its_pointer() {
    let label = json!({"selinuxLabel": "u:r:t:s0"});
    let error = plan(label, &HostFacts::typical(), &Options::default()).unwrap_err();
    assert_eq!(error.origin(), Some("/process/selinuxLabel"));
}

#[test]
fn its_final_cpus_are_set_and_without_any_the_callers_are_not_inherited() {
    let with = |affinity: Value| {
        let change = json!({"execCPUAffinity": affinity});
        let plan = plan(change, &HostFacts::typical(), &Options::default()).unwrap();
        let found = plan.steps().find_map(|(_, step)| match step {
            Step::SetCpuAffinity { cpus } => Some(cpus.0.to_vec()),
            _ => None,
        });
        (found, position(&plan, "ResetCpuAffinity").is_some())
    };
    let mask = Some(vec![0b1000_0001, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(with(json!({"final": "0,7"})), (mask.clone(), false));
    assert_eq!(with(json!({"initial": "1", "final": "0,7"})), (mask, false));
    // With initial ones alone the kernel decides.
    assert_eq!(with(json!({"initial": "1"})), (None, false));
    assert_eq!(with(json!({})), (None, true));
}

/// The steps after the fork, by name.
fn seen_in_the_container(plan: &Plan) -> Vec<String> {
    let names = plan.steps().map(|(_, step)| {
        let text = format!("{step:?}");
        let end = text.find([' ', '(']).unwrap_or(text.len());
        text[..end].to_owned()
    });
    names.skip_while(|name| name != "Fork").collect()
}

#[test]
fn who_is_in_the_container_sees_it_when_it_has_the_rights_of_its_program_alone() {
    let limit = json!({"type": "RLIMIT_NPROC", "soft": 10, "hard": 10});
    let scheduler = json!({"policy": "SCHED_BATCH"});
    let change = json!({"terminal": true, "rlimits": [limit], "scheduler": scheduler});
    let plan = plan(change, &HostFacts::typical(), &Options::default()).unwrap();
    let names = seen_in_the_container(&plan);
    let expected = [
        "Fork",
        "NewSession",
        "TakeTerminal",
        "FindProgram",
        "Wait",
        "Execute",
    ];
    assert_eq!(names, expected);
    assert!(plan.scheduling.is_some(), "the caller sets it");
}

#[test]
fn a_filter_is_loaded_before_the_fork_unless_it_forbids_what_comes_after() {
    let with = |profile: Value, restricted: bool| {
        let spec = json!({"ociVersion": "1.3.0", "linux": {"seccomp": profile}});
        let process = json!({
            "cwd": "/", "args": ["true"], "user": {"uid": 0, "gid": 0}, "noNewPrivileges": restricted,
        });
        let (spec, process): (Spec, Process) = (
            serde_json::from_value(spec).unwrap(),
            serde_json::from_value(process).unwrap(),
        );
        let entry = Entry::Itself { hierarchies: 0 };
        let (facts, options) = (HostFacts::typical(), Options::default());
        let plan = tenant(&spec, &process, &facts, &options, entry, NEWPID | NEWNS).unwrap();
        seen_in_the_container(&plan)
    };
    let all = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    let none = json!({"defaultAction": "SCMP_ACT_KILL"});
    let plain = ["Fork", "NewSession", "FindProgram", "Wait", "Execute"];
    assert_eq!(with(all.clone(), true), plain);
    assert_eq!(with(all, false), plain);
    let late = [
        "Fork",
        "NewSession",
        "FindProgram",
        "Wait",
        "SetNoNewPrivileges",
        "LoadSeccomp",
        "Execute",
    ];
    assert_eq!(with(none.clone(), true), late);
    let late = [
        "Fork",
        "NewSession",
        "FindProgram",
        "Wait",
        "LoadSeccomp",
        "SetCapabilities",
        "Execute",
    ];
    assert_eq!(with(none, false), late);
}
