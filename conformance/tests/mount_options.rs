//! The options of mounts: config.md, "Linux mount options". Each one's effect is read from mountinfo, on the mount and on
//! one below it.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::process::Command;

use conformance::container::{output_of, probe};
use conformance::runtime::runtime;
use conformance::{Config, Container, Report, process};

/// All that a mount can have on, of itself and of what is below it.
const ON: [&str; 7] = [
    "ro",
    "nosuid",
    "nodev",
    "noexec",
    "nodiratime",
    "noatime",
    "nosymfollow",
];

/// A container with two mounts, `/plain` with one below it, and `/on`, which is the same with all flags on; and then
/// whatever the case binds from them.
fn with_sources(change: impl FnOnce(&mut Config, &str)) -> Report {
    let container = Container::with_path(|config, path| {
        let root = path.join("bundle/rootfs").display().to_string();
        config
            .mount("/plain", "tmpfs", "tmpfs", &[])
            .mount("/plain/below", "tmpfs", "tmpfs", &[]);
        let mut options = vec!["rbind".to_owned()];
        options.extend(ON.map(|flag| format!("r{flag}")));
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        config.bind(format!("{root}/plain"), "/on", &options);
        change(config, &root);
    });
    container.report()
}

#[test]
fn each_option_changes_the_mount_and_its_recursive_form_those_below_too() {
    if runtime().predates("runc", [1, 2, 0], "recursive attributes of all kinds") {
        return;
    }
    // Source, option, what it changes in mountinfo, and whether that is there then.
    let mut table: Vec<(&str, &str, &str, bool)> =
        ON.map(|flag| ("plain", flag, flag, true)).to_vec();
    table.extend([
        ("on", "rw", "ro", false),
        ("on", "suid", "nosuid", false),
        ("on", "dev", "nodev", false),
        ("on", "exec", "noexec", false),
        ("on", "diratime", "nodiratime", false),
        ("on", "symfollow", "nosymfollow", false),
        ("on", "relatime", "noatime", false),
        ("plain", "strictatime", "relatime", false),
    ]);
    let report = with_sources(|config, root| {
        for (source, option, ..) in &table {
            for (target, option) in [("own", (*option).to_owned()), ("all", format!("r{option}"))] {
                config.bind(
                    format!("{root}/{source}"),
                    &format!("/mnt/{option}-{target}"),
                    &["rbind", &option],
                );
            }
        }
    });
    let has = |path: &str, flag: &str| report.mount(path).options.iter().any(|found| found == flag);
    for (_, option, flag, is_on) in table {
        let own = format!("/mnt/{option}-own");
        assert_eq!(has(&own, flag), is_on, "{option}: {:?}", report.mount(&own));
        assert_eq!(
            has(&format!("{own}/below"), flag),
            !is_on,
            "{option}, below"
        );
        let all = format!("/mnt/r{option}-all");
        assert_eq!(
            has(&all, flag),
            is_on,
            "r{option}: {:?}",
            report.mount(&all)
        );
        assert_eq!(
            has(&format!("{all}/below"), flag),
            is_on,
            "r{option}, below"
        );
    }
}

#[test]
fn a_tree_of_the_hosts_has_recursive_options_as_well() {
    let report = probe(|config| {
        config.bind("/sys", "/mnt", &["rbind", "rro", "rnoexec", "rnosymfollow"]);
    });
    for target in ["/mnt", "/mnt/fs/cgroup"] {
        for option in ["ro", "noexec", "nosymfollow"] {
            assert!(report.mount(target).has(option), "{target}: {option}");
        }
    }
}

