//! The dependencies come from the one registry, under the licences that `.cargo/deny.toml` lists: a part of what `make deny`
//! checks, for machines without cargo-deny.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use spdx::{Expression, ParseMode};

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

/// Whether the expression leaves a choice of licences that are all allowed.
fn is_allowed(expression: &str, allowed: &[String]) -> bool {
    // Old ones have `/` for `OR`.
    let parsed = Expression::parse_mode(expression, ParseMode::LAX);
    let parsed = parsed.unwrap_or_else(|problem| panic!("{expression}: {problem}"));
    parsed.evaluate(|licence| allowed.contains(&licence.to_string()))
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
