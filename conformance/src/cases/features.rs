//! features.md and features-linux.md. A runtime MAY have no such document: then these are skipped.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::recognized;
use crate::container::probe;
use crate::runtime::{numbers, runtime};
use crate::suite::skip;
use crate::{Config, Container};

cases! {
    Should "features.md#features-structure" ["1.1.0"] "the content of the Features structure SHOULD be determined on the compilation time of the runtime, not on the execution time."
        the_features_do_not_depend_on_the_moment;
    Must "features.md#features-structure" ["1.1.0"] "The null value MUST NOT be confused with an empty value (seen as: every property has the type that the schema gives it, or is null)"
        every_property_has_its_type_or_is_null;
    Must "features.md#specification-version" ["1.1.0"] "ociVersionMin (string, REQUIRED). The runtime MUST accept this value as the ociVersion property of config.json."
        the_least_version_is_accepted => || accepts_version("ociVersionMin");
    Must "features.md#specification-version" ["1.1.0"] "ociVersionMax (string, REQUIRED). The runtime MUST accept this value as the ociVersion property of config.json."
        the_greatest_version_is_accepted => || accepts_version("ociVersionMax");
    Must "features.md#specification-version" ["1.1.0"] "The value MUST NOT be less than the value of the ociVersionMin property."
        the_greatest_version_is_not_less_than_the_least => || assert!(numbers(&version("ociVersionMin")) <= numbers(&version("ociVersionMax")));
    Must "features.md#specification-version" ["1.1.0"] "The Features structure MUST NOT contain properties that are not defined in this version of the … Specification."
        there_are_no_properties_that_the_specification_does_not_define;
    Must "features.md#hooks" ["1.1.0"] "hooks: The runtime MUST support the elements in this array as the hooks property of config.json."
        every_hook_is_supported;
    Must "features.md#mount-options" ["1.1.0"] "mountOptions: The runtime MUST recognize the elements in this array as the options of mounts objects in config.json."
        every_mount_option_is_recognized;
    Should "features.md#mount-options" ["1.1.0"] "Linux: this array SHOULD NOT contain filesystem-specific mount options"
        there_are_no_mount_options_of_file_systems;
    Must "features.md#annotations" ["1.1.0"] "Annotations MUST be a key-value map that follows the same convention as … the annotations property of config.json."
        the_annotations_are_a_map_of_strings;
    Must "features-linux.md#namespaces" ["1.1.0"] "namespaces: The runtime MUST recognize the elements in this array as the type of linux.namespaces objects"
        every_namespace_is_recognized;
    Must "features-linux.md#capabilities" ["1.1.0"] "capabilities: The runtime MUST recognize the elements in this array in the process.capabilities object"
        every_capability_is_recognized;
    Must "features-linux.md#seccomp" ["1.1.0"] "actions: The runtime MUST recognize the elements in this array in the syscalls[].action property"
        every_seccomp_action_is_recognized;
    Must "features-linux.md#seccomp" ["1.1.0"] "operators: The runtime MUST recognize the elements in this array in the syscalls[].args[].op property"
        every_seccomp_operator_is_recognized;
    Must "features-linux.md#seccomp" ["1.1.0"] "archs: The runtime MUST recognize the elements in this array in the architectures property"
        every_seccomp_architecture_is_recognized;
    Must "features-linux.md#seccomp" ["1.1.0"] "knownFlags: The runtime MUST recognize the elements in this array in the flags property"
        every_known_seccomp_flag_is_recognized;
    Must "features-linux.md#seccomp" ["1.1.0"] "supportedFlags: The runtime MUST recognize and support the elements in this array in the flags property"
        every_supported_seccomp_flag_is_supported;
    Must "features-linux.md#memorypolicy" ["1.3.0"] "modes: The runtime MUST recognize the elements in this array as the mode of linux.memoryPolicy objects"
        every_memory_policy_is_recognized;
    Must "features-linux.md#memorypolicy" ["1.3.0"] "flags: The runtime MUST recognize the elements in this in the flags property of the linux.memoryPolicy object"
        every_memory_policy_flag_is_recognized;
    Must "features-linux.md#mountextensions" ["1.2.0"] "In such cases [partial implementations], runtimes MUST still set this value to true, to indicate that the runtime recognises the uidMappings and gidMappings properties."
        idmap_is_enabled_if_mappings_of_mounts_are_recognized;
}

