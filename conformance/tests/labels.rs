//! What confines a process beside capabilities and filters: AppArmor profiles, SELinux labels, and keyrings.

#![allow(
    clippy::unwrap_used,
    reason = "in helpers of tests, too, a panic is a failure"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use conformance::process::{Finished, spawn};
use conformance::runtime::runtime;
use conformance::{Config, Container};
use serde_json::json;

fn running(change: impl FnOnce(&mut Config)) -> Container {
    let container = Container::new(|config| {
        config.waits().set("/linux/maskedPaths", json!([]));
        change(config);
    });
    let _ = container.run_detached();
    container
}

fn host_has_apparmor() -> bool {
    Path::new("/sys/kernel/security/apparmor").exists()
}

fn host_has_selinux() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

/// The phrases that bareboat's error has beside those of every runtime.
fn phrases<'p>(words: &'p str, pointer: &'p str) -> Vec<&'p str> {
    let mut phrases = vec![words];
    if runtime().is_bareboat() {
        phrases.push(pointer);
    }
    phrases
}

#[test]
fn an_apparmor_profile_is_refused_where_there_is_no_apparmor() {
    if host_has_apparmor() {
        eprintln!("skipped: this host has AppArmor");
        return;
    }
    let container = Container::new(|config| {
        config.set("/process/apparmorProfile", json!("docker-default"));
    });
    let phrases = phrases("apparmor", "/process/apparmorProfile");
    let _ = container.create().refused(&phrases);
    container.assert_nothing_left();
    let _ = container.run().refused(&phrases);
    container.assert_nothing_left();
}

#[test]
fn a_selinux_label_is_refused_where_there_is_no_selinux() {
    if host_has_selinux() {
        eprintln!("skipped: this host has SELinux");
        return;
    }
    let container = Container::new(|config| {
        config.set(
            "/process/selinuxLabel",
            json!("system_u:system_r:container_t:s0"),
        );
    });
    let phrases = phrases(
        "selinux label is specified in config, but selinux is disabled or not supported",
        "/process/selinuxLabel",
    );
    let _ = container.create().refused(&phrases);
    container.assert_nothing_left();
}

#[test]
fn exec_refuses_a_profile_or_label_that_nothing_would_enforce() {
    if host_has_apparmor() || host_has_selinux() {
        eprintln!("skipped: this host has AppArmor or SELinux");
        return;
    }
    let container = running(|_| {});
    for (option, pointer) in [
        ("--apparmor", "/process/apparmorProfile"),
        ("--process-label", "/process/selinuxLabel"),
    ] {
        let finished = container.exec(&[option, "web"], &["true"]);
        assert_eq!(finished.code(), 255, "{option}");
        if runtime().is_bareboat() {
            assert!(finished.stderr.contains(pointer), "{finished:?}");
        }
    }
    let _ = container.exec(&["--apparmor", ""], &["true"]).ok();
}

/// The serial number and the name of the session keyring, as keyrings(7) has them in /proc/keys.
fn session_keyrings(keys: &str) -> Vec<(&str, &str)> {
    keys.lines()
        .filter_map(|line| {
            let (serial, rest) = line.split_once(' ')?;
            let (_, name) = rest.rsplit_once("keyring ")?;
            let name = name.trim().split(':').next()?;
            name.starts_with("_ses").then_some((serial, name))
        })
        .collect()
}

#[test]
fn the_session_keyring_is_the_containers_own_and_exec_shares_it() {
    let container = running(|_| {});
    let name = format!("_ses.{}", container.id);
    let list = ["cat", "/proc/keys"];
    let of_exec = container.exec(&[], &list).ok().stdout;
    let found = session_keyrings(&of_exec);
    assert!(
        found.iter().any(|(_, found)| **found == name),
        "{name}: {of_exec}"
    );
    // The same one both times: there is one keyring of that name, not one for each process.
    let again = container.exec(&[], &list).ok().stdout;
    let serials = |keys: &str| -> Vec<String> {
        let own = session_keyrings(keys).into_iter();
        own.filter(|(_, found)| *found == name)
            .map(|(serial, _)| serial.to_owned())
            .collect()
    };
    assert_eq!(serials(&of_exec).len(), 1, "{of_exec}");
    assert_eq!(serials(&of_exec), serials(&again));
}

