//! /proc and /sys: what lies over them, what they are in the image, and who swaps them meanwhile.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use conformance::Container;
use conformance::container::output_of;
use conformance::mountinfo::{self, Mount};
use conformance::process::run;
use conformance::runtime::runtime;
use conformance::swap::Swapper;
use serde_json::json;

use crate::hostile::{Canary, Race, link, ways_out};

#[test]
fn a_volume_over_proc_is_refused() {
    // CVE-2019-16884; files of /proc that lxcfs and the like replace are the exception.
    for target in [
        "/proc",
        "/proc/self/attr",
        "/proc/sys",
        "/proc/self/attr/exec",
        "/x/../proc/1/attr",
    ] {
        let container = Container::with_path(|config, path| {
            config.bind(path, target, &["bind"]);
        });
        let _ = container.run().refused(&[]);
        container.assert_nothing_left();
    }
    let text = output_of("cat /proc/uptime", |config| {
        config.bind("/proc/sys/kernel/ostype", "/proc/uptime", &["bind"]);
    });
    assert_eq!(text, "Linux\n");
}

#[test]
fn a_link_of_the_image_into_proc_is_no_way_to_cover_it() {
    // CVE-2019-16884 by another spelling, and CVE-2025-52881: where a label is written.
    let ways = [
        ("/proc", "attr"),
        ("../proc/self", "attr"),
        ("/proc/self", "attr/exec"),
        ("/proc/thread-self/attr", "exec"),
        ("/proc/sys", "kernel"),
        ("/proc/1/attr/../../self", "attr/exec"),
    ];
    for (target, rest) in ways {
        let is_file = rest.ends_with("exec");
        let container = Container::with_path(|config, path| {
            let source = if is_file {
                "/proc/self/sched".into()
            } else {
                path.to_owned()
            };
            config.bind(source, &format!("/proc-link/{rest}"), &["bind"]);
        });
        link(&container, "proc-link", target);
        let _ = container.run().refused(&[]);
        container.assert_nothing_left();
    }
}

#[test]
fn a_proc_or_sys_that_is_a_link_or_no_directory_is_refused() {
    // CVE-2019-19921
    for name in ["proc", "sys"] {
        let container = Container::with_path(|config, path| {
            config.bind(path.join("volume"), "/volume", &["bind"]);
        });
        let volume = Canary::new(container.path().join("volume"));
        let canary = Canary::new(container.path().join("canary"));
        let inside = [
            "tmp",
            "/tmp",
            "/volume",
            "/volume/directory",
            "/nosuch",
            "other",
        ];
        symlink("/tmp", container.rootfs().join("other")).unwrap();
        for target in ways_out(&canary.path).iter().chain(&inside.map(Into::into)) {
            link(&container, name, target);
            let _ = container.run().refused(&[]);
            canary.assert_untouched(target);
            volume.assert_untouched(target);
            container.assert_nothing_left();
        }
        fs::remove_file(container.rootfs().join(name)).unwrap();
        fs::write(container.rootfs().join(name), "").unwrap();
        let _ = container.run().refused(&[]);
        container.assert_nothing_left();
    }
}

#[test]
fn a_bind_of_proc_or_sys_over_a_link_is_refused_too() {
    // As for containers in user namespaces.
    for (name, path) in [("proc", "/proc"), ("sys", "/sys")] {
        let container = Container::with_path(|config, _| {
            let mounts = config.0["mounts"].as_array_mut().unwrap();
            mounts.retain(|mount| !mount["destination"].as_str().unwrap().starts_with(path));
            config.bind(path, path, &["rbind", "ro"]).args(&["true"]);
        });
        let canary = Canary::new(container.path().join("canary"));
        link(&container, name, &canary.path);
        let finished = container.run();
        canary.assert_untouched(&finished);
        crate::hostile::refused(finished, &["/mounts/"]);
    }
}

/// The one procfs that the container shows as a whole; its /sys is read-only and its `keys` hidden.
fn assert_confined(mounts: &[Mount]) {
    let shown: Vec<_> = mounts
        .iter()
        .filter(|mount| mount.kind == "proc" && mount.root == "/")
        .collect();
    let [proc] = shown[..] else {
        panic!("not one procfs is in the root: {mounts:#?}");
    };
    let below = |name: &str| {
        let target = format!("{}/{name}", proc.target);
        mounts.iter().rev().find(|mount| mount.target == target)
    };
    let sys = below("sys").is_some_and(|mount| mount.has("ro") && mount.root == "/sys");
    let keys = below("keys").is_some_and(|mount| mount.kind != "proc");
    assert!(
        sys && keys,
        "procfs is there without what confines it (ro sys: {sys}, masked keys: {keys}): {mounts:#?}"
    );
}

#[test]
fn a_proc_that_is_swapped_for_a_link_meanwhile_is_confined_or_refused() {
    // CVE-2019-19921, 2023-27561, 2023-28642, 2025-54867: somebody who has the same root swaps.
    let container = Container::new(|config| {
        config.waits();
    });
    let canary = Canary::new(container.path().join("canary"));
    let fake = canary.alias(&container);
    fs::create_dir_all(fake.join("sys/kernel")).unwrap();
    fs::write(fake.join("keys"), "").unwrap();
    let root = container.rootfs();
    symlink(&canary.path, root.join("swapped")).unwrap();
    let mut race = Race::default();
    for _ in 0..40 {
        let swapper = Swapper::start(root.join("proc"), root.join("swapped"));
        let finished = run(&mut container.run_command(&["--detach"]));
        let swaps = swapper.stop();
        assert!(swaps > 10, "the swapper did not run: {swaps}");
        canary.assert_untouched(&finished);
        if finished.code() == 0 {
            race.directory += 1;
            assert_confined(&mountinfo::read(format!(
                "/proc/{}/mountinfo",
                container.pid()
            )));
            let _ = container.delete_force().ok();
        } else {
            race.refused += 1;
        }
    }
    race.assert_both_seen();
}

#[test]
fn a_sysctl_is_written_to_the_kernel_whatever_lies_over_proc() {
    // CVE-2025-52881: a procfs with a directory over one of its own, bound by its caller to the container's /proc.
    let container = Container::with_path(|config, path| {
        let mounts = config.0["mounts"].as_array_mut().unwrap();
        mounts.remove(0);
        config
            .bind(path.join("proc"), "/proc", &["rbind"])
            .mount("/tmp", "proc", "proc", &[])
            .set("/linux/sysctl", json!({"kernel.shm_rmid_forced": "1"}))
            .args(&["cat", "/tmp/sys/kernel/shm_rmid_forced"]);
    });
    let directory = container.path().join("fake");
    fs::create_dir_all(directory.join("kernel")).unwrap();
    let fake = container.file("fake/kernel/shm_rmid_forced", "0\n");
    let proc = container.path().join("proc");
    fs::create_dir(&proc).unwrap();
    let prepare = format!(
        "mount -t proc proc {proc} && mount --bind {fake} {proc}/sys && exec \"$@\"",
        proc = proc.display(),
        fake = directory.display()
    );
    let runtime_command = container.run_command(&[]);
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &prepare, "sh"]);
    command
        .arg(runtime_command.get_program())
        .args(runtime_command.get_args());
    let finished = run(&mut command);
    assert_eq!(fs::read_to_string(&fake).unwrap(), "0\n", "{finished:?}");
    if runtime().is_bareboat() || finished.code() == 0 {
        assert_eq!(finished.ok().stdout, "1\n");
    }
}
