//! Builds the freestanding init for the target and leaves it where the library embeds it.
//!
//! It is a program of its own, with flags of its own, so a cargo of its own builds it: always optimised, into a target
//! directory under `OUT_DIR`, with none of the flags and wrappers that are meant for the library.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// No libc and no start files, at a fixed address: nothing to relocate at start.
const FLAGS: &[&str] = &[
    "-Clink-arg=-nostartfiles",
    "-Clink-arg=-nostdlib",
    "-Clink-arg=-static",
    "-Crelocation-model=static",
    "-Cpanic=abort",
    "-Clink-arg=-Wl,--build-id=none",
];

/// What the outer build sets for itself and must not reach the init's.
const FOREIGN: &[&str] = &[
    "RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CARGO_BUILD_TARGET",
];

fn main() {
    if let Err(problem) = build() {
        println!("cargo::error={problem}");
    }
}

fn build() -> Result<(), String> {
    let init = Path::new(&variable("CARGO_MANIFEST_DIR")?).join("../runtime-init");
    println!("cargo::rerun-if-changed={}", init.join("src").display());
    println!(
        "cargo::rerun-if-changed={}",
        init.join("Cargo.toml").display()
    );
    let target = variable("TARGET")?;
    let directory = PathBuf::from(variable("OUT_DIR")?).join("init");
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .args([
            "build",
            "--quiet",
            "--package=runtime-init",
            "--bin=runtime-init",
            "--features=freestanding",
        ])
        .args(["--profile=init", "--target", &target])
        .arg("--manifest-path")
        .arg(init.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&directory)
        .env("CARGO_ENCODED_RUSTFLAGS", FLAGS.join("\u{1f}"));
    for name in FOREIGN {
        cargo.env_remove(name);
    }
    let status = cargo
        .status()
        .map_err(|error| format!("cannot run cargo for the init: {error}"))?;
    if !status.success() {
        return Err(format!("building the init for {target} failed: {status}"));
    }
    let program = directory.join(&target).join("init/runtime-init");
    println!("cargo::rustc-env=RUNTIME_INIT={}", program.display());
    Ok(())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("cargo did not set {name}: {error}"))
}
