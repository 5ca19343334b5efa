//! Processes that join a running container: `exec`.

use std::fs::{self, File};

use conformance::process::{Running, run, spawn, until};
use conformance::runtime::runtime;
use conformance::sys::{block_and_ignore, inherit};
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

#[test]
fn exec_runs_a_program_with_its_arguments_and_exits_with_its_status() {
    let container = running(|_| {});
    let finished = container.exec(&[], &["echo", "-n", "a  b", "c"]).ok();
    assert_eq!(finished.stdout, "a  b c");
    assert_eq!(container.exec(&[], &["sh", "-c", "exit 42"]).code(), 42);
    assert_eq!(container.exec(&[], &["sh", "-c", "kill -9 $$"]).code(), 137);
    assert_eq!(container.status(), "running");
}

#[test]
fn exec_joins_all_namespaces_of_the_container() {
    let container = running(|config| {
        config.namespace("cgroup", None);
    });
    let report = container.exec_probe(&[]);
    let pid = container.pid();
    for kind in ["pid", "net", "ipc", "uts", "mnt", "cgroup"] {
        let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_eq!(report.namespaces[kind], link.to_str().unwrap(), "{kind}");
    }
    assert_ne!(report.pid, 1);
}

#[test]
fn exec_joins_a_user_namespace_and_is_root_in_it() {
    let container = running(|config| {
        config.user_namespace(&[(0, 100_000, 65536)]);
    });
    let report = container.exec_probe(&[]);
    assert_eq!(report.status("Uid"), "0 0 0 0");
    let map: Vec<_> = report
        .file("/proc/self/uid_map")
        .split_whitespace()
        .collect();
    assert_eq!(map, ["0", "100000", "65536"]);
}

#[test]
fn exec_is_in_the_containers_cgroup() {
    let container = running(|_| {});
    let report = container.exec_probe(&[]);
    let pids = report
        .file("/proc/self/cgroup")
        .lines()
        .find(|line| line.contains("pids") || line.starts_with("0::"))
        .unwrap();
    assert!(pids.ends_with(&container.cgroup), "{pids}");
}

#[test]
fn exec_takes_over_the_configurations_environment_and_adds_its_own() {
    let container = running(|config| {
        config.env("FROM=config").env("BOTH=config");
    });
    let report = container.exec_probe(&["--env", "BOTH=exec", "--env", "NEW=1"]);
    assert!(
        report.env.contains(&"FROM=config".to_owned()),
        "{:?}",
        report.env
    );
    assert!(report.env.contains(&"NEW=1".to_owned()), "{:?}", report.env);
    let both = report
        .env
        .iter()
        .rfind(|variable| variable.starts_with("BOTH="));
    assert_eq!(both.unwrap(), "BOTH=exec");
}

#[test]
fn exec_cwd_and_user_are_as_the_options_say() {
    let container = running(|_| {});
    let report = container.exec_probe(&["--cwd", "/tmp", "--user", "1000:1001"]);
    assert_eq!(report.cwd, "/tmp");
    assert_eq!(report.status("Uid"), "1000 1000 1000 1000");
    assert_eq!(report.status("Gid"), "1001 1001 1001 1001");
    let report = container.exec_probe(&["--user", "7"]);
    assert_eq!(report.status("Uid"), "7 7 7 7");
}

#[test]
fn exec_additional_gids_are_added() {
    let container = running(|_| {});
    let report = container.exec_probe(&["--additional-gids", "10", "--additional-gids", "20"]);
    assert_eq!(report.status("Groups"), "10 20");
}

#[test]
fn exec_as_a_strange_user_is_refused_and_never_root() {
    // CVE-2026-30892: `-u 1` was read as 0:0.
    let container = running(|_| {});
    for user in ["x", "1:x", "0x1", "4294967296"] {
        if user == "4294967296" && runtime().departs("runc", "takes 4294967296 for 0") {
            continue;
        }
        let finished = container.exec(&[&format!("--user={user}")], &["id", "-u"]);
        assert_ne!(
            finished.code(),
            0,
            "'{user}' is taken for {}",
            finished.stdout
        );
    }
    assert_eq!(
        container.exec(&["--user=1"], &["id", "-u"]).ok().stdout,
        "1\n"
    );
}

