//! Who a process is, and what it may do: names and numbers that an image or a caller makes ambiguous, and rights that stay
//! behind from the runtime.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use conformance::runtime::runtime;
use conformance::{Config, Container, Report};
use serde_json::json;

fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.waits();
        change(config);
    });
    let _ = container.run_detached();
    container
}

/// An image that knows numbers by other names.
fn forge_users(container: &Container) {
    let passwd = "1000:x:0:0::/root:/bin/sh\n1:x:0:0::/root:/bin/sh\n:x:0:0:::\n0:x:0:7::/:\n";
    fs::write(container.rootfs().join("etc/passwd"), passwd).unwrap();
    fs::write(
        container.rootfs().join("etc/group"),
        "1000:x:0:1000,1\n1:x:0:1\n",
    )
    .unwrap();
}

fn ids(report: &Report) -> [&str; 3] {
    ["Uid", "Gid", "Groups"].map(|field| report.status(field))
}

#[test]
fn a_number_is_a_user_and_never_the_name_of_one_in_the_images_passwd() {
    // CVE-2016-3697
    let container = Container::new(|config| {
        config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    });
    forge_users(&container);
    assert_eq!(
        ids(&container.report()),
        ["1000 1000 1000 1000", "1000 1000 1000 1000", ""]
    );
    let container = running(|_| {});
    forge_users(&container);
    assert_eq!(
        ids(&container.exec_probe(&["--user", "1000"])),
        ["1000 1000 1000 1000", "0 0 0 0", ""]
    );
    let both = container.exec_probe(&["--user", "1000:1000"]);
    assert_eq!(
        ids(&both),
        ["1000 1000 1000 1000", "1000 1000 1000 1000", ""]
    );
}

#[test]
fn exec_as_a_user_is_as_that_user_and_never_as_root() {
    // CVE-2026-30892
    let container = running(|_| {});
    forge_users(&container);
    for (asked, uid, gid) in [
        ("1", 1, 0),
        ("1:0", 1, 0),
        ("0:1", 0, 1),
        ("1:1", 1, 1),
        ("65534:65533", 65534, 65533),
        ("4294967294:4294967294", u32::MAX - 1, u32::MAX - 1),
        ("010", 10, 0),
    ] {
        let report = container.exec_probe(&["--user", asked]);
        let four = |id: u32| {
            [
                id.to_string(),
                id.to_string(),
                id.to_string(),
                id.to_string(),
            ]
            .join(" ")
        };
        assert_eq!(
            ids(&report),
            [four(uid), four(gid), String::new()],
            "{asked}"
        );
        if uid != 0 {
            assert_eq!(
                report.status("CapEff").trim_start_matches('0'),
                "",
                "{asked}"
            );
        }
    }
}

#[test]
fn what_is_no_user_and_group_is_refused() {
    let container = running(|_| {});
    forge_users(&container);
    let wrong = [
        ":",
        "+1",
        "1:+1",
        "+0",
        ":1",
        "1:",
        " 1",
        "1 ",
        "1: 1",
        "-1",
        "1:-1",
        "-0",
        "0x1",
        "0x0",
        "1e3",
        "1.0",
        "1:1:1",
        "root",
        "alice",
        "1:root",
        "4294967295",
        "1:4294967295",
        "4294967296",
        "4294967297",
        "18446744073709551616",
        "１",
        "1\n",
        "1;0",
    ];
    for asked in wrong {
        let finished = container.exec(&["--user", asked], &["/probe"]);
        // runc takes what follows a number for a group, or leaves it out; never for root.
        if runtime().is_bareboat() || finished.code() != 0 {
            assert_ne!(finished.code(), 0, "{asked:?}: {finished:#?}");
            assert!(finished.stdout.is_empty(), "{asked:?}: {finished:#?}");
        }
    }
}

/// The five sets, without the leading zeros.
fn capabilities(report: &Report) -> [&str; 5] {
    let set = |name| report.status(name).trim_start_matches('0');
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(set)
}

/// CAP_KILL, CAP_NET_BIND_SERVICE, CAP_AUDIT_WRITE: what `spec` gives.
const DEFAULT: &str = "20000420";

