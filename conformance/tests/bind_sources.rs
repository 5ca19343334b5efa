//! Where a bind mount's source and target are looked for: config.md, "Mounts".

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixListener;

use conformance::Container;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

#[test]
fn a_source_in_the_root_is_what_earlier_mounts_have_made_of_it() {
    let container = Container::with_path(|config, path| {
        let root = path.join("bundle/rootfs");
        config
            .bind(path.join("source"), "/first", &["bind"])
            .bind(root.join("first/inner"), "/second", &["bind", "ro"])
            .bind(root.join("second/file"), "/third", &["bind"])
            // Relative to the bundle, and with detours.
            .bind("./rootfs/x/../first", "/fourth", &["bind"])
            .shell("cat /second/file /third /fourth/inner/file; echo > /second/new");
    });
    fs::create_dir_all(container.path().join("source/inner")).unwrap();
    container.file("source/inner/file", "found\n");
    let finished = container.run();
    assert_eq!(finished.stdout, "found\nfound\nfound\n", "{finished:?}");
    assert!(finished.stderr.contains("Read-only"), "{finished:?}");
}

/// The root and what is mounted in it are the container's, and no part of the host's tree that a volume shows: without what
/// masks it, its procfs would be the host's kernel.
#[test]
fn a_volume_that_holds_the_bundle_does_not_show_what_is_mounted_in_the_root() {
    let container = Container::with_path(|config, path| {
        config
            .bind(path, "/all", &["rbind", "rprivate"])
            .bind(path.join("file"), "/file", &["rbind", "rprivate"])
            .bind(path.join("link/file"), "/linked", &["rbind"])
            .shell("cat /file /linked; ls /all/bundle/rootfs/proc; grep -c ' /all/' /proc/self/mountinfo");
    });
    container.file("file", "found\n");
    std::os::unix::fs::symlink(container.path(), container.path().join("link")).unwrap();
    let finished = container.run();
    assert_eq!(finished.stdout, "found\nfound\n0\n", "{finished:?}");
}

#[test]
fn a_target_that_is_written_as_a_path_of_the_host_is_the_one_in_the_root() {
    let container = Container::with_path(|config, path| {
        let target = path.join("bundle/rootfs/tmp/here");
        config.mount(target.to_str().unwrap(), "tmpfs", "tmpfs", &[]);
    });
    assert!(container.report().is_mounted("/tmp/here"));
}

#[test]
fn sockets_and_fifos_can_be_bound_and_are_there() {
    let container = Container::with_path(|config, path| {
        config
            .bind(path.join("fifo"), "/a/fifo", &["bind"])
            .bind(path.join("socket"), "/a/socket", &["bind"])
            .shell("test -p /a/fifo && test -S /a/socket && echo both");
    });
    mkfifo(&container.path().join("fifo"), Mode::S_IRWXU).unwrap();
    let _listener = UnixListener::bind(container.path().join("socket")).unwrap();
    assert_eq!(container.run().ok().stdout, "both\n");
    let made = fs::metadata(container.rootfs().join("a/fifo")).unwrap();
    assert!(made.is_file() && !made.file_type().is_fifo());
}

#[test]
fn what_is_made_for_a_mount_has_runcs_modes() {
    let container = Container::new(|config| {
        config
            .bind("/proc/sys/kernel/ostype", "/made/for/file", &["bind"])
            .mount("/made/for/directory", "tmpfs", "tmpfs", &["mode=700"])
            .args(&["true"]);
    });
    let _ = container.run().ok();
    use std::os::unix::fs::PermissionsExt;
    for (path, mode) in [
        ("made", 0o755),
        ("made/for", 0o755),
        ("made/for/file", 0o644),
        ("made/for/directory", 0o755),
    ] {
        let found = fs::metadata(container.rootfs().join(path)).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, mode, "{path}");
    }
}

#[test]
fn a_mount_on_the_root_itself_is_refused() {
    for target in ["/", "/.", "/x/.."] {
        let container = Container::new(|config| {
            config.mount(target, "tmpfs", "tmpfs", &[]);
        });
        let _ = container.run().refused(&[]);
        container.assert_nothing_left();
    }
}

#[test]
fn a_file_cannot_be_mounted_on_a_directory_nor_the_reverse() {
    for (source, target) in [
        ("/proc/sys/kernel/ostype", "/tmp"),
        ("/proc/sys", "/etc/passwd"),
    ] {
        let container = Container::new(|config| {
            config.bind(source, target, &["bind"]);
        });
        let _ = container.run().refused(&[]);
        container.assert_nothing_left();
    }
}

#[test]
fn the_root_itself_can_be_bound_into_it() {
    let container = Container::with_path(|config, path| {
        config
            .mount("/tmp", "tmpfs", "tmpfs", &[])
            .bind(path.join("bundle/rootfs"), "/tmp/again", &["rbind"])
            .shell("test -f /tmp/again/etc/passwd && echo there");
    });
    assert_eq!(container.run().ok().stdout, "there\n");
}
