//! The command line as runc reads it: spellings of options, exit codes, and the phrases of refusals.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use conformance::process::run;
use conformance::runtime::runtime;
use conformance::{Config, Container};

fn is_another() -> bool {
    let others = ["crun", "youki"].iter();
    others
        .into_iter()
        .any(|name| runtime().departs(name, "has a command line of its own"))
}

fn waiting() -> Container {
    Container::new(|config: &mut Config| {
        config.waits();
    })
}

fn running() -> Container {
    let container = waiting();
    let _ = container.run_detached();
    container
}

#[test]
fn options_have_one_dash_or_two_whatever_the_length_of_their_name() {
    if is_another() {
        return;
    }
    for spelling in ["-b", "--b", "-bundle", "--bundle"] {
        for joined in [true, false] {
            let container = waiting();
            let bundle = container.bundle();
            let bundle = bundle.to_str().unwrap();
            let mut command = container.subcommand(["create"]);
            if joined {
                command.arg(format!("{spelling}={bundle}"));
            } else {
                command.args([spelling, bundle]);
            }
            let _ = run(command.arg(&container.id)).ok();
            assert_eq!(container.status(), "created", "{spelling}");
            let _ = container.call(&["delete", "-force"]).ok();
        }
    }
}

#[test]
fn what_follows_the_container_is_the_programs_even_where_it_looks_like_an_option() {
    if is_another() {
        return;
    }
    let container = running();
    let echoed = container.exec(&[], &["echo", "-user", "--cwd", "-detach", "--"]);
    assert_eq!(echoed.ok().stdout, "-user --cwd -detach --\n");
    let listed = container.exec(&["-env", "A=-e", "--env", "-x=--env"], &["env"]);
    let listed = listed.ok().stdout;
    assert!(listed.contains("\nA=-e\n"), "{listed}");
    assert!(listed.contains("\n-x=--env\n"), "{listed}");
}

#[test]
fn an_option_that_there_is_not_is_named_with_the_phrase_of_runcs_parser() {
    if is_another() {
        return;
    }
    let container = waiting();
    for command in ["create", "run", "start", "exec", "kill", "list", "update"] {
        for (option, name) in [("--bogus", "-bogus"), ("--bogus=1", "-bogus"), ("-z", "-z")] {
            let finished = run(&mut container.subcommand([command, option, "web"]));
            assert_eq!(finished.code(), 1, "{finished:?}");
            let phrase = format!("flag provided but not defined: {name}");
            assert!(finished.stderr.contains(&phrase), "{finished:?}");
        }
    }
}

/// Whatever it was that kept the process from running, a caller tells it from the process's own exit codes.
#[test]
fn exec_that_comes_to_nothing_exits_with_255() {
    if is_another() {
        return;
    }
    let container = running();
    for (options, phrase) in [
        (&["--user", "x"][..], "bad uid: "),
        (&["--user", "1:x"], "bad gid: "),
        (&["--user", ":1"], "bad uid: "),
        (
            &["--additional-gids", "-1"],
            "additional-gids must be a positive number -1",
        ),
        (&["--cwd", "tmp"], "Cwd must be an absolute path"),
        (&["--cwd", "/nosuch"], "o such file or directory"),
        (&["--env", "NOVALUE"], "NOVALUE"),
        (&["--env", "=x"], "name cannot be empty"),
        (&["--pid-file", "/no/such/pid"], "o such file or directory"),
        (&["--process", "/no/such"], "open /no/such"),
        (&["-d", "-t"], "cannot allocate tty"),
        (&["--console-socket", "/no"], "cannot use console socket"),
    ] {
        if phrase == "NOVALUE" && !runtime().is_bareboat() {
            continue;
        }
        if runtime().predates("runc", [1, 2, 0], "all of these phrases") {
            return;
        }
        let finished = container.exec(options, &["true"]).refused(&[phrase]);
        assert_eq!(finished.code(), 255, "{options:?}");
    }
    let finished = container
        .exec(&[], &[""])
        .refused(&[r#"exec: "": executable file not found in $PATH"#]);
    assert_eq!(finished.code(), 255);
    let _ = container
        .exec(&[], &[])
        .refused(&["exec args cannot be empty"]);
    assert_eq!(container.status(), "running");
}

#[test]
fn a_capability_that_nobody_knows_is_left_out_with_a_warning() {
    if is_another() || runtime().predates("runc", [1, 1, 0], "to leave out capabilities") {
        return;
    }
    let container = running();
    let finished = container.exec(&["--cap", "CAP_FLY"], &["echo", "ran"]).ok();
    assert_eq!(finished.stdout, "ran\n");
    assert!(finished.stderr.contains("level=warning"), "{finished:?}");
    assert!(finished.stderr.contains("CAP_FLY"), "{finished:?}");
}

#[test]
fn a_form_that_there_is_not_is_refused_by_list_and_ps() {
    if is_another() {
        return;
    }
    let container = running();
    let phrase = ["invalid format option"];
    let _ = run(&mut container.subcommand(["list", "--format", "xml"])).refused(&phrase);
    let _ = container.call(&["ps", "--format=xml"]).refused(&phrase);
}

#[test]
fn help_is_standard_output_and_a_success_under_the_name_that_the_program_is_called_by() {
    if is_another() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let link = directory.path().join("runc");
    std::os::unix::fs::symlink(&runtime().path, &link).unwrap();
    for (arguments, name) in [
        (&[][..], "runc - "),
        (&["-h"], "runc - "),
        (&["help"], "runc - "),
        (&["exec", "--help"], "runc exec - "),
        (&["help", "exec"], "runc exec - "),
        (&["h", "exec"], "runc exec - "),
    ] {
        let finished = run(Command::new(&link).args(arguments)).ok();
        let opening = format!("NAME:\n   {name}");
        assert!(finished.stdout.starts_with(&opening), "{finished:?}");
        assert_eq!(finished.stderr, "", "{arguments:?}");
    }
    let version = run(Command::new(&link).arg("--version")).ok().stdout;
    assert!(
        version.starts_with(&format!("{} version ", runtime().name)),
        "{version}"
    );
}
