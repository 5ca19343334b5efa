//! Descriptors that a caller left open, and working directories that lead to them (CVE-2024-21626).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use conformance::process::{run, until};
use conformance::runtime::runtime;
use conformance::sys::inherit;
use conformance::{Config, Container, Finished, Report};
use serde_json::{Value, json};

/// The host's descriptors of a careless engine: directories, files and sockets, without close-on-exec, with holes.
fn dirty(command: &mut Command, container: &Container) {
    let canary = container.file("canary", "the host");
    let directory = |path: &Path| File::open(path).unwrap();
    let descriptors = (3..1000)
        .filter(|number| number % 7 != 4)
        .step_by(3)
        .enumerate();
    let open = |(turn, number): (usize, i32)| {
        let descriptor: OwnedFd = match turn % 4 {
            0 => directory(Path::new("/")).into(),
            1 => directory(container.path()).into(),
            2 => UnixStream::pair().unwrap().0.into(),
            _ => File::options().append(true).open(&canary).unwrap().into(),
        };
        (descriptor, number)
    };
    let mut descriptors: Vec<_> = descriptors.map(open).collect();
    // One in the place of each that the runtime may use first.
    descriptors.extend((3..40).map(|number| (directory(Path::new("/")).into(), number)));
    inherit(command, descriptors);
}

fn by_dirty_caller(mut command: Command, container: &Container) -> Finished {
    dirty(&mut command, container);
    run(&mut command)
}

fn assert_streams_alone(report: &Report) {
    let numbers: Vec<_> = report.descriptors.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2], "{:#?}", report.descriptors);
}

/// A container whose program leaves its report in a file.
fn reporting(change: impl FnOnce(&mut Config)) -> Container {
    Container::with_path(|config, path| {
        config
            .bind(path, "/case", &["bind"])
            .shell("/probe > /case/report");
        change(config);
    })
}

fn report_of(container: &Container, name: &str) -> Report {
    let text = until("the report", || {
        let text = std::fs::read_to_string(container.path().join(name)).ok()?;
        text.ends_with("}\n").then_some(text)
    });
    serde_json::from_str(&text).unwrap()
}

#[test]
fn nothing_that_the_caller_left_open_gets_in_by_run_or_create_and_start() {
    let container = Container::new(|_| {});
    let finished = by_dirty_caller(container.run_command(&[]), &container);
    assert_streams_alone(&Report::parse(&finished.ok()));

    let container = reporting(|_| {});
    let _ = by_dirty_caller(container.create_command(&[]), &container).ok();
    let _ = by_dirty_caller(container.subcommand(["start", &container.id]), &container).ok();
    container.wait_for("stopped");
    assert_streams_alone(&report_of(&container, "report"));
}

