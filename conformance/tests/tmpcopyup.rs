//! `tmpcopyup`: config.md, "Linux mount options".

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

use conformance::container::output_of;
use conformance::runtime::runtime;
use conformance::{Config, Container, sys};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

fn copy(config: &mut Config, options: &[&str]) {
    let options: Vec<_> = ["tmpcopyup"].iter().chain(options).copied().collect();
    config.mount("/data", "tmpfs", "tmpfs", &options);
}

/// A container whose /data is copied, with something of each kind in it.
fn container(options: &[&str], script: &str) -> Container {
    let container = Container::new(|config| {
        copy(config, options);
        config.shell(script);
    });
    let data = container.rootfs().join("data");
    fs::create_dir_all(data.join("dir/deep/er")).unwrap();
    fs::write(data.join("file"), "content\n").unwrap();
    fs::write(data.join("dir/deep/er/program"), vec![b'x'; 100_000]).unwrap();
    chown(data.join("dir/deep"), Some(5), Some(6)).unwrap();
    chown(data.join("dir/deep/er/program"), Some(7), Some(8)).unwrap();
    for (path, mode) in [
        ("dir/deep/er/program", 0o4755),
        ("dir/deep", 0o2751),
        ("dir", 0o1777),
        ("file", 0o640),
        (".", 0o710),
    ] {
        fs::set_permissions(data.join(path), PermissionsExt::from_mode(mode)).unwrap();
    }
    symlink("/etc/passwd", data.join("absolute")).unwrap();
    symlink("nowhere", data.join("dangling")).unwrap();
    lchown(data.join("dangling"), Some(9), Some(9)).unwrap();
    container
}

const STAT: &str =
    "cd /data && stat -c '%n %A %u:%g %s' . file dir dir/deep dir/deep/er/program dangling";

const STATS: &str = "\
. drwx--x--- 0:0
file -rw-r----- 0:0 8
dir drwxrwxrwt 0:0
dir/deep drwxr-s--x 5:6
dir/deep/er/program -rwsr-xr-x 7:8 100000
dangling lrwxrwxrwx 9:9 7
";

/// Without the sizes of directories, which are the file system's.
fn plain(text: &str) -> String {
    text.lines()
        .map(|line| {
            let is_directory = line.contains(" d");
            let end = if is_directory { line.rfind(' ') } else { None };
            format!("{}\n", &line[..end.unwrap_or(line.len())])
        })
        .collect()
}

#[test]
fn a_tmpfs_begins_with_what_it_covers_modes_and_owners_included() {
    let container = container(&[], STAT);
    assert_eq!(plain(&container.run().ok().stdout), STATS);
}

#[test]
fn links_are_copied_as_links_and_contents_as_they_are() {
    let script = "cd /data && readlink absolute && readlink dangling; cat file; tr -d x < dir/deep/er/program | wc -c";
    let copied = container(&[], script).run().ok().stdout;
    assert_eq!(copied, "/etc/passwd\nnowhere\ncontent\n0\n");
}

#[test]
fn what_is_written_is_not_in_the_image() {
    let container = container(
        &[],
        "echo more >> /data/file; rm -r /data/dir; grep ' /data ' /proc/self/mounts",
    );
    let mount = container.run().ok().stdout;
    assert!(mount.starts_with("tmpfs /data tmpfs rw"), "{mount}");
    let data = container.rootfs().join("data");
    assert_eq!(fs::read_to_string(data.join("file")).unwrap(), "content\n");
    assert!(data.join("dir/deep/er/program").exists());
}

#[test]
fn it_is_read_only_once_all_is_copied() {
    let container = container(&["ro"], "cat /data/file; touch /data/new");
    let finished = container.run();
    assert_eq!(finished.stdout, "content\n", "{finished:?}");
    assert!(finished.stderr.contains("Read-only"), "{finished:?}");
}

#[test]
fn fifos_and_capabilities_of_programs_are_copied() {
    if runtime().departs("runc", "copies neither") {
        return;
    }
    let container = container(&[], "stat -c %F /data/fifo; exec sleep 60");
    let data = container.rootfs().join("data");
    mkfifo(&data.join("fifo"), Mode::S_IRUSR).unwrap();
    // VFS_CAP_REVISION_2 with CAP_NET_RAW permitted and effective (capabilities(7)).
    let capability: [u8; 20] = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    sys::set_xattr(&data.join("file"), c"security.capability", &capability).unwrap();
    let _ = container.run_detached().ok();
    let copied = format!("/proc/{}/root/data", container.pid());
    let found = sys::xattr(format!("{copied}/file").as_ref(), c"security.capability").unwrap();
    assert_eq!(found, capability);
    let fifo = fs::metadata(format!("{copied}/fifo")).unwrap();
    assert!(std::os::unix::fs::FileTypeExt::is_fifo(&fifo.file_type()));
    assert_eq!(fifo.permissions().mode() & 0o777, 0o400);
}

#[test]
fn mounts_below_are_copied_as_they_are_seen() {
    let text = output_of("cat /data/below/ostype && ls -A /data", |config| {
        config.mount("/data/below", "tmpfs", "tmpfs", &[]).bind(
            "/proc/sys/kernel/ostype",
            "/data/below/ostype",
            &["bind"],
        );
        copy(config, &[]);
    });
    assert_eq!(text, "Linux\nbelow\n");
}

#[test]
fn a_target_that_is_missing_is_made_and_empty() {
    assert_eq!(output_of("ls -A /data", |config| copy(config, &[])), "");
}

#[test]
fn what_does_not_fit_is_an_error_and_leaves_nothing() {
    let container = container(&["size=16k"], "true");
    let _ = container.run().refused(&["/data", "No space left"]);
    container.assert_nothing_left();
}

#[test]
fn directories_that_are_nested_without_end_are_an_error() {
    if runtime().departs("runc", "has no limit") {
        return;
    }
    for (depth, fits) in [(200, true), (300, false)] {
        let container = Container::new(|config| {
            copy(config, &[]);
            config.shell("find /data | wc -l");
        });
        fs::create_dir_all(container.rootfs().join("data").join("d/".repeat(depth))).unwrap();
        let finished = container.run();
        if fits {
            assert_eq!(finished.ok().stdout, format!("{}\n", depth + 1));
        } else {
            let _ = finished.refused(&["copy what it covers", "too long"]);
            container.assert_nothing_left();
        }
    }
}

#[test]
fn it_is_for_a_tmpfs_alone() {
    if runtime().departs("runc", "ignores it elsewhere") {
        return;
    }
    let container = Container::new(|config| {
        config.bind("/etc", "/mnt", &["bind", "tmpcopyup"]);
    });
    let _ = container.run().refused(&["/mounts/7", "tmpcopyup"]);
    container.assert_nothing_left();
}
