//! Mount targets that lead out of the root, or over what the container is set up through.

use std::fs;
use std::path::Path;

use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::json;

use crate::hostile::{Canary, link, refused, ways_out, without_mount};

#[test]
fn a_target_that_is_a_link_out_of_the_root_stays_in_it() {
    // CVE-2019-18837
    for way in 0..4 {
        let container = Container::with_path(|config, path| {
            let source = path.join("source");
            config
                .bind(&source, "/etc/link", &["bind"])
                .bind(&source, "/srv/link/made/deep", &["bind"])
                .bind(source.join("name"), "/srv/link/made/name", &["bind"])
                .mount("/srv/link/directory", "tmpfs", "tmpfs", &[])
                .bind(&source, "/srv/link/../beside", &["bind"])
                .shell("cat /etc/link/name /srv/link/made/deep/name /srv/link/made/name");
        });
        let canary = Canary::new(container.path().join("canary"));
        fs::create_dir(container.path().join("source")).unwrap();
        container.file("source/name", "found\n");
        let target = &ways_out(&canary.path)[way];
        link(&container, "etc/link", target);
        link(&container, "srv/link", target);
        let finished = container.run();
        canary.assert_untouched((target, &finished));
        // With a root of its own in /proc a link leads nowhere.
        if runtime().is_bareboat() && !target.starts_with("/proc") {
            assert_eq!(finished.ok().stdout, "found\n".repeat(3));
        }
    }
}

#[test]
fn what_every_container_has_in_dev_is_in_the_root_whatever_the_image_links_there() {
    // An image whose own /dev is used: each name in it leads to the canary.
    let mounts = [
        ("shm", "tmpfs shm "),
        ("mqueue", "mqueue mqueue "),
        ("pts", "devpts devpts "),
    ];
    let nodes = [
        "null", "zero", "full", "random", "tty", "fd", "stdin", "stdout", "ptmx", "console",
    ];
    let nodes = nodes.map(|name| (name, ""));
    for (name, mount) in mounts.into_iter().chain(nodes) {
        let container = Container::new(|config| {
            without_mount(config, "/dev");
            config.args(&["cat", "/proc/self/mountinfo"]);
        });
        let canary = Canary::new(container.path().join("canary"));
        for target in [
            canary.path.clone(),
            canary.path.join("missing"),
            canary.path.join("file"),
        ] {
            link(&container, &format!("dev/{name}"), &target);
            let finished = container.run();
            canary.assert_untouched((name, &target, &finished));
            assert!(
                finished.code() != 0 || finished.stdout.contains(mount),
                "what was to be mounted in the root is not there: {finished:?}"
            );
        }
    }
}

#[test]
fn a_dev_that_is_a_link_out_of_the_root_writes_nothing_there() {
    // CVE-2026-41579, CVE-2026-47766
    for has_mount in [true, false] {
        for way in 0..4 {
            let container = Container::new(|config| {
                config.args(&["true"]).push(
                    "/linux/devices",
                    json!({"path": "/dev/made/node", "type": "c", "major": 1, "minor": 3}),
                );
                if !has_mount {
                    without_mount(config, "/dev");
                }
            });
            let canary = Canary::new(container.path().join("canary"));
            let target = &ways_out(&canary.path)[way];
            link(&container, "dev", target);
            let finished = container.run();
            canary.assert_untouched((target, &finished));
            if has_mount {
                refused(finished, &["/mounts/1"]);
            }
        }
    }
}

/// A container with a volume that it may write to: what stands for the host there.
fn with_volume(destination: &str, change: impl FnOnce(&mut Config)) -> (Container, Canary) {
    let container = Container::with_path(|config, path| {
        config.bind(path.join("volume"), destination, &["rbind"]);
        config.args(&["true"]);
        change(config);
    });
    let volume = Canary::new(container.path().join("volume"));
    (container, volume)
}

#[test]
fn a_dev_that_is_a_link_into_a_volume_makes_no_devices_there() {
    let (container, volume) = with_volume("/volume", |_| {});
    link(&container, "dev", "/volume");
    let finished = container.run();
    volume.assert_untouched(&finished);
    refused(finished, &["/mounts/1"]);
}

/// A volume at a path of the image that is one of these links is refused, and nothing is made in it.
fn assert_refused(targets: &[&str]) {
    for target in targets {
        let (container, volume) = with_volume("/data", |_| {});
        link(&container, "data", target);
        let finished = container.run();
        volume.assert_untouched((target, &finished));
        refused(finished, &["/mounts/7"]);
    }
}

