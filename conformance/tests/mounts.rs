//! Mounts: config.md, "Mounts"; config-linux.md, "Rootfs Mount Propagation", "Masked Paths", "Readonly Paths".

use std::fs;
use std::os::unix::fs::symlink;

use conformance::container::{output_of, probe};
use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Container, Report};
use serde_json::json;

/// The default configuration with a tmpfs on /mnt.
fn tmpfs(options: &[&str]) -> Report {
    probe(|config| {
        config.mount("/mnt", "tmpfs", "tmpfs", options);
    })
}

#[test]
fn the_mounts_of_the_default_configuration_are_there() {
    let report = probe(|_| {});
    for (target, kind) in [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
    ] {
        assert_eq!(report.mount(target).kind, kind, "{target}");
    }
    for (target, option) in [
        ("/dev", "mode=755"),
        ("/dev/pts", "ptmxmode=666"),
        ("/dev/shm", "noexec"),
        ("/sys", "ro"),
    ] {
        assert!(
            report.mount(target).has(option),
            "{target}: {:?}",
            report.mount(target)
        );
    }
    assert!(report.mount("/dev").has("size=65536k"));
    assert!(report.mount("/dev/pts").has("gid=5"));
}

#[test]
fn mounts_are_made_in_the_order_given() {
    let script = "cat /mnt/inner/file";
    let text = output_of(script, |config| {
        config
            .mount("/mnt", "tmpfs", "tmpfs", &[])
            .mount("/mnt/inner", "tmpfs", "tmpfs", &[]);
        config.bind(
            "/proc/sys/kernel/ostype",
            "/mnt/inner/file",
            &["bind", "ro"],
        );
    });
    assert_eq!(text, "Linux\n");
}

#[test]
fn a_later_mount_covers_an_earlier_one() {
    let report = probe(|config| {
        config
            .mount("/mnt", "tmpfs", "first", &[])
            .mount("/mnt", "tmpfs", "second", &[]);
    });
    assert_eq!(report.mount("/mnt").source, "second");
}

#[test]
fn every_flag_that_a_mount_shows_can_be_set() {
    for option in [
        "ro",
        "nosuid",
        "nodev",
        "noexec",
        "noatime",
        "nodiratime",
        "relatime",
        "sync",
        "dirsync",
        "mand",
    ] {
        if option == "mand" {
            // Mandatory locks left the kernel in 5.15; the option is still accepted.
            let _ = tmpfs(&[option]);
            continue;
        }
        let mount = tmpfs(&[option]).mount("/mnt").clone();
        assert!(mount.has(option), "{option}: {mount:?}");
    }
}

#[test]
fn every_flag_that_a_mount_does_not_show_is_accepted() {
    for option in [
        "rw",
        "suid",
        "dev",
        "exec",
        "atime",
        "diratime",
        "async",
        "defaults",
        "nostrictatime",
        "norelatime",
        "nomand",
        "silent",
        "loud",
        "iversion",
        "noiversion",
        "lazytime",
        "nolazytime",
    ] {
        if ["defaults", "silent", "loud", "lazytime", "nolazytime"].contains(&option)
            && runtime().predates("runc", [1, 2, 0], option)
        {
            continue;
        }
        let mount = tmpfs(&[option]).mount("/mnt").clone();
        assert!(mount.has("rw"), "{option}: {mount:?}");
        for off in ["nosuid", "nodev", "noexec", "sync", "mand"] {
            assert!(!mount.has(off), "{option}: {mount:?}");
        }
    }
}

#[test]
fn strictatime_leaves_no_relatime() {
    let mount = tmpfs(&["strictatime"]).mount("/mnt").clone();
    assert!(!mount.has("relatime") && !mount.has("noatime"), "{mount:?}");
}

#[test]
fn of_opposite_options_the_last_counts() {
    assert!(!tmpfs(&["ro", "rw"]).mount("/mnt").has("ro"));
    assert!(tmpfs(&["rw", "ro"]).mount("/mnt").has("ro"));
    assert!(!tmpfs(&["noexec", "exec"]).mount("/mnt").has("noexec"));
    assert!(tmpfs(&["exec", "noexec"]).mount("/mnt").has("noexec"));
}

