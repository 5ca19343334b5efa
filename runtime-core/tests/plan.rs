//! Compiling configurations to plans: the order of steps, their origins, what is refused, and that nothing panics.
//! No privileges are needed, and nothing is done.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "plan/arbitrary.rs"]
mod arbitrary;
#[path = "plan/configurations.rs"]
mod configurations;
#[path = "plan/mounts.rs"]
mod mounts;
#[path = "plan/process.rs"]
mod process;
#[path = "plan/refusals.rs"]
mod refusals;
#[path = "plan/refusals_scheduling.rs"]
mod refusals_scheduling;
#[path = "plan/seccomp.rs"]
mod seccomp;
#[path = "plan/rootless.rs"]
mod without_root;

use std::fs;
use std::path::Path;

use configurations::{config, default, patched, rich, rootless, version_1};
use runtime_core::oci_spec::runtime::Spec;
use runtime_core::plan::{HostFacts, Options, Origin, Plan, compile_with};
use runtime_core::{Error, ErrorKind};
use runtime_init::Step;
use serde_json::{Value, json};

/// Set it to write the snapshots anew.
const RENEW: &str = "BAREBOAT_RENEW_SNAPSHOTS";

fn options() -> Options {
    Options {
        id: "web".to_owned(),
        bundle: "/srv/bundles/web".into(),
        ..Options::default()
    }
}

fn compile_for(config: &Value, facts: &HostFacts) -> Result<Plan, Error> {
    let spec: Spec = serde_json::from_value(config.clone()).unwrap();
    compile_with(&spec, facts, &options())
}

fn compiled(config: &Value) -> Plan {
    compile_for(config, &HostFacts::typical()).unwrap()
}

/// What a step is called, without its arguments.
fn name(step: &Step<'_>) -> String {
    let text = format!("{step:?}");
    let end = text.find(|c: char| !c.is_ascii_alphanumeric());
    text[..end.unwrap_or(text.len())].to_owned()
}

/// The names of the steps, in order; a rendezvous with which one it is, and repetitions once.
fn names(plan: &Plan) -> Vec<String> {
    let mut names: Vec<String> = plan
        .steps()
        .map(|(_, step)| match step {
            Step::Wait(rendezvous) => format!("Wait {rendezvous:?}"),
            other => name(&other),
        })
        .collect();
    names.dedup();
    names
}

fn position(names: &[String], wanted: &str) -> usize {
    let found = names.iter().position(|name| name == wanted);
    found.unwrap_or_else(|| panic!("no {wanted} in {names:?}"))
}

