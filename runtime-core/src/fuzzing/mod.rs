//! What holds whatever bytes come in: the bodies of the targets in `fuzz/`. Tests run them over the same seeds.
//!
//! No part of the library's interface, and compiled for fuzzing and for tests alone. What is private to a module is tried
//! by the `fuzzing.rs` of that module.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a target says that something does not hold"
)]

mod hosts;
mod plan;
#[cfg(test)]
mod tests;
mod texts;

pub use crate::cgroup::fuzzing::{devices, systemd_unit};
pub use crate::mounts::fuzzing::mount_options;
pub use crate::seccomp::fuzzing::seccomp;
pub use crate::update::fuzzing::resources;
pub use plan::{config, plan_codec, process};
pub use texts::{host_files, passwd, state};

/// A target: what it does with an input.
pub type Target = fn(&[u8]);

/// All targets of this library, by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("config", config),
    ("devices", devices),
    ("host_files", host_files),
    ("mount_options", mount_options),
    ("passwd", passwd),
    ("plan_codec", plan_codec),
    ("process", process),
    ("resources", resources),
    ("seccomp", seccomp),
    ("state", state),
    ("systemd_unit", systemd_unit),
];