#[test]
fn exec_cap_adds_a_capability_that_is_not_inheritable() {
    let container = running(|_| {});
    let cap_net_raw = 1 << 13;
    let report = container.exec_probe(&["--cap", "CAP_NET_RAW"]);
    assert_ne!(report.capabilities("CapEff") & cap_net_raw, 0);
    assert_eq!(report.capabilities("CapInh"), 0, "CVE-2022-29162");
    assert_eq!(
        container.exec_probe(&[]).capabilities("CapEff") & cap_net_raw,
        0
    );
}

#[test]
fn exec_process_file_says_everything() {
    let container = running(|_| {});
    let process = json!({
        "args": ["/probe", "one"],
        "env": ["PATH=/bin", "ONLY=this"],
        "cwd": "/etc",
        "user": {"uid": 3, "gid": 4, "additionalGids": [5, 6], "umask": 0o27},
        "noNewPrivileges": true,
        "oomScoreAdj": 300,
        "rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}],
        "capabilities": {"bounding": ["CAP_KILL"], "permitted": [], "effective": []},
    });
    let file = container.file("process.json", &process.to_string());
    let mut command = container.subcommand(["exec", "--process"]);
    let report = Report::parse(&run(command.arg(file).arg(&container.id)).ok());
    assert_eq!(report.args, ["/probe", "one"]);
    assert!(
        report.env.contains(&"ONLY=this".to_owned()),
        "{:?}",
        report.env
    );
    assert!(
        !report
            .env
            .iter()
            .any(|variable| variable.starts_with("TERM=")),
        "{:?}",
        report.env
    );
    assert_eq!(report.cwd, "/etc");
    assert_eq!(report.status("Uid"), "3 3 3 3");
    assert_eq!(report.status("Groups"), "5 6");
    assert!(
        report.status("Umask") == "0027"
            || runtime().departs("runc", "ignores the umask of exec --process")
    );
    assert_eq!(report.status("NoNewPrivs"), "1");
    let score = report.file("/proc/self/oom_score_adj");
    assert!(
        score == "300" || runtime().departs("runc", "ignores the oomScoreAdj of exec --process"),
        "{score}"
    );
    assert_eq!(
        report.limits["Max core file size"],
        ("1".to_owned(), "2".to_owned())
    );
    assert_eq!(report.capabilities("CapBnd"), 1 << 5);
}

#[test]
fn exec_with_a_process_file_that_is_none_is_refused() {
    let container = running(|_| {});
    for text in [
        "",
        "{",
        "[]",
        "{\"args\": 1}",
        "{\"args\": [], \"cwd\": \"/\"}",
    ] {
        let file = container.file("process.json", text);
        let finished = run(container
            .subcommand(["exec", "--process"])
            .arg(file)
            .arg(&container.id));
        assert_ne!(finished.code(), 0, "{text}: {finished:?}");
    }
    assert_eq!(container.status(), "running");
}

#[test]
fn exec_detached_returns_at_once_and_writes_the_pid_file() {
    let container = running(|_| {});
    let file = container.path().join("exec.pid");
    let _ = container
        .exec(
            &["--detach", "--pid-file", file.to_str().unwrap()],
            &["sleep", "60"],
        )
        .ok();
    let pid = container.read("exec.pid");
    until("sleep", || {
        (fs::read_to_string(format!("/proc/{pid}/comm")).ok()? == "sleep\n").then_some(())
    });
    let json = container.call(&["ps", "--format", "json"]).ok().stdout;
    assert!(json.contains(&pid), "{json}");
}

#[test]
fn exec_in_a_container_that_does_not_run_is_refused() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.create().ok();
    let _ = container.kill("KILL").ok();
    container.wait_for("stopped");
    let finished = container.exec(&[], &["true"]).refused(&[]);
    assert!(
        finished.stderr.contains("stopped") || finished.stderr.contains("not running"),
        "{finished:?}"
    );
}