/// Every origin in a plan's JSON: of its steps, slots, limits and cgroup.
fn origins(plan: &Value) -> Vec<String> {
    match plan {
        Value::Array(list) => list.iter().flat_map(origins).collect(),
        Value::Object(map) => {
            let own = map.get("origin").and_then(Value::as_str).map(str::to_owned);
            own.into_iter()
                .chain(map.values().flat_map(origins))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// The plan as text is what is checked in.
fn assert_snapshot(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/snapshots")
        .join(name);
    if std::env::var_os(RENEW).is_some() {
        fs::write(&path, text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    assert_eq!(
        text, expected,
        "with {RENEW}=1 in the environment the test writes {name} anew"
    );
}

#[test]
fn without_a_process_nothing_is_executed_and_nothing_can_be_run() {
    let mut config = configurations::config();
    config.as_object_mut().unwrap().remove("process");
    let plan = compiled(&config);
    let names = names(&plan);
    assert_eq!(names[names.len() - 2..], ["Wait Ready", "AwaitStart"]);

    let spec: Spec = serde_json::from_value(config).unwrap();
    let options = Options {
        start_at_once: true,
        ..options()
    };
    let error = compile_with(&spec, &HostFacts::typical(), &options).unwrap_err();
    assert_eq!(error.origin(), Some("/process"));
}

#[test]
fn the_plan_of_the_default_configuration_is_as_checked_in() {
    assert_snapshot("default-plan.txt", &compiled(&default()).to_string());
}

#[test]
fn the_plan_of_a_rootless_configuration_is_as_checked_in() {
    let facts = HostFacts {
        uid: 1000,
        gid: 100,
        ..HostFacts::typical()
    };
    let plan = compile_for(&rootless(), &facts).unwrap();
    assert_snapshot("rootless-plan.txt", &plan.to_string());
}

#[test]
fn the_steps_of_a_configuration_with_everything_come_in_this_order() {
    let expected = [
        "Wait IdMaps",
        "BecomeRoot",
        "Unshare",
        "BringLoopbackUp",
        "Wait NetDevices",
        "Undumpable",
        "NewSession",
        "ResetCpuAffinity",
        "OpenProc",
        "NewKeyring",
        "Unshare",
        "WriteProc",
        "EnterTimeNamespace",
        "SetRootPropagation",
        "AttachRoot",
        "MountNew",
        "MountTree",
        "MakeDevice",
        "Symlink",
        "MakeDirectory",
        "OpenConsole",
        "TakeTerminal",
        "Wait CreateHooks",
        "PivotRoot",
        "SetMountAttributes",
        "SetHostname",
        "SetDomainname",
        "SetPersonality",
        "WriteProc",
        "MakeReadonly",
        "Mask",
        "SetMountAttributes",
        "SetUmask",
        "SetMemoryPolicy",
        "ChownStdio",
        "LimitBoundingSet",
        "SetUser",
        "ChangeDirectory",
        "SetCapabilities",
        "FindProgram",
        "Wait Ready",
        "AwaitStart",
        "SetNoNewPrivileges",
        "LoadSeccomp",
        "Execute",
    ];
    assert_eq!(names(&compiled(&rich())), expected);
}

#[test]
fn a_filter_is_loaded_with_the_privileges_that_it_needs_or_without_any() {
    let with = names(&compiled(&rich()));
    assert!(position(&with, "SetCapabilities") < position(&with, "SetNoNewPrivileges"));
    assert!(position(&with, "SetNoNewPrivileges") < position(&with, "LoadSeccomp"));
    let config = patched(rich(), "/process/noNewPrivileges", json!(false));
    let without = names(&compiled(&config));
    assert!(position(&without, "LoadSeccomp") < position(&without, "SetCapabilities"));
    assert!(!without.contains(&"SetNoNewPrivileges".to_owned()));
}

#[test]
fn an_annotation_keeps_the_callers_supplementary_groups() {
    let groups_are_set = |value: Value| {
        let annotations = json!({"run.oci.keep_original_groups": value});
        let plan = compiled(&patched(rich(), "/annotations", annotations));
        plan.steps()
            .any(|(_, step)| matches!(step, Step::SetUser { groups, .. } if groups.is_some()))
    };
    assert!(!groups_are_set(json!("1")));
    assert!(groups_are_set(json!("0")));
}

#[test]
fn mounts_devices_masks_and_limits_keep_the_order_of_the_configuration() {
    let kinds = ["mount", "network", "ipc", "uts", "time"];
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    let changes = [
        ("/linux/namespaces", json!(namespaces)),
        ("/linux/uidMappings", Value::Null),
        ("/linux/gidMappings", Value::Null),
    ];
    let changed = changes.into_iter().fold(rich(), |config, (place, value)| {
        patched(config, place, value)
    });
    let plan = compiled(&changed);
    for list in [
        "/mounts/",
        "/linux/devices/",
        "/linux/maskedPaths/",
        "/process/rlimits/",
    ] {
        let numbers: Vec<usize> = plan
            .steps()
            .filter_map(|(origin, _)| origin.to_string().strip_prefix(list)?.parse().ok())
            .collect();
        assert!(!numbers.is_empty(), "{list}");
        assert!(numbers.is_sorted(), "{list}: {numbers:?}");
    }
}

#[test]
fn a_namespace_is_made_at_birth_or_joined_before_anything_is_made_in_it() {
    let paths = [
        (
            "/linux/namespaces/0",
            json!({"type": "pid", "path": "/proc/1/ns/pid"}),
        ),
        (
            "/linux/namespaces/1",
            json!({"type": "network", "path": "/proc/1/ns/net"}),
        ),
    ];
    let config = paths.into_iter().fold(default(), |config, (place, value)| {
        patched(config, place, value)
    });
    let names = names(&compiled(&config));
    assert_eq!(names[..3], ["JoinNamespaces", "Undumpable", "Fork"]);
    assert!(!names.contains(&"BringLoopbackUp".to_owned()));
}

#[test]
fn on_version_1_the_init_joins_its_cgroups_before_it_enters_a_cgroup_namespace() {
    let config = patched(default(), "/linux/namespaces/-", json!({"type": "cgroup"}));
    let plan = compile_for(&config, &version_1()).unwrap();
    let names = names(&plan);
    let order = ["JoinNetwork", "JoinCgroups", "Unshare", "ResetCpuAffinity"];
    let joins = position(&names, "JoinNetwork");
    assert_eq!(names[joins..joins + 4], order);
    assert_eq!(names.iter().filter(|name| *name == "Unshare").count(), 1);
}

/// What is made of these before may depend on neither, and the runtime's first message is the cgroups.
#[test]
fn the_init_joins_network_and_cgroups_before_the_first_mount_that_needs_either_or_the_runtime() {
    let before = |mounts: Value| {
        let config = patched(default(), "/mounts", mounts);
        let plan = compile_for(&config, &version_1()).unwrap();
        let names: Vec<_> = plan.steps().map(|(_, step)| name(&step)).collect();
        let joins = position(&names, "JoinNetwork");
        assert_eq!(names[joins + 1], "JoinCgroups");
        let mounts = ["MountNew", "MountTree", "OpenTree", "BindInside"];
        let is_mount = |name: &&String| mounts.contains(&name.as_str());
        (
            names[..joins].iter().filter(is_mount).count(),
            names[joins..].iter().filter(is_mount).count(),
        )
    };
    let new = |kind: &str| json!({"destination": "/a", "type": kind, "source": "a"});
    let bind = |options: &[&str]| json!({"destination": "/a", "source": "/b", "options": options});
    for needy in [
        new("sysfs"),
        new("nfs"),
        bind(&["rbind", "rshared"]),
        bind(&["rbind"]),
        json!({"destination": "/a", "source": "rootfs/b", "options": ["bind"]}),
        json!({"destination": "/a", "type": "tmpfs", "options": ["tmpcopyup"]}),
    ] {
        let (first, then) = before(json!([new("tmpfs"), needy, new("tmpfs")]));
        assert_eq!(first, 1, "{needy}");
        assert!(then >= 2, "{needy}");
    }
    let alone = ["proc", "tmpfs", "devpts", "mqueue"].map(new);
    assert_eq!(before(json!(alone)), (4, 0));
    assert_eq!(before(json!([])), (0, 0));
}

#[test]
fn a_network_that_interfaces_move_to_is_there_from_the_beginning() {
    let config = patched(default(), "/linux/netDevices", json!({"eth7": {}}));
    let names = names(&compile_for(&config, &version_1()).unwrap());
    assert_eq!(
        names[..3],
        ["JoinCgroups", "BringLoopbackUp", "Wait NetDevices"]
    );
    assert!(!names.contains(&"JoinNetwork".to_owned()));
}

#[test]
fn on_version_1_cgroups_are_told_of_after_the_init_that_they_are_made_beside() {
    let config = patched(default(), "/linux/cgroupsPath", json!("/web"));
    let text = compile_for(&config, &version_1()).unwrap().to_string();
    let line = |words: &str| text.lines().position(|line| line.contains(words)).unwrap();
    let (start, made) = (line("start the init"), line("mkdir /sys/fs/cgroup/"));
    assert!(start < made && made < line("in the container:"), "{text}");
}

#[test]
fn on_version_1_the_init_clones_the_cgroups_from_its_own_copy_of_the_mounts() {
    let count = |config: &Value, step: &str| {
        let plan = compile_for(config, &version_1()).unwrap();
        names(&plan).iter().filter(|name| *name == step).count()
    };
    assert!(count(&default(), "BindBelow") > 0);
    assert_eq!(count(&default(), "MountTree"), 0);
    let shared = patched(default(), "/mounts/6/options/-", json!("rshared"));
    for of_the_host in [shared, rootless()] {
        assert_eq!(count(&of_the_host, "BindBelow"), 0);
        assert!(count(&of_the_host, "MountTree") > 0);
    }
}

#[test]
fn on_version_1_a_network_that_depends_on_another_namespace_is_made_after_that() {
    let joined = json!({"type": "uts", "path": "/proc/1/ns/uts"});
    let joins = patched(default(), "/linux/namespaces/3", joined);
    for config in [joins, rootless()] {
        let plan = compile_for(&config, &version_1()).unwrap();
        assert_eq!(names(&plan)[0], "JoinCgroups");
    }
}

#[test]
fn every_origin_is_a_default_or_the_pointer_of_what_is_in_the_configuration() {
    let named = patched(default(), "/linux/cgroupsPath", json!("/web"));
    let typical = HostFacts::typical();
    let cases = [
        (default(), typical.clone()),
        (rootless(), typical.clone()),
        (rich(), typical),
        (named, version_1()),
    ];
    for (config, facts) in cases {
        let plan = compile_for(&config, &facts).unwrap();
        for (origin, step) in plan.steps() {
            if let Origin::Pointer(pointer) = origin {
                assert!(config.pointer(pointer).is_some(), "{pointer}: {step:?}");
            }
        }
        let origins = origins(&serde_json::to_value(&plan).unwrap());
        assert!(origins.len() > plan.steps().count());
        for origin in origins {
            let known = origin.starts_with("default ") || config.pointer(&origin).is_some();
            assert!(known, "{origin}");
        }
    }
}

#[test]
fn what_the_init_reads_is_what_was_compiled() {
    for config in [default(), rootless(), rich()] {
        let plan = compiled(&config);
        for (_, step) in plan.steps() {
            let bytes = postcard::to_extend(&step, Vec::new()).unwrap();
            assert_eq!(
                runtime_init::decode::<Step<'_>>(&bytes),
                Ok((step, [].as_slice()))
            );
            for end in 0..bytes.len() {
                let cut: Result<(Step<'_>, _), _> = runtime_init::decode(&bytes[..end]);
                assert!(cut.is_err(), "{step:?} is complete after {end} bytes");
            }
        }
        let json = serde_json::to_value(&plan).unwrap();
        assert_eq!(
            json["steps"].as_array().unwrap().len(),
            plan.steps().count()
        );
    }
}

#[test]
fn the_same_configuration_gives_the_same_plan() {
    // The order of a map's entries differs from one parse to the next.
    let unified =
        json!({"memory.high": "1", "memory.low": "2", "io.weight": "3", "cgroup.freeze": "0"});
    let config = patched(rich(), "/linux/resources/unified", unified);
    let first = compiled(&config).to_string();
    for _ in 0..20 {
        let again = compiled(&config).to_string();
        let differing = first
            .lines()
            .zip(again.lines())
            .find(|(one, other)| one != other);
        assert_eq!(differing, None);
    }
}

#[test]
fn sections_for_other_platforms_change_nothing() {
    let sections =
        json!({"windows": {"layerFolders": ["C:\\layer"]}, "solaris": {"milestone": "m"}});
    let mut config = default();
    config
        .as_object_mut()
        .unwrap()
        .extend(sections.as_object().unwrap().clone());
    assert_eq!(
        compiled(&config).to_string(),
        compiled(&default()).to_string()
    );
}

/// What is wrong with how a configuration is refused.
fn wrong(case: refusals::Refusal) -> Option<String> {
    let place = format!("{} {}", case.place, case.value);
    let config = patched(case.config, case.place, case.value);
    let spec: Spec = serde_json::from_value(config).unwrap_or_else(|e| panic!("{place}: {e}"));
    let Err(error) = compile_with(&spec, &HostFacts::typical(), &options()) else {
        return Some(format!("{place} was compiled"));
    };
    let kind = match case.supported_some_day {
        true => ErrorKind::Unsupported,
        false => ErrorKind::InvalidConfig,
    };
    let is_right = error.kind() == kind
        && error.origin() == Some(case.pointer)
        && !error.to_string().contains('\n');
    (!is_right).then(|| format!("{place}: {error:?}"))
}

#[test]
fn what_cannot_be_honoured_is_refused_by_its_pointer() {
    let wrong: Vec<String> = refusals::all().into_iter().filter_map(wrong).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_no_configuration_asks_for_has_a_default_for_its_origin() {
    let typical = HostFacts::typical();
    let mut unknown = Vec::new();
    for (config, facts) in [(config(), typical), (default(), version_1())] {
        let plan = serde_json::to_value(compile_for(&config, &facts).unwrap()).unwrap();
        let is_known =
            |origin: &String| origin.starts_with("default ") || config.pointer(origin).is_some();
        unknown.extend(
            origins(&plan)
                .into_iter()
                .filter(|origin| !is_known(origin)),
        );
    }
    assert!(unknown.is_empty(), "pointers to nothing: {unknown:?}");
}
