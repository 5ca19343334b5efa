use super::*;

const FACTS: SeccompFacts = SeccompFacts {
    arch: NativeArch::X86_64,
};

fn compile_json(json: &serde_json::Value) -> Result<Filter, SeccompError> {
    compile(&serde_json::from_value(json.clone()).unwrap(), &FACTS)
}

/// Compiles a profile that allows by default, with these further members.
fn with(members: serde_json::Value) -> Result<Filter, SeccompError> {
    let mut profile = serde_json::json!({"defaultAction": "SCMP_ACT_ALLOW"});
    for (name, value) in members.as_object().unwrap() {
        profile[name] = value.clone();
    }
    compile_json(&profile)
}

fn pointer_of_refusal(members: serde_json::Value) -> String {
    with(members).unwrap_err().pointer().to_owned()
}

#[test]
fn spec_allow_is_the_default_of_the_flags_and_an_empty_list_is_none() {
    assert_eq!(with(serde_json::json!({})).unwrap().flags, FLAG_SPEC_ALLOW);
    assert_eq!(with(serde_json::json!({"flags": []})).unwrap().flags, 0);
}

#[test]
fn flags_become_the_kernels_bits() {
    let flags = |flags: &[&str]| {
        let notify = serde_json::json!([{"names": ["mknod"], "action": "SCMP_ACT_NOTIFY"}]);
        with(serde_json::json!({"flags": flags, "syscalls": notify}))
    };
    for (name, bits) in [
        ("SECCOMP_FILTER_FLAG_LOG", 2),
        ("SECCOMP_FILTER_FLAG_SPEC_ALLOW", 4),
        ("SECCOMP_FILTER_FLAG_TSYNC", 0),
        ("SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", 32),
    ] {
        assert_eq!(flags(&[name]).unwrap().flags, bits, "{name}");
    }
    let both = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
    assert_eq!(flags(&both).unwrap().flags, 6);
}

#[test]
fn waiting_killably_needs_a_listener() {
    let flags = [
        "SECCOMP_FILTER_FLAG_LOG",
        "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    ];
    assert_eq!(
        pointer_of_refusal(serde_json::json!({"flags": flags})),
        "/flags/1"
    );
}

#[test]
fn notify_is_reported_even_if_the_kernel_has_no_such_call() {
    let rule = |names: &[&str]| serde_json::json!({"syscalls": [{"names": names, "action": "SCMP_ACT_NOTIFY"}]});
    assert!(with(rule(&["mknod"])).unwrap().notify);
    assert!(with(rule(&["no_such_call"])).unwrap().notify);
}

#[test]
fn a_refusal_names_the_value_by_its_pointer() {
    let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    for (members, pointer) in [
        (r#"{"defaultAction": "SCMP_ACT_NOTIFY"}"#, "/defaultAction"),
        (r#"{"defaultErrnoRet": 1}"#, "/defaultErrnoRet"),
        (
            r#"{"syscalls": [{"names": ["read", "write"], "action": "SCMP_ACT_NOTIFY"}]}"#,
            "/syscalls/0/action",
        ),
        (
            r#"{"syscalls": [{"names": [], "action": "SCMP_ACT_ALLOW"}]}"#,
            "/syscalls/0/names",
        ),
        (
            r#"{"syscalls": [{"names": ["read", ""], "action": "SCMP_ACT_TRAP"}]}"#,
            "/syscalls/0/names/1",
        ),
        (
            r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}]}"#,
            "/syscalls/0/errnoRet",
        ),
        (
            r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_TRAP", "errnoRet": 1}]}"#,
            "/syscalls/0/errnoRet",
        ),
        (
            r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_TRAP",
                "args": [{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
            "/syscalls/0/args/0/index",
        ),
        (
            r#"{"syscalls": [
                {"names": ["read"], "action": "SCMP_ACT_TRAP", "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]},
                {"names": ["read"], "action": "SCMP_ACT_KILL", "args": [{"index": 1, "value": 0, "op": "SCMP_CMP_EQ"}]}]}"#,
            "/syscalls/1",
        ),
    ] {
        assert_eq!(pointer_of_refusal(json(members)), pointer, "{members}");
    }
}

#[test]
fn an_error_prints_its_pointer_and_its_message() {
    let error = with(serde_json::json!({"defaultAction": "SCMP_ACT_NOTIFY"})).unwrap_err();
    assert_eq!(
        error.to_string(),
        "/defaultAction: SCMP_ACT_NOTIFY cannot be used as default action"
    );
}

#[test]
fn a_filter_beyond_the_kernels_limit_is_refused() {
    let rules: Vec<_> = (0..3000)
        .map(|value| {
            let name = if value % 2 == 0 { "read" } else { "close" };
            let arg = serde_json::json!({"index": 0, "value": value, "op": "SCMP_CMP_EQ"});
            serde_json::json!({"names": [name], "action": "SCMP_ACT_TRAP", "args": [arg]})
        })
        .collect();
    let few = serde_json::json!({"syscalls": rules[..2000]});
    assert!(with(few).unwrap().program.len() <= 4096);
    let archs = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    let many = serde_json::json!({"syscalls": rules, "architectures": archs});
    assert_eq!(pointer_of_refusal(many), "/syscalls");
}

#[test]
fn architectures_of_other_machines_have_no_effect() {
    let archs = ["SCMP_ARCH_S390X", "SCMP_ARCH_ARM", "SCMP_ARCH_X86_64"];
    assert_eq!(
        with(serde_json::json!({"architectures": archs})),
        with(serde_json::json!({}))
    );
}

#[test]
fn the_program_is_exported_as_the_kernels_structure() {
    let filter = with(serde_json::json!({})).unwrap();
    let bytes = filter.to_bytes();
    // BPF_LD | BPF_W | BPF_ABS, no jumps, offset of seccomp_data.arch.
    assert_eq!(bytes[..8], [0x20, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(bytes.len(), 8 * filter.program.len());
}
