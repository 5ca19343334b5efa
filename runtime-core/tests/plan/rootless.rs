//! Plans for a caller who is not root.

use runtime_core::plan::{HostFacts, Plan};
use runtime_core::{Error, ErrorKind};
use runtime_init::{Expected, Step};
use serde_json::{Value, json};

use crate::configurations::{patched, rootless};
use crate::{compile_for, name, names, position};

fn user() -> HostFacts {
    HostFacts {
        uid: 1000,
        gid: 100,
        ..HostFacts::typical()
    }
}

fn of(config: &Value) -> Result<Plan, Error> {
    compile_for(config, &user())
}

fn changed(changes: &[(&str, Value)]) -> Value {
    let change = |config, (place, value): &(&str, Value)| patched(config, place, value.clone());
    changes.iter().fold(rootless(), change)
}

/// The caller's own ids as 0, and ids of /etc/subuid above them.
fn many_ids() -> Value {
    json!([
        {"containerID": 0, "hostID": 1000, "size": 1},
        {"containerID": 1, "hostID": 100_000, "size": 65536},
    ])
}

#[test]
fn what_needs_root_is_refused_in_runcs_words() {
    let refusals = [
        (
            vec![(
                "/linux/namespaces",
                json!([{"type": "mount"}, {"type": "pid"}]),
            )],
            "/linux/namespaces",
            "rootless container requires user namespaces",
        ),
        (
            vec![("/linux/uidMappings", json!([]))],
            "/linux/uidMappings",
            "rootless containers requires at least one UID mapping",
        ),
        (
            vec![("/linux/gidMappings", Value::Null)],
            "/linux/gidMappings",
            "rootless containers requires at least one GID mapping",
        ),
        (
            vec![("/mounts/2/options", json!(["newinstance", "gid=5"]))],
            "/mounts/2/options/1",
            "cannot specify gid=5 mount option for rootless container: user namespaces enabled, but no mapping found for gid 5",
        ),
        (
            vec![("/mounts/1/options", json!(["mode=755,uid=1"]))],
            "/mounts/1/options/0",
            "cannot specify uid=1 mount option for rootless container",
        ),
        (
            vec![("/process/user/additionalGids", json!([5]))],
            "/process/user/additionalGids",
            "cannot set any additional groups in a rootless container",
        ),
    ];
    for (changes, pointer, phrase) in refusals {
        let error = of(&changed(&changes)).unwrap_err();
        assert_eq!(error.origin(), Some(pointer), "{error}");
        assert!(error.to_string().contains(phrase), "{error}");
    }
}

#[test]
fn ids_of_a_mount_that_are_mapped_are_taken() {
    let options = json!(["newinstance", "gid=5", "uid=0", "grpid=none"]);
    let config = changed(&[
        ("/mounts/2/options", options),
        ("/linux/gidMappings", many_ids()),
    ]);
    assert!(of(&config).is_ok());
}

#[test]
fn the_init_opens_all_trees_itself_and_that_of_masks_before_the_root_changes() {
    let bind =
        json!({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]});
    let config = patched(rootless(), "/mounts/0", bind);
    let plan = of(&config).unwrap();
    let mut opened = Vec::new();
    let mut expected = Vec::new();
    let mut users = 0;
    for (origin, step) in plan.steps() {
        let used = match step {
            Step::OpenTree(host) => {
                opened.push(host.tree);
                expected.push((origin.to_string(), host.expected));
                continue;
            }
            Step::AttachRoot { tree, .. } | Step::MountTree { tree, .. } => tree,
            Step::Mask { null, .. } => null,
            _ => continue,
        };
        users += 1;
        assert!(opened.contains(&used), "{origin}: {step:?}");
    }
    // The root, /proc, /sys, six devices and ten masks.
    assert!(users >= 19, "{users}");
    assert!(expected.contains(&("/linux/maskedPaths".to_owned(), Expected::NullDevice)));
    assert!(expected.contains(&("/mounts/0".to_owned(), Expected::Proc)));
    assert!(expected.contains(&("/root/path".to_owned(), Expected::Anything)));

    let opens = |facts: &HostFacts| {
        let plan = compile_for(&config, facts).unwrap();
        names(&plan).contains(&"OpenTree".to_owned())
    };
    assert!(!opens(&HostFacts::typical()));
    // Root of a user namespace, in his maker's mount namespace.
    assert!(opens(&HostFacts {
        user_namespace: true,
        foreign_mounts: true,
        ..HostFacts::typical()
    }));
}

