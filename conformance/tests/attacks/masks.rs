//! The image's /dev/null, and paths that are hidden or made read-only.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use conformance::process::{run, spawn_with_own_streams};
use conformance::swap::Swapper;
use conformance::{Config, Container};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::json;

use crate::hostile::{Canary, link, refused, without_mount};

/// What a directory has that is bound to /dev: devices, a devpts' place, and what stands for /dev/null.
fn fake_dev(directory: &Path, null: &str) -> PathBuf {
    let dev = directory.join("dev");
    for below in ["pts", "shm", "mqueue"] {
        fs::create_dir_all(dev.join(below)).unwrap();
    }
    symlink(null, dev.join("null")).unwrap();
    dev
}

/// A configuration with this directory at /dev.
fn bind_dev(config: &mut Config, dev: &Path) {
    let mounts = config.0["mounts"].as_array_mut().unwrap();
    let place = mounts
        .iter()
        .position(|mount| mount["destination"] == "/dev");
    mounts[place.unwrap()] =
        json!({"destination": "/dev", "type": "bind", "source": dev, "options": ["rbind"]});
}

#[test]
fn the_images_dev_null_is_not_what_masks() {
    // CVE-2025-31133, CVE-2025-62161, CVE-2026-88265: the last is what a container's root could write to then.
    for target in [
        "/etc/victim",
        "/bound/victim",
        "/proc/sys/kernel/ostype",
        "/etc/nosuch",
    ] {
        let container = Container::with_path(|config, path| {
            bind_dev(config, &path.join("dev"));
            config
                .bind(path.join("canary/file"), "/bound/victim", &["bind"])
                .push("/linux/maskedPaths", json!("/etc/secret"))
                .shell("cat /etc/secret; echo x > /etc/secret");
        });
        let _dev = fake_dev(container.path(), target);
        let canary = Canary::new(container.path().join("canary"));
        fs::write(container.rootfs().join("etc/victim"), "victim\n").unwrap();
        fs::write(container.rootfs().join("etc/secret"), "secret\n").unwrap();
        let finished = container.run();
        canary.assert_untouched(&finished);
        assert_eq!(finished.stdout, "", "/dev/null -> {target}: {finished:?}");
        for (file, content) in [("victim", "victim\n"), ("secret", "secret\n")] {
            let found = fs::read_to_string(container.rootfs().join("etc").join(file)).unwrap();
            assert_eq!(found, content, "{finished:?}");
        }
    }
}

#[test]
fn without_a_mount_on_dev_the_images_dev_null_is_none_either() {
    for target in ["/etc/victim", "/proc/sys/kernel/ostype"] {
        let container = Container::new(|config| {
            without_mount(config, "/dev");
            config
                .push("/linux/maskedPaths", json!("/etc/secret"))
                .args(&["cat", "/etc/secret"]);
        });
        fs::write(container.rootfs().join("etc/victim"), "victim\n").unwrap();
        fs::write(container.rootfs().join("etc/secret"), "secret\n").unwrap();
        link(&container, "dev/null", target);
        let finished = container.run();
        assert_eq!(finished.stdout, "", "/dev/null -> {target}: {finished:?}");
    }
}

#[test]
fn standard_streams_that_are_the_hosts_null_device_are_not_opened_anew_in_the_image() {
    // CVE-2025-31133, of a runtime that gives the container a /dev/null of its own.
    let container = Container::with_path(|config, path| {
        bind_dev(config, &path.join("dev"));
        config
            .bind(path.join("canary/file"), "/bound/victim", &["bind"])
            .shell("echo to the standard output; echo to the standard error >&2; cat");
    });
    let _dev = fake_dev(container.path(), "/bound/victim");
    let canary = Canary::new(container.path().join("canary"));
    let mut command = container.run_command(&[]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let finished = spawn_with_own_streams(&mut command).wait();
    canary.assert_untouched(finished);
}

#[test]
fn a_dev_null_that_is_swapped_meanwhile_masks_nothing() {
    let container = Container::with_path(|config, path| {
        bind_dev(config, &path.join("dev"));
        config
            .bind(path.join("canary/file"), "/bound/victim", &["bind"])
            .push("/linux/maskedPaths", json!("/etc/secret"))
            .waits();
    });
    let dev = fake_dev(container.path(), "/bound/victim");
    let canary = Canary::new(container.path().join("canary"));
    let mode = Mode::from_bits_truncate(0o666);
    mknod(&dev.join("honest"), SFlag::S_IFCHR, mode, makedev(1, 3)).unwrap();
    fs::write(container.rootfs().join("etc/secret"), "secret\n").unwrap();
    for _ in 0..20 {
        let swapper = Swapper::start(dev.join("null"), dev.join("honest"));
        let finished = run(&mut container.run_command(&["--detach"]));
        let swaps = swapper.stop();
        assert!(swaps > 10, "the swapper did not run: {swaps}");
        if finished.code() == 0 {
            let secret = format!("/proc/{}/root/etc/secret", container.pid());
            assert_eq!(fs::read_to_string(secret).unwrap(), "", "{finished:?}");
            let _ = container.delete_force().ok();
        }
        canary.assert_untouched(finished);
    }
}

#[test]
fn paths_that_are_links_are_hidden_and_made_read_only_where_they_lead_in_the_root() {
    let container = Container::new(|config| {
        config
            .set("/root/readonly", json!(false))
            .set("/process/capabilities", json!({}))
            .shell("cat /etc/kept/* /masked/* /masked-file 2>/dev/null; for f in /ro/new /etc/kept/new; do (echo x > $f) 2>/dev/null && echo wrote $f; done; true");
        for masked in ["/masked", "/masked-file", "/out", "/loop", "/dangling"] {
            config.push("/linux/maskedPaths", json!(masked));
        }
        for readonly in ["/ro", "/out", "/dangling"] {
            config.push("/linux/readonlyPaths", json!(readonly));
        }
    });
    let canary = Canary::new(container.path().join("canary"));
    let root = container.rootfs();
    fs::create_dir_all(root.join("etc/kept")).unwrap();
    fs::create_dir_all(root.join("etc/hidden")).unwrap();
    fs::write(root.join("etc/hidden/secret"), "secret\n").unwrap();
    fs::write(root.join("etc/secret"), "secret\n").unwrap();
    for (name, target) in [
        ("masked", "etc/hidden"),
        ("masked-file", "/etc/secret"),
        ("ro", "../../etc/kept"),
        ("dangling", "/nosuch"),
    ] {
        link(&container, name, target);
    }
    link(&container, "out", &canary.path);
    let finished = container.run().ok();
    assert_eq!(finished.stdout, "");
    canary.assert_untouched(finished);
    // One that has no end is no path that could be left as it is.
    link(&container, "loop", "loop");
    refused(container.run(), &["/loop"]);
}
