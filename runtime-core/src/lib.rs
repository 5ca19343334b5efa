//! bareboat's library: the OCI Runtime Specification 1.3 for Linux, for any thread of any program.
//!
//! A container's configuration is *compiled* to a plan and then *executed*:
//!
//! - [`plan::compile`] is pure. It needs no privileges and does nothing; each step of the [`plan::Plan`] knows the JSON
//!   pointer in `config.json` that asked for it.
//! - [`Container::builder`] executes the plan: a freestanding program, embedded in this library, does what must be done
//!   inside the new namespaces, and the calling thread does the rest.
//!
//! ```no_run
//! use runtime_core::{Bundle, Container};
//!
//! let container = Container::builder("hello", Bundle::load("/srv/bundles/hello")?).run()?;
//! let status = container.wait()?;
//! container.delete(false)?;
//! std::process::exit(status.code());
//! # #[allow(unreachable_code)]
//! # Ok::<(), runtime_core::Error>(())
//! ```
//!
//! # What it does not do
//!
//! It prints nothing (there are [`tracing`] events), changes nothing of its process (working directory, umask, signal
//! dispositions, environment), needs no call at the start of `main` and no helper on disk. Processes that it starts are
//! children of the calling process, which has to wait for them or to hand them to a subreaper.
//!
//! # Terminology
//!
//! Names are the specification's: *bundle*, *rootfs*, *hook*, *maskedPaths*. The *init* is the container's first process
//! until the user's program replaces it; a *tenant* is a process that `exec` puts beside it.

mod annotations;
mod apparmor;
mod builder;
mod bundle;
mod capabilities;
pub mod cgroup;
mod confine;
mod console;
mod container;
mod create;
mod creation;
mod default_spec;
mod delete;
mod devices;
mod ended;
mod error;
mod events;
mod exec;
mod exec_cpu_affinity;
mod exhaustion;
mod facts;
mod features;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod held;
mod home;
mod hooks;
mod id_mappings;
mod intel_rdt;
mod io_priority;
mod launch;
mod listing;
mod mapping_tool;
mod memfd;
mod memory_policy;
mod message;
mod mounts;
mod namespaces;
mod net_devices;
mod network;
mod notify_socket;
mod number_list;
mod pass_descriptor;
mod paths;
mod pause;
mod personality;
mod pidfd_socket;
pub mod plan;
mod process;
mod process_hook;
mod process_id;
mod process_json;
mod rlimits;
mod rootless;
mod salvage;
mod scheduler;
pub mod seccomp;
mod selinux;
mod sources;
mod spec_version;
mod start;
mod state;
mod stations;
mod stats;
mod status;
mod sys;
mod sysctl;
mod tenant_cgroup;
mod timings;
mod update;
mod uts;

pub use builder::{CgroupDriver, Stdio};
pub use bundle::Bundle;
pub use container::Container;
pub use create::{ContainerBuilder, DEFAULT_STATE_ROOT};
pub use default_spec::{default_spec, default_spec_rootless};
pub use error::{Error, ErrorKind, Result};
pub use events::{OomEvent, OomEvents, Waited};
pub use exec::{ExecBuilder, ExitStatus, TenantProcess};
pub use features::features;
pub use intel_rdt::{BandwidthUsage, IntelRdtStats, L3CacheInfo, MemoryBandwidthInfo};
pub use listing::Containers;
pub use notify_socket::{Readiness, ServiceManager};
pub use process_json::parse_process;
pub use spec_version::SPEC_VERSION;
pub use stats::Stats;
pub use status::{State, Status};
pub use timings::Timings;
pub use update::parse_resources;

pub use oci_spec;

fn cgroup_error(error: cgroup::CgroupError) -> Error {
    let message = error.to_string();
    Error::new(ErrorKind::Setup, message).at(error.pointer())
}
