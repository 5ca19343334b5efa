//! Which containers are made without a word of the runtime once the init has begun.

use serde_json::{Value, json};

use super::{HostFacts, Options, Plan, compile_with};

/// The plan of the default configuration with something else at these places.
fn plan(changes: &[(&str, Value)]) -> Plan {
    let mut config = serde_json::to_value(crate::default_spec()).unwrap();
    for (pointer, value) in changes {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match config.pointer_mut(parent).unwrap() {
            Value::Array(list) => list.push(value.clone()),
            parent => parent[name] = value.clone(),
        }
    }
    let spec = serde_json::from_value(config).unwrap();
    let options = Options {
        file_sources: vec!["/srv/hosts".into()],
        ..Options::default()
    };
    compile_with(&spec, &HostFacts::typical(), &options).unwrap()
}

#[test]
fn the_init_of_the_default_configuration_needs_nobody_once_it_has_begun() {
    assert!(!plan(&[]).is_self_sufficient(), "it has a terminal");
    let alone = ("/process/terminal", json!(false));
    assert!(plan(std::slice::from_ref(&alone)).is_self_sufficient());
    let volume = json!({"destination": "/v", "source": "/srv/hosts", "options": ["rbind"]});
    let score = ("/process/oomScoreAdj", json!(-5));
    assert!(plan(&[alone, ("/mounts/-", volume), score]).is_self_sufficient());
}

#[test]
fn what_the_runtime_answers_or_sets_keeps_the_init_waiting() {
    let hook = json!({"createRuntime": [{"path": "/bin/true"}]});
    let volume =
        json!({"destination": "/v", "type": "bind", "source": "/srv", "options": ["rbind"]});
    let listener = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/agent",
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    });
    let user = [
        ("/linux/namespaces/-", json!({"type": "user"})),
        (
            "/linux/uidMappings",
            json!([{"containerID": 0, "hostID": 1000, "size": 1}]),
        ),
        (
            "/linux/gidMappings",
            json!([{"containerID": 0, "hostID": 1000, "size": 1}]),
        ),
    ];
    for changes in [
        &[("/hooks", hook)][..],
        &[("/mounts/-", volume)],
        &[("/linux/seccomp", listener)],
        &user,
    ] {
        let mut changes = changes.to_vec();
        changes.push(("/process/terminal", json!(false)));
        assert!(!plan(&changes).is_self_sufficient(), "{changes:?}");
    }
}
