//! `process.apparmorProfile`: the AppArmor profile that the user's program runs under.

use std::ffi::CStr;
use std::fs;
use std::path::Path;

use oci_spec::runtime::Process;
use runtime_init::{Step, Text};

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Builder, c_string, pointer};

const POINTER: &str = "/process/apparmorProfile";

/// The profile that is none.
const UNCONFINED: &str = "unconfined";

/// Where a process says which profile its next execve(2) is to give it. The file is there from Linux 5.8 on.
const ON_EXEC: &CStr = c"self/attr/apparmor/exec";

/// The command that goes before the profile's name (aa_change_onexec(2)).
const COMMAND: &str = "exec ";

/// Whether AppArmor is enabled, as engines find out too: without its directory in securityfs nobody could have loaded a
/// profile.
pub(crate) fn is_enabled() -> bool {
    let enabled = fs::read("/sys/module/apparmor/parameters/enabled");
    enabled.is_ok_and(|text| text.first() == Some(&b'Y'))
        && Path::new("/sys/kernel/security/apparmor").exists()
}

/// Whether the process asks for a profile.
pub(crate) fn is_asked_for(process: &Process) -> bool {
    asked(process).is_some()
}

fn asked(process: &Process) -> Option<&str> {
    let profile = process.apparmor_profile().as_deref();
    profile.filter(|profile| !profile.is_empty())
}

/// The profile to change to. Where AppArmor is not enabled, everybody is unconfined already.
fn profile<'p>(plan: &Builder<'_>, process: &'p Process) -> Result<Option<&'p str>> {
    match asked(process) {
        Some(profile) if !plan.facts.apparmor && profile != UNCONFINED => {
            let problem = format!(
                "profile {profile:?}: config provided but apparmor not supported: it is not enabled on this host"
            );
            Err(Error::new(ErrorKind::Unsupported, problem).at(POINTER))
        }
        profile => Ok(profile.filter(|_| plan.facts.apparmor)),
    }
}

/// Whether the process needs the private procfs for it.
pub(crate) fn needs_proc(plan: &Builder<'_>, process: &Process) -> Result<bool> {
    Ok(profile(plan, process)?.is_some())
}

/// Tells the kernel which profile the program gets. It holds from the execve(2) on, whatever the process changes of
/// itself until then.
pub(crate) fn set_on_exec(plan: &mut Builder<'_>, process: &Process) -> Result<()> {
    let Some(profile) = profile(plan, process)? else {
        return Ok(());
    };
    let value = c_string(POINTER, format!("{COMMAND}{profile}"))?;
    let step = Step::WriteProc {
        path: Text(ON_EXEC),
        value: Text(&value),
    };
    plan.step(pointer(POINTER), &step);
    Ok(())
}

/// What writing this to that file of the procfs does, if it is about a profile.
pub(crate) fn describe(path: &CStr, value: &CStr) -> Option<String> {
    let value = value.to_string_lossy();
    let profile = value.strip_prefix(COMMAND)?;
    (path == ON_EXEC).then(|| format!("apply apparmor profile {profile:?}"))
}