#[test]
fn the_file_systems_own_options_reach_it() {
    let mount = tmpfs(&["size=1m", "mode=0700", "uid=5", "gid=6", "nr_inodes=100"])
        .mount("/mnt")
        .clone();
    for option in ["size=1024k", "mode=700", "uid=5", "gid=6", "nr_inodes=100"] {
        assert!(mount.has(option), "{option}: {mount:?}");
    }
}

#[test]
fn a_bind_mount_shows_the_source_and_writes_go_there() {
    let container = Container::with_path(|config, path| {
        config
            .bind(path.join("source"), "/mnt", &["bind"])
            .shell("cat /mnt/in; echo out > /mnt/out");
    });
    fs::create_dir(container.path().join("source")).unwrap();
    container.file("source/in", "from the host\n");
    assert_eq!(container.run().ok().stdout, "from the host\n");
    assert_eq!(container.read("source/out"), "out\n");
}

#[test]
fn a_bind_mount_of_a_file_covers_a_file_and_makes_a_missing_one() {
    for target in ["/etc/passwd", "/missing/dir/file"] {
        let container = Container::with_path(|config, path| {
            config
                .bind(path.join("file"), target, &["bind", "ro"])
                .args(&["cat", target]);
        });
        container.file("file", "content\n");
        assert_eq!(container.run().ok().stdout, "content\n");
    }
}

#[test]
fn a_missing_target_directory_is_made_with_its_parents() {
    let container = Container::new(|config| {
        config.mount("/a/b/c", "tmpfs", "tmpfs", &[]);
    });
    assert!(container.report().is_mounted("/a/b/c"));
}

#[test]
fn a_relative_target_is_below_the_root() {
    let container = Container::new(|config| {
        config.mount("relative", "tmpfs", "tmpfs", &[]);
    });
    let finished = container.run();
    if finished.code() == 0 {
        assert!(Report::parse(&finished).is_mounted("/relative"));
    } else {
        assert!(finished.stderr.contains("relative"), "{finished:?}");
    }
}

#[test]
fn flags_of_a_bind_mount_apply_to_it_and_not_to_its_source() {
    for option in ["ro", "nosuid", "nodev", "noexec", "noatime"] {
        let report = probe(|config| {
            config.bind("/proc", "/mnt", &["bind", option]);
        });
        assert!(
            report.mount("/mnt").options.contains(&option.to_owned()),
            "{option}: {:?}",
            report.mount("/mnt")
        );
        assert!(!report.mount("/proc").options.contains(&option.to_owned()));
    }
    let own = conformance::mountinfo::read("/proc/self/mountinfo");
    let proc = own.iter().find(|mount| mount.target == "/proc").unwrap();
    assert!(!proc.options.contains(&"ro".to_owned()), "{proc:?}");
}

#[test]
fn a_bind_mount_takes_what_is_mounted_below_only_when_recursive() {
    for (option, seen) in [("bind", false), ("rbind", true)] {
        let report = probe(|config| {
            config.bind("/sys", "/mnt", &[option]);
        });
        assert!(report.is_mounted("/mnt"));
        assert_eq!(report.is_mounted("/mnt/fs/cgroup"), seen, "{option}");
    }
}

#[test]
fn a_bind_mount_resolves_links_of_the_source_on_the_host_and_of_the_target_in_the_root() {
    let container = Container::with_path(|config, path| {
        config
            .bind(path.join("link"), "/etc/link/below", &["bind"])
            .args(&["cat", "/real/below/file"]);
    });
    fs::create_dir(container.path().join("source")).unwrap();
    container.file("source/file", "found\n");
    symlink("source", container.path().join("link")).unwrap();
    symlink("/real", container.rootfs().join("etc/link")).unwrap();
    fs::create_dir(container.rootfs().join("real")).unwrap();
    assert_eq!(container.run().ok().stdout, "found\n");
}

