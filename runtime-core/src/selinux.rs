//! `process.selinuxLabel`: the SELinux context of the user's program.

use std::ffi::CStr;
use std::fs;

use oci_spec::runtime::Process;
use runtime_init::{Step, Text};
use rustix::fs::{StatVfsMountFlags, statfs, statvfs};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Builder, c_string, pointer};

const POINTER: &str = "/process/selinuxLabel";

/// Where SELinux has its own file system, and that one's statfs(2) type.
const SELINUXFS: &str = "/sys/fs/selinux";
const SELINUX_MAGIC: rustix::fs::FsWord = 0xf97c_ff8c;

/// Contexts of what comes next: the program of execve(2), and keys (proc_pid_attr(5)).
const ON_EXEC: &CStr = c"self/attr/exec";
const OF_KEYS: &CStr = c"self/attr/keycreate";

/// Whether SELinux is enabled, with a policy loaded. A read-only selinuxfs is what a container is shown that has to leave
/// labels alone.
pub(crate) fn is_enabled() -> bool {
    let is_there = statfs(SELINUXFS).is_ok_and(|found| found.f_type == SELINUX_MAGIC);
    let is_writable =
        || statvfs(SELINUXFS).is_ok_and(|found| !found.f_flag.contains(StatVfsMountFlags::RDONLY));
    let has_policy = || {
        let own = fs::read_to_string("/proc/self/attr/current").unwrap_or_default();
        own.trim_end_matches('\0') != "kernel"
    };
    is_there && is_writable() && has_policy()
}

/// The label that the process asks for.
fn asked(process: &Process) -> Option<&str> {
    let label = process.selinux_label().as_deref();
    label.filter(|label| !label.is_empty())
}

/// Whether the process asks for a label.
pub(crate) fn is_asked_for(process: &Process) -> bool {
    asked(process).is_some()
}

fn label<'p>(plan: &Builder<'_>, process: &'p Process) -> Result<Option<&'p str>> {
    match asked(process) {
        Some(label) if !plan.facts.selinux => {
            let problem = format!(
                "selinux label is specified in config, but selinux is disabled or not supported on this host: {label:?}"
            );
            Err(Error::new(ErrorKind::Unsupported, problem).at(POINTER))
        }
        label => Ok(label),
    }
}

/// Whether the process needs the private procfs for it.
pub(crate) fn needs_proc(plan: &Builder<'_>, process: &Process) -> Result<bool> {
    Ok(label(plan, process)?.is_some())
}

/// Tells the kernel which context the program gets.
pub(crate) fn set_on_exec(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    match label(plan, process)? {
        Some(label) => write(plan, ON_EXEC, label),
        None => Ok(()),
    }
}

/// Adds steps that make a key, which gets the program's context: the program is to have access to it.
pub(crate) fn with_key_label(
    plan: &mut Builder<'_>,
    process: Option<&Process>,
    make: impl FnOnce(&mut Builder<'_>) -> Result<()>,
) -> Result<()> {
    let label = process.map(|process| label(plan, process)).transpose()?;
    let Some(label) = label.flatten() else {
        return make(plan);
    };
    write(plan, OF_KEYS, label)?;
    make(plan)?;
    // Nothing written is "as the policy says" again, for keys that the program makes.
    write(plan, OF_KEYS, "")
}

fn write(plan: &mut Builder<'_>, path: &CStr, label: &str) -> Result<()> {
    let value = c_string(POINTER, label)?;
    let step = Step::WriteProc {
        path: Text(path),
        value: Text(&value),
    };
    plan.step(pointer(POINTER), &step);
    Ok(())
}

/// What writing this to that file of the procfs does, if it is about a label.
pub(crate) fn describe(path: &CStr, label: &CStr) -> Option<String> {
    let label = label.to_string_lossy();
    if path == ON_EXEC {
        Some(format!("set selinux label {label:?}"))
    } else if path == OF_KEYS {
        Some(format!("set selinux label {label:?} of keys"))
    } else {
        None
    }
}
