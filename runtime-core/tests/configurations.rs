//! config.json as it is read: no field of the specification is lost on the way, and whatever stands in a field's place
//! is taken or refused by its JSON pointer.
#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::prelude::*;
use proptest::sample::Index;
use runtime_core::plan::{HostFacts, Options, compile_with};
use runtime_core::{Bundle, Error, ErrorKind};
use serde_json::{Value, json};

/// Every field that the specification's schema has for Linux.
fn every_field() -> Value {
    serde_json::from_str(include_str!("fixtures/every-field.json")).unwrap()
}

/// Fields that cannot stand beside the others, or that most hosts have no use for: without them the rest compiles.
fn sensible() -> Value {
    let mut config = every_field();
    for (parent, key) in [
        ("/process", "apparmorProfile"),
        ("/process", "selinuxLabel"),
        ("/process", "scheduler"),
        ("/linux", "mountLabel"),
        ("/linux", "intelRdt"),
        ("/linux/personality", "flags"),
        ("/linux/resources", "network"),
        ("/linux/resources/cpu", "realtimeRuntime"),
        ("/linux/resources/cpu", "realtimePeriod"),
        ("/linux/resources/memory", "swappiness"),
        ("/linux/resources/memory", "disableOOMKiller"),
        ("/linux/resources/blockIO", "leafWeight"),
        ("/linux/resources/blockIO/weightDevice/0", "leafWeight"),
    ] {
        let parent = config.pointer_mut(parent).and_then(Value::as_object_mut);
        parent.unwrap().remove(key).unwrap();
    }
    config
}

/// The pointers to all values.
fn pointers(value: &Value, pointer: &str, found: &mut Vec<String>) {
    found.push(pointer.to_owned());
    match value {
        Value::Array(list) => {
            for (number, value) in list.iter().enumerate() {
                pointers(value, &format!("{pointer}/{number}"), found);
            }
        }
        Value::Object(map) => {
            for (key, value) in map {
                let key = key.replace('~', "~0").replace('/', "~1");
                pointers(value, &format!("{pointer}/{key}"), found);
            }
        }
        _ => {}
    }
}

/// What stands in a field's place: the wrong type, numbers at the edges, names that mean something elsewhere.
fn anything() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop_oneof![Just(-1), Just(0), Just(1), Just(i64::from(u32::MAX))].prop_map(Value::from),
        Just(json!(1.5)),
        Just(json!([])),
        Just(json!({})),
        Just(json!([null])),
        Just(json!("")),
        Just(json!("/")),
        Just(json!("..")),
        Just(json!("a\u{0}b")),
        Just(json!("a\nb")),
        any::<String>().prop_map(Value::from),
        Just(json!("0-3,7")),
        Just(json!("rwm")),
        Just(json!({"a": "b"})),
        Just(
            json!([{"path": "/x", "type": "c", "destination": "/y", "containerID": 1, "hostID": 2, "size": 3}])
        ),
    ]
}

fn read(config: &Value) -> Result<Bundle, Error> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("config.json"), config.to_string()).unwrap();
    Bundle::load(directory.path())
}

/// Reads and compiles a configuration as `create` does for this user.
fn compile(config: &Value, uid: u32) -> Result<(), Error> {
    let bundle = read(config)?;
    let options = Options {
        id: "web".to_owned(),
        bundle: bundle.path().to_owned(),
        ..Options::default()
    };
    let facts = HostFacts {
        uid,
        ..HostFacts::typical()
    };
    let plan = compile_with(bundle.spec(), &facts, &options)?;
    assert!(!plan.to_string().is_empty());
    Ok(())
}

fn assert_compiles_or_is_refused(config: &Value) -> Result<(), TestCaseError> {
    for uid in [0, 1000] {
        if let Err(error) = compile(config, uid) {
            assert_refused_by_its_pointer(&error)?;
        }
    }
    Ok(())
}

fn assert_refused_by_its_pointer(error: &Error) -> Result<(), TestCaseError> {
    let kind = error.kind();
    prop_assert!(
        matches!(kind, ErrorKind::InvalidConfig | ErrorKind::Unsupported),
        "{error:?}"
    );
    let origin = error.origin().unwrap_or_default();
    // What is no object at all has the empty pointer.
    prop_assert!(
        origin.starts_with('/') || error.origin() == Some(""),
        "{error:?}"
    );
    Ok(())
}

#[test]
fn no_field_of_the_specification_is_lost_in_reading() {
    let config = every_field();
    let read = serde_json::to_value(read(&config).unwrap().spec()).unwrap();
    let (mut written, mut kept) = (Vec::new(), Vec::new());
    pointers(&config, "", &mut written);
    pointers(&read, "", &mut kept);
    let lost: Vec<_> = written
        .iter()
        .filter(|pointer| !kept.contains(pointer))
        .collect();
    assert!(lost.is_empty(), "{lost:?}");
    let changed: Vec<_> = written
        .iter()
        .filter(|pointer| {
            let value = config.pointer(pointer).unwrap();
            !value.is_array() && !value.is_object() && Some(value) != read.pointer(pointer)
        })
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
}

