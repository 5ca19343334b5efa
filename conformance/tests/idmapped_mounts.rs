//! Id-mapped mounts: config.md, "POSIX-platform Mounts" (`uidMappings`, `gidMappings`) and the options `idmap`, `ridmap`.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use conformance::runtime::{kernel, runtime};
use conformance::{Config, Container};
use serde_json::{Value, json};

fn ranges(ranges: &[(u32, u32, u32)]) -> Value {
    let range = |(container, host, size): &(u32, u32, u32)| json!({"containerID": container, "hostID": host, "size": size});
    ranges.iter().map(range).collect()
}

/// A bind mount on /mnt with these mappings of users and groups.
fn bind(
    config: &mut Config,
    source: impl AsRef<Path>,
    options: &[&str],
    maps: [&[(u32, u32, u32)]; 2],
) {
    let source = source.as_ref().display().to_string();
    let mut mount = json!({"destination": "/mnt", "source": source, "options": options});
    if !maps[0].is_empty() {
        mount["uidMappings"] = ranges(maps[0]);
        mount["gidMappings"] = ranges(maps[1]);
    }
    config.push("/mounts", mount);
}

/// A source with a file of user 1 and group 2; and the targets, which a user namespace could not make in this root.
fn source(container: &Container) {
    for target in ["mnt", "first"] {
        fs::create_dir(container.rootfs().join(target)).unwrap();
    }
    fs::create_dir(container.path().join("source")).unwrap();
    let file = container.file("source/file", "");
    chown(file, Some(1), Some(2)).unwrap();
}

fn old_runc() -> bool {
    runtime().predates("runc", [1, 2, 0], "id-mapped mounts")
}

const STAT: &str = "stat -c %u:%g /mnt/file";
const NONE: [&[(u32, u32, u32)]; 2] = [&[], &[]];

#[test]
fn a_mounts_own_mappings_hold_with_and_without_a_user_namespace() {
    if old_runc() {
        return;
    }
    let maps: [&[_]; 2] = [
        &[(0, 100_000, 1), (1, 101_000, 1)],
        &[(0, 100_000, 2), (2, 102_000, 5)],
    ];
    for (user, options, expected) in [
        (false, ["bind"].as_slice(), "101000:102000\n"),
        (false, &["bind", "idmap"], "101000:102000\n"),
        (true, &["bind"], "1000:2000\n"),
        (true, &["rbind", "ridmap", "ro"], "1000:2000\n"),
    ] {
        let container = Container::with_path(|config, path| {
            bind(config, path.join("source"), options, maps);
            config.shell(STAT);
            if user {
                config.user_namespace(&[(0, 100_000, 65536)]);
            }
        });
        source(&container);
        assert_eq!(container.run().ok().stdout, expected, "{options:?}");
    }
}

#[test]
fn what_is_written_belongs_to_the_mapped_user_on_the_host() {
    if old_runc() {
        return;
    }
    let container = Container::with_path(|config, path| {
        bind(config, path.join("source"), &["bind", "idmap"], NONE);
        config
            .user_namespace(&[(0, 100_000, 65536)])
            .shell("echo > /mnt/new && stat -c %u:%g /mnt/new /mnt/file");
    });
    source(&container);
    // The container's own mappings: ids are the same in it as on the host.
    assert_eq!(container.run().ok().stdout, "0:0\n1:2\n");
    let status = fs::metadata(container.path().join("source/new")).unwrap();
    assert_eq!((status.uid(), status.gid()), (0, 0));
}

#[test]
fn the_mappings_of_a_user_namespace_that_is_joined_are_taken_from_it() {
    if old_runc() {
        return;
    }
    let holder = Container::new(|config| {
        config.waits().user_namespace(&[(0, 100_000, 65536)]);
    });
    let _ = holder.run_detached().ok();
    let container = Container::with_path(|config, path| {
        bind(config, path.join("source"), &["bind", "idmap"], NONE);
        let namespace = format!("/proc/{}/ns/user", holder.pid());
        config.namespace("user", Some(&namespace)).shell(STAT);
    });
    source(&container);
    assert_eq!(container.run().ok().stdout, "1:2\n");
}

