//! Mounts are made in the order of the list (config.md, "Mounts"), and the kernel lists them so.

use std::fs;

use conformance::Container;
use conformance::container::{output_of, probe};
use conformance::runtime::runtime;
use serde_json::json;

#[test]
fn bind_mounts_are_listed_among_the_others_in_their_order() {
    let targets = ["/mnt/1", "/mnt/2", "/mnt/3", "/mnt/4", "/mnt/5"];
    let report = probe(|config| {
        for (number, target) in targets.into_iter().enumerate() {
            if number % 3 == 0 {
                config.mount(target, "tmpfs", "tmpfs", &[]);
            } else {
                config.bind("/etc", target, &["bind"]);
            }
        }
    });
    let listed: Vec<_> = report
        .mounts
        .iter()
        .map(|mount| mount.target.as_str())
        .filter(|target| target.starts_with("/mnt/"))
        .collect();
    assert_eq!(listed, targets);
}

#[test]
fn many_bind_mounts_in_a_row_are_each_what_they_should_be() {
    let container = Container::with_path(|config, path| {
        for number in 1..=200 {
            let directory = path.join(format!("numbered/{number}"));
            fs::create_dir_all(&directory).unwrap();
            fs::write(directory.join("name"), format!("{number}\n")).unwrap();
            config.bind(directory, &format!("/mnt/{number}"), &["bind"]);
        }
        config.shell("for n in $(seq 200); do cat /mnt/$n/name; done");
    });
    let numbers: String = (1..=200).map(|number| format!("{number}\n")).collect();
    assert_eq!(container.run().ok().stdout, numbers);
}

#[test]
fn a_source_that_is_missing_is_an_error_and_nothing_is_left() {
    let container = Container::new(|config| {
        config.bind("/etc", "/mnt/1", &["bind"]);
        config.bind("/nonexistent/source", "/mnt/2", &["bind"]);
    });
    let _ = container.run().refused(&["/nonexistent/source"]);
    container.assert_nothing_left();
}

#[test]
fn options_of_the_file_system_have_no_effect_on_a_bind_mount() {
    if runtime().name == "runc" && !runtime().predates("runc", [1, 2, 0], "the refusal of these") {
        return;
    }
    let text = output_of("cat /proc/sys/kernel/ostype && ls -d /mnt", |config| {
        let options = json!(["bind", "nosuid", "mode=755", "size=1k"]);
        config.push(
            "/mounts",
            json!({"destination": "/mnt", "source": "/etc", "options": options}),
        );
    });
    assert_eq!(text, "Linux\n/mnt\n");
}