#[test]
fn of_several_propagations_each_is_applied_in_its_order() {
    let report = with_sources(|config, root| {
        config
            .bind(
                format!("{root}/plain"),
                "/a",
                &["rbind", "rshared", "private"],
            )
            .bind(
                format!("{root}/plain"),
                "/b",
                &["rbind", "shared", "runbindable"],
            )
            .bind("/sys", "/c", &["rbind", "rprivate", "shared"]);
    });
    let shared = |path: &str| report.mount(path).propagates("shared");
    assert!(!shared("/a") && shared("/a/below"));
    assert!(!shared("/b") && report.mount("/b/below").propagates("unbindable"));
    assert!(shared("/c") && !shared("/c/fs/cgroup"));
}

#[test]
fn one_item_may_hold_several_options_of_the_file_system() {
    let mount = probe(|config| {
        config.mount(
            "/mnt",
            "tmpfs",
            "tmpfs",
            &["size=1m,mode=0700,nr_inodes=50", "ro"],
        );
    });
    let mount = mount.mount("/mnt");
    for option in ["size=1024k", "mode=700", "nr_inodes=50", "ro"] {
        assert!(mount.has(option), "{option}: {mount:?}");
    }
}

#[test]
fn an_overlay_may_have_more_layers_than_fit_into_one_value_of_fsconfig() {
    let layer = |number: usize| format!("layer-with-a-long-name-{number:02}");
    let container = Container::with_path(|config, path| {
        let layers: Vec<_> = (0..20)
            .map(|number| path.join(layer(number)).display().to_string())
            .collect();
        let lower = format!("lowerdir={}", layers.join(":"));
        assert!(lower.len() > 800);
        config
            .mount("/mnt", "overlay", "overlay", &["ro", "nosuid", &lower])
            .shell("cat /mnt/00 /mnt/19; grep ' /mnt ' /proc/self/mountinfo");
    });
    for number in 0..20 {
        fs::create_dir(container.path().join(layer(number))).unwrap();
        let file = format!("{}/{number:02}", layer(number));
        container.file(&file, &format!("{number}\n"));
    }
    let printed = container.run().ok().stdout;
    let (content, mount) = printed.split_at(5);
    assert_eq!(content, "0\n19\n");
    assert!(mount.contains(" ro,nosuid"), "{mount}");
}

#[test]
fn a_comma_in_a_value_is_escaped() {
    let container = Container::with_path(|config, path| {
        let path = path.display();
        let lower = format!("lowerdir={path}/with\\,comma:{path}/other");
        config
            .mount("/mnt", "overlay", "overlay", &[&lower, "ro"])
            .args(&["cat", "/mnt/file"]);
    });
    fs::create_dir(container.path().join("with,comma")).unwrap();
    fs::create_dir(container.path().join("other")).unwrap();
    container.file("with,comma/file", "found\n");
    assert_eq!(container.run().ok().stdout, "found\n");
}

#[test]
fn more_options_than_the_kernel_takes_are_refused() {
    let container = Container::new(|config| {
        let lower = format!("lowerdir={}", "/x".repeat(2100));
        config.mount("/mnt", "overlay", "overlay", &[&lower]);
    });
    let _ = container.run().refused(&[]);
    container.assert_nothing_left();
}

#[test]
fn remount_with_bind_changes_the_mount_that_is_there() {
    if runtime().departs("runc", "makes another mount of the source") {
        return;
    }
    let report = probe(|config| {
        config.mount("/mnt", "tmpfs", "first", &["size=1m"]).mount(
            "/mnt",
            "none",
            "ignored",
            &["bind", "remount", "ro", "noexec"],
        );
    });
    let mounts: Vec<_> = report
        .mounts
        .iter()
        .filter(|mount| mount.target == "/mnt")
        .collect();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert!(mounts[0].source == "first" && mounts[0].has("ro") && mounts[0].has("noexec"));
}

#[test]
fn remount_without_bind_changes_the_file_system() {
    let report = probe(|config| {
        config.mount("/mnt", "tmpfs", "first", &["size=1m"]).mount(
            "/mnt",
            "tmpfs",
            "first",
            &["remount", "size=2m", "nosuid"],
        );
    });
    let mounts: Vec<_> = report
        .mounts
        .iter()
        .filter(|mount| mount.target == "/mnt")
        .collect();
    assert_eq!(mounts.len(), 1, "{mounts:?}");
    assert!(
        mounts[0].has("size=2048k") && mounts[0].has("nosuid"),
        "{mounts:?}"
    );
}

