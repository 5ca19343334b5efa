//! Fields of any length (CVE-2021-43784: the length of a message's part, in 16 bits, wrapped around and let the rest of a
//! long string be read as the next part).

use conformance::runtime::runtime;
use conformance::{Config, Container, Report};
use serde_json::json;

/// More than 16 bits can count, and what a netlink message would read as its own if it were cut there.
fn long() -> String {
    let mut text = "a".repeat(65_536);
    text.push_str(&"\u{1}\u{2}x".repeat(2_000));
    text
}

fn probe(change: impl FnOnce(&mut Config)) -> Report {
    Container::new(change).report()
}

#[test]
fn arguments_and_variables_of_70_kilobytes_come_as_they_are() {
    let long = long();
    let variable = format!("LONG={long}");
    let report = probe(|config| {
        config.args(&["/probe", &long]).env(&variable);
    });
    assert_eq!(report.args, ["/probe", &long]);
    assert!(report.env.contains(&variable));
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let finished = container
        .exec(&["--env", &variable], &["/probe", &long])
        .ok();
    let report = Report::parse(&finished);
    assert_eq!(report.args, ["/probe", &long]);
    assert!(report.env.contains(&variable));
}

#[test]
fn an_annotation_of_70_kilobytes_is_kept() {
    let container = Container::new(|config| {
        config.set("/annotations", json!({"long": long()}));
    });
    let _ = container.create().ok();
    assert_eq!(container.state()["annotations"]["long"], json!(long()));
}

#[test]
fn what_is_too_long_for_the_kernel_is_refused_by_its_pointer_and_leaves_nothing() {
    if !runtime().is_bareboat() {
        eprintln!("skipped: others have no pointers, and take some of these");
        return;
    }
    let path = format!("/{}", long());
    let changes: [(&str, serde_json::Value); 7] = [
        ("/process/cwd", json!(path)),
        ("/hostname", json!(long())),
        ("/linux/maskedPaths/0", json!(path)),
        ("/linux/readonlyPaths/0", json!(path)),
        ("/mounts/1/destination", json!(path)),
        ("/mounts/1/source", json!(long())),
        ("/linux/cgroupsPath", json!(path)),
    ];
    for (pointer, value) in changes {
        let container = Container::new(|config| {
            config.set(pointer, value);
        });
        let finished = container.create();
        if finished.code() != 0 {
            let place = pointer
                .trim_end_matches("/destination")
                .trim_end_matches("/source");
            let _ = finished.refused(&[place]);
            container.assert_nothing_left();
        } else {
            assert_eq!(
                pointer, "/mounts/1/source",
                "the source of a tmpfs is its name, of any length"
            );
        }
    }
    let container = Container::new(|config| {
        config.args(&["/probe", &"a".repeat(200_000)]);
    });
    let _ = container.run().refused(&["/process/args"]);
    container.assert_nothing_left();
}