#[test]
fn nothing_that_the_caller_left_open_gets_in_by_exec() {
    let container = reporting(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let exec = container.exec_command(&[], &["/probe"]);
    assert_streams_alone(&Report::parse(&by_dirty_caller(exec, &container).ok()));
    let script = ["sh", "-c", "/probe > /case/detached"];
    let exec = container.exec_command(&["--detach"], &script);
    let _ = by_dirty_caller(exec, &container).ok();
    assert_streams_alone(&report_of(&container, "detached"));
    let exec = container.exec_command(&["--preserve-fds", "2"], &["/probe"]);
    let report = Report::parse(&by_dirty_caller(exec, &container).ok());
    let numbers: Vec<_> = report.descriptors.keys().copied().collect();
    assert_eq!(numbers, [0, 1, 2, 3, 4], "{:#?}", report.descriptors);
}

#[test]
fn nothing_that_the_caller_left_open_gets_into_a_hook_in_the_container() {
    let container = reporting(|config| {
        let hook = |path: &str, name: &str| {
            let script = format!("ls -l /proc/self/fd > {name}");
            json!({"path": path, "args": ["sh", "-c", script]})
        };
        config
            .set(
                "/hooks/startContainer",
                json!([hook("/bin/sh", "/case/start")]),
            )
            .args(&["true"]);
    });
    let _ = by_dirty_caller(container.create_command(&[]), &container).ok();
    let _ = by_dirty_caller(container.subcommand(["start", &container.id]), &container).ok();
    let listed = container.read("start");
    let numbers: Vec<_> = listed
        .lines()
        .filter(|line| line.starts_with('l'))
        .filter_map(|line| {
            line.split(" -> ")
                .next()?
                .rsplit(' ')
                .next()?
                .parse::<u32>()
                .ok()
        })
        .collect();
    // The fourth is the directory that is listed.
    assert_eq!(numbers, [0, 1, 2, 3], "{listed}");
}

/// Whether a process whose working directory this was meant to be got nowhere outside of its root.
fn assert_inside(finished: &Finished, path: &str) {
    if finished.code() == 0 {
        assert!(finished.stdout.contains("probe"), "{path}: {finished:#?}");
    }
    assert!(!finished.stdout.contains("canary"), "{path}: {finished:#?}");
    let is_debian = finished.stdout.contains("boot") || finished.stdout.contains("home");
    assert!(!is_debian, "{path}: {finished:#?}");
}

const LIST: &str = "ls -a . .. ../.. ../../../../../..";

/// Paths to the descriptors that the runtime or its caller may have.
fn ways(number: u32) -> [String; 4] {
    [
        format!("/proc/self/fd/{number}"),
        format!("/proc/self/fd/{number}/../.."),
        format!("/proc/1/fd/{number}"),
        format!("/proc/thread-self/fd/{number}/"),
    ]
}

/// Which numbers to try: those of a runtime's own descriptors all of them, of the others some.
fn numbers() -> impl Iterator<Item = u32> {
    (3..20).chain([39, 64, 99, 100])
}

#[test]
fn a_working_directory_that_is_a_descriptor_is_refused_by_run() {
    for number in numbers() {
        let path = &ways(number)[number as usize % 4];
        let container = Container::new(|config| {
            config
                .set("/process/cwd", json!(path))
                .shell(LIST)
                .remove("/linux/maskedPaths");
        });
        assert_inside(
            &by_dirty_caller(container.run_command(&[]), &container),
            path,
        );
    }
}

#[test]
fn a_working_directory_that_is_a_descriptor_is_refused_by_exec() {
    let container = Container::new(|config| {
        config
            .waits()
            .capabilities(&["CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]);
    });
    let _ = by_dirty_caller(container.run_command(&["--detach"]), &container).ok();
    for number in numbers() {
        for path in ways(number) {
            let exec = container.exec_command(&["--cwd", &path], &["sh", "-c", LIST]);
            let finished = by_dirty_caller(exec, &container);
            assert_inside(&finished, &path);
            if runtime().is_bareboat() {
                let _ = finished.refused(&["/process/cwd"]);
            }
        }
    }
}

#[test]
fn a_link_of_the_image_is_no_way_to_such_a_working_directory() {
    let container = Container::new(|config| {
        config.waits();
    });
    for number in 3..24 {
        let link = container.rootfs().join(format!("fd{number}"));
        symlink(format!("/proc/self/fd/{number}"), link).unwrap();
    }
    for (name, target) in [
        ("cwd", "/proc/1/cwd"),
        ("top", "/proc/1/root"),
        ("up", "/proc/self/cwd/../../.."),
    ] {
        symlink(target, container.rootfs().join(name)).unwrap();
    }
    let _ = by_dirty_caller(container.run_command(&["--detach"]), &container).ok();
    let links = (3..24).map(|number| format!("/fd{number}"));
    for path in links.chain(["/cwd", "/top", "/up", "/top/.."].map(str::to_owned)) {
        let exec = container.exec_command(&["--cwd", &path], &["sh", "-c", LIST]);
        assert_inside(&by_dirty_caller(exec, &container), &path);
    }
    let own = |path: String| {
        let container = Container::new(|config: &mut Config| {
            config.set("/process/cwd", Value::from("/link")).shell(LIST);
        });
        symlink(&path, container.rootfs().join("link")).unwrap();
        assert_inside(
            &by_dirty_caller(container.run_command(&[]), &container),
            &path,
        );
    };
    (3..12).for_each(|number| own(format!("/proc/self/fd/{number}")));
    for path in ["/proc/1/cwd", "/proc/self/cwd/../../..", "/proc/1/root/.."] {
        own(path.to_owned());
    }
}
