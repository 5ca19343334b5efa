//! What mounts become in a plan.

use runtime_core::plan::{HostFacts, Options, Plan, compile_with};
use serde_json::{Value, json};

use super::{compile_for, compiled, config, options as options_of_tests, patched};

/// The lines of the plan that one more mount asks for.
fn lines(mount: Value) -> Vec<String> {
    lines_of(&compiled(&patched(config(), "/mounts", json!([mount]))))
}

fn lines_of(plan: &Plan) -> Vec<String> {
    let lines = plan.to_string();
    lines
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("/mounts/0 "))
        .map(|line| line.trim_start().to_owned())
        .collect()
}

#[test]
fn the_text_of_a_plan_shows_what_a_mount_changes() {
    let options = ["rbind", "ro", "rnoexec", "rprivate", "ridmap"];
    let map = json!([{"containerID": 0, "hostID": 7, "size": 1}]);
    let bind = json!({"destination": "/a", "source": "/b", "options": options, "uidMappings": map, "gidMappings": map});
    let text = lines(bind).join("\n");
    for part in [
        "open /b recursively, rnoexec, ro, suid, dev, exec",
        "rprivate",
        "ridmap (users 0 7 1; groups 0 7 1)",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let tmpfs = json!({"destination": "/a", "type": "tmpfs", "options": ["tmpcopyup", "nosuid", "noatime", "shared", "size=1m"]});
    assert_eq!(
        lines(tmpfs),
        ["mount tmpfs → /a (size=1m), nosuid, noatime, shared, tmpcopyup"]
    );
}

#[test]
fn a_source_in_the_root_is_opened_by_the_init_and_any_other_by_the_host() {
    let bind = |source: &str| {
        lines(json!({"destination": "/a", "source": source, "options": ["bind", "nodev"]}))
    };
    for source in [
        "/srv/bundles/web/rootfs/b",
        "rootfs/./x/../b",
        "/srv/bundles/web/x/../rootfs/b",
    ] {
        let lines = bind(source);
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(
            lines[0].starts_with("bind /b of the root → /a, rw, suid, nodev"),
            "{lines:?}"
        );
    }
    for source in ["/srv/bundles/web/rootfs/../b", "rootfsb", "/b"] {
        assert!(bind(source)[0].contains(": open /"), "{:?}", bind(source));
    }
}

/// From its own copy of the host's mounts, unless that has something else there.
#[test]
fn the_init_opens_files_of_the_host_that_are_the_same_to_it() {
    let is_by_init = |source: &str, options: &[&str], root: &str| {
        let mount = json!({"destination": "/a", "source": source, "options": options});
        let config = patched(config(), "/mounts", json!([mount]));
        let config = patched(config, "/linux/rootfsPropagation", json!(root));
        let known = Options {
            file_sources: vec!["/b".into()],
            ..options_of_tests()
        };
        let spec = serde_json::from_value(config).unwrap();
        let plan = compile_with(&spec, &HostFacts::typical(), &known).unwrap();
        let lines = lines_of(&plan);
        let by_init = lines.iter().any(|line| line.starts_with("open the host's"));
        assert_ne!(by_init, lines[0].contains(": open /"), "{lines:?}");
        assert!(
            !lines
                .iter()
                .any(|line| by_init && line.contains("recursively"))
        );
        by_init
    };
    assert!(is_by_init("/b", &["rbind", "rprivate", "ro"], ""));
    assert!(is_by_init("/b", &["rbind"], "rprivate"));
    assert!(is_by_init("/b", &["rbind", "rslave"], "rslave"));
    // Peers of the host's mounts, and slaves where the copy is private.
    assert!(!is_by_init("/b", &["rbind", "rshared"], ""));
    assert!(!is_by_init("/b", &["rbind", "rslave"], "rprivate"));
    assert!(!is_by_init("/b", &["rbind"], "rshared"));
    // What nothing is known of, a directory for one.
    assert!(!is_by_init("/c", &["rbind", "rprivate"], ""));
    assert!(!is_by_init("/x/../b", &["rbind", "rprivate"], ""));
}

#[test]
fn a_value_that_fsconfig_cannot_take_is_mounted_by_data() {
    let overlay = |lower: &str| {
        let lower = format!("lowerdir={lower}");
        lines(json!({"destination": "/a", "type": "overlay", "source": "o", "options": [lower, "ro"]})).remove(0)
    };
    assert!(overlay(&"x".repeat(255)).contains("(source=o,lowerdir="));
    assert!(overlay(&"x".repeat(256)).contains("mount overlay o → /a (lowerdir="));
    assert!(overlay(r"/a\,b").contains("mount overlay o → /a (lowerdir="));
}

#[test]
fn a_file_system_on_a_device_is_read_only_itself_when_its_mount_is() {
    let mount = |source: &str| {
        lines(json!({"destination": "/a", "type": "ext4", "source": source, "options": ["ro"]}))
    };
    assert_eq!(
        mount("/dev/vdb"),
        ["mount ext4 → /a (source=/dev/vdb,ro), ro"]
    );
    assert_eq!(mount("none"), ["mount ext4 → /a (source=none), ro"]);
}

#[test]
fn a_mount_label_is_on_every_file_system_that_is_the_containers_own() {
    let label = "u:object_r:t:s0:c1,c2";
    let mount = |kind: &str| {
        let mounts = json!([{"destination": "/a", "type": kind}]);
        let config = patched(config(), "/mounts", mounts);
        let config = patched(config, "/linux/mountLabel", json!(label));
        let facts = HostFacts {
            selinux: true,
            ..HostFacts::typical()
        };
        compile_for(&config, &facts).unwrap().to_string()
    };
    let context = format!("context={label}");
    for kind in ["tmpfs", "devpts"] {
        assert!(mount(kind).contains(&format!("mount {kind} → /a ({context})")));
    }
    assert!(mount("mqueue").contains(&format!("label /a {label}")));
    for kind in ["proc", "sysfs", "mqueue"] {
        assert!(!mount(kind).contains(&context), "{kind}");
    }
}

#[test]
fn in_a_user_namespace_without_a_cgroup_namespace_the_containers_part_of_the_hierarchy_is_bound() {
    let mount = |user_namespace: bool, namespaces: Value| {
        let mounts =
            json!([{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup"}]);
        let config = patched(config(), "/mounts", mounts);
        let config = patched(config, "/linux/namespaces", namespaces);
        let facts = HostFacts {
            user_namespace,
            ..HostFacts::typical()
        };
        lines_of(&compile_for(&config, &facts).unwrap()).join("\n")
    };
    let without = json!([{"type": "mount"}]);
    let with = json!([{"type": "mount"}, {"type": "cgroup"}]);
    assert!(mount(false, without.clone()).contains("mount cgroup2"));
    assert!(mount(true, with).contains("mount cgroup2"));
    assert!(mount(true, without).contains("bind /sys/fs/cgroup/"));
}

#[test]
fn the_steps_of_many_mounts_are_as_many() {
    let mounts: Vec<_> = (0..5000)
        .map(|number| json!({"destination": format!("/m/{number}"), "type": "tmpfs"}))
        .collect();
    let plan = compiled(&patched(config(), "/mounts", json!(mounts)));
    let steps = plan
        .steps()
        .filter(|(origin, _)| origin.to_string().starts_with("/mounts/"));
    assert_eq!(steps.count(), 5000);
}
