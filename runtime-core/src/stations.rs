//! Where the start of a process has got to, for the log at debug level.
//!
//! runc's start has stations that say so, and people, scripts and runc's own tests look for their words when a container
//! does not start. The words are runc's (libcontainer/nsenter/nsexec.c, init_linux.go, standard_init_linux.go,
//! setns_init_linux.go); what follows them says what has happened here at that moment. When nobody listens to that level,
//! each costs the comparison of a number.

use std::fmt::Write as _;
use std::path::Path;

use runtime_init::Rendezvous;
use rustix::thread::{CpuSet, sched_getaffinity};
use tracing::Level;

use crate::cgroup::Cgroup;
use crate::namespaces;

/// The process was cloned, with these namespaces of its own, and has executed the init.
pub(crate) fn cloned(pid: i32, namespaces: u32) {
    if !tracing::enabled!(Level::DEBUG) {
        return;
    }
    // The thread that cloned it, which is the calling one, gave it its affinity.
    if let Ok(cpus) = sched_getaffinity(None) {
        tracing::debug!("nsexec[{pid}]: affinity: {}", mask(&cpus));
    }
    let namespaces = match namespaces {
        0 => "none that is new".to_owned(),
        flags => namespaces::names(flags),
    };
    tracing::debug!("nsexec container setup: process {pid} was cloned, namespaces: {namespaces}");
}

/// The init has said that it is there.
pub(crate) fn reached(pid: i32, rendezvous: Rendezvous) {
    tracing::debug!("child process in init(): process {pid} is at the rendezvous {rendezvous:?}");
}

/// A container's init is told to go on from its last rendezvous, and closes its end of the control socket.
pub(crate) fn init_is_ready(pid: i32) {
    tracing::debug!(
        "init: closing the pipe to signal completion: process {pid} has all that it needs of the runtime"
    );
}

/// The init of a process that joins a container is told to go on from its last rendezvous.
pub(crate) fn tenant_is_ready(pid: i32) {
    tracing::debug!("setns_init: about to exec: process {pid} goes on to the program");
}

/// The cgroup is there.
pub(crate) fn made_cgroup(cgroup: &Cgroup) {
    let paths = || {
        let paths = cgroup.directories().iter();
        let paths: Vec<_> = paths.map(|made| made.path.to_string_lossy()).collect();
        paths.join(" ")
    };
    tracing::debug!("the cgroup is made: {}", paths());
}

/// A hook is about to run.
pub(crate) fn runs_hook(kind: &str, number: usize, path: &Path) {
    tracing::debug!("run {kind} hook #{number}: {}", path.display());
}

/// CPUs as a number, one bit each.
fn mask(cpus: &CpuSet) -> String {
    let nibble = |first: usize| -> u8 {
        (0..4)
            .filter(|bit| cpus.is_set(first + bit))
            .fold(0, |nibble, bit| nibble | 1 << bit)
    };
    let mut text = "0x".to_owned();
    for first in (0..CpuSet::MAX_CPU).step_by(4).rev() {
        let nibble = nibble(first);
        if nibble != 0 || text.len() > 2 || first == 0 {
            let _ = write!(text, "{nibble:x}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(list: &[usize]) -> String {
        let mut cpus = CpuSet::new();
        for &cpu in list {
            cpus.set(cpu);
        }
        mask(&cpus)
    }

    #[test]
    fn a_mask_is_the_number_that_printf_makes_of_it() {
        assert_eq!(of(&[]), "0x0");
        assert_eq!(of(&[0, 1]), "0x3");
        assert_eq!(of(&[1, 4, 9]), "0x212");
        assert_eq!(of(&[64]), "0x10000000000000000");
    }
}
