//! `run`, `list`, IDs, pid files, and commands at the same time.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs::File;

use conformance::process::{Running, run, spawn, until};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn waits(config: &mut Config) {
    config.waits();
}

fn succeeds(config: &mut Config) {
    config.args(&["true"]);
}

#[test]
fn the_bundle_is_the_working_directory_unless_given() {
    let container = Container::new(|config| {
        config.args(&["echo", "hello"]);
    });
    let finished = run(container
        .subcommand(["run", &container.id])
        .current_dir(container.bundle()))
    .ok();
    assert_eq!(finished.stdout, "hello\n");
}

#[test]
fn run_exits_with_the_status_of_the_program() {
    for code in [0, 1, 7, 126, 127, 255] {
        let container = Container::new(|config| {
            config.shell(&format!("exit {code}"));
        });
        assert_eq!(container.run().code(), code);
        container.assert_nothing_left();
    }
}

#[test]
fn run_exits_with_128_and_the_signal_that_killed_the_program() {
    for signal in ["ABRT", "KILL", "TERM"] {
        // In a pid namespace of its own PID 1 is immune to its own signals.
        let container = Container::new(|config| {
            config
                .share("pid")
                .shell(&format!("kill -{signal} $$; sleep 60"));
        });
        let number = format!("SIG{signal}").parse::<Signal>().unwrap() as i32;
        assert_eq!(container.run().code(), 128 + number);
        container.assert_nothing_left();
    }
}

#[test]
fn run_of_a_program_that_was_killed_from_outside_exits_with_137() {
    let container = Container::new(waits);
    let running = container.run_in_foreground();
    until("the container runs", || {
        container
            .call(&["state"])
            .stdout
            .contains("\"running\"")
            .then_some(())
    });
    kill(Pid::from_raw(container.pid()), Signal::SIGKILL).unwrap();
    assert_eq!(running.wait().code(), 137);
    container.assert_nothing_left();
}

#[test]
fn run_passes_input_output_and_errors_through() {
    let container = Container::new(|config| {
        config.shell("cat; echo err >&2");
    });
    let input = container.file("input", "typed in\n");
    let finished = spawn(container.run_command(&[]).stdin(File::open(input).unwrap()))
        .wait()
        .ok();
    assert_eq!(
        (finished.stdout.as_str(), finished.stderr.as_str()),
        ("typed in\n", "err\n")
    );
}

#[test]
fn run_in_the_foreground_forwards_signals_and_cleans_up() {
    let container = Container::new(|config| {
        config.shell("trap 'echo caught; exit 5' TERM; echo ready; while :; do sleep 0.05; done");
    });
    let running = container.run_in_foreground();
    until("the trap is set", || {
        running.printed().contains("ready").then_some(())
    });
    running.signal(Signal::SIGTERM);
    let finished = running.wait();
    assert_eq!(finished.code(), 5, "{finished:?}");
    assert_eq!(finished.stdout, "ready\ncaught\n");
    container.assert_nothing_left();
}

/// A process whose parent in the container has ended, who adopted it, and the run that is in the foreground meanwhile, until
/// there is a file `go`. All numbers are the host's.
fn orphan_of(options: &[&str]) -> (Pid, i32, Running, Container) {
    let script = "sh -c 'sleep 100 & echo $$ $! > /case/new; mv /case/new /case/pids'; \
                  until [ -e /case/go ]; do sleep 0.02; done";
    let container = Container::with_path(|config, path| {
        // In a pid namespace of its own the container's first process takes its orphans.
        config
            .share("pid")
            .bind(path, "/case", &["bind"])
            .shell(script);
    });
    let running = spawn(
        container
            .run_command(options)
            .stdin(std::process::Stdio::null()),
    );
    let pids = container.path().join("pids");
    let pids = until("the orphan", || std::fs::read_to_string(&pids).ok());
    let (parent, orphan) = pids.trim().split_once(' ').expect("two numbers");
    let adopter = until("the adoption", || {
        let status = std::fs::read_to_string(format!("/proc/{orphan}/status")).unwrap();
        let now = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        now.map(str::trim)
            .filter(|&now| now != parent)
            .map(|now| now.parse().unwrap())
    });
    let orphan = Pid::from_raw(orphan.parse().unwrap());
    (orphan, adopter, running, container)
}

#[test]
fn run_adopts_orphans_and_does_not_leave_them_dead() {
    let (orphan, adopter, running, container) = orphan_of(&[]);
    assert_eq!(adopter, running.id().cast_signed());
    kill(orphan, Signal::SIGKILL).unwrap();
    let process = std::path::PathBuf::from(format!("/proc/{orphan}"));
    until("the orphan is reaped", || (!process.exists()).then_some(()));
    assert_eq!(container.status(), "running");
    container.file("go", "");
    let _ = running.wait().ok();
    container.assert_nothing_left();
}

#[test]
fn run_adopts_nobody_when_it_is_told_so() {
    let (orphan, adopter, running, container) = orphan_of(&["--no-subreaper"]);
    assert_ne!(adopter, running.id().cast_signed());
    kill(orphan, Signal::SIGKILL).unwrap();
    container.file("go", "");
    let _ = running.wait().ok();
}

