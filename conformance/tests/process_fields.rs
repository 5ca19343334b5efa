//! Members of `process` that say nothing here, or not by themselves: config.md, "Process".

use std::os::unix::net::UnixListener;

use conformance::container::probe;
use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.waits();
        change(config);
    });
    let _ = container.run_detached();
    container
}

#[test]
fn what_is_for_windows_changes_nothing() {
    let report = probe(|config| {
        config
            .set("/process/commandLine", json!("C:\\nosuch.exe /x"))
            .set("/process/user/username", json!("ContainerAdministrator"));
    });
    assert_eq!(report.args, ["/probe"]);
    assert_eq!(report.status("Uid"), "0 0 0 0");
}

#[test]
fn a_command_line_for_windows_is_no_program() {
    let container = Container::new(|config| {
        config
            .set("/process/args", Value::Null)
            .set("/process/commandLine", json!("/bin/true"));
    });
    let _ = container.create().refused(&["args"]);
    container.assert_nothing_left();
}

#[test]
fn the_console_size_without_a_terminal_is_ignored() {
    let report = probe(|config| {
        config.set("/process/terminal", json!(false)).set(
            "/process/consoleSize",
            json!({"width": 70_000, "height": 1}),
        );
    });
    assert_eq!(report.window, None);
}

#[test]
fn a_console_size_that_no_terminal_has_is_refused() {
    if !runtime().is_bareboat() {
        return;
    }
    for member in ["width", "height"] {
        let mut size = json!({"width": 80, "height": 25});
        size[member] = json!(65536);
        let container = Container::new(|config| {
            config
                .set("/process/terminal", json!(true))
                .set("/process/consoleSize", size);
        });
        let socket = container.path().join("console.sock");
        let _listener = UnixListener::bind(&socket).unwrap();
        let mut command = container.create_command(&["--console-socket", socket.to_str().unwrap()]);
        let _ = run(&mut command).refused(&[&format!("/process/consoleSize/{member}")]);
        container.assert_nothing_left();
    }
}

#[test]
fn without_a_path_only_a_program_with_a_slash_is_found() {
    let report = probe(|config| {
        config.args(&["/probe"]).set("/process/env", json!(["A=1"]));
    });
    assert!(report.env.contains(&"A=1".to_owned()), "{:?}", report.env);
    let container = Container::new(|config| {
        config.args(&["sh"]).set("/process/env", json!(["A=1"]));
    });
    let _ = container
        .create()
        .refused(&["executable file not found in $PATH"]);
    container.assert_nothing_left();
}

#[test]
fn limits_and_no_new_privileges_are_those_of_later_processes_too() {
    let limits = json!([
        {"type": "RLIMIT_CORE", "soft": 3, "hard": 4},
        {"type": "RLIMIT_SIGPENDING", "soft": 100, "hard": 200}
    ]);
    let container = running(|config| {
        config
            .set("/process/rlimits", limits)
            .set("/process/noNewPrivileges", json!(true));
    });
    let report = container.exec_probe(&[]);
    for (name, soft, hard) in [
        ("Max core file size", "3", "4"),
        ("Max pending signals", "100", "200"),
    ] {
        assert_eq!(
            report.limits[name],
            (soft.to_owned(), hard.to_owned()),
            "{name}"
        );
    }
    assert_eq!(report.status("NoNewPrivs"), "1");
    let without = container.exec_probe(&["--no-new-privs=false"]);
    assert_eq!(without.status("NoNewPrivs"), "0");
}

#[test]
fn limits_are_set_in_a_user_namespace_too() {
    let limits = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    let container = running(|config| {
        config
            .user_namespace(&[(0, 100_000, 65536)])
            .set("/process/rlimits", limits);
    });
    let report = container.exec_probe(&[]);
    let expected = ("100".to_owned(), "200".to_owned());
    assert_eq!(report.limits["Max open files"], expected);
    let own = std::fs::read_to_string(format!("/proc/{}/limits", container.pid())).unwrap();
    let line = own.lines().find(|line| line.starts_with("Max open files"));
    let words: Vec<_> = line.unwrap().split_whitespace().collect();
    assert_eq!(words[3..5], ["100", "200"]);
}

#[test]
fn limits_that_contradict_are_refused() {
    let limit = |soft: u32, hard: u32| json!({"type": "RLIMIT_CORE", "soft": soft, "hard": hard});
    for (limits, pointer) in [
        (json!([limit(1, 1), limit(2, 2)]), "/process/rlimits/1/type"),
        (json!([limit(2, 1)]), "/process/rlimits/0/soft"),
    ] {
        let container = Container::new(|config| {
            config.set("/process/rlimits", limits);
        });
        container.assert_refused_at(pointer);
    }
}

#[test]
fn a_personality_flag_is_refused_and_a_domain_is_one_of_two() {
    if runtime().predates("runc", [1, 2, 0], "personality") {
        return;
    }
    for (personality, pointer) in [
        (
            json!({"domain": "LINUX", "flags": ["ADDR_NO_RANDOMIZE"]}),
            "/linux/personality/flags",
        ),
        (json!({"domain": "BSD"}), "/linux/personality/domain"),
    ] {
        let container = Container::new(|config| {
            config.set("/linux/personality", personality);
        });
        container.assert_refused_at(pointer);
    }
}

#[test]
fn exec_knows_no_more_capabilities_than_the_configuration() {
    // Unknown ones are left out with a warning, and what is not said at all is the container's.
    let container = running(|config| {
        config.capabilities(&["CAP_KILL"]);
    });
    let bounding = |members: Value| {
        let mut process = json!({"cwd": "/", "args": ["/probe"], "user": {"uid": 0, "gid": 0}});
        let members = members.as_object().unwrap().clone();
        process.as_object_mut().unwrap().extend(members);
        let file = container.file("process.json", &process.to_string());
        let mut command = container.subcommand(["exec", "--process"]);
        let finished = run(command.arg(file).arg(&container.id)).ok();
        conformance::Report::parse(&finished).capabilities("CapBnd")
    };
    assert_eq!(bounding(json!({})), 1 << 5);
    let sets = json!({"bounding": ["CAP_CHOWN", "CAP_NONESUCH"]});
    if runtime().is_bareboat() {
        assert_eq!(bounding(json!({"capabilities": sets})), 1);
    }
}
