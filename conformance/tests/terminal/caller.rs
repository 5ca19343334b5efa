//! The terminal of who calls `run` or `exec` in the foreground, tied to the container's.

use std::fs::File;
use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use conformance::Container;
use conformance::console::{spawn_on_terminal, spawn_with_streams_beside};
use conformance::process::{Running, run, until};
use conformance::runtime::runtime;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::Signal;
use serde_json::json;

use super::with_terminal;

#[test]
fn run_in_the_foreground_is_on_the_callers_terminal() {
    let container = with_terminal(
        "until stty size 2>/dev/null | grep -v '^0 0'; do sleep 0.01; done; read line; echo \"got $line\"; exit 4",
        |_| {},
    );
    let (running, mut terminal) =
        spawn_on_terminal(&mut container.run_command(&[]), 100, 40).unwrap();
    terminal.wait_for("40 100\r\n");
    terminal.type_in("text\n");
    let text = terminal.read_to_end().to_owned();
    assert!(text.contains("got text"), "{text}");
    assert_eq!(running.wait().code(), 4);
    container.assert_nothing_left();
}

#[test]
fn control_c_in_the_foreground_interrupts_the_program_and_not_the_runtime() {
    let container = with_terminal(
        "trap 'echo interrupted; exit 6' INT; echo ready; while :; do sleep 0.05; done",
        |_| {},
    );
    let (running, mut terminal) =
        spawn_on_terminal(&mut container.run_command(&[]), 80, 24).unwrap();
    terminal.wait_for("ready");
    terminal.type_in("\u{3}");
    let text = terminal.read_to_end().to_owned();
    assert!(text.contains("interrupted"), "{text}");
    assert_eq!(running.wait().code(), 6);
}

#[test]
fn a_resize_of_the_callers_terminal_is_passed_on() {
    let script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done";
    let container = with_terminal(script, |_| {});
    let (running, mut terminal) =
        spawn_on_terminal(&mut container.run_command(&[]), 80, 24).unwrap();
    terminal.wait_for("ready");
    terminal.resize(101, 41);
    terminal.wait_for("41 101");
    assert_eq!(running.wait().code(), 0);
}

#[test]
fn the_last_output_of_a_program_is_not_lost() {
    let container = with_terminal(
        "i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done; echo the end",
        |_| {},
    );
    let (running, mut terminal) =
        spawn_on_terminal(&mut container.run_command(&[]), 80, 24).unwrap();
    assert!(terminal.read_to_end().contains("the end"));
    let _ = running.wait().ok();
}

#[test]
fn exec_in_the_foreground_is_on_the_callers_terminal() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let mut command = container.exec_command(
        &["--tty"],
        &[
            "sh",
            "-c",
            "until stty size 2>/dev/null | grep -v '^0 0'; do sleep 0.01; done; read line; echo \"got $line\"; exit 7",
        ],
    );
    let (running, mut terminal) = spawn_on_terminal(&mut command, 90, 30).unwrap();
    terminal.wait_for("30 90\r\n");
    terminal.type_in("text\n");
    terminal.wait_for("got text");
    assert_eq!(running.wait().code(), 7);
}

#[test]
fn a_hang_up_of_the_callers_terminal_reaches_the_program() {
    let script = "trap 'exit 5' HUP; echo ready; while :; do sleep 0.05; done";
    let container = with_terminal(script, |_| {});
    let (running, mut terminal) =
        spawn_on_terminal(&mut container.run_command(&[]), 80, 24).unwrap();
    terminal.wait_for("ready");
    terminal.hang_up();
    assert_eq!(running.wait().code(), 5);
    container.assert_nothing_left();

    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let mut exec = container.exec_command(&["--tty"], &["sh", "-c", script]);
    let (running, mut terminal) = spawn_on_terminal(&mut exec, 80, 24).unwrap();
    terminal.wait_for("ready");
    terminal.hang_up();
    assert_eq!(running.wait().code(), 5);
}

