//! A process that joins a container, as seen by one that is there already, stops it, and looks (CVE-2016-9962).

use std::path::Path;
use std::process::{Command, Stdio};

use conformance::process::{Running, spawn};
use conformance::runtime::runtime;
use conformance::scan::Scan;
use conformance::{Config, Container, Finished};
use serde_json::json;

/// In the caller's environment.
const SECRET: &str = "SECRET_OF_THE_CALLER";

/// Rights of a first process that may do all to others in its PID namespace.
const TRACER: [&str; 3] = ["CAP_SYS_PTRACE", "CAP_KILL", "CAP_DAC_OVERRIDE"];
/// Those of one that is root and nothing else.
const PLAIN: [&str; 1] = ["CAP_KILL"];

/// A container whose first process scans whatever appears beside it.
struct Watched {
    container: Container,
    scanner: Running,
}

impl Watched {
    fn new(capabilities: &[&str], change: impl FnOnce(&mut Config)) -> Self {
        let container = Container::with_path(|config, path| {
            let path = path.to_str().unwrap();
            let (canary, binary) = (format!("{path}/canary"), runtime().path.to_str().unwrap());
            config
                .args(&[
                    "/probe",
                    "scan",
                    &canary,
                    "/stop",
                    "/bin/busybox",
                    SECRET,
                    path,
                    binary,
                ])
                .capabilities(capabilities)
                .set("/root/readonly", json!(false));
            change(config);
        });
        container.file("canary", "the host");
        let scanner = container.run_in_foreground();
        Scan::await_start(&scanner);
        Self { container, scanner }
    }

    /// Runs `true` in the container by a caller with something to hide.
    fn exec(&self, times: usize, options: &[&str]) {
        for _ in 0..times {
            let finished = called(&mut self.container.exec_command(options, &["true"]));
            assert_eq!(finished.code(), 0, "{finished:#?}");
        }
    }

    fn finish(self) -> Scan {
        let stop = self.container.rootfs().join("stop");
        let scan = Scan::finish(self.scanner, &stop);
        eprintln!("{} appeared, {} were caught", scan.appeared, scan.caught);
        scan
    }
}

/// Runs the command with the null device for its standard streams, and the secret in its environment.
fn called(command: &mut Command) -> Finished {
    command.stdin(Stdio::null()).env(SECRET, "1");
    spawn(command).wait()
}

/// All that the scanner saw and that is the host's.
fn host(scan: &Scan) -> Vec<String> {
    let mut found: Vec<_> = ["escape", "memory"]
        .into_iter()
        .flat_map(|kind| scan.of(kind).map(move |what| format!("{kind}: {what}")))
        .collect();
    // The init and its plan have no path; the root is the container's; the harness reads the output from files without one.
    let is_known = |link: &str| {
        let known = [
            "/",
            "/dev/null",
            "/bin/busybox",
            "socket",
            "pipe",
            "anon_inode",
        ];
        known.contains(&link)
            || link.starts_with("refused: ")
            || link.starts_with('[')
            || link.is_empty()
            || link.starts_with("/memfd:bareboat-")
            || Path::new(link).starts_with("/tmp") && link.starts_with("/tmp/#")
    };
    for kind in [
        "exe",
        "cwd",
        "root",
        "fd",
        "pidfd_getfd",
        "maps",
        "map_files",
    ] {
        let links = scan.of(kind).filter(|link| !is_known(link));
        found.extend(links.map(|link| format!("{kind}: {link}")));
    }
    let secrets = scan.of("environ").filter(|line| line.contains(SECRET));
    found.extend(secrets.map(|line| format!("environ: {line}")));
    found
}

/// The capabilities of a set that was seen and that these do not have.
fn beyond(scan: &Scan, kind: &str, capabilities: u64) -> u64 {
    scan.of(kind)
        .map(|set| u64::from_str_radix(set, 16).unwrap() & !capabilities)
        .fold(0, |all, set| all | set)
}

/// CAP_DAC_OVERRIDE, CAP_KILL and CAP_SYS_PTRACE.
const TRACER_SET: u64 = 1 << 1 | 1 << 5 | 1 << 19;

fn assert_no_rights(scan: &Scan) {
    for kind in ["CapPrm", "CapBnd", "CapAmb"] {
        let more = beyond(scan, kind, TRACER_SET);
        assert_eq!(more, 0, "{kind} has {more:#x} more: {scan:#?}");
    }
    assert_eq!(scan.of("CapInh").collect::<Vec<_>>(), ["0000000000000000"]);
}