#[test]
fn a_mount_label_without_selinux_is_refused() {
    if fs::exists("/sys/fs/selinux/enforce").unwrap()
        || runtime().departs("runc", "leaves that to the kernel")
    {
        return;
    }
    let container = Container::new(|config| {
        let label = "system_u:object_r:svirt_sandbox_file_t:s0:c1,c2";
        config.set("/linux/mountLabel", serde_json::json!(label));
    });
    let _ = container.run().refused(&["/linux/mountLabel", "SELinux"]);
    container.assert_nothing_left();
}

#[test]
fn five_hundred_mounts_of_either_kind_are_no_trouble() {
    let text = output_of("grep -c ' /m/' /proc/self/mountinfo", |config| {
        for number in 0..250 {
            config.mount(&format!("/m/new/{number}"), "tmpfs", "tmpfs", &["size=4k"]);
            config.bind(
                "/proc/sys/kernel/ostype",
                &format!("/m/bound/{number}"),
                &["bind"],
            );
        }
    });
    assert_eq!(text, "500\n");
}

#[test]
fn eight_hundred_bind_mounts_fit_into_a_limit_of_1024_descriptors() {
    let container = Container::new(|config| {
        for number in 0..800 {
            config.bind(
                "/proc/sys/kernel/ostype",
                &format!("/m/{number}"),
                &["bind"],
            );
        }
        config.shell("cat /m/799; grep -c ' /m/' /proc/self/mountinfo; ls /proc/self/fd | wc -l");
    });
    let run = container.run_command(&[]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -Sn 1024 && exec \"$@\"", "sh"]);
    limited.arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        limited.env(name, value.unwrap_or_default());
    }
    // Three streams, and the one by which ls reads the directory.
    assert_eq!(process::run(&mut limited).ok().stdout, "Linux\n800\n4\n");
}

/// Runs a container that binds a tmpfs with these flags, which is in a mount namespace that the runtime is called in.
fn bound_from_a_protected_source(user: bool, option: &str) -> (Container, process::Finished) {
    let container = Container::with_path(|config, path| {
        config.bind(path.join("source"), "/mnt", &["bind", option]);
        if user {
            config.user_namespace(&[(0, 100_000, 65536)]);
        }
    });
    let source = container.path().join("source");
    for directory in [&source, &container.rootfs().join("mnt")] {
        fs::create_dir(directory).unwrap();
    }
    let script = "mount -t tmpfs -o nosuid,nodev,noexec none \"$0\" && exec \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(source);
    let run = container.run_command(&[]);
    command.arg(run.get_program()).args(run.get_args());
    for (name, value) in run.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    let finished = process::run(&mut command);
    (container, finished)
}

#[test]
fn in_a_user_namespace_a_bind_mount_keeps_what_protects_its_source() {
    if runtime().predates("runc", [1, 2, 0], "clearing of flags") {
        return;
    }
    for (user, kept) in [(false, false), (true, true)] {
        let (_container, finished) = bound_from_a_protected_source(user, "ro");
        let mount = Report::parse(&finished.ok()).mount("/mnt").clone();
        assert!(mount.has("ro"), "{mount:?}");
        for flag in ["nosuid", "nodev", "noexec"] {
            assert_eq!(mount.has(flag), kept, "{flag}: {mount:?}");
        }
    }
    for option in [
        "suid",
        "dev",
        "exec",
        "noatime",
        "strictatime",
        "nodiratime",
    ] {
        let (container, finished) = bound_from_a_protected_source(true, option);
        let _ = finished.refused(&["not permitted"]);
        container.assert_nothing_left();
        let (_container, finished) = bound_from_a_protected_source(false, option);
        let _ = finished.ok();
    }
}