#[test]
fn a_link_of_the_image_does_not_lead_a_volume_over_dev() {
    // Devices would be made in the volume, and its ptmx replaced.
    assert_refused(&["/dev", "dev/", "../../dev", "/dev/shm/.."]);
}

#[test]
fn a_link_of_the_image_does_not_lead_a_mount_over_the_root() {
    assert_refused(&["/", ".", "../..", "/proc/..", "/etc/../"]);
}

#[test]
fn a_device_whose_path_leads_through_a_link_is_made_neither_outside_nor_in_a_volume() {
    let device = json!({"path": "/made/node", "type": "c", "major": 1, "minor": 3});
    let fifo = json!({"path": "/made/deep/fifo", "type": "p"});
    for device in [device, fifo] {
        for way in 0..4 {
            let (container, volume) = with_volume("/volume", |config| {
                config.push("/linux/devices", device.clone());
            });
            let canary = Canary::new(container.path().join("canary"));
            link(&container, "made", &ways_out(&canary.path)[way]);
            let finished = container.run();
            canary.assert_untouched((way, finished));
            for target in ["/volume", "/volume/directory", "volume/missing"] {
                link(&container, "made", target);
                let finished = container.run();
                for made in [
                    "node",
                    "deep/fifo",
                    "directory/node",
                    "directory/deep/fifo",
                    "missing/node",
                ] {
                    assert!(!volume.path.join(made).exists(), "{target}: {finished:?}");
                }
                refused(finished, &["/linux/devices/0"]);
            }
        }
    }
}

#[test]
fn a_target_with_parent_directories_is_what_it_is_without_them() {
    // What lies over /proc is refused by its path: a link of the image must not make another one of it.
    for destination in [
        "/proc/../link/kernel",
        "/link/../proc/sys",
        "/a/b/../../proc/sys",
        "/link/./kernel/",
    ] {
        let (container, volume) = with_volume(destination, |config| {
            config.shell("cat /proc/sys/kernel/ostype || echo covered");
        });
        link(&container, "link", "/proc/sys");
        let finished = container.run();
        volume.assert_untouched(&finished);
        assert_ne!(
            finished.stdout, "covered\n",
            "{destination}: a volume lies over /proc: {finished:?}"
        );
    }
}

#[test]
fn a_root_that_is_reached_by_a_link_is_no_less_a_root() {
    for is_relative in [true, false] {
        let container = Container::with_path(|config, path| {
            let root = if is_relative {
                "link".into()
            } else {
                path.join("link")
            };
            config
                .set("/root/path", json!(root))
                .bind(path.join("source"), "/out/made", &["bind"])
                .args(&["true"]);
        });
        let place = if is_relative {
            container.bundle()
        } else {
            container.path().to_owned()
        };
        std::os::unix::fs::symlink(container.rootfs(), place.join("link")).unwrap();
        let canary = Canary::new(container.path().join("canary"));
        fs::create_dir(container.path().join("source")).unwrap();
        link(&container, "out", &canary.path);
        let finished = container.run();
        canary.assert_untouched(&finished);
        if runtime().is_bareboat() {
            let _ = finished.ok();
        }
    }
}

#[test]
fn other_places_that_the_runtime_writes_to_are_in_the_root_too() {
    // The working directory, which is made; /etc as a link below which files are bound, as engines do; cgroup mounts.
    let container = Container::with_path(|config, path| {
        config
            .set("/process/cwd", json!("/work/made"))
            .set("/root/readonly", json!(false))
            .bind(path.join("hosts"), "/etc/hosts", &["bind", "ro"])
            .bind(path.join("hosts"), "/etc/made/resolv.conf", &["bind", "ro"])
            .args(&["true"]);
        without_mount(config, "/sys");
    });
    container.file("hosts", "");
    let canary = Canary::new(container.path().join("canary"));
    link(&container, "work", &canary.path);
    link(&container, "sys/fs/cgroup", canary.path.join("cgroup"));
    fs::rename(
        container.rootfs().join("etc"),
        container.rootfs().join("etc.d"),
    )
    .unwrap();
    link(
        &container,
        "etc",
        Path::new("../../../../..").join(canary.path.strip_prefix("/").unwrap()),
    );
    let finished = container.run();
    canary.assert_untouched(&finished);
    if runtime().is_bareboat() {
        let _ = finished.ok();
    }
}