#[test]
fn a_tracer_in_the_container_finds_nothing_of_the_host_in_a_thousand_that_join() {
    let watched = Watched::new(&TRACER, |_| {});
    watched.exec(900, &[]);
    watched.exec(100, &["--detach", "--user", "1000:1000"]);
    let scan = watched.finish();
    assert!(scan.caught >= 100, "{scan:#?}");
    let found = host(&scan);
    assert!(found.is_empty(), "{found:#?} in {scan:#?}");
    assert!(scan.of("ptrace").any(|answer| answer == "seized"));
}

#[test]
fn a_process_that_joins_has_no_right_that_a_tracer_in_the_container_lacks() {
    for (restricted, filtered) in [(true, false), (false, false), (true, true), (false, true)] {
        let watched = Watched::new(&TRACER, |config| {
            config.set("/process/noNewPrivileges", json!(restricted));
            if filtered {
                let rule = json!({"names": ["reboot"], "action": "SCMP_ACT_ERRNO"});
                let profile = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]});
                config.set("/linux/seccomp", profile);
            }
        });
        watched.exec(40, &[]);
        let scan = watched.finish();
        assert!(scan.caught >= 5, "{scan:#?}");
        assert_no_rights(&scan);
        let mode = if filtered { "2" } else { "0" };
        assert_eq!(scan.of("Seccomp").collect::<Vec<_>>(), [mode], "{scan:#?}");
    }
}

#[test]
fn who_is_root_in_the_container_and_no_tracer_sees_nothing_of_what_joins() {
    let watched = Watched::new(&PLAIN, |_| {});
    watched.exec(60, &[]);
    assert_hidden(&watched.finish());
}

#[test]
fn a_tracer_in_a_user_namespace_sees_nothing_of_what_joins() {
    for first in [0, 100_000] {
        let watched = Watched::new(&TRACER, |config| {
            config.user_namespace(&[(0, first, 65536)]);
        });
        watched.exec(60, &[]);
        assert_hidden(&watched.finish());
    }
}

/// Whatever needs the right to ptrace the init was refused: it is not dumpable.
fn assert_hidden(scan: &Scan) {
    assert!(scan.caught >= 10, "{scan:#?}");
    for kind in [
        "exe",
        "cwd",
        "root",
        "environ",
        "maps",
        "mem",
        "ptrace",
        "pidfd_getfd",
    ] {
        let had: Vec<_> = scan.of(kind).collect();
        let refused = had.iter().all(|answer| answer.starts_with("refused: E"));
        assert!(refused && !had.is_empty(), "{kind}: {had:?} in {scan:#?}");
    }
    // The kernel tells the numbers of descriptors, and not what they are.
    assert_eq!(
        scan.of("fd").chain(scan.of("map_files")).count(),
        0,
        "{scan:#?}"
    );
    assert_eq!(host(scan), [""; 0]);
}

/// A container that shares the PID namespace of the watched one, as those of a pod do.
fn neighbour(watched: &Watched, change: impl FnOnce(&mut Config)) -> Container {
    let pid = watched.container.pid();
    Container::new(|config| {
        config
            .namespace("pid", Some(&format!("/proc/{pid}/ns/pid")))
            .args(&["true"]);
        change(config);
    })
}

#[test]
fn who_shares_the_pid_namespace_and_is_no_tracer_sees_nothing_of_a_container_in_the_making() {
    let watched = Watched::new(&PLAIN, |_| {});
    for turn in 0..24 {
        let container = neighbour(&watched, |_| {});
        if turn % 2 == 0 {
            let _ = called(&mut container.run_command(&[])).ok();
        } else {
            let _ = called(&mut container.create_command(&[])).ok();
            let _ = called(&mut container.subcommand(["start", &container.id])).ok();
        }
    }
    assert_hidden(&watched.finish());
}

#[test]
fn who_shares_user_and_pid_namespace_sees_nothing_of_a_container_in_the_making() {
    // Where the root of the user namespace is that of the host, no change of user makes the init undumpable.
    let watched = Watched::new(&TRACER, |config| {
        config.user_namespace(&[(0, 0, 65536)]);
    });
    let user = format!("/proc/{}/ns/user", watched.container.pid());
    for _ in 0..24 {
        let container = neighbour(&watched, |config| {
            config.namespace("user", Some(&user));
        });
        let _ = called(&mut container.run_command(&[])).ok();
    }
    assert_hidden(&watched.finish());
}
