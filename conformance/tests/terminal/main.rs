//! Terminals: config.md, "Process" (`terminal`, `consoleSize`), and runc's ways of handing them over.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

mod caller;

use conformance::console::ConsoleSocket;
use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

fn with_terminal(script: &str, change: impl FnOnce(&mut Config)) -> Container {
    Container::new(|config| {
        config.shell(script).set("/process/terminal", json!(true));
        change(config);
    })
}

/// Runs `create` and `start` with a console socket.
fn start(container: &Container) -> conformance::console::Terminal {
    let socket = ConsoleSocket::new(container.path());
    let mut command = container.subcommand(["create", "--console-socket"]);
    command
        .arg(&socket.path)
        .arg("--bundle")
        .arg(container.bundle())
        .arg(&container.id);
    let _ = run(&mut command).ok();
    let terminal = socket.receive();
    let _ = container.start().ok();
    terminal
}

#[test]
fn the_console_socket_gets_the_terminals_master() {
    let container = with_terminal("echo hello; read line; echo \"got $line\"", |_| {});
    let mut terminal = start(&container);
    terminal.wait_for("hello\r\n");
    terminal.type_in("text\n");
    terminal.wait_for("got text\r\n");
    container.wait_for("stopped");
}

#[test]
fn the_terminal_is_the_programs_standard_streams_and_controls_it() {
    let script = "tty; test -t 0 -a -t 1 -a -t 2 && echo all; echo direct > /dev/tty; readlink /proc/self/fd/2; echo end";
    let container = with_terminal(script, |_| {});
    let mut terminal = start(&container);
    let text = terminal.wait_for("end\r\n").to_owned();
    let lines: Vec<_> = text.lines().collect();
    // The name is that of the container's devpts.
    assert!(
        lines[0] == "/dev/pts/0" || lines[0] == "/dev/console",
        "{text}"
    );
    assert_eq!(lines[1..], ["all", "direct", lines[0], "end"]);
}

#[test]
fn the_terminal_is_dev_console_too() {
    let container = with_terminal(
        "echo to the console > /dev/console; stat -c %F /dev/console; echo end",
        |_| {},
    );
    let mut terminal = start(&container);
    let text = terminal.wait_for("end\r\n");
    assert!(
        text.contains("to the console\r\ncharacter special file\r\n"),
        "{text}"
    );
}

#[test]
fn the_terminal_has_the_size_of_the_configuration() {
    let container = with_terminal("stty size; echo end", |config| {
        config.set("/process/consoleSize", json!({"width": 123, "height": 45}));
    });
    let mut terminal = start(&container);
    assert_eq!(terminal.size(), (123, 45));
    assert!(terminal.wait_for("end\r\n").contains("45 123\r\n"));
}

#[test]
fn the_terminal_belongs_to_the_programs_user() {
    let container = with_terminal("id -u; stat -c %u $(tty); echo end", |config| {
        config.set("/process/user/uid", json!(1000));
    });
    let mut terminal = start(&container);
    assert_eq!(terminal.wait_for("end\r\n"), "1000\r\n1000\r\nend\r\n");
}

#[test]
fn a_terminal_works_in_a_user_namespace() {
    let container = with_terminal("tty && echo end", |config| {
        config.user_namespace(&[(0, 100_000, 65536)]);
    });
    let mut terminal = start(&container);
    terminal.wait_for("end\r\n");
}

#[test]
fn a_resize_of_the_master_is_seen_inside() {
    let container = with_terminal("echo ready; read go; stty size; echo end", |_| {});
    let mut terminal = start(&container);
    terminal.wait_for("ready");
    terminal.resize(99, 33);
    terminal.type_in("\n");
    assert!(terminal.wait_for("end\r\n").contains("33 99\r\n"));
}

#[test]
fn create_with_a_terminal_and_no_console_socket_is_refused() {
    let container = with_terminal("true", |_| {});
    let _ = container.create().refused(&["console"]);
    container.assert_nothing_left();
}

#[test]
fn a_console_socket_without_a_terminal_is_refused() {
    let container = Container::new(|config| {
        config.args(&["true"]);
    });
    let socket = ConsoleSocket::new(container.path());
    let mut command = container.subcommand(["create", "--console-socket"]);
    command
        .arg(&socket.path)
        .arg("--bundle")
        .arg(container.bundle())
        .arg(&container.id);
    let _ = run(&mut command).refused(&["console"]);
    container.assert_nothing_left();
}

#[test]
fn exec_has_a_terminal_of_its_own() {
    let container = Container::new(|config| {
        config.waits();
    });
    let _ = container.run_detached();
    let socket = ConsoleSocket::new(container.path());
    let path = socket.path.to_str().unwrap().to_owned();
    let script = "tty; stty size; read line; echo \"got $line\"";
    let _ = container
        .exec(
            &["--tty", "--detach", "--console-socket", &path],
            &["sh", "-c", script],
        )
        .ok();
    let mut terminal = socket.receive();
    terminal.wait_for("/dev/pts/0\r\n");
    terminal.type_in("text\n");
    terminal.wait_for("got text\r\n");
}

#[test]
fn a_missing_console_socket_is_an_error_and_leaves_nothing() {
    let container = with_terminal("true", |_| {});
    let mut command =
        container.subcommand(["create", "--console-socket", "/no/such/socket", "--bundle"]);
    let finished = run(command.arg(container.bundle()).arg(&container.id)).refused(&[]);
    assert!(
        !runtime().is_bareboat() || finished.stderr.contains("/no/such/socket"),
        "{finished:?}"
    );
    container.assert_nothing_left();
    let unchanged: Value = container.config().0;
    assert_eq!(unchanged["process"]["terminal"], true);
}
