//! `linux.seccomp`: every name that the specification has for a value, and what the init is told.

use runtime_core::ErrorKind;
use runtime_init::{SECCOMP_NEW_LISTENER, Step};
use serde_json::{Value, json};

use super::configurations::{patched, rich};
use super::{HostFacts, compile_for, compiled};

const ARCHITECTURES: [&str; 23] = [
    "X86",
    "X86_64",
    "X32",
    "ARM",
    "AARCH64",
    "MIPS",
    "MIPS64",
    "MIPS64N32",
    "MIPSEL",
    "MIPSEL64",
    "MIPSEL64N32",
    "PPC",
    "PPC64",
    "PPC64LE",
    "S390",
    "S390X",
    "PARISC",
    "PARISC64",
    "RISCV64",
    "LOONGARCH64",
    "M68K",
    "SH",
    "SHEB",
];

fn profile(members: Value) -> Value {
    let mut profile = json!({"defaultAction": "SCMP_ACT_ALLOW"});
    for (name, value) in members.as_object().unwrap() {
        profile[name] = value.clone();
    }
    patched(rich(), "/linux/seccomp", profile)
}

/// The flags that the filter is loaded with.
fn flags(config: &Value) -> u32 {
    let plan = compiled(config);
    let mut flags = plan.steps().filter_map(|(_, step)| match step {
        Step::LoadSeccomp { flags, .. } => Some(flags),
        _ => None,
    });
    flags.next().unwrap()
}

fn origin_of_refusal(config: &Value) -> String {
    let error = compile_for(config, &HostFacts::typical()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    error.origin().unwrap().to_owned()
}

#[test]
fn every_architecture_of_the_specification_is_accepted_alone_and_with_all_others() {
    let names: Vec<String> = ARCHITECTURES
        .iter()
        .map(|name| format!("SCMP_ARCH_{name}"))
        .collect();
    for name in &names {
        let _ = compiled(&profile(json!({"architectures": [name]})));
    }
    let _ = compiled(&profile(json!({"architectures": names})));
}

#[test]
fn an_errno_is_taken_by_the_two_actions_that_have_one_and_refused_with_all_others() {
    for (action, takes) in [
        ("SCMP_ACT_KILL", false),
        ("SCMP_ACT_KILL_PROCESS", false),
        ("SCMP_ACT_KILL_THREAD", false),
        ("SCMP_ACT_TRAP", false),
        ("SCMP_ACT_ERRNO", true),
        ("SCMP_ACT_TRACE", true),
        ("SCMP_ACT_ALLOW", false),
        ("SCMP_ACT_LOG", false),
        ("SCMP_ACT_NOTIFY", false),
    ] {
        let rule = |errno: Value| {
            let mut rule = json!({"names": ["acct"], "action": action});
            if !errno.is_null() {
                rule["errnoRet"] = errno;
            }
            profile(json!({"syscalls": [rule], "listenerPath": "/run/agent.sock"}))
        };
        let _ = compiled(&rule(Value::Null));
        let default = profile(json!({"defaultAction": action, "defaultErrnoRet": 5}));
        if takes {
            let _ = compiled(&rule(json!(5)));
            let _ = compiled(&default);
        } else {
            let pointer = "/linux/seccomp/syscalls/0/errnoRet";
            assert_eq!(origin_of_refusal(&rule(json!(5))), pointer, "{action}");
            let pointer = match action {
                "SCMP_ACT_NOTIFY" => "/linux/seccomp/defaultAction",
                _ => "/linux/seccomp/defaultErrnoRet",
            };
            assert_eq!(origin_of_refusal(&default), pointer, "{action}");
        }
    }
}

#[test]
fn a_filter_that_hands_calls_over_is_loaded_with_a_listener_for_the_agent() {
    let rule = json!([{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}]);
    let path = "/linux/seccomp/listenerPath";
    let config = profile(json!({"syscalls": rule, "listenerMetadata": "x", "flags": []}));
    let listeners = [
        ("/run/agent.sock", "/run/agent.sock"),
        ("agent.sock", "/srv/bundles/web/agent.sock"),
        ("@agent", "@agent"),
    ];
    for (given, resolved) in listeners {
        let config = patched(config.clone(), path, json!(given));
        assert_eq!(flags(&config), SECCOMP_NEW_LISTENER);
        let plan = serde_json::to_value(compiled(&config)).unwrap();
        assert_eq!(
            plan["seccompListener"],
            json!({"path": resolved, "metadata": "x"})
        );
    }
}

#[test]
fn a_listener_path_without_a_rule_that_needs_it_is_ignored() {
    let config = profile(json!({"listenerPath": "/run/agent.sock", "flags": []}));
    assert_eq!(flags(&config), 0);
    let plan = serde_json::to_value(compiled(&config)).unwrap();
    assert_eq!(plan["seccompListener"], Value::Null);
}

#[test]
fn an_error_names_the_value_once() {
    let error = compile_for(
        &profile(json!({"defaultErrnoRet": 1})),
        &HostFacts::typical(),
    );
    assert_eq!(
        error.unwrap_err().to_string(),
        "/linux/seccomp/defaultErrnoRet: action SCMP_ACT_ALLOW takes no errno"
    );
}
