//! Sources of bind mounts that lie in the root, and what a tmpfs copies: what the image has there.

use std::fs;
use std::os::unix::fs::symlink;

use conformance::Container;
use conformance::runtime::runtime;
use conformance::swap::Swapper;
use serde_json::json;

use crate::hostile::{Canary, Race, Tripwire, link, refused, ways_out};

/// A container that has a path of its own root at /mnt too, and reads a file there.
fn with_source(source: &str, options: &[&str], script: &str) -> Container {
    Container::with_path(|config, path| {
        config
            .bind(path.join("volume"), "/volume", &["rbind", "ro"])
            .bind(path.join("bundle/rootfs").join(source), "/mnt", options)
            .shell(script);
    })
}

#[test]
fn a_link_of_the_image_does_not_lead_a_source_out_of_the_root() {
    for way in 0..4 {
        let container = with_source(
            "link/directory/..",
            &["bind"],
            "cat /mnt/file; echo x > /mnt/file",
        );
        let canary = Canary::new(container.path().join("canary"));
        fs::create_dir(container.path().join("volume")).unwrap();
        let target = &ways_out(&canary.path)[way];
        link(&container, "link", target);
        let finished = container.run();
        canary.assert_untouched((target, &finished));
        assert_eq!(
            finished.stdout, "",
            "the host is in the container: {finished:?}"
        );
        refused(finished, &["/mounts/8"]);
        container.assert_nothing_left();
    }
}

#[test]
fn the_same_holds_where_the_root_is_written_through_a_link() {
    // The source is known to be in the root by where it lies, not by how the configuration writes the root.
    let container = with_source(
        "link/directory/..",
        &["bind"],
        "cat /mnt/file; echo x > /mnt/file",
    );
    let mut config = container.config();
    config.set("/root/path", json!("named"));
    container.write_config(&config);
    symlink("rootfs", container.bundle().join("named")).unwrap();
    let canary = Canary::new(container.path().join("canary"));
    fs::create_dir(container.path().join("volume")).unwrap();
    link(&container, "link", &canary.path);
    let finished = container.run();
    canary.assert_untouched(&finished);
    assert_eq!(
        finished.stdout, "",
        "the host is in the container: {finished:?}"
    );
}

#[test]
fn a_link_of_the_image_does_not_lead_a_source_to_what_is_restricted_elsewhere() {
    // /proc/sys would be bound before it is read-only, a volume without its `ro`, and all of the root without its masks.
    let peers = ["runc", "crun"];
    if peers.iter().any(|peer| {
        runtime().departs(
            peer,
            "follows it on the host, which the test would write to",
        )
    }) {
        return;
    }
    let script =
        "for d in /mnt /mnt/volume; do (echo x > $d/new) 2>/dev/null && echo wrote $d/new; done
        for f in /mnt/kernel/ostype /mnt/proc/sys/kernel/ostype /mnt/sys/kernel/ostype; do
        [ -e $f ] && grep ' /mnt.* \\(proc\\|tmpfs\\|ext4\\|overlay\\) ' /proc/mounts; done; true";
    for (target, options) in [
        ("/proc/sys", &["bind", "nosuid"][..]),
        ("/proc", &["rbind"]),
        ("/sys", &["bind", "nosuid"]),
        ("/volume", &["bind", "nosuid"]),
        ("/", &["rbind"]),
        (".", &["rbind"]),
    ] {
        let container = with_source("link", options, script);
        let volume = Canary::new(container.path().join("volume"));
        link(&container, "link", target);
        let finished = container.run();
        volume.assert_untouched((target, &finished));
        refused(finished, &["/mounts/8"]);
    }
}

