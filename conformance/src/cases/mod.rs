//! One case for each MUST and SHOULD of the OCI Runtime Specification 1.3 for Linux that can be seen from outside, in the
//! order of the documents; a module is a document or a section of one. Any runtime with runc's command line can be put to them.
//!
//! What a property's description says it does is a MUST, too: "All of the properties configured in config.json except for
//! process MUST be applied" (runtime.md, "Create"). A MUST that the author of a configuration has to keep (an absolute path,
//! a known name) is one of the runtime's by "Runtimes MUST generate an error when invalid or unsupported values are
//! encountered" (config.md, "Valid values").
//!
//! `docs/specification.md` has the clauses that no case can see, and why.

use serde_json::Value;

use crate::process::{Finished, run};
use crate::suite::{Case, Level, skip};
use crate::{Config, Container};

/// Declares a module's cases: `LEVEL "clause" ["since"] "text" sentence;`, or `sentence => function;`.
macro_rules! cases {
    (@run $sentence:ident) => { $sentence };
    (@run $sentence:ident $run:expr) => { $run };
    ($($level:ident $clause:literal [$since:literal] $text:literal $sentence:ident $(=> $run:expr)?;)*) => {
        pub(crate) const CASES: &[crate::suite::Case] = &[$(crate::suite::Case {
            clause: $clause,
            text: $text,
            level: crate::suite::Level::$level,
            since: $since,
            module: module_path!(),
            sentence: stringify!($sentence),
            run: cases!(@run $sentence $($run)?),
        }),*];
    };
}

mod bundle;
mod config;
mod features;
mod hooks;
mod lifecycle;
mod linux_cgroups;
mod linux_devices;
mod linux_namespaces;
mod linux_paths;
mod linux_seccomp;
mod mount_options;
mod operations;
mod process;
mod runtime;

/// All cases, in the order of the specification's documents.
#[must_use]
pub fn all() -> Vec<&'static Case> {
    let modules = [
        bundle::CASES,
        runtime::CASES,
        lifecycle::CASES,
        operations::CASES,
        config::CASES,
        mount_options::CASES,
        process::CASES,
        hooks::CASES,
        linux_namespaces::CASES,
        linux_devices::CASES,
        linux_cgroups::CASES,
        linux_paths::CASES,
        linux_seccomp::CASES,
        features::CASES,
    ];
    modules.into_iter().flatten().collect()
}

/// A table of the cases, a heading of the specification a row: what `docs/specification.md` has.
#[must_use]
pub fn table() -> String {
    let mut rows: Vec<(&str, Vec<String>)> = Vec::new();
    for case in all() {
        let name = match case.level {
            Level::Must => format!("`{}`", case.name()),
            Level::Should => format!("`{}` (SHOULD)", case.name()),
        };
        match rows.iter_mut().find(|(clause, _)| *clause == case.clause) {
            Some((_, names)) => names.push(name),
            None => rows.push((case.clause, vec![name])),
        }
    }
    let rows = rows
        .iter()
        .map(|(clause, names)| format!("| {clause} | {} |\n", names.join(", ")));
    "| Heading | Cases |\n|---|---|\n".to_owned() + &rows.collect::<String>()
}

/// A created container that would wait to be killed.
fn created(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.waits();
        change(config);
    });
    let _ = container.create().ok();
    container
}

/// A running container that waits to be killed.
fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = created(change);
    let _ = container.start().ok();
    container
}

/// What a script prints in a container that can write to its root file system.
fn inside(script: &str, change: impl FnOnce(&mut Config)) -> String {
    let container = Container::new(|config| {
        config
            .shell(script)
            .set("/root/readonly", Value::Bool(false));
        change(config);
    });
    container.run().ok().stdout
}

/// Asserts that the operation generated an error. The specification does not say how; the command line does: by its exit
/// status.
#[track_caller]
fn errs(finished: &Finished) {
    assert_ne!(finished.code(), 0, "no error was generated: {finished:#?}");
}

/// Asserts that no container is made with this configuration, and that its program does not run.
#[track_caller]
fn refuses(change: impl FnOnce(&mut Config)) {
    refused(&Container::new(|config| {
        config.shell("echo it ran");
        change(config);
    }));
}

#[track_caller]
fn refused(container: &Container) {
    let finished = container.run();
    errs(&finished);
    assert!(!finished.stdout.contains("it ran"), "{finished:#?}");
}

/// Runs the container to its end. Skips the case if it is refused: "Unless support for a valid value is explicitly required,
/// runtimes MAY choose which subset of the valid values it will support" (config.md, "Valid values").
fn run_if_supported(container: &Container) -> Finished {
    let finished = container.run();
    if matches!(finished.code(), 1 | 255) && finished.stdout.is_empty() {
        skip(format!("{REFUSED}: {}", finished.stderr.trim()));
    }
    finished
}

/// What the reason says of a case that was skipped because the runtime MAY refuse a value.
pub const REFUSED: &str = "the runtime refuses this valid value, as it MAY";

/// Asserts that the runtime knows the name: that it does not say of it what it says of one that nobody knows.
fn recognized(name: &str, change: impl Fn(&mut Config, &str)) {
    let said = |name: &str| {
        let container = Container::new(|config| change(config, name));
        let finished = container.run();
        let text = finished.stderr.replace(name, "").replace(&container.id, "");
        let path = container.path().display().to_string();
        let text = text.replace(&path, "");
        text.chars()
            .filter(|letter| !letter.is_ascii_digit())
            .collect::<String>()
    };
    let known = said(name);
    assert!(
        known.is_empty() || known != said("NOBODY_KNOWS_THIS"),
        "{name}: {known}"
    );
}

/// Runs a script on the host with the runtime's command as its arguments, in namespaces of its own that no other case sees.
fn run_in(unshare: &[&str], script: &str, container: &Container, options: &[&str]) -> Finished {
    let mut command = std::process::Command::new("unshare");
    command.args(unshare).args(["sh", "-ec", script, "sh"]);
    let inner = container.run_command(options);
    command.arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    run(command.current_dir("/"))
}
