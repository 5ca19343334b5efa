//! The program's own circumstances: config.md, "Process".

use std::fs;

use conformance::container::probe;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::json;

const CAP_CHOWN: u64 = 1;
const CAP_KILL: u64 = 1 << 5;
const CAP_NET_RAW: u64 = 1 << 13;

#[test]
fn the_program_is_pid_1_of_its_namespace() {
    let report = probe(|_| {});
    assert_eq!(report.pid, 1);
    assert_eq!(report.status("PPid"), "0");
}

#[test]
fn the_program_leads_a_session_of_its_own() {
    let report = probe(|_| {});
    // proc_pid_stat(5): pid (comm) state ppid pgrp session
    let (_, rest) = report.file("/proc/self/stat").rsplit_once(") ").unwrap();
    assert_eq!(
        rest.split(' ').skip(2).take(2).collect::<Vec<_>>(),
        ["1", "1"]
    );
}

#[test]
fn arguments_arrive_as_they_are() {
    let args = [
        "/probe",
        "",
        "a b",
        "$HOME",
        "'\"\\",
        "\u{fc}\u{4e16}",
        "--",
        "-x",
    ];
    let report = probe(|config| {
        config.args(&args);
    });
    assert_eq!(report.args, args);
}

#[test]
fn the_environment_is_what_the_configuration_says() {
    let report = probe(|config| {
        config.set(
            "/process/env",
            json!(["PATH=/bin", "A=1", "B=x=y z", "EMPTY="]),
        );
    });
    let expected = ["PATH=/bin", "A=1", "B=x=y z", "EMPTY="];
    for variable in expected {
        assert!(
            report.env.iter().any(|found| found == variable),
            "{variable}: {:?}",
            report.env
        );
    }
    // runc adds HOME from the image's passwd, and nothing else of the caller's gets in.
    let others: Vec<_> = report
        .env
        .iter()
        .filter(|variable| !expected.contains(&variable.as_str()))
        .collect();
    assert!(
        others.iter().all(|variable| variable.starts_with("HOME=")),
        "{others:?}"
    );
}

#[test]
fn home_is_set_from_the_images_passwd_unless_given() {
    for (uid, home) in [(0, "/root"), (1000, "/home/alice"), (4242, "/")] {
        let report = probe(|config| {
            config.set("/process/user/uid", json!(uid));
        });
        assert!(
            report.env.contains(&format!("HOME={home}")),
            "{uid}: {:?}",
            report.env
        );
    }
    let report = probe(|config| {
        config.env("HOME=/given");
    });
    let homes: Vec<_> = report
        .env
        .iter()
        .filter(|variable| variable.starts_with("HOME="))
        .collect();
    assert_eq!(homes, ["HOME=/given"]);
}

#[test]
fn a_program_is_searched_in_the_path_of_the_configuration() {
    let container = Container::new(|config| {
        config
            .args(&["tool"])
            .set("/process/env", json!(["PATH=/nosuch:/opt/tools:/bin"]));
    });
    fs::create_dir_all(container.rootfs().join("opt/tools")).unwrap();
    std::os::unix::fs::symlink("/probe", container.rootfs().join("opt/tools/tool")).unwrap();
    let report = container.report();
    assert_eq!(report.args, ["tool"], "argv[0] is as it was given");
}

#[test]
fn a_relative_program_is_searched_from_the_working_directory() {
    let report = probe(|config| {
        config
            .args(&["../probe"])
            .set("/process/cwd", json!("/tmp"));
    });
    assert_eq!(report.args, ["../probe"]);
}

#[test]
fn the_working_directory_is_as_given_and_made_if_missing() {
    for (given, seen) in [
        ("/tmp", "/tmp"),
        ("/made/by/the/runtime", "/made/by/the/runtime"),
        ("/tmp/../etc/", "/etc"),
    ] {
        let report = probe(|config| {
            config
                .set("/process/cwd", json!(given))
                .set("/root/readonly", json!(false));
        });
        assert_eq!(report.cwd, seen);
    }
}

#[test]
fn user_group_and_additional_groups_are_set() {
    let report = probe(|config| {
        config.set(
            "/process/user",
            json!({"uid": 1234, "gid": 2345, "additionalGids": [7, 2_000_000_000]}),
        );
    });
    assert_eq!(report.status("Uid"), "1234 1234 1234 1234");
    assert_eq!(report.status("Gid"), "2345 2345 2345 2345");
    assert_eq!(report.status("Groups"), "7 2000000000");
}

