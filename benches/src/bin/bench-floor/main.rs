//! The floor: what the kernel alone charges for a container of one of two configurations.
//!
//! It makes the system calls that this one configuration asks for, with every argument known beforehand:
//! no configuration is parsed, no state is kept, nothing is checked. It is the yardstick for a runtime, not a runtime.
//!
//! ```text
//! bench-floor default CGROUPS ROOTFS                 runc spec's configuration
//! bench-floor docker FILES FILTER CGROUPS ROOTFS     Docker's: the directory of its bind mounts, its filter in hexadecimal
//!
//! CGROUPS is one of
//!     v1 NAME CPUS MEMS HIERARCHY… --                cgroups NAME below each mount point of a v1 hierarchy
//!     v2 NAME HIERARCHY --                           cgroup NAME below the mount point of the v2 hierarchy
//! ```
//!
//! The parents of NAME exist already. The exit code is that of `/bin/true` in the container.

mod cgroup;
mod configuration;
mod container;
mod device_filter;
mod sys;

use std::fmt;
use std::io;
use std::process::ExitCode;

use self::cgroup::Cgroups;
use self::configuration::Configuration;
use self::container::Container;

const USAGE: &str = "usage: bench-floor default CGROUPS ROOTFS | docker FILES FILTER CGROUPS ROOTFS
CGROUPS: v1 NAME CPUS MEMS HIERARCHY... -- | v2 NAME HIERARCHY --";

/// A system call that failed, and what it was for.
#[derive(Debug)]
pub(crate) struct Failure {
    what: &'static str,
    cause: io::Error,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.what, self.cause)
    }
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
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some((configuration, cgroups, rootfs)) = parse(&arguments) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match run(&configuration, &cgroups, rootfs) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprintln!("floor: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn parse<'a>(arguments: &[&'a str]) -> Option<(Configuration<'a>, Cgroups, &'a str)> {
    let (configuration, rest) = match arguments {
        ["default", rest @ ..] => (Configuration::default_of_runc(), rest),
        ["docker", files, filter, rest @ ..] => (Configuration::docker(files, filter)?, rest),
        _ => return None,
    };
    let (cgroups, rootfs) = match rest {
        ["v1", name, cpus, mems, hierarchies @ .., "--", rootfs] => {
            (Cgroups::v1(name, cpus, mems, hierarchies), rootfs)
        }
        ["v2", name, hierarchy, "--", rootfs] => (Cgroups::v2(name, hierarchy), rootfs),
        _ => return None,
    };
    Some((configuration, cgroups, rootfs))
}

fn run(configuration: &Configuration<'_>, cgroups: &Cgroups, rootfs: &str) -> Result<u8, Failure> {
    let container = Container::new(configuration, rootfs, cgroups).during("arguments")?;
    let code = container.run(cgroups);
    cgroups.remove().during("rmdir of a cgroup")?;
    code
}
