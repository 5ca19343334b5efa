//! `bareboat plan`: what would be done, without doing it. No other runtime has it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use conformance::process::{Finished, run};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::{Value, json};

/// Whether there is nothing to test; prints so.
fn skipped() -> bool {
    if !runtime().is_bareboat() {
        eprintln!("skipped: {} has no plan", runtime().name);
    }
    !runtime().is_bareboat()
}

fn plan(container: &Container, format: &str) -> Finished {
    run(container
        .subcommand(["plan", "--format", format, "--bundle"])
        .arg(container.bundle()))
}

#[test]
fn a_plan_is_text_with_the_origin_of_each_step() {
    if skipped() {
        return;
    }
    let container = Container::new(|_| {});
    let text = plan(&container, "text").ok().stdout;
    for origin in [
        "/mounts/0",
        "/hostname",
        "/process/rlimits/0",
        "/linux/maskedPaths",
        "/linux/readonlyPaths",
    ] {
        assert!(text.contains(origin), "{origin}: {text}");
    }
    container.assert_nothing_left();
}

#[test]
fn a_plan_is_json_with_the_same_steps() {
    if skipped() {
        return;
    }
    let container = Container::new(|_| {});
    let text = plan(&container, "json").ok().stdout;
    let plan: Value = serde_json::from_str(&text).unwrap();
    assert!(!plan.is_null());
    for origin in ["\"/mounts/0\"", "\"/hostname\"", "\"/process/rlimits/0\""] {
        assert!(text.contains(origin), "{origin}: {text}");
    }
}

#[test]
fn a_plan_is_the_same_each_time() {
    if skipped() {
        return;
    }
    let container = Container::new(|_| {});
    assert_eq!(
        plan(&container, "json").ok().stdout,
        plan(&container, "json").ok().stdout
    );
}

#[test]
fn a_plan_needs_no_privilege_and_changes_nothing() {
    if skipped() {
        return;
    }
    let container = Container::with_path(|config, path| {
        config.bind(path, "/case", &["bind"]);
        let hook = json!({"path": "/bin/sh", "args": ["sh", "-c", format!("touch {}/ran", path.display())]});
        config.push("/hooks/createRuntime", hook);
    });
    let binary = container.path().join("runtime");
    fs::copy(&runtime().path, &binary).unwrap();
    fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(binary)
        .args(["plan", "--bundle"]);
    let text = run(command.arg(container.bundle())).ok().stdout;
    assert!(text.contains("/mounts/0"), "{text}");
    assert!(!container.path().join("ran").exists());
    container.assert_nothing_left();
}

#[test]
fn a_plan_of_a_bad_configuration_is_the_error_that_create_gives() {
    if skipped() {
        return;
    }
    let container = Container::new(|config: &mut Config| {
        config.set("/linux/namespaces/0/type", json!("nosuch"));
    });
    let _ = plan(&container, "text").refused(&["/linux/namespaces/0"]);
    let _ = container.create().refused(&["/linux/namespaces/0"]);
}