#[test]
fn nothing_is_inheritable_unless_it_was_asked_for() {
    // CVE-2022-29162, CVE-2022-27650, CVE-2025-27612
    let container = Container::new(|_| {});
    assert_eq!(
        capabilities(&container.report()),
        ["", DEFAULT, DEFAULT, DEFAULT, ""]
    );
    let container = running(|_| {});
    assert_eq!(
        capabilities(&container.exec_probe(&[])),
        ["", DEFAULT, DEFAULT, DEFAULT, ""]
    );
    let [inheritable, _, _, _, ambient] = {
        let report = container.exec_probe(&["--cap", "CAP_SYS_PTRACE", "--cap", "CAP_CHOWN"]);
        capabilities(&report).map(str::to_owned)
    };
    assert_eq!([inheritable, ambient], ["", ""]);
    let report = container.exec_probe(&["--cap", "CAP_CHOWN", "--user", "1000:1000"]);
    assert_eq!(report.status("CapInh").trim_start_matches('0'), "");
    let spec = container.path().join("spec");
    fs::create_dir(&spec).unwrap();
    let mut command = container.runtime();
    let _ = conformance::process::run(command.arg("spec").current_dir(&spec)).ok();
    let text = fs::read_to_string(spec.join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&text).unwrap();
    let sets = config["process"]["capabilities"].as_object().unwrap();
    assert!(
        !sets.contains_key("inheritable") && !sets.contains_key("ambient"),
        "{sets:?}"
    );
}

#[test]
fn a_caller_with_inheritable_and_ambient_capabilities_does_not_pass_them_on() {
    let container = Container::new(|_| {});
    let callers = |command: &std::process::Command| {
        let mut setpriv = std::process::Command::new("setpriv");
        setpriv
            .args(["--inh-caps=+kill,+chown", "--ambient-caps=+kill,+chown"])
            .arg(command.get_program())
            .args(command.get_args());
        conformance::process::run(setpriv.current_dir("/"))
    };
    let report = Report::parse(&callers(&container.run_command(&[])).ok());
    assert_eq!(capabilities(&report), ["", DEFAULT, DEFAULT, DEFAULT, ""]);
    let container = running(|_| {});
    let report = Report::parse(&callers(&container.exec_command(&[], &["/probe"])).ok());
    assert_eq!(capabilities(&report), ["", DEFAULT, DEFAULT, DEFAULT, ""]);
}

#[test]
fn a_set_user_id_program_gives_nothing_back_where_there_are_no_new_privileges() {
    for (restricted, effective) in [(true, "1000"), (false, "0")] {
        let container = running(|config| {
            config.set("/process/noNewPrivileges", json!(restricted));
        });
        let probe = container.rootfs().join("probe");
        fs::set_permissions(&probe, PermissionsExt::from_mode(0o4755)).unwrap();
        let report = container.exec_probe(&["--user", "1000:1000"]);
        let uid = report.status("Uid").split(' ').nth(1).unwrap();
        assert_eq!(uid, effective);
        // Even then it has no more than the container.
        assert_eq!(report.status("CapBnd").trim_start_matches('0'), DEFAULT);
        let permitted = u64::from_str_radix(report.status("CapPrm"), 16).unwrap();
        assert_eq!(permitted & !0x2000_0420, 0);
        assert_eq!(permitted == 0, restricted);
    }
}

#[test]
fn exec_has_the_containers_own_filter_and_bounds() {
    for restricted in [true, false] {
        let container = running(|config| {
            let rule =
                json!({"names": ["sethostname"], "action": "SCMP_ACT_ERRNO", "errnoRet": 71});
            config
                .set("/process/noNewPrivileges", json!(restricted))
                .set(
                    "/linux/seccomp",
                    json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
                );
        });
        let first = fs::read_to_string(format!("/proc/{}/status", container.pid())).unwrap();
        let report = container.exec_probe(&[]);
        for field in [
            "Seccomp",
            "Seccomp_filters",
            "NoNewPrivs",
            "CapBnd",
            "CapPrm",
            "CapInh",
            "CapAmb",
        ] {
            let line = first
                .lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
            assert_eq!(Some(report.status(field)), line.map(str::trim), "{field}");
        }
        let number = libc::SYS_sethostname.to_string();
        let finished = container
            .exec(&[], &["/probe", "syscall", &number, "0", "0"])
            .ok();
        assert_eq!(finished.stdout, "EPROTO\n");
        // A privileged one as well, whatever the caller asks for beside.
        let options = ["--cap", "CAP_SYS_ADMIN"];
        let finished = container
            .exec(&options, &["/probe", "syscall", &number, "0", "0"])
            .ok();
        assert_eq!(finished.stdout, "EPROTO\n");
    }
}
