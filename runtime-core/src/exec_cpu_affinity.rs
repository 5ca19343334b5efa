//! `process.execCPUAffinity`: on which CPUs a process that joins a container runs, and what is left of the caller's
//! affinity where a configuration asks for none.

use oci_spec::runtime::Process;
use runtime_init::{Bytes, Step};

use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::number_list::Mask;
use crate::plan::{Builder, Origin, pointer};
use crate::sys;

const INITIAL: &str = "/process/execCPUAffinity/initial";
const FINAL: &str = "/process/execCPUAffinity/final";

/// The CPUs that the process begins on, before it is in the container's cgroup.
pub(crate) fn initial(process: &Process) -> Result<Option<Mask>> {
    let affinity = process.exec_cpu_affinity().as_ref();
    parse(
        INITIAL,
        affinity.and_then(|affinity| affinity.initial().as_deref()),
    )
}

/// The CPUs that it runs on once it is there.
fn last(process: &Process) -> Result<Option<Mask>> {
    let affinity = process.exec_cpu_affinity().as_ref();
    let list = affinity.and_then(|affinity| affinity.cpu_affinity_final().as_deref());
    parse(FINAL, list)
}

fn parse(pointer: &str, list: Option<&str>) -> Result<Option<Mask>> {
    list.filter(|list| !list.is_empty())
        .map(|list| Mask::parse(list).map_err(|problem| Error::config(pointer, problem)))
        .transpose()
}

/// A container's first process is not for these CPUs, so they are checked, no more.
pub(crate) fn check(process: Option<&Process>) -> Result<()> {
    if let Some(process) = process {
        initial(process)?;
        last(process)?;
    }
    Ok(())
}

/// The caller's affinity is nobody's wish: all CPUs that the cgroup has are the process's, as with runc.
pub(crate) fn reset(plan: &mut Builder<'_>) {
    plan.step(
        Origin::Default("isolation of the init"),
        &Step::ResetCpuAffinity,
    );
}

/// The same for a process that joins a container, which can have CPUs of its own. With initial ones alone the kernel
/// decides what becomes of them (config.md, "Linux Process").
pub(crate) fn set_final(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    match (initial(process)?, last(process)?) {
        (_, Some(cpus)) => {
            let step = Step::SetCpuAffinity {
                cpus: Bytes(&cpus.to_bytes()),
            };
            plan.step(pointer(FINAL), &step);
        }
        (None, None) => reset(plan),
        (Some(_), None) => {}
    }
    Ok(())
}

/// Runs what starts a process on these CPUs, which the process inherits: in a thread of its own, because the caller's is
/// to stay where it is.
pub(crate) fn on<T: Send>(cpus: &Mask, start: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let there = || {
        sys::set_cpu_affinity(&cpus.to_bytes()).map_err(|cause| {
            Error::io(ErrorKind::Setup, "set the initial CPU affinity", cause).at(INITIAL)
        })?;
        start()
    };
    let thread = std::thread::Builder::new().name("bareboat-exec".to_owned());
    std::thread::scope(|scope| {
        let handle = thread
            .spawn_scoped(scope, there)
            .host(|| "start a thread".to_owned())?;
        handle.join().unwrap_or_else(|_| {
            Err(Error::new(
                ErrorKind::Host,
                "a thread ended without a result",
            ))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cpus() -> String {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        line.unwrap().trim().to_owned()
    }

    #[test]
    fn what_starts_a_process_runs_on_its_cpus_and_the_caller_where_it_was() {
        let before = cpus();
        let last = before.rsplit([',', '-']).next().unwrap();
        let mask = Mask::parse(last).unwrap();
        assert_eq!(on(&mask, || Ok(cpus())).unwrap(), last);
        assert_eq!(cpus(), before);
    }

    #[test]
    fn cpus_that_the_machine_has_not_are_an_error_with_the_pointer() {
        let error = on(&Mask::parse("65535").unwrap(), || Ok(())).unwrap_err();
        assert_eq!(error.origin(), Some(INITIAL));
        assert_eq!(error.errno(), Some(libc::EINVAL));
    }
}
