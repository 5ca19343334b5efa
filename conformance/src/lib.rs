//! A black-box harness for OCI runtimes: every case makes a bundle of its own, runs the real binary on it as an engine
//! would, and looks at what came of it, inside (by a static [probe](report)) and outside the container.
//!
//! The runtime is the program that the variable `RUNTIME` names, by default the workspace's own `bareboat`; see
//! [`runtime`]. `CGROUP_DRIVER=systemd` has systemd make the cgroups; see [`driver`]. What the harness asserts by itself,
//! at the end of each case, is that nothing of the container is left: no mount, cgroup, process or state directory; see
//! [`leftovers`].
//!
//! Two things use it: the tests in `tests/`, most of them about bareboat in runc's place, and the program `conformance`,
//! which puts any runtime to the [clauses](cases) of the specification one by one.
//!
//! It does not mock, and it does not know how a runtime works: it uses runc's command line, and config.json.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "this is the body of tests: a panic is how a case fails"
)]

pub mod agent;
pub mod agreement;
pub mod cases;
pub mod cgroup;
pub mod config;
pub mod console;
pub mod container;
pub mod device_probe;
pub mod driver;
pub mod fault;
pub mod leftovers;
pub mod mountinfo;
pub mod overwrite;
pub mod process;
pub mod report;
pub mod rootfs;
pub mod runtime;
pub mod scan;
pub mod service_manager;
pub mod signaller;
pub mod suite;
pub mod swap;
pub mod sys;

pub use agent::Agent;
pub use config::Config;
pub use container::Container;
pub use process::Finished;
pub use report::Report;