#[test]
fn a_program_that_does_not_mind_a_hang_up_goes_on_with_its_output_going_nowhere() {
    let container = with_terminal("trap '' HUP; echo ready; seq 20000; exit 6", |_| {});
    let (running, mut terminal) =
        spawn_on_terminal(&mut container.run_command(&[]), 80, 24).unwrap();
    terminal.wait_for("ready");
    terminal.hang_up();
    assert_eq!(running.wait().code(), 6);
}

#[test]
fn input_from_elsewhere_reaches_the_program_and_the_terminal_is_still_followed() {
    let container = with_terminal("stty size; read line; echo \"got $line\"; exit 3", |_| {});
    let input = container.file("input", "text\n");
    let (running, mut terminal) =
        spawn_with_streams_beside(&mut container.run_command(&[]), 90, 30, |command| {
            command.stdin(File::open(input).unwrap());
        })
        .unwrap();
    let text = terminal.read_to_end();
    assert!(
        text.contains("30 90") && text.contains("got text"),
        "{text}"
    );
    assert_eq!(running.wait().code(), 3);
}

#[test]
fn a_terminal_without_one_of_the_callers_works() {
    if runtime().departs("runc", "wants a terminal of the caller's") {
        return;
    }
    let container = with_terminal("test -t 0 && test -t 1 && echo a terminal", |_| {});
    let mut command = Command::new("setsid");
    let run_command = container.run_command(&[]);
    command
        .arg("--wait")
        .arg(run_command.get_program())
        .args(run_command.get_args())
        .current_dir("/");
    assert_eq!(run(&mut command).ok().stdout, "a terminal\n");
}

/// A run whose output goes into a pipe that nobody has read from when the program ends, and the pipe.
fn run_with_late_reader() -> (Container, Running, File) {
    let container = Container::with_path(|config, path| {
        config
            .bind(path, "/case", &["bind"])
            .shell("seq 2000; touch /case/ended; exit 7")
            .set("/process/terminal", json!(true));
    });
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    // The program writes more than the pipe takes, and the terminals have room for the rest.
    let _ = fcntl(&write, FcntlArg::F_SETPIPE_SZ(4096)).unwrap();
    let (running, _) =
        spawn_with_streams_beside(&mut container.run_command(&[]), 80, 24, |command| {
            command.stdout(Stdio::from(write));
        })
        .unwrap();
    let ended = container.path().join("ended");
    until("the end of the program", || ended.exists().then_some(()));
    // Longer than the runtime waits for output that may come or not.
    sleep(Duration::from_millis(400));
    (container, running, File::from(read))
}

#[test]
fn output_is_complete_when_it_is_read_only_after_the_end() {
    let (_container, running, mut pipe) = run_with_late_reader();
    let mut text = String::new();
    let _ = pipe.read_to_string(&mut text).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines.last()), (2000, Some(&"2000")));
    assert_eq!(running.wait().code(), 7);
}

#[test]
fn a_signal_ends_the_waiting_for_who_reads_the_output() {
    if runtime().departs("runc", "waits on") {
        return;
    }
    let (container, running, _pipe) = run_with_late_reader();
    running.signal(Signal::SIGTERM);
    assert_eq!(running.wait().code(), 7);
    container.assert_nothing_left();
}

#[test]
fn signals_reach_a_program_whose_output_nobody_reads() {
    let script =
        "trap 'touch /case/caught; exit 9' TERM; yes & echo ready; while :; do sleep 0.05; done";
    let container = Container::with_path(|config, path| {
        config
            .bind(path, "/case", &["bind"])
            .shell(script)
            .set("/process/terminal", json!(true));
    });
    let (running, mut terminal) =
        spawn_on_terminal(&mut container.run_command(&[]), 80, 24).unwrap();
    terminal.wait_for("ready");
    terminal.stop_reading();
    sleep(Duration::from_millis(300));
    running.signal(Signal::SIGTERM);
    let caught = container.path().join("caught");
    until("the signal", || caught.exists().then_some(()));
    terminal.hang_up();
    assert_eq!(running.wait().code(), 9);
}