#[test]
fn a_caller_that_ignores_its_children_learns_how_the_program_ended() {
    let code = |command: &mut std::process::Command| {
        conformance::sys::block_and_ignore(command, Signal::SIGUSR1 as i32, Signal::SIGCHLD as i32);
        run(command).code()
    };
    let container = Container::new(|config| {
        config.shell("exit 3");
    });
    assert_eq!(code(&mut container.run_command(&[])), 3);
    let container = Container::new(|config| {
        config.waits().set(
            "/hooks/createRuntime",
            serde_json::json!([{"path": "/bin/true"}]),
        );
    });
    assert_eq!(code(&mut container.create_command(&[])), 0);
    let _ = container.start().ok();
    assert_eq!(
        code(&mut container.exec_command(&[], &["sh", "-c", "exit 4"])),
        4
    );
    assert_eq!(
        code(&mut container.exec_command(&["--detach"], &["true"])),
        0
    );
}

#[test]
fn run_keep_leaves_a_stopped_container() {
    if runtime().predates("runc", [1, 2, 0], "run --keep") {
        return;
    }
    let container = Container::new(succeeds);
    let _ = run(&mut container.run_command(&["--keep"])).ok();
    assert_eq!(container.status(), "stopped");
    let _ = container.delete().ok();
    container.assert_nothing_left();
}

#[test]
fn run_detached_returns_while_the_program_runs() {
    let container = Container::new(waits);
    let _ = container.run_detached();
    assert_eq!(container.status(), "running");
}

#[test]
fn pid_files_hold_the_pid_and_nothing_else() {
    for (subcommand, options) in [
        ("create", ["--pid-file"].as_slice()),
        ("run", &["--detach", "--pid-file"]),
    ] {
        let container = Container::new(waits);
        let mut command = container.subcommand([subcommand]);
        command.args(options).arg(container.path().join("pid"));
        let _ = run(command
            .arg("--bundle")
            .arg(container.bundle())
            .arg(&container.id))
        .ok();
        assert_eq!(container.read("pid"), container.pid().to_string());
    }
}

#[test]
fn list_prints_a_table_ids_or_json() {
    let container = Container::new(waits);
    let _ = container.run_detached();
    let list = |options: &[&str]| {
        run(container.subcommand(["list"]).args(options))
            .ok()
            .stdout
    };

    let table = list(&[]);
    let [header, row] =
        <[&str; 2]>::try_from(table.lines().collect::<Vec<_>>()).expect("two lines");
    let words: Vec<_> = header.split_whitespace().collect();
    assert_eq!(words, ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]);
    let words: Vec<_> = row.split_whitespace().collect();
    assert_eq!(
        words[..3],
        [
            container.id.as_str(),
            &container.pid().to_string(),
            "running"
        ]
    );

    assert_eq!(list(&["-q"]), format!("{}\n", container.id));
    assert_eq!(list(&["--quiet"]), list(&["-q"]));

    let json: Value = serde_json::from_str(&list(&["--format", "json"])).unwrap();
    assert_eq!(json.as_array().unwrap().len(), 1);
    assert_eq!(json[0]["id"], container.id.as_str());
    assert_eq!(json[0]["status"], "running");
    assert_eq!(json[0]["pid"], container.pid());
    assert_eq!(json[0]["owner"], "root");
    assert!(
        json[0]["created"]
            .as_str()
            .is_some_and(|time| time.contains('T')),
        "{json}"
    );
}

/// The last line of bareboat's state.json.
fn record(container: &Container) -> Value {
    let directory = container.state_root().join(&container.id);
    let lines = std::fs::read_to_string(directory.join("state.json")).unwrap();
    serde_json::from_str(lines.lines().last().unwrap()).unwrap()
}

#[test]
fn an_init_waits_for_the_runtime_only_where_something_is_left_to_do() {
    if !runtime().is_bareboat() {
        return;
    }
    let is_let_go = |with_pid_file: bool, change: fn(&mut Config)| {
        let container = Container::new(|config| {
            config.waits();
            change(config);
        });
        let file = container.path().join("pid").display().to_string();
        let pid_file = ["--detach", "--pid-file", &file];
        let options = if with_pid_file {
            &pid_file[..]
        } else {
            &pid_file[..1]
        };
        let mut command = container.run_command(options);
        let _ = run(&mut command).ok();
        let record = record(&container);
        assert!(record["init"].is_object(), "{record}");
        record["isLetGo"] == true
    };
    let hook = |config: &mut Config| {
        config.set("/hooks", json!({"poststop": [{"path": "/bin/true"}]}));
    };
    assert!(is_let_go(false, |_| {}));
    assert!(!is_let_go(false, hook));
    assert!(!is_let_go(true, |_| {}));
}

