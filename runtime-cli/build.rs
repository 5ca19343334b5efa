//! Tells the binary which commit it was built from, where that can be known.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The one reads the other.
    println!("cargo:rerun-if-changed=../.cargo/linker");
    println!("cargo:rerun-if-changed=functions");
    for file in ["../.git/HEAD", "../.git/logs/HEAD"] {
        if Path::new(file).exists() {
            println!("cargo:rerun-if-changed={file}");
        }
    }
    println!(
        "cargo:rustc-env=BAREBOAT_COMMIT={}",
        commit().unwrap_or_else(|| "unknown".to_owned())
    );
}

/// The commit, when this is a checkout of the project itself and not a copy inside some other repository.
fn commit() -> Option<String> {
    if !Path::new("../.git").exists() {
        return None;
    }
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--long"])
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let commit = text.trim();
    (output.status.success() && !commit.is_empty()).then(|| commit.to_owned())
}