fn features() -> &'static Value {
    match &runtime().features {
        Some(features) => features,
        None => skip("the runtime has no features document, which it MAY lack"),
    }
}

/// An array of names; skips the case where it is absent or null.
fn names(pointer: &str) -> Vec<&'static str> {
    match features().pointer(pointer).and_then(Value::as_array) {
        Some(array) => array
            .iter()
            .map(|name| name.as_str().expect("a string"))
            .collect(),
        None => skip(format!("the features document has no {pointer}")),
    }
}

fn version(key: &str) -> String {
    features()[key].as_str().expect("it is REQUIRED").to_owned()
}

fn accepts_version(key: &str) {
    let version = version(key);
    let _ = probe(|config| {
        config.version(&version);
    });
}

fn the_features_do_not_depend_on_the_moment() {
    let first = features();
    let mut command = std::process::Command::new(&runtime().path);
    let again = crate::process::run(command.arg("features").env_clear().current_dir("/tmp"));
    let again: Value = serde_json::from_str(&again.ok().stdout).unwrap();
    assert_eq!(&again, first);
}

/// Properties of 1.3 and their types: `schema/features-schema.json` and `schema/features-linux.json`.
const PROPERTIES: [(&str, &str); 33] = [
    ("/ociVersionMin", "string"),
    ("/ociVersionMax", "string"),
    ("/hooks", "array"),
    ("/mountOptions", "array"),
    ("/annotations", "object"),
    ("/potentiallyUnsafeConfigAnnotations", "array"),
    ("/linux", "object"),
    ("/linux/namespaces", "array"),
    ("/linux/capabilities", "array"),
    ("/linux/cgroup", "object"),
    ("/linux/cgroup/v1", "bool"),
    ("/linux/cgroup/v2", "bool"),
    ("/linux/cgroup/systemd", "bool"),
    ("/linux/cgroup/systemdUser", "bool"),
    ("/linux/cgroup/rdma", "bool"),
    ("/linux/seccomp", "object"),
    ("/linux/seccomp/enabled", "bool"),
    ("/linux/seccomp/actions", "array"),
    ("/linux/seccomp/operators", "array"),
    ("/linux/seccomp/archs", "array"),
    ("/linux/seccomp/knownFlags", "array"),
    ("/linux/seccomp/supportedFlags", "array"),
    ("/linux/apparmor", "object"),
    ("/linux/selinux", "object"),
    ("/linux/intelRdt", "object"),
    ("/linux/intelRdt/schemata", "bool"),
    ("/linux/intelRdt/monitoring", "bool"),
    ("/linux/memoryPolicy", "object"),
    ("/linux/memoryPolicy/modes", "array"),
    ("/linux/memoryPolicy/flags", "array"),
    ("/linux/mountExtensions", "object"),
    ("/linux/mountExtensions/idmap", "object"),
    ("/linux/netDevices", "object"),
];

/// Objects that have an `enabled`.
const SWITCHES: [&str; 5] = [
    "/linux/apparmor",
    "/linux/selinux",
    "/linux/intelRdt",
    "/linux/mountExtensions/idmap",
    "/linux/netDevices",
];

fn properties() -> Vec<(String, &'static str)> {
    let switches = SWITCHES.map(|object| (format!("{object}/enabled"), "bool"));
    let others = PROPERTIES.map(|(pointer, kind)| (pointer.to_owned(), kind));
    others.into_iter().chain(switches).collect()
}