#[test]
fn exec_of_a_program_that_cannot_be_run_says_so_as_runc_does() {
    let container = running(|_| {});
    let _ = container
        .exec(&[], &["nosuch"])
        .refused(&[r#"exec: "nosuch": executable file not found in $PATH"#]);
    let _ = container
        .exec(&[], &["/nosuch"])
        .refused(&[r#"exec: "/nosuch""#, "no such file or directory"]);
    let _ = container
        .exec(&[], &["/etc/passwd"])
        .refused(&[r#"exec: "/etc/passwd": permission denied"#]);
    assert_eq!(container.status(), "running");
}

#[test]
fn exec_preserves_as_many_descriptors_as_asked() {
    let container = running(|_| {});
    let files = ["three", "four", "five"].map(|name| container.file(name, name));
    for (options, expected) in [
        (
            ["--preserve-fds", "2"].as_slice(),
            [0, 1, 2, 3, 4].as_slice(),
        ),
        (&[], &[0, 1, 2]),
    ] {
        let mut command = container.exec_command(options, &["/probe"]);
        let open = |path| File::open(path).unwrap().into();
        inherit(&mut command, files.iter().map(open).zip(3..).collect());
        let report = Report::parse(&run(&mut command).ok());
        assert_eq!(
            report.descriptors.keys().copied().collect::<Vec<_>>(),
            expected
        );
        assert!(
            report
                .descriptors
                .get(&3)
                .is_none_or(|path| path.ends_with("three")),
            "{:?}",
            report.descriptors
        );
    }
}

#[test]
fn twenty_execs_at_once_all_work() {
    let container = running(|_| {});
    let all: Vec<Running> = (0..20)
        .map(|number| spawn(&mut container.exec_command(&[], &["echo", &number.to_string()])))
        .collect();
    for (number, exec) in all.into_iter().enumerate() {
        assert_eq!(exec.wait().ok().stdout, format!("{number}\n"));
    }
}

#[test]
fn exec_is_under_the_seccomp_filter_of_the_container() {
    let container = running(|config| {
        let rule =
            json!({"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38});
        config.set(
            "/linux/seccomp",
            json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}),
        );
    });
    assert_eq!(container.exec_probe(&[]).status("Seccomp"), "2");
    let finished = container.exec(&[], &["mkdir", "/tmp/x"]);
    assert!(
        finished.stderr.contains("Function not implemented"),
        "{finished:?}"
    );
}

#[test]
fn exec_starts_with_signals_as_after_boot_whatever_its_caller_did_to_them() {
    if runtime().departs("runc", "passes the caller's signal mask on") {
        return;
    }
    let container = running(|_| {});
    let mut command = container.exec_command(&[], &["/probe"]);
    block_and_ignore(&mut command, libc::SIGUSR1, libc::SIGHUP);
    let report = Report::parse(&run(&mut command).ok());
    assert_eq!(report.status("SigBlk"), "0000000000000000");
}

#[test]
fn exec_of_a_process_that_asks_for_what_is_not_there_is_refused() {
    if !runtime().is_bareboat() {
        return;
    }
    let container = running(|_| {});
    let process = json!({
        "args": ["/bin/true"], "cwd": "/", "user": {"uid": 0, "gid": 0},
        "scheduler": {"policy": "SCHED_ISO"},
    });
    let file = container.file("process.json", &process.to_string());
    let mut command = container.subcommand(["exec", "--process"]);
    let _ = run(command.arg(file).arg(&container.id)).refused(&["/process/scheduler"]);
}

#[test]
fn a_limit_on_processes_counts_the_program_and_not_the_init_that_it_was() {
    let container = running(|_| {});
    let process = |limit: u32| {
        let limit = json!({"type": "RLIMIT_NPROC", "soft": limit, "hard": limit});
        // Nobody else's, so that there are no others to be counted.
        let user = json!({"uid": 54_321, "gid": 54_321});
        let process =
            json!({"args": ["/probe"], "cwd": "/", "user": user, "env": [], "rlimits": [limit]});
        let file = container.file("process.json", &process.to_string());
        let mut command = container.subcommand(["exec", "--process"]);
        run(command.arg(file).arg(&container.id))
    };
    let report = Report::parse(&process(1).ok());
    let limit = report.limits["Max processes"].clone();
    assert_eq!(limit, ("1".to_owned(), "1".to_owned()));
}
