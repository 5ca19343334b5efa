//! `linux.mountLabel`: the SELinux label of the container's file systems.

use std::ffi::{CStr, CString};

use oci_spec::runtime::Spec;
use runtime_init::{Step, Text};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Builder, c_string, pointer};

const POINTER: &str = "/linux/mountLabel";

/// Refuses a label that no kernel module of this host knows.
pub(super) fn check(plan: &Builder<'_>) -> Result<()> {
    if configured(plan).is_some() && !plan.facts.selinux {
        let problem = "an SELinux label is given, and SELinux is disabled on this host or not built into its kernel";
        return Err(Error::new(ErrorKind::Unsupported, problem).at(POINTER));
    }
    Ok(())
}

fn configured<'a>(plan: &Builder<'a>) -> Option<&'a str> {
    of(plan.spec)
}

fn of(spec: &Spec) -> Option<&str> {
    let linux = spec.linux().as_ref()?;
    linux
        .mount_label()
        .as_deref()
        .filter(|label| !label.is_empty())
}

/// Whether the configuration asks for a label.
pub(crate) fn has_label(spec: &Spec) -> bool {
    of(spec).is_some()
}

/// The mount option that labels a new file system. procfs, sysfs and mqueue are not the container's own: another mount of
/// the same one has its label already.
pub(super) fn option(plan: &Builder<'_>, fstype: &str) -> Result<Option<CString>> {
    if matches!(fstype, "proc" | "sysfs" | "mqueue") {
        return Ok(None);
    }
    configured(plan)
        .map(|label| c_string(POINTER, format!("context={label}")))
        .transpose()
}

/// The label of the root of an mqueue, which is a file's and not a mount's.
pub(super) fn file(plan: &mut Builder<'_>, fstype: &str, target: &CStr) -> Result<()> {
    if let Some(label) = configured(plan).filter(|_| fstype == "mqueue") {
        let label = c_string(POINTER, label)?;
        let step = Step::LabelFile {
            path: Text(target),
            label: Text(&label),
        };
        plan.step(pointer(POINTER), &step);
    }
    Ok(())
}

/// Whether it is an option that the security module takes, which knows commas in its value.
pub(super) fn is_label(option: &CStr) -> bool {
    let name = option.to_bytes().split(|&byte| byte == b'=').next();
    name.is_some_and(|name| name.ends_with(b"context"))
}