fn every_property_has_its_type_or_is_null() {
    for (pointer, kind) in properties() {
        let Some(value) = features().pointer(&pointer) else {
            continue;
        };
        let holds = match kind {
            "string" => value.is_string(),
            "bool" => value.is_boolean() || value.is_null(),
            "array" => {
                value.is_null()
                    || value
                        .as_array()
                        .is_some_and(|array| array.iter().all(Value::is_string))
            }
            _ => value.is_object() || value.is_null(),
        };
        assert!(holds, "{pointer} is not a {kind}: {value}");
    }
}

fn there_are_no_properties_that_the_specification_does_not_define() {
    let known: BTreeSet<_> = properties()
        .into_iter()
        .map(|(pointer, _)| pointer)
        .collect();
    let mut unknown = Vec::new();
    collect("", features(), &known, &mut unknown);
    assert!(unknown.is_empty(), "{unknown:?}");
}

fn collect(prefix: &str, value: &Value, known: &BTreeSet<String>, unknown: &mut Vec<String>) {
    if prefix == "/annotations" {
        return;
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        let pointer = format!("{prefix}/{key}");
        if known.contains(&pointer) {
            collect(&pointer, inner, known, unknown);
        } else {
            unknown.push(pointer);
        }
    }
}

fn every_hook_is_supported() {
    for kind in names("/hooks") {
        let container = Container::with_path(|config, path| {
            let directory = path.display().to_string();
            let script = format!("cat > /dev/null; echo ran > {directory}/log");
            config.args(&["true"]).bind(path, &directory, &["bind"]).push(
                &format!("/hooks/{kind}"),
                json!({"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/bin:/usr/bin"]}),
            );
        });
        let _ = container.run().ok();
        assert_eq!(container.read("log"), "ran\n", "{kind}");
    }
}

/// An option that is not recognized is the file system's, and a tmpfs refuses it.
fn every_mount_option_is_recognized() {
    for option in names("/mountOptions") {
        let container = Container::with_path(|config, path| {
            std::fs::create_dir(path.join("source")).unwrap();
            let source = path.join("source");
            with_option(config, option, source.to_str().unwrap());
        });
        let finished = container.run();
        // What the kernel or the file system refuses is recognized all the same.
        let refused = finished.stderr.to_lowercase();
        let recognized = finished.code() == 0 || !refused.contains("invalid argument");
        assert!(recognized, "{option}: {finished:#?}");
    }
}

fn with_option(config: &mut Config, option: &str, source: &str) {
    let version = version("ociVersionMax");
    config.version(&version);
    if option.ends_with("idmap") {
        let mappings = json!([{"containerID": 0, "hostID": 100_000, "size": 1}]);
        let mount = json!({"destination": "/tmp", "type": "none", "source": source, "options": ["bind", option],
            "uidMappings": mappings, "gidMappings": mappings});
        config.push("/mounts", mount);
    } else if option == "remount" {
        config
            .mount("/tmp", "tmpfs", "tmpfs", &[])
            .mount("/tmp", "tmpfs", "tmpfs", &["remount"]);
    } else if option.starts_with('r') && !["ro", "rw", "relatime"].contains(&option) {
        config.bind(source, "/tmp", &["rbind", option]);
    } else if option == "bind" {
        config.bind(source, "/tmp", &["bind"]);
    } else {
        config.mount("/tmp", "tmpfs", "tmpfs", &[option]);
    }
}

fn there_are_no_mount_options_of_file_systems() {
    let of_file_systems = [
        "size",
        "mode",
        "uid",
        "gid",
        "nr_inodes",
        "newinstance",
        "ptmxmode",
        "lowerdir",
        "upperdir",
        "workdir",
        "hidepid",
        "subset",
    ];
    for option in names("/mountOptions") {
        let name = option.split('=').next().unwrap();
        assert!(!of_file_systems.contains(&name), "{option}");
    }
}

