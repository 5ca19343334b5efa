//! A host that turns hostile: full or read-only disks, no descriptors, little memory, damaged state, cgroups that others
//! freeze or remove, no /proc. Each command then works or says in one line what failed; nothing panics or hangs, and
//! afterwards the container is deleted by force, leaves nothing, and its ID serves another one.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in helpers of tests, too, a panic is a failure"
)]

mod cgroups;
mod disk;
mod limits;
mod processes;
mod roots;
mod state;
mod streams;

use std::path::Path;
use std::process::Command;

use conformance::process::{Finished, run};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

fn waits(config: &mut Config) {
    config.waits();
}

/// These are about how bareboat keeps its state, or about failures in which others differ in many ways.
fn is_another() -> bool {
    let is_another = !runtime().is_bareboat();
    if is_another {
        eprintln!("skipped: {} fails in ways of its own", runtime().name);
    }
    is_another
}

/// The one line of error of a command that failed; none when it succeeded. No panic, no signal.
#[track_caller]
fn answer(finished: Finished) -> Option<String> {
    assert!(!finished.stderr.contains("panicked"), "{finished:#?}");
    assert!(
        finished.status.code().is_some(),
        "by a signal: {finished:#?}"
    );
    if finished.code() == 0 {
        return None;
    }
    let stderr = finished.refused(&[]).stderr.replace('\\', "");
    let mut lines = stderr
        .lines()
        .filter(|line| !line.contains("level=warning"));
    lines.next().map(str::to_owned)
}

/// The error of a command that is to fail has this phrase.
#[track_caller]
fn fails(finished: Finished, phrase: &str) {
    let command = finished.command.clone();
    let error = answer(finished).unwrap_or_default();
    assert!(
        error.contains(phrase),
        "{phrase:?} in {error:?} of {command}"
    );
}

/// What is left is deleted by force, and the ID serves another container.
#[track_caller]
fn assert_can_be_replaced(container: &Container) {
    assert_eq!(answer(container.delete_force()), None);
    container.assert_nothing_left();
    let _ = container.create().ok();
    let _ = container.start().ok();
    let _ = container.delete_force().ok();
    container.assert_nothing_left();
}

/// All commands on a container that is there, each with its answer.
fn all_answers(container: &Container) -> Vec<(&'static str, Option<String>)> {
    let mut all = Vec::new();
    for name in [
        "state", "start", "pause", "resume", "ps", "exec", "update", "kill",
    ] {
        let finished = match name {
            "exec" => container.exec(&[], &["true"]),
            "update" => container.call(&["update", "--pids-limit", "900"]),
            "kill" => run(&mut container.subcommand(["kill", &container.id, "0"])),
            name => container.call(&[name]),
        };
        all.push((name, answer(finished)));
    }
    let list = run(&mut container.subcommand(["list"]));
    all.push(("list", answer(list)));
    all
}

/// The same command, under limits that the shell's `ulimit` sets.
fn limited(command: &Command, limits: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let script: String = limits
        .iter()
        .map(|limit| format!("ulimit {limit} && "))
        .collect();
    shell.args(["-c", &format!("{script}exec \"$@\""), "sh"]);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        shell.env(name, value.unwrap_or_default());
    }
    shell.current_dir("/");
    shell
}

/// Gives the calling thread, and what it starts, a mount namespace of their own.
fn own_mounts() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    let flags = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).unwrap();
}

/// A file system of the test's own; unmounted at its end.
struct Mounted<'a>(&'a Path);

impl<'a> Mounted<'a> {
    fn tmpfs(path: &'a Path, options: &str) -> Self {
        std::fs::create_dir_all(path).unwrap();
        let none = MsFlags::empty();
        mount(Some("tmpfs"), path, Some("tmpfs"), none, Some(options)).unwrap();
        Self(path)
    }

    fn set_readonly(&self, readonly: bool) {
        let flag = if readonly {
            MsFlags::MS_RDONLY
        } else {
            MsFlags::empty()
        };
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | flag;
        mount(None::<&str>, self.0, None::<&str>, flags, None::<&str>).unwrap();
    }

    fn bound(path: &'a Path) -> Self {
        let flags = MsFlags::MS_BIND;
        mount(Some(path), path, None::<&str>, flags, None::<&str>).unwrap();
        Self(path)
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = umount2(self.0, MntFlags::MNT_DETACH);
    }
}
