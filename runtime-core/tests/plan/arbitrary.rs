//! Whatever a configuration says, compiling it ends in a plan or an error, and the plan can be printed and decoded.

use proptest::collection::vec;
use proptest::prelude::*;
use runtime_core::ErrorKind;
use runtime_core::oci_spec::runtime::Spec;
use runtime_core::plan::{HostFacts, Options, compile_with};
use runtime_init::Step;
use serde_json::{Value, json};

use crate::configurations::{rich, rootless};

/// Text with what means something in paths and options, and anything else.
fn text() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("/".to_owned()),
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("proc".to_owned()),
        Just("=".to_owned()),
        Just("~1".to_owned()),
        Just("\u{0}".to_owned()),
        Just("\n".to_owned()),
        "[a-z]{1,8}",
        any::<String>(),
    ];
    vec(pieces, 0..6).prop_map(|pieces| pieces.concat())
}

fn option() -> impl Strategy<Value = String> {
    let known = [
        "ro",
        "rro",
        "rw",
        "bind",
        "rbind",
        "shared",
        "rslave",
        "unbindable",
        "noatime",
        "strictatime",
        "rnorelatime",
        "sync",
        "lazytime",
        "mode=0755",
        "size=64k",
        "defaults",
    ];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        text()
    ]
}

fn mount() -> impl Strategy<Value = Value> {
    let fstype = prop_oneof![
        proptest::sample::select(vec!["bind", "tmpfs", "proc", "sysfs", "cgroup", "none", ""])
            .prop_map(str::to_owned),
        text(),
    ];
    let path = || {
        prop_oneof![
            Just("/proc".to_owned()),
            text().prop_map(|text| format!("/{text}")),
            text()
        ]
    };
    (path(), path(), fstype, vec(option(), 0..5)).prop_map(|(destination, source, fstype, options)| {
        json!({"destination": destination, "source": source, "type": fstype, "options": options})
    })
}

/// Numbers at the edges of what the kernel takes.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u32::MAX),
        Just(1 << 31),
        any::<u32>()
    ]
}

fn device() -> impl Strategy<Value = Value> {
    let kind = proptest::sample::select(vec!["c", "b", "u", "p", "a"]);
    let number = || prop_oneof![any::<i64>(), (0..300_i64), Just(i64::MIN), Just(i64::MAX)];
    (text(), kind, number(), number(), any::<u32>()).prop_map(|(path, kind, major, minor, mode)| {
        json!({"path": format!("/{path}"), "type": kind, "major": major, "minor": minor, "fileMode": mode})
    })
}

/// Compiles it as a container of root's and of a user's, and looks at the plan from all sides.
fn assert_sound(config: &Value) -> Result<(), TestCaseError> {
    let spec: Spec = serde_json::from_value(config.clone()).unwrap();
    let options = Options {
        id: "web".to_owned(),
        bundle: "/srv/bundles/web".into(),
        ..Options::default()
    };
    let root = HostFacts::typical();
    let user = HostFacts {
        uid: 1000,
        ..root.clone()
    };
    for facts in [root, user] {
        match compile_with(&spec, &facts, &options) {
            Err(error) => {
                let kind = error.kind();
                prop_assert!(
                    matches!(kind, ErrorKind::InvalidConfig | ErrorKind::Unsupported),
                    "{error:?}"
                );
                prop_assert!(
                    error.origin().is_some_and(|origin| origin.starts_with('/')),
                    "{error:?}"
                );
            }
            Ok(plan) => {
                let json = serde_json::to_value(&plan).unwrap();
                let listed = json["steps"].as_array().map(Vec::len);
                prop_assert_eq!(listed, Some(plan.steps().count()));
                prop_assert!(!plan.to_string().is_empty());
                for (_, step) in plan.steps() {
                    let bytes = postcard::to_extend(&step, Vec::new()).unwrap();
                    prop_assert_eq!(
                        runtime_init::decode::<Step<'_>>(&bytes),
                        Ok((step, [].as_slice()))
                    );
                }
                prop_assert_eq!(
                    plan.steps().last().map(|(_, step)| step),
                    Some(Step::Execute)
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn any_mounts_give_a_plan_or_an_error_with_a_pointer(mounts in vec(mount(), 0..4)) {
        let mut config = rich();
        config["mounts"] = json!(mounts);
        assert_sound(&config)?;
    }

    #[test]
    fn any_user_mappings_and_limits_do_too(
        (uid, gid, mask) in (number(), number(), number()),
        groups in vec(number(), 0..40),
        mapping in vec((number(), number(), number()), 0..4),
        (soft, hard) in (any::<u64>(), any::<u64>()),
    ) {
        let mappings: Vec<Value> = mapping
            .iter()
            .map(|(container, host, size)| json!({"containerID": container, "hostID": host, "size": size}))
            .collect();
        let mut config = rootless();
        config["process"]["user"] = json!({"uid": uid, "gid": gid, "umask": mask, "additionalGids": groups});
        config["process"]["rlimits"] = json!([{"type": "RLIMIT_CPU", "soft": soft, "hard": hard}]);
        config["linux"]["uidMappings"] = json!(mappings);
        config["linux"]["gidMappings"] = json!(mappings);
        assert_sound(&config)?;
    }

    #[test]
    fn any_strings_do_too(texts in vec(text(), 12), list in vec(text(), 0..6)) {
        let mut config = rich();
        config["hostname"] = json!(texts[0]);
        config["domainname"] = json!(texts[1]);
        config["root"]["path"] = json!(texts[2]);
        config["process"]["args"] = json!(list);
        config["process"]["env"] = json!(["PATH=".to_owned() + &texts[3], texts[4].clone() + "="]);
        config["process"]["cwd"] = json!("/".to_owned() + &texts[5]);
        config["linux"]["maskedPaths"] = json!(["/".to_owned() + &texts[6]]);
        config["linux"]["readonlyPaths"] = json!(list);
        config["linux"]["cgroupsPath"] = json!(texts[7]);
        config["linux"]["sysctl"] = json!({"net.".to_owned() + &texts[8]: texts[9]});
        config["linux"]["rootfsPropagation"] = json!(texts[10]);
        assert_sound(&config)?;
        for key in ["hostname", "domainname"] {
            config[key] = json!("web");
        }
        config["process"]["args"] = json!([texts[11], "1"]);
        config["linux"]["rootfsPropagation"] = json!("");
        config["linux"]["readonlyPaths"] = json!([]);
        assert_sound(&config)?;
    }

    #[test]
    fn any_devices_and_namespaces_do_too(
        devices in vec(device(), 0..4),
        paths in vec((any::<bool>(), any::<bool>(), text()), 8),
    ) {
        let kinds = ["mount", "pid", "network", "ipc", "uts", "cgroup", "time", "user"];
        let namespaces: Vec<Value> = kinds
            .iter()
            .zip(&paths)
            .filter(|(kind, (present, ..))| *present || **kind == "mount")
            .map(|(kind, (_, joined, path))| match joined {
                true => json!({"type": kind, "path": format!("/{path}")}),
                false => json!({"type": kind}),
            })
            .collect();
        let mut config = rich();
        config["linux"]["devices"] = json!(devices);
        config["linux"]["namespaces"] = json!(namespaces);
        assert_sound(&config)?;
    }
}