#[test]
fn idmap_is_for_the_mount_alone_and_ridmap_for_those_below_too() {
    if old_runc() {
        return;
    }
    if kernel() < (6, 3) {
        eprintln!("skipped: the ids of a tmpfs can be mapped from Linux 6.3 on");
        return;
    }
    for (option, below) in [("idmap", "0"), ("ridmap", "100000")] {
        // Mounts of the container's own, so that none is needed on the host.
        let container = Container::with_path(|config, path| {
            config
                .mount("/tree", "tmpfs", "tmpfs", &[])
                .mount("/tree/below", "tmpfs", "tmpfs", &[])
                .shell("stat -c %u /mnt /mnt/below");
            let tree = path.join("bundle/rootfs/tree");
            let map: &[_] = &[(0, 100_000, 10)];
            bind(config, tree, &["rbind", option], [map, map]);
        });
        let expected = format!("100000\n{below}\n");
        assert_eq!(container.run().ok().stdout, expected, "{option}");
    }
}

#[test]
fn a_source_in_the_root_is_mapped_in_a_user_namespace_as_well() {
    if old_runc() {
        return;
    }
    let container = Container::with_path(|config, path| {
        config
            .bind(path.join("source"), "/first", &["bind"])
            .user_namespace(&[(0, 100_000, 65536)])
            .shell(STAT);
        let first = path.join("bundle/rootfs/first");
        bind(config, first, &["bind", "idmap"], NONE);
    });
    source(&container);
    assert_eq!(container.run().ok().stdout, "1:2\n");
}

#[test]
fn mounts_with_the_same_mappings_share_one_user_namespace() {
    if old_runc() {
        return;
    }
    let container = Container::with_path(|config, path| {
        config.shell("stat -c %u /m/1 /m/40");
        for number in 0..50 {
            config.push(
                "/mounts",
                json!({"destination": format!("/m/{number}"), "source": path, "options": ["bind"],
                    "uidMappings": ranges(&[(0, 7, 1)]), "gidMappings": ranges(&[(0, 8, 1)])}),
            );
        }
    });
    let text = container.run().ok().stdout;
    assert_eq!(text, "7\n7\n");
}

#[test]
fn a_file_system_that_cannot_map_ids_is_named_in_the_error() {
    if runtime().departs("runc", "has other words for it") {
        return;
    }
    let container = Container::new(|config| {
        let map: &[_] = &[(0, 100_000, 10)];
        bind(config, "/proc/sys", &["bind", "idmap"], [map, map]);
    });
    let _ = container
        .run()
        .refused(&["/proc/sys", "does not support id-mapped mounts"]);
    container.assert_nothing_left();
}

#[test]
fn a_mapping_that_cannot_be_is_refused() {
    if old_runc() {
        return;
    }
    let one = ranges(&[(0, 1, 1)]);
    for mount in [
        json!({"destination": "/mnt", "source": "/etc", "options": ["bind", "idmap"]}),
        json!({"destination": "/mnt", "source": "/etc", "options": ["bind"], "uidMappings": one}),
        json!({"destination": "/mnt", "type": "tmpfs", "uidMappings": one, "gidMappings": one}),
        // Two ranges that overlap: the kernel refuses that map.
        json!({"destination": "/mnt", "source": "/etc", "options": ["bind"],
            "uidMappings": ranges(&[(0, 1, 2), (1, 5, 2)]), "gidMappings": one}),
    ] {
        let container = Container::new(|config| {
            config.push("/mounts", mount.clone());
        });
        let _ = container.run().refused(&["map"]);
        container.assert_nothing_left();
    }
}
