//! The dependencies come from the one registry, under the licences that `.cargo/deny.toml` lists: a part of what `make deny`
//! checks, for machines without cargo-deny.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn packages() -> Vec<Value> {
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--locked", "--format-version=1"])
        .arg(format!(
            "--filter-platform={}-unknown-linux-gnu",
            std::env::consts::ARCH
        ))
        .current_dir(workspace())
        .output()
        .unwrap();
    assert!(
        cargo.status.success(),
        "{}",
        String::from_utf8_lossy(&cargo.stderr)
    );
    let metadata: Value = serde_json::from_slice(&cargo.stdout).unwrap();
    let packages = metadata["packages"].as_array().cloned().unwrap();
    assert!(packages.len() > 50, "{} packages", packages.len());
    packages
}

/// The licences that `.cargo/deny.toml` has in its only `allow = […]` of one line.
fn allowed() -> Vec<String> {
    let text = fs::read_to_string(workspace().join(".cargo/deny.toml")).unwrap();
    let mut lines = text.lines();
    let list = lines
        .find_map(|line| line.strip_prefix("allow = ["))
        .unwrap();
    let quoted = list.split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// Whether an expression of SPDX leaves a choice of licences that are all allowed. Old ones have `/` for `OR`.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    let words = expression
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let words: Vec<&str> = words.split_whitespace().collect();
    let (answer, rest) = alternatives(&words, allowed);
    assert!(rest.is_empty(), "{expression}: {rest:?} is left");
    answer
}

fn alternatives<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut any, mut rest) = conjunction(words, allowed);
    while let ["OR", after @ ..] = rest {
        let (other, left) = conjunction(after, allowed);
        (any, rest) = (any | other, left);
    }
    (any, rest)
}

fn conjunction<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let (mut all, mut rest) = licence(words, allowed);
    while let ["AND", after @ ..] = rest {
        let (other, left) = licence(after, allowed);
        (all, rest) = (all & other, left);
    }
    (all, rest)
}

fn licence<'a>(words: &'a [&'a str], allowed: &[String]) -> (bool, &'a [&'a str]) {
    let is_listed = |name: &str| allowed.iter().any(|listed| listed == name);
    match words {
        ["(", inside @ ..] => {
            let (answer, rest) = alternatives(inside, allowed);
            assert_eq!(rest.first(), Some(&")"), "{words:?}");
            (answer, rest.get(1..).unwrap_or_default())
        }
        [name, "WITH", exception, rest @ ..] => {
            (is_listed(&format!("{name} WITH {exception}")), rest)
        }
        [name, rest @ ..] => (is_listed(name), rest),
        [] => panic!("the expression ends where a licence should be"),
    }
}

#[test]
fn an_expression_is_allowed_when_one_choice_of_it_is_allowed_whole() {
    let allowed = ["MIT", "Apache-2.0", "Zlib"].map(str::to_owned);
    for good in [
        "MIT",
        "MIT/GPL-3.0",
        "GPL-3.0 OR (MIT AND Zlib)",
        "(MIT OR X) AND Zlib",
    ] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "(MIT OR Zlib) AND X",
        "Apache-2.0 WITH X",
        "mit",
    ] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_goes_with_this_one_and_comes_from_the_registry() {
    let allowed = allowed();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(
            is_allowed(licence, &allowed),
            "{name} has the licence {licence:?}"
        );
        let source = &package["source"];
        assert!(
            source.is_null() || source == REGISTRY,
            "{name} comes from {source}"
        );
    }
}
