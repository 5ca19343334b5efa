//! Paths that are hidden or made read-only: config-linux.md, "Masked Paths", "Readonly Paths".

use std::fs;

use conformance::Container;
use conformance::container::{output_of, probe};
use serde_json::json;

#[test]
fn masked_paths_read_as_empty() {
    let script = "cat /proc/keys /proc/timer_list /masked/file; ls -A /masked/dir /sys/firmware; cat /masked/nosuch 2>&1 | tail -1";
    let container = Container::new(|config| {
        config
            .shell(script)
            .push("/linux/maskedPaths", json!("/masked/file"));
        config
            .push("/linux/maskedPaths", json!("/masked/dir"))
            .push("/linux/maskedPaths", json!("/masked/nosuch"));
    });
    fs::create_dir_all(container.rootfs().join("masked/dir/inner")).unwrap();
    fs::write(container.rootfs().join("masked/file"), "secret").unwrap();
    let finished = container.run().ok();
    let expected = "/masked/dir:\n\n/sys/firmware:\ncat: can't open '/masked/nosuch': No such file or directory\n";
    assert_eq!(finished.stdout, expected);
}

#[test]
fn a_masked_directory_cannot_be_written() {
    let text = output_of(
        "touch /etc/x 2>/dev/null && echo writable || echo read-only",
        |config| {
            config
                .push("/linux/maskedPaths", json!("/etc"))
                .set("/root/readonly", json!(false));
        },
    );
    assert_eq!(text, "read-only\n");
}

#[test]
fn readonly_paths_cannot_be_written() {
    let script = "for f in /proc/sys/kernel/hostname /proc/sysrq-trigger /ro/file; do
        (echo x > $f) 2>/dev/null && echo $f writable; done; cat /ro/file";
    let container = Container::new(|config| {
        config
            .shell(script)
            .set("/root/readonly", json!(false))
            .push("/linux/readonlyPaths", json!("/ro"));
        config.push("/linux/readonlyPaths", json!("/nosuch"));
    });
    fs::create_dir(container.rootfs().join("ro")).unwrap();
    fs::write(container.rootfs().join("ro/file"), "kept\n").unwrap();
    assert_eq!(container.run().ok().stdout, "kept\n");
}

#[test]
fn a_readonly_path_keeps_the_flags_of_its_mount() {
    let report = probe(|config| {
        config.mount("/mnt", "tmpfs", "tmpfs", &["nosuid", "nodev", "noexec"]);
        config.push("/linux/readonlyPaths", json!("/mnt"));
    });
    for option in ["ro", "nosuid", "nodev", "noexec"] {
        assert!(
            report.mount("/mnt").options.contains(&option.to_owned()),
            "{option}: {:?}",
            report.mount("/mnt")
        );
    }
}

#[test]
fn the_owner_and_mode_of_what_hides_a_file_cannot_be_changed() {
    if conformance::runtime::runtime()
        .departs("runc", "hides files behind the container's own null device")
    {
        return;
    }
    let script = "chmod 666 /proc/keys 2>/dev/null && echo changed || echo kept";
    let text = output_of(script, |config| {
        for set in ["bounding", "effective", "permitted"] {
            config.push(&format!("/process/capabilities/{set}"), json!("CAP_FOWNER"));
        }
    });
    assert_eq!(text, "kept\n");
}