#[test]
fn each_propagation_option_has_its_effect() {
    for (option, shared, master, unbindable) in [
        ("private", false, false, false),
        ("rprivate", false, false, false),
        ("shared", true, false, false),
        ("rshared", true, false, false),
        ("unbindable", false, false, true),
        ("runbindable", false, false, true),
    ] {
        let mount = tmpfs(&[option]).mount("/mnt").clone();
        assert_eq!(mount.propagates("shared"), shared, "{option}: {mount:?}");
        assert_eq!(mount.propagates("master"), master, "{option}: {mount:?}");
        assert_eq!(
            mount.propagates("unbindable"),
            unbindable,
            "{option}: {mount:?}"
        );
    }
    for option in ["slave", "rslave"] {
        let mount = tmpfs(&["shared", option]).mount("/mnt").clone();
        assert!(!mount.propagates("shared"), "{option}: {mount:?}");
    }
}

#[test]
fn the_root_is_private_unless_rootfs_propagation_says_otherwise() {
    for (value, shared, unbindable) in [
        (None, false, false),
        (Some("private"), false, false),
        (Some("shared"), true, false),
        (Some("unbindable"), false, true),
    ] {
        if value.is_some()
            && runtime().departs(
                "runc",
                "sets the propagation of its mount namespace instead",
            )
        {
            continue;
        }
        let report = probe(|config| {
            if let Some(value) = value {
                config.set("/linux/rootfsPropagation", json!(value));
            }
        });
        let root = report.mount("/");
        assert_eq!(root.propagates("shared"), shared, "{value:?}: {root:?}");
        assert_eq!(
            root.propagates("unbindable"),
            unbindable,
            "{value:?}: {root:?}"
        );
    }
}

#[test]
fn the_root_is_read_only_when_asked() {
    let script = "touch /file 2>/dev/null && echo writable || echo read-only";
    for (readonly, expected) in [(true, "read-only\n"), (false, "writable\n")] {
        let text = output_of(script, |config| {
            config.set("/root/readonly", json!(readonly));
        });
        assert_eq!(text, expected);
    }
}

#[test]
fn the_root_can_be_an_absolute_path_or_the_bundle_itself() {
    let container = Container::with_path(|config, path| {
        config
            .set("/root/path", json!(path.join("bundle/rootfs")))
            .args(&["true"]);
    });
    let _ = container.run().ok();
    let container = Container::new(|config| {
        config
            .set("/root/path", json!("./rootfs/../rootfs/"))
            .args(&["true"]);
    });
    let _ = container.run().ok();
}

#[test]
fn nothing_of_the_hosts_mounts_is_visible() {
    let report = probe(|_| {});
    let foreign: Vec<_> = report
        .mounts
        .iter()
        .filter(|mount| mount.source == "none" || mount.target == "/old")
        .collect();
    assert!(foreign.is_empty(), "{foreign:#?}");
    assert_eq!(
        report
            .mounts
            .iter()
            .filter(|mount| mount.target == "/")
            .count(),
        1,
        "{:#?}",
        report.mounts
    );
}

#[test]
fn without_pivot_root_the_container_sees_its_root_too() {
    let container = Container::new(|_| {});
    for option in [[].as_slice(), &["--no-pivot"]] {
        let report = Report::parse(&run(&mut container.run_command(option)).ok());
        assert_eq!(report.mount("/proc").kind, "proc", "{option:?}");
        assert!(
            !report
                .mounts
                .iter()
                .any(|mount| mount.target.contains("/bundle")),
            "{option:?}"
        );
    }
}

#[test]
fn fifty_mounts_are_no_trouble() {
    let report = probe(|config| {
        for number in 0..50 {
            config.mount(&format!("/m/{number}"), "tmpfs", "tmpfs", &["size=4k"]);
        }
    });
    assert_eq!(
        report
            .mounts
            .iter()
            .filter(|mount| mount.target.starts_with("/m/"))
            .count(),
        50
    );
}
