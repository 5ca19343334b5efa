//! What engines and users know of runc where the specification is silent: each case is a difference that was found once.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use conformance::Container;
use conformance::container::output_of;
use conformance::process::run;
use conformance::runtime::runtime;
use serde_json::json;

#[test]
fn a_read_only_dev_is_filled_first() {
    let container = Container::new(|config| {
        config
            .set("/mounts/1/options", json!(["nosuid", "mode=755", "ro"]))
            .shell("echo > /dev/null; touch /dev/x 2>/dev/null && echo writable || echo read-only");
    });
    assert_eq!(container.run().ok().stdout, "read-only\n");
}

#[test]
fn a_tmpfs_keeps_the_mode_of_a_directory_that_was_there_and_of_no_other() {
    let container = Container::new(|config| {
        config
            .mount("/there", "tmpfs", "tmpfs", &[])
            .mount("/missing", "tmpfs", "tmpfs", &[])
            .shell("stat -c %a /there /missing")
            .set("/root/readonly", json!(false));
    });
    let there = container.rootfs().join("there");
    fs::create_dir(&there).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o711);
    fs::set_permissions(&there, mode).unwrap();
    assert_eq!(container.run().ok().stdout, "711\n1777\n");
}

#[test]
fn a_file_is_bound_where_a_dangling_link_of_the_image_points_inside_the_root() {
    if runtime().predates("runc", [1, 2, 0], "binding through dangling links") {
        return;
    }
    let container = Container::with_path(|config, path| {
        fs::write(path.join("file"), "bound\n").unwrap();
        config
            .bind(
                path.join("file").to_str().unwrap(),
                "/etc/link",
                &["bind", "ro"],
            )
            .shell("cat /made/by/bareboat-link")
            .set("/root/readonly", json!(false));
    });
    fs::create_dir_all(container.rootfs().join("etc")).unwrap();
    symlink(
        "/made/by/bareboat-link",
        container.rootfs().join("etc/link"),
    )
    .unwrap();
    assert_eq!(container.run().ok().stdout, "bound\n");
    assert!(!std::path::Path::new("/made/by/bareboat-link").exists());
}

#[test]
fn a_path_that_is_masked_twice_is_covered_once() {
    if runtime().predates("runc", [1, 4, 0], "masking a path once") {
        return;
    }
    let text = output_of("grep -c ' /proc/keys ' /proc/self/mountinfo", |config| {
        config.push("/linux/maskedPaths", json!("/proc/keys"));
    });
    assert_eq!(text, "1\n");
}

#[test]
fn without_pivot_root_no_bare_procfs_is_left_below() {
    // Only the mount may fail: a user namespace whose root is mapped is made first.
    let script = "unshare -mrpf sh -c 'echo inside; mount -t proc proc /proc && echo bare' 2>&1";
    let container = Container::new(|config| {
        for set in ["bounding", "permitted", "effective"] {
            let pointer = format!("/process/capabilities/{set}");
            config.push(&pointer, json!("CAP_SETFCAP"));
        }
        config.shell(script);
    });
    let seen = run(&mut container.run_command(&["--no-pivot"])).stdout;
    assert!(seen.starts_with("inside\n"), "{seen}");
    assert!(!seen.contains("bare"), "{seen}");
}

#[test]
fn an_empty_home_is_replaced_by_that_of_the_images_passwd() {
    let container = Container::new(|config| {
        config.env("HOME=").shell("echo $HOME");
    });
    fs::create_dir_all(container.rootfs().join("etc")).unwrap();
    let passwd = "root:x:0:0::/home/of-root:/bin/sh\n";
    fs::write(container.rootfs().join("etc/passwd"), passwd).unwrap();
    assert_eq!(container.run().ok().stdout, "/home/of-root\n");
}

#[test]
fn a_process_file_without_a_user_is_roots() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached().ok();
    let process = json!({"args": ["id", "-u"], "cwd": "/", "env": ["PATH=/bin"]});
    let file = container.file("process.json", &process.to_string());
    let mut command = container.subcommand(["exec", "--process"]);
    assert_eq!(run(command.arg(file).arg(&container.id)).ok().stdout, "0\n");
}

#[test]
fn kill_ends_all_of_a_container_without_a_pid_namespace_and_succeeds() {
    let container = Container::new(|config| {
        config.share("pid").shell("sleep 100 & sleep 100");
    });
    let _ = container.run_detached().ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn the_personality_is_that_of_later_processes_too() {
    if runtime().predates("runc", [1, 2, 0], "personality") {
        return;
    }
    let container = Container::new(|config| {
        config
            .set("/linux/personality", json!({"domain": "LINUX32"}))
            .waits();
    });
    let _ = container.run_detached().ok();
    assert_eq!(container.exec(&[], &["uname", "-m"]).ok().stdout, "i686\n");
}

/// What a `start` that was killed at the wrong moment leaves: the socket, and a program that runs.
#[test]
fn a_second_start_does_no_harm_to_a_container_whose_first_was_killed() {
    if !runtime().is_bareboat() {
        return;
    }
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.create().ok();
    let _ = container.start().ok();
    let socket = container
        .state_root()
        .join(&container.id)
        .join("start.sock");
    drop(UnixListener::bind(&socket).unwrap());
    let _ = container.start().refused(&["already running"]);
    assert_eq!(container.status(), "running");
}