#[test]
fn a_list_of_many_containers_is_whole_and_in_order() {
    if !runtime().is_bareboat() {
        return;
    }
    let container = Container::new(waits);
    let _ = container.run_detached();
    let record = record(&container);
    let others: Vec<_> = (100..300)
        .map(|number| format!("of-many-{number}"))
        .collect();
    for id in &others {
        let directory = container.state_root().join(id);
        std::fs::create_dir(&directory).unwrap();
        let mut record = record.clone();
        record["id"] = Value::from(id.as_str());
        std::fs::write(directory.join("state.json"), record.to_string()).unwrap();
    }
    // One in each half that nothing is known of.
    for id in [&others[3], &others[190]] {
        std::fs::write(container.state_root().join(id).join("state.json"), "{").unwrap();
    }
    let mut expected = others.clone();
    expected.retain(|id| ![&others[3], &others[190]].contains(&id));
    expected.push(container.id.clone());
    expected.sort();

    let quiet = run(container.subcommand(["list"]).arg("-q")).ok();
    assert!(quiet.stdout.lines().eq(&expected), "{quiet:#?}");
    let damaged = quiet
        .stderr
        .lines()
        .filter(|line| line.contains("is damaged"));
    assert_eq!(damaged.count(), 2, "{quiet:#?}");
    let json = run(&mut container.subcommand(["list", "--format", "json"])).ok();
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let json = json.as_array().unwrap();
    assert!(json.iter().map(|summary| &summary["id"]).eq(&expected));
    assert!(json.iter().all(|summary| summary["status"] == "running"));
    for id in &others {
        std::fs::remove_dir_all(container.state_root().join(id)).unwrap();
    }
}

#[test]
fn list_of_an_empty_state_root_is_empty() {
    let container = Container::new(waits);
    std::fs::create_dir_all(container.state_root()).expect("the state root can be made");
    assert_eq!(
        run(container.subcommand(["list"]).arg("-q")).ok().stdout,
        ""
    );
    let json = run(&mut container.subcommand(["list", "--format", "json"]))
        .ok()
        .stdout;
    assert!(["null", "[]"].contains(&json.trim()), "{json}");
}

#[test]
fn of_two_creates_at_once_exactly_one_wins() {
    if runtime().departs("runc", "may refuse both") {
        return;
    }
    for _ in 0..5 {
        let container = Container::new(waits);
        let both = [(); 2].map(|()| spawn(&mut container.create_command(&[])));
        let wins = both
            .into_iter()
            .map(Running::wait)
            .filter(|finished| finished.code() == 0)
            .count();
        assert_eq!(wins, 1);
        assert_eq!(container.status(), "created");
        let _ = container.start().ok();
    }
}

#[test]
fn of_two_starts_at_once_one_wins() {
    if runtime().departs(
        "runc",
        "has no lock around start: the second may wait for ever",
    ) {
        return;
    }
    for _ in 0..5 {
        let container = Container::new(waits);
        let _ = container.create().ok();
        let both = [(); 2].map(|()| spawn(container.subcommand(["start"]).arg(&container.id)));
        let wins = both
            .into_iter()
            .map(Running::wait)
            .filter(|finished| finished.code() == 0)
            .count();
        assert_eq!(wins, 1);
        assert_eq!(container.status(), "running");
    }
}

#[test]
fn containers_of_one_state_root_do_not_disturb_each_other() {
    let container = Container::new(|config| {
        config.remove("/linux/cgroupsPath").args(&["true"]);
    });
    // list refuses a root that is not there, and the first run may not have made it by then.
    std::fs::create_dir(container.state_root()).unwrap();
    let runs: Vec<_> = (0..6)
        .map(|number| {
            let id = format!("{}-{number}", container.id);
            spawn(
                container
                    .subcommand(["run", "--bundle"])
                    .arg(container.bundle())
                    .arg(id),
            )
        })
        .collect();
    let _ = run(&mut container.subcommand(["list", "-q"])).ok();
    for finished in runs.into_iter().map(Running::wait) {
        let _ = finished.ok();
    }
    assert_eq!(
        run(&mut container.subcommand(["list", "-q"])).ok().stdout,
        ""
    );
}

#[test]
fn the_version_names_the_runtime_and_the_specification() {
    let container = Container::new(waits);
    let version = run(container.runtime().arg("--version")).ok().stdout;
    assert!(
        version.lines().next().unwrap().contains(" version "),
        "{version}"
    );
    assert!(
        version.lines().any(|line| line.starts_with("spec: 1.")),
        "{version}"
    );
}

#[test]
fn ids_are_letters_digits_and_a_few_marks() {
    let container = Container::new(succeeds);
    let run_as = |id: &str| {
        run(container
            .subcommand(["run", "--bundle"])
            .arg(container.bundle())
            .arg(id))
    };
    for id in [
        "a/b", "..", ".", "/", "../x", "a b", "a\nb", "a:b", "\u{fc}",
    ] {
        let _ = run_as(id).refused(&["invalid container ID format"]);
    }
    let _ = run_as("").refused(&["container id cannot be empty"]);
    for id in ["a", "a.b", "A_1+x-9", "...", "_"] {
        let _ = run_as(id).ok();
    }
}