#[test]
fn the_callers_terminal_is_raw_meanwhile_and_as_it_was_afterwards() {
    let script = "trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done";
    for (signal, code) in [(Signal::SIGTERM, 3), (Signal::SIGKILL, 137)] {
        let container = with_terminal(script, |_| {});
        // As a shell has it that starts runs one after the other.
        let mut command = Command::new("sh");
        command.args([
            "-c",
            "stty -echo; \"$@\"; echo code $?; exec sleep 100",
            "sh",
        ]);
        let run_command = container.run_command(&[]);
        command
            .arg(run_command.get_program())
            .args(run_command.get_args());
        let (_running, mut terminal) = spawn_on_terminal(&mut command, 80, 24).unwrap();
        terminal.wait_for("ready");
        assert!(terminal.is_raw());
        let _ = container.kill(signal.as_str()).ok();
        terminal.wait_for(&format!("code {code}"));
        assert!(!terminal.is_raw(), "after {signal}");
    }
}

#[test]
fn the_callers_terminal_is_as_it_was_after_a_start_that_failed() {
    for args in [["/no/such/program"], ["/etc/passwd"], ["/script"]] {
        let container = with_terminal("", |config| {
            config.args(&args);
        });
        // Found, and refused by the kernel only when all is set up.
        let script = container.rootfs().join("script");
        std::fs::write(&script, "no program").unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "\"$@\"; echo code $?; exec sleep 100", "sh"]);
        let run_command = container.run_command(&[]);
        command
            .arg(run_command.get_program())
            .args(run_command.get_args());
        let (_running, mut terminal) = spawn_on_terminal(&mut command, 80, 24).unwrap();
        let before = terminal.modes();
        terminal.wait_for("code ");
        assert_eq!(terminal.modes(), before, "{args:?}");
    }
}

#[test]
fn a_run_that_was_stopped_makes_the_terminal_raw_again() {
    if runtime().departs("runc", "leaves it as others set it up meanwhile") {
        return;
    }
    let container = with_terminal("echo ready; read line; echo \"got $line\"", |_| {});
    let other = nix::pty::openpty(None, None).unwrap();
    let cooked = nix::sys::termios::tcgetattr(&other.slave).unwrap();
    let (running, mut terminal) =
        spawn_on_terminal(&mut container.run_command(&[]), 80, 24).unwrap();
    terminal.wait_for("ready");
    running.signal(Signal::SIGSTOP);
    terminal.set_modes(&cooked);
    assert!(!terminal.is_raw());
    running.signal(Signal::SIGCONT);
    until("the raw mode", || terminal.is_raw().then_some(()));
    terminal.type_in("text\r");
    terminal.wait_for("got text");
    let _ = running.wait().ok();
}

#[test]
fn a_run_in_the_background_stops_until_it_is_given_the_terminal() {
    if runtime().departs("runc", "is not stopped in the background") {
        return;
    }
    let container = with_terminal("echo ready; read line; echo \"got $line\"; exit 3", |_| {});
    let run_command = container.run_command(&[]);
    let mut command = Command::new("bash");
    command
        .args([
            "-c",
            "set -m; \"$@\" & until jobs | grep Stopped; do sleep 0.05; done; fg; echo code $?",
            "bash",
        ])
        .arg(run_command.get_program())
        .args(run_command.get_args());
    let (running, mut terminal) = spawn_on_terminal(&mut command, 80, 24).unwrap();
    let shown = terminal.wait_for("ready");
    let (before, _) = shown.split_once("ready").unwrap();
    assert!(before.contains("Stopped"), "{shown}");
    terminal.type_in("text\r");
    terminal.wait_for("got text");
    terminal.wait_for("code 3");
    let _ = running.wait().ok();
}