#[test]
fn there_are_no_additional_groups_unless_given() {
    // Not those of the caller, and not those of the image's /etc/group: user 1000 is in "extra" there.
    let report = probe(|config| {
        config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    });
    assert_eq!(report.status("Groups"), "");
}

#[test]
fn a_numeric_user_is_never_looked_up_by_name() {
    // CVE-2016-3697
    let container = Container::new(|config| {
        config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    });
    fs::write(
        container.rootfs().join("etc/passwd"),
        "1000:x:0:0::/root:/bin/sh\n",
    )
    .unwrap();
    assert_eq!(container.report().status("Uid"), "1000 1000 1000 1000");
}

#[test]
fn the_umask_is_0022_unless_given() {
    assert_eq!(probe(|_| {}).status("Umask"), "0022");
    let report = probe(|config| {
        config.set("/process/user/umask", json!(0o077));
    });
    assert_eq!(report.status("Umask"), "0077");
}

#[test]
fn each_of_the_five_capability_sets_is_as_given() {
    let report = probe(|config| {
        config.set(
            "/process/capabilities",
            json!({
                "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"],
                "permitted": ["CAP_CHOWN", "CAP_KILL"],
                "effective": ["CAP_CHOWN"],
                "inheritable": ["CAP_CHOWN", "CAP_KILL"],
                "ambient": ["CAP_KILL"],
            }),
        );
        // As a user: execve(2) gives root all of the bounding set. What is ambient becomes effective.
        config.set("/process/user", json!({"uid": 1000, "gid": 1000}));
    });
    assert_eq!(
        report.capabilities("CapBnd"),
        CAP_CHOWN | CAP_KILL | CAP_NET_RAW
    );
    assert_eq!(report.capabilities("CapInh"), CAP_CHOWN | CAP_KILL);
    assert_eq!(report.capabilities("CapAmb"), CAP_KILL);
    assert_eq!(report.capabilities("CapPrm"), CAP_KILL);
    assert_eq!(report.capabilities("CapEff"), CAP_KILL);
}