#[test]
fn setgroups_is_given_up_for_the_callers_own_group_alone() {
    let json = |config: &Value| serde_json::to_value(of(config).unwrap()).unwrap();
    let own = json(&rootless());
    assert_eq!(own["idMappings"]["deniesSetgroups"], json!(true));
    let groups = [
        ("/linux/gidMappings", many_ids()),
        ("/process/user/additionalGids", json!([5, 6])),
    ];
    let config = changed(&groups);
    assert_eq!(json(&config)["idMappings"]["deniesSetgroups"], json!(false));
    let plan = of(&config).unwrap();
    let mut steps = plan.steps();
    assert!(steps.any(|(_, step)| matches!(
        step,
        Step::SetUser {
            groups: Some(_),
            ..
        }
    )));
    // Those of the caller stay where none are asked for: they may not be dropped everywhere.
    let plan = of(&rootless()).unwrap();
    let mut steps = plan.steps();
    assert!(steps.any(|(_, step)| matches!(step, Step::SetUser { groups: None, .. })));
}

#[test]
fn a_user_namespace_that_is_joined_is_joined_first() {
    let namespaces = json!([
        {"type": "network", "path": "/proc/5/ns/net"},
        {"type": "user", "path": "/proc/5/ns/user"},
        {"type": "mount"},
    ]);
    let joined = changed(&[
        ("/linux/namespaces", namespaces),
        ("/linux/uidMappings", Value::Null),
        ("/linux/gidMappings", Value::Null),
        ("/hostname", Value::Null),
    ]);
    let order = |facts: &HostFacts| -> Vec<String> {
        let plan = compile_for(&joined, facts).unwrap();
        let joins = |step: &Step<'_>| name(step) == "JoinNamespaces";
        let found = plan.steps().filter(|(_, step)| joins(step));
        found.map(|(origin, _)| origin.to_string()).collect()
    };
    let (network, user_ns) = ("/linux/namespaces/0", "/linux/namespaces/1");
    assert_eq!(order(&user()), [user_ns, network]);
    assert_eq!(order(&HostFacts::typical()), [network, user_ns]);

    let hooks = json!({"createContainer": [{"path": "/bin/true"}]});
    let error = of(&patched(joined, "/hooks", hooks)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.origin(), Some("/hooks/createContainer/0"));
}

#[test]
fn the_process_sets_its_own_oom_score_and_limits_while_it_may() {
    let limit = json!([{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}]);
    let config = changed(&[
        ("/process/oomScoreAdj", json!(300)),
        ("/process/rlimits", limit),
        (
            "/process/ioPriority",
            json!({"class": "IOPRIO_CLASS_BE", "priority": 6}),
        ),
    ]);
    let steps = names(&of(&config).unwrap());
    assert!(position(&steps, "WriteProc") < position(&steps, "Wait IdMaps"));
    assert!(position(&steps, "WriteProc") < position(&steps, "Undumpable"));
    assert!(position(&steps, "SetLimit") < position(&steps, "SetUser"));
    assert!(steps.contains(&"SetIoPriority".to_owned()));
    let roots = names(&compile_for(&config, &HostFacts::typical()).unwrap());
    for step in ["WriteProc", "SetLimit", "SetIoPriority"] {
        assert!(!roots.contains(&step.to_owned()), "{step}");
    }
}