/// Every name that the specification gives to a value, by the field that takes it.
const NAMES: &[(&str, &[&str])] = &[
    (
        "/process/scheduler/policy",
        &[
            "SCHED_OTHER",
            "SCHED_FIFO",
            "SCHED_RR",
            "SCHED_BATCH",
            "SCHED_ISO",
            "SCHED_IDLE",
            "SCHED_DEADLINE",
        ],
    ),
    (
        "/process/scheduler/flags/0",
        &[
            "SCHED_FLAG_RESET_ON_FORK",
            "SCHED_FLAG_RECLAIM",
            "SCHED_FLAG_DL_OVERRUN",
            "SCHED_FLAG_KEEP_POLICY",
            "SCHED_FLAG_KEEP_PARAMS",
            "SCHED_FLAG_UTIL_CLAMP_MIN",
            "SCHED_FLAG_UTIL_CLAMP_MAX",
        ],
    ),
    (
        "/process/ioPriority/class",
        &["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"],
    ),
    (
        "/process/rlimits/0/type",
        &[
            "RLIMIT_AS",
            "RLIMIT_CORE",
            "RLIMIT_CPU",
            "RLIMIT_DATA",
            "RLIMIT_FSIZE",
            "RLIMIT_LOCKS",
            "RLIMIT_MEMLOCK",
            "RLIMIT_MSGQUEUE",
            "RLIMIT_NICE",
            "RLIMIT_NOFILE",
            "RLIMIT_NPROC",
            "RLIMIT_RSS",
            "RLIMIT_RTPRIO",
            "RLIMIT_RTTIME",
            "RLIMIT_SIGPENDING",
            "RLIMIT_STACK",
        ],
    ),
    (
        "/linux/namespaces/0/type",
        &[
            "mount", "pid", "network", "uts", "ipc", "user", "cgroup", "time",
        ],
    ),
    ("/linux/devices/0/type", &["c", "b", "u", "p"]),
    ("/linux/personality/domain", &["LINUX", "LINUX32"]),
    (
        "/linux/memoryPolicy/mode",
        &[
            "MPOL_DEFAULT",
            "MPOL_BIND",
            "MPOL_INTERLEAVE",
            "MPOL_WEIGHTED_INTERLEAVE",
            "MPOL_PREFERRED",
            "MPOL_PREFERRED_MANY",
            "MPOL_LOCAL",
        ],
    ),
    (
        "/linux/memoryPolicy/flags/0",
        &[
            "MPOL_F_NUMA_BALANCING",
            "MPOL_F_RELATIVE_NODES",
            "MPOL_F_STATIC_NODES",
        ],
    ),
    (
        "/linux/seccomp/defaultAction",
        &[
            "SCMP_ACT_KILL",
            "SCMP_ACT_KILL_PROCESS",
            "SCMP_ACT_KILL_THREAD",
            "SCMP_ACT_TRAP",
            "SCMP_ACT_ERRNO",
            "SCMP_ACT_TRACE",
            "SCMP_ACT_ALLOW",
            "SCMP_ACT_LOG",
            "SCMP_ACT_NOTIFY",
        ],
    ),
    (
        "/linux/seccomp/flags/0",
        &[
            "SECCOMP_FILTER_FLAG_TSYNC",
            "SECCOMP_FILTER_FLAG_LOG",
            "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
            "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
        ],
    ),
    (
        "/linux/seccomp/syscalls/0/args/0/op",
        &[
            "SCMP_CMP_NE",
            "SCMP_CMP_LT",
            "SCMP_CMP_LE",
            "SCMP_CMP_EQ",
            "SCMP_CMP_GE",
            "SCMP_CMP_GT",
            "SCMP_CMP_MASKED_EQ",
        ],
    ),
    (
        "/linux/seccomp/architectures/0",
        &[
            "SCMP_ARCH_X86",
            "SCMP_ARCH_X86_64",
            "SCMP_ARCH_X32",
            "SCMP_ARCH_ARM",
            "SCMP_ARCH_AARCH64",
            "SCMP_ARCH_LOONGARCH64",
            "SCMP_ARCH_M68K",
            "SCMP_ARCH_MIPS",
            "SCMP_ARCH_MIPS64",
            "SCMP_ARCH_MIPS64N32",
            "SCMP_ARCH_MIPSEL",
            "SCMP_ARCH_MIPSEL64",
            "SCMP_ARCH_MIPSEL64N32",
            "SCMP_ARCH_PPC",
            "SCMP_ARCH_PPC64",
            "SCMP_ARCH_PPC64LE",
            "SCMP_ARCH_S390",
            "SCMP_ARCH_S390X",
            "SCMP_ARCH_SH",
            "SCMP_ARCH_SHEB",
            "SCMP_ARCH_PARISC",
            "SCMP_ARCH_PARISC64",
            "SCMP_ARCH_RISCV64",
        ],
    ),
];

#[test]
fn every_name_of_the_specification_can_be_read() {
    for (pointer, names) in NAMES {
        for name in *names {
            let mut config = every_field();
            *config.pointer_mut(pointer).unwrap() = json!(name);
            read(&config).unwrap();
        }
    }
}

#[test]
fn a_configuration_with_most_fields_compiles() {
    compile(&sensible(), 0).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn whatever_stands_in_the_place_of_a_field_is_taken_or_refused_by_its_pointer(
        place in any::<Index>(),
        value in anything(),
        complete in any::<bool>(),
    ) {
        let mut config = if complete { every_field() } else { sensible() };
        let mut all = Vec::new();
        pointers(&config, "", &mut all);
        let pointer = place.get(&all);
        *config.pointer_mut(pointer).unwrap() = value;
        assert_compiles_or_is_refused(&config)?;
    }

    #[test]
    fn a_field_that_is_missing_is_taken_or_refused_by_its_pointer(place in any::<Index>()) {
        let mut config = sensible();
        let mut all = Vec::new();
        pointers(&config, "", &mut all);
        let (parent, key) = place.get(&all).rsplit_once('/').unwrap_or_default();
        match config.pointer_mut(parent) {
            Some(Value::Object(map)) => drop(map.remove(key)),
            Some(Value::Array(list)) => drop(list.pop()),
            _ => {}
        }
        assert_compiles_or_is_refused(&config)?;
    }
}
