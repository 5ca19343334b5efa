//! The floor: what the kernel alone charges for a container of `runc spec`'s default configuration.
//!
//! It makes the system calls that this one configuration asks for, with every argument known beforehand:
//! no configuration is parsed, no state is kept, nothing is checked. It is the yardstick for a runtime, not a runtime.
//!
//! ```text
//! benches floor v1 ROOTFS NAME CPUS MEMS HIERARCHY...    cgroups NAME below each mount point of a v1 hierarchy
//! benches floor v2 ROOTFS NAME HIERARCHY                 cgroup NAME below the mount point of the v2 hierarchy
//! ```
//!
//! The parents of NAME exist already. The exit code is that of `/bin/true` in the container.

mod cgroup;
mod container;
mod device_filter;

use std::io;
use std::process::ExitCode;

use self::cgroup::Cgroups;
use self::container::Container;

/// A system call that failed, and what it was for.
#[derive(Debug)]
pub(crate) struct Failure {
    what: &'static str,
    cause: io::Error,
}

/// Names the step that an error belongs to.
pub(crate) trait During<T> {
    fn during(self, what: &'static str) -> Result<T, Failure>;
}

impl<T> During<T> for io::Result<T> {
    fn during(self, what: &'static str) -> Result<T, Failure> {
        self.map_err(|cause| Failure { what, cause })
    }
}

/// Runs the container that the command line names and gives its exit code.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let Some((rootfs, cgroups)) = parse(arguments) else {
        eprintln!(
            "usage: benches floor v1 ROOTFS NAME CPUS MEMS HIERARCHY... | v2 ROOTFS NAME HIERARCHY"
        );
        return ExitCode::from(2);
    };
    match run(rootfs, &cgroups) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("floor: {}: {}", failure.what, failure.cause);
            ExitCode::FAILURE
        }
    }
}

fn parse(arguments: &[String]) -> Option<(&str, Cgroups)> {
    match arguments {
        [kind, rootfs, name, cpus, mems, hierarchies @ ..] if kind == "v1" => {
            Some((rootfs, Cgroups::v1(name, cpus, mems, hierarchies)))
        }
        [kind, rootfs, name, hierarchy] if kind == "v2" => {
            Some((rootfs, Cgroups::v2(name, hierarchy)))
        }
        _ => None,
    }
}

fn run(rootfs: &str, cgroups: &Cgroups) -> Result<u8, Failure> {
    let container = Container::new(rootfs, cgroups).during("arguments")?;
    let made = cgroups.make()?;
    let code = container.run(made.v2_directory());
    drop(made);
    cgroups.remove().during("rmdir of a cgroup")?;
    code
}