#[test]
fn root_has_the_capabilities_of_the_bounding_set_and_inherits_none() {
    let report = probe(|config| {
        config.capabilities(&["CAP_KILL", "CAP_NET_RAW"]);
    });
    for set in ["CapBnd", "CapPrm", "CapEff"] {
        assert_eq!(report.capabilities(set), CAP_KILL | CAP_NET_RAW, "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(report.capabilities(set), 0, "{set}");
    }
}

#[test]
fn without_capabilities_in_the_configuration_there_are_none() {
    for value in [json!({}), json!({"bounding": []})] {
        let report = probe(|config| {
            config.set("/process/capabilities", value);
        });
        for set in ["CapBnd", "CapPrm", "CapEff", "CapInh", "CapAmb"] {
            assert_eq!(report.capabilities(set), 0, "{set}");
        }
    }
}

#[test]
fn no_new_privileges_is_as_given() {
    for (given, seen) in [(true, "1"), (false, "0")] {
        let report = probe(|config| {
            config.set("/process/noNewPrivileges", json!(given));
        });
        assert_eq!(report.status("NoNewPrivs"), seen);
    }
}

#[test]
fn every_resource_limit_can_be_set() {
    // No limit above the machine's: raising one takes CAP_SYS_RESOURCE, which it may lack.
    let limits = [
        ("RLIMIT_AS", "Max address space", 1_u64 << 40, 1_u64 << 41),
        ("RLIMIT_CORE", "Max core file size", 1, 2),
        ("RLIMIT_CPU", "Max cpu time", 100, 200),
        ("RLIMIT_DATA", "Max data size", 1 << 30, 1 << 31),
        ("RLIMIT_FSIZE", "Max file size", 1 << 20, 1 << 21),
        ("RLIMIT_LOCKS", "Max file locks", 10, 20),
        ("RLIMIT_MEMLOCK", "Max locked memory", 4096, 8192),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size", 1000, 2000),
        ("RLIMIT_NICE", "Max nice priority", 0, 0),
        ("RLIMIT_NOFILE", "Max open files", 100, 200),
        ("RLIMIT_NPROC", "Max processes", 300, 400),
        ("RLIMIT_RSS", "Max resident set", 1 << 30, 1 << 30),
        ("RLIMIT_RTPRIO", "Max realtime priority", 0, 0),
        ("RLIMIT_RTTIME", "Max realtime timeout", 1000, 2000),
        ("RLIMIT_SIGPENDING", "Max pending signals", 10, 20),
        ("RLIMIT_STACK", "Max stack size", 1 << 22, 1 << 23),
    ];
    let report = probe(|config| {
        let of = |(kind, _, soft, hard): &(_, _, u64, u64)| json!({"type": kind, "soft": soft, "hard": hard});
        config.set("/process/rlimits", limits.iter().map(of).collect());
    });
    for (kind, name, soft, hard) in limits {
        assert_eq!(
            report.limits[name],
            (soft.to_string(), hard.to_string()),
            "{kind}"
        );
    }
}

#[test]
fn a_limit_can_be_infinite() {
    let report = probe(|config| {
        config.set(
            "/process/rlimits",
            json!([{"type": "RLIMIT_CORE", "soft": u64::MAX, "hard": u64::MAX}]),
        );
    });
    assert_eq!(
        report.limits["Max core file size"],
        ("unlimited".to_owned(), "unlimited".to_owned())
    );
}

#[test]
fn limits_that_are_not_given_are_the_callers() {
    let report = probe(|config| {
        config.set("/process/rlimits", json!([]));
    });
    let own = fs::read_to_string("/proc/self/limits").unwrap();
    let files = own
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    assert!(
        files.contains(&report.limits["Max open files"].1),
        "{files}: {:?}",
        report.limits
    );
}

#[test]
fn the_oom_score_is_as_given() {
    for score in [0, 500, 1000] {
        let report = probe(|config| {
            config.set("/process/oomScoreAdj", json!(score));
        });
        assert_eq!(report.file("/proc/self/oom_score_adj"), score.to_string());
    }
}

#[test]
fn the_oom_score_is_the_callers_unless_given() {
    let own = fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    assert_eq!(probe(|_| {}).file("/proc/self/oom_score_adj"), own.trim());
}

#[test]
fn hostname_and_domainname_are_the_containers_own() {
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let report = probe(|config| {
        config.set("/hostname", json!("inside.example"));
    });
    assert_eq!(report.file("/proc/sys/kernel/hostname"), "inside.example");
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        before
    );

    if runtime().predates("runc", [1, 2, 0], "domainname") {
        return;
    }
    let report = probe(|config| {
        config.set("/domainname", json!("domain.example"));
    });
    assert_eq!(report.file("/proc/sys/kernel/domainname"), "domain.example");
}

#[test]
fn a_hostname_without_a_uts_namespace_is_refused() {
    let container = Container::new(|config: &mut Config| {
        config
            .share("uts")
            .set("/hostname", json!("host-must-not-change"));
    });
    let before = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let _ = container.run().refused(&[]);
    assert_eq!(
        fs::read_to_string("/proc/sys/kernel/hostname").unwrap(),
        before
    );
    container.assert_nothing_left();
}

#[test]
fn sysctls_of_the_containers_namespaces_are_set() {
    let own = fs::read_to_string("/proc/sys/kernel/shmmax").unwrap();
    let report = probe(|config| {
        config.set(
            "/linux/sysctl",
            json!({"net.ipv4.ip_forward": "1", "kernel.shmmax": "12345678"}),
        );
    });
    assert_eq!(report.file("/proc/sys/kernel/shmmax"), "12345678");
    assert_eq!(report.file("/proc/sys/net/ipv4/ip_forward"), "1");
    assert_eq!(fs::read_to_string("/proc/sys/kernel/shmmax").unwrap(), own);
}

#[test]
fn a_sysctl_of_the_hosts_namespace_is_refused() {
    let container = Container::new(|config: &mut Config| {
        config
            .share("network")
            .set("/linux/sysctl", json!({"net.ipv4.ip_forward": "1"}));
    });
    let before = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap();
    let _ = container.run().refused(&["net.ipv4.ip_forward"]);
    assert_eq!(
        fs::read_to_string("/proc/sys/net/ipv4/ip_forward").unwrap(),
        before
    );
}

#[test]
fn the_personality_is_as_given() {
    if runtime().predates("runc", [1, 2, 0], "personality") {
        return;
    }
    let report = probe(|config| {
        config.set("/linux/personality", json!({"domain": "LINUX32"}));
    });
    // personality(2): PER_LINUX32
    assert_eq!(report.file("/proc/self/personality"), "00000008");
}
