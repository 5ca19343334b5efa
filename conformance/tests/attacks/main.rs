//! Published attacks on container runtimes: a hostile image, a hostile process in a container, a hostile neighbour on a
//! shared volume. One module for each way in; `docs/security.md` has the table of weaknesses with the tests' names.
//!
//! Each test fails when the countermeasure is taken out of bareboat, and several fail against other runtimes
//! (`RUNTIME=runc`): "the host" of an attack is therefore a file or directory of the test's own.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "in helpers of tests, too, a panic is a failure"
)]

mod console;
mod descriptors;
mod executable;
mod fields;
mod hostile;
mod hostile_init;
mod identity;
mod masks;
mod neighbours;
mod proc_and_sys;
mod races;
mod rootless;
mod sources;
mod targets;
#[allow(dead_code, reason = "the suite of users' containers has more of him")]
#[path = "../rootless/user.rs"]
mod user;
mod working_directory;