#[test]
fn in_a_user_namespace_exec_finds_the_containers_keyring_too() {
    if runtime().departs("runc", "lets anyone search the keyring but its owner") {
        return;
    }
    let container = running(|config| {
        config.user_namespace(&[(0, 100_000, 65536)]);
    });
    let name = format!("_ses.{}", container.id);
    let keys = container.exec(&[], &["cat", "/proc/keys"]).ok().stdout;
    let found = session_keyrings(&keys);
    assert_eq!(
        found.iter().filter(|(_, found)| **found == name).count(),
        1,
        "{keys}"
    );
}

#[test]
fn no_new_keyring_leaves_the_callers_for_exec_too() {
    let container = Container::new(|config| {
        config.waits().set("/linux/maskedPaths", json!([]));
    });
    let mut command = container.run_command(&["--detach", "--no-new-keyring"]);
    let _ = conformance::process::run(&mut command).ok();
    let keys = container.exec(&[], &["cat", "/proc/keys"]).ok().stdout;
    let name = format!("_ses.{}", container.id);
    assert!(!keys.contains(&name), "{keys}");
}

/// An AppArmor profile that is loaded while this value is there.
struct Profile(String);

impl Profile {
    /// One that allows everything but reading /etc/passwd.
    fn load() -> Self {
        let name = format!("conformance-{}", std::process::id());
        let profile = Self(name);
        let _ = profile.parser("--replace").ok();
        profile
    }

    fn parser(&self, action: &str) -> Finished {
        let text = format!(
            "profile {} flags=(attach_disconnected) {{ file, capability, signal, mount, umount, deny /etc/passwd r, }}\n",
            self.0
        );
        let mut command = Command::new("apparmor_parser");
        command.args([action, "--skip-cache"]).stdin(Stdio::piped());
        let mut parser = spawn(&mut command);
        let mut input = parser.stdin().unwrap();
        input.write_all(text.as_bytes()).unwrap();
        drop(input);
        parser.wait()
    }
}

impl Drop for Profile {
    fn drop(&mut self) {
        let _ = self.parser("--remove");
    }
}

#[test]
fn an_apparmor_profile_confines_the_program_and_those_of_exec() {
    if !host_has_apparmor() {
        eprintln!("skipped: this host has no AppArmor");
        return;
    }
    let profile = Profile::load();
    for restricted in [true, false] {
        let container = Container::new(|config| {
            config
                .waits()
                .set("/process/apparmorProfile", json!(profile.0))
                .set("/process/noNewPrivileges", json!(restricted));
        });
        let _ = container.run_detached().ok();
        let expected = format!("{} (enforce)", profile.0);
        let init = fs::read_to_string(format!("/proc/{}/attr/current", container.pid())).unwrap();
        assert_eq!(init.trim_end(), expected);
        let script = "cat /proc/self/attr/current; cat /etc/group >/dev/null && cat /etc/passwd";
        let inside = container.exec(&[], &["sh", "-c", script]);
        assert!(inside.stdout.starts_with(&expected), "{inside:?}");
        assert!(inside.stderr.contains("/etc/passwd"), "{inside:?}");
        assert_ne!(inside.code(), 0);
        let other = container.exec(
            &["--apparmor", "unconfined"],
            &["cat", "/proc/self/attr/current"],
        );
        assert_eq!(other.ok().stdout.trim_end(), "unconfined");
    }
}

#[test]
fn an_apparmor_profile_that_is_not_loaded_is_an_error() {
    if !host_has_apparmor() {
        eprintln!("skipped: this host has no AppArmor");
        return;
    }
    let container = Container::new(|config| {
        config.set("/process/apparmorProfile", json!("no-such-profile"));
    });
    let _ = container
        .run()
        .refused(&phrases("apparmor", "no-such-profile"));
    container.assert_nothing_left();
}