fn the_annotations_are_a_map_of_strings() {
    let annotations = &features()["annotations"];
    let holds = annotations.is_null()
        || annotations.as_object().is_some_and(|map| {
            map.iter()
                .all(|(key, value)| !key.is_empty() && value.is_string())
        });
    assert!(holds, "{annotations}");
}

fn every_namespace_is_recognized() {
    for kind in names("/linux/namespaces") {
        let _ = probe(|config| {
            if kind == "user" {
                config.user_namespace(&[(0, 100_000, 65536)]);
            } else {
                config.version("1.1.0").namespace(kind, None);
            }
        });
    }
}

/// All at once, or each by itself if one cannot be granted.
fn every_capability_is_recognized() {
    let all = names("/linux/capabilities");
    let container = Container::new(|config| {
        config.capabilities(&all);
    });
    let finished = container.run();
    if finished.code() == 0 && finished.stderr.is_empty() {
        return;
    }
    for name in all {
        recognized(name, |config, name| {
            config.capabilities(&[name]);
        });
    }
}

fn rule(name: &str) -> Value {
    json!({"names": [name], "action": "SCMP_ACT_ERRNO"})
}

fn recognized_in_seccomp(list: &str, profile: impl Fn(&str) -> Value) {
    for name in names(list) {
        recognized(name, |config, name| {
            config.version("1.1.0").set("/linux/seccomp", profile(name));
        });
    }
}

fn every_seccomp_action_is_recognized() {
    recognized_in_seccomp("/linux/seccomp/actions", |action| {
        let rule = json!({"names": ["acct"], "action": action});
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    });
}

fn every_seccomp_operator_is_recognized() {
    recognized_in_seccomp("/linux/seccomp/operators", |operator| {
        let mut rule = rule("acct");
        rule["args"] = json!([{"index": 0, "value": 1, "op": operator}]);
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]})
    });
}

fn every_seccomp_architecture_is_recognized() {
    recognized_in_seccomp(
        "/linux/seccomp/archs",
        |arch| json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": [arch], "syscalls": [rule("acct")]}),
    );
}

fn every_known_seccomp_flag_is_recognized() {
    recognized_in_seccomp(
        "/linux/seccomp/knownFlags",
        |flag| json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag], "syscalls": [rule("acct")]}),
    );
}

/// But for the one that seccomp(2) takes only together with a listener.
fn every_supported_seccomp_flag_is_supported() {
    let with_listener = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
    for flag in names("/linux/seccomp/supportedFlags") {
        if flag == with_listener {
            continue;
        }
        let profile =
            json!({"defaultAction": "SCMP_ACT_ALLOW", "flags": [flag], "syscalls": [rule("acct")]});
        let _ = probe(|config| {
            config.version("1.1.0").set("/linux/seccomp", profile);
        });
    }
}

fn every_memory_policy_is_recognized() {
    for mode in names("/linux/memoryPolicy/modes") {
        recognized(mode, |config, mode| {
            config
                .version("1.3.0")
                .set("/linux/memoryPolicy", json!({"mode": mode, "nodes": "0"}));
        });
    }
}

fn every_memory_policy_flag_is_recognized() {
    for flag in names("/linux/memoryPolicy/flags") {
        recognized(flag, |config, flag| {
            let policy = json!({"mode": "MPOL_BIND", "nodes": "0", "flags": [flag]});
            config.version("1.3.0").set("/linux/memoryPolicy", policy);
        });
    }
}

fn idmap_is_enabled_if_mappings_of_mounts_are_recognized() {
    let container = Container::with_path(|config, path| {
        std::fs::create_dir(path.join("source")).unwrap();
        with_option(config, "idmap", path.join("source").to_str().unwrap());
    });
    if container.run().code() == 0 {
        let enabled = features().pointer("/linux/mountExtensions/idmap/enabled");
        assert_eq!(enabled, Some(&Value::Bool(true)));
    }
}