#[test]
fn a_link_in_the_roots_own_file_system_is_a_source_as_any_other() {
    let container = with_source("link", &["bind"], "cat /mnt/file");
    fs::create_dir(container.path().join("volume")).unwrap();
    fs::create_dir(container.rootfs().join("real")).unwrap();
    fs::write(container.rootfs().join("real/file"), "found\n").unwrap();
    link(&container, "link", "/real");
    if runtime().is_bareboat() {
        assert_eq!(container.run().ok().stdout, "found\n");
    }
}

/// A container whose /data is copied into a tmpfs, and says what it has of the secret.
fn copier() -> (Container, Canary) {
    let container = Container::new(|config| {
        config
            .mount("/data", "tmpfs", "tmpfs", &["tmpcopyup"])
            .shell("grep -rs 'of the host' /data && echo leaked; test -L /data/t && echo link || echo no link");
    });
    fs::create_dir_all(container.rootfs().join("data")).unwrap();
    let canary = Canary::new(container.path().join("canary"));
    (container, canary)
}

#[test]
fn a_tmpfs_copies_links_and_not_what_they_lead_to() {
    for way in 0..4 {
        let (container, canary) = copier();
        let data = container.rootfs().join("data");
        let target = &ways_out(&canary.path)[way];
        symlink(target, data.join("t")).unwrap();
        symlink(target.join("file"), data.join("file")).unwrap();
        let finished = container.run();
        canary.assert_untouched(&finished);
        assert_eq!(finished.stdout, "link\n", "{finished:?}");
        // And where the target is one itself.
        link(&container, "data/t", "t");
        fs::rename(&data, container.rootfs().join("gone")).unwrap();
        symlink(target, &data).unwrap();
        let finished = container.run();
        canary.assert_untouched(&finished);
        assert!(!finished.stdout.contains("leaked"), "{finished:?}");
    }
}

#[test]
fn what_is_swapped_for_a_link_while_it_is_copied_leaks_nothing() {
    for name in ["file", "directory"] {
        let (container, canary) = copier();
        let data = container.rootfs().join("data");
        let elsewhere = container.rootfs().join("swapped");
        symlink(canary.path.join(name), &elsewhere).unwrap();
        if name == "directory" {
            fs::create_dir_all(data.join("t/below")).unwrap();
            fs::write(data.join("t/below/file"), "of the image").unwrap();
            fs::write(canary.path.join("directory/secret"), "of the host\n").unwrap();
        } else {
            fs::write(data.join("t"), "of the image").unwrap();
        }
        let canary = Canary::new(canary.path);
        let swapper = Swapper::start(data.join("t"), elsewhere);
        let mut race = Race::default();
        for _ in 0..30 {
            let finished = container.run();
            canary.assert_untouched(&finished);
            assert!(!finished.stdout.contains("leaked"), "{finished:?}");
            match finished.stdout.as_str() {
                "link\n" => race.link += 1,
                "no link\n" => race.directory += 1,
                _ => race.refused += 1,
            }
        }
        drop(swapper);
        race.assert_both_seen();
    }
}

#[test]
fn a_passwd_of_the_image_is_read_in_the_root_and_nowhere_else() {
    // Who has no HOME gets it from there.
    let container = Container::new(|config| {
        config.shell("echo $HOME");
    });
    let canary = Canary::new(container.path().join("canary"));
    fs::write(
        canary.path.join("file"),
        "root:x:0:0:root:/of/the/host:/bin/sh\n",
    )
    .unwrap();
    for target in ways_out(&canary.path.join("file")) {
        link(&container, "etc/passwd", &target);
        let finished = container.run();
        assert!(
            !finished.stdout.contains("host"),
            "{}: {finished:?}",
            target.display()
        );
    }
    // One that is no file is not even opened.
    let passwd = container.rootfs().join("etc/passwd");
    fs::remove_file(&passwd).unwrap();
    let tripwire = Tripwire::new(passwd, true);
    let finished = container.run();
    assert!(
        !tripwire.was_opened(),
        "the image's passwd, a fifo, was opened: {finished:?}"
    );
    assert_eq!(finished.ok().stdout, "/\n");
}
