//! `linux.personality`: the execution domain (personality(2)).

use oci_spec::runtime::LinuxPersonalityDomain;
use runtime_init::Step;

use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Builder, pointer};

/// PER_LINUX and PER_LINUX32 (linux/personality.h).
const LINUX: u32 = 0;
const LINUX32: u32 = 8;

/// Sets the domain. The specification reserves flags for the future; there are none to set.
pub(crate) fn set(plan: &mut Builder<'_>) -> Result<()> {
    let Some(personality) = plan.linux().and_then(|linux| linux.personality().as_ref()) else {
        return Ok(());
    };
    if personality
        .flags()
        .as_ref()
        .is_some_and(|flags| !flags.is_empty())
    {
        let problem = "personality flags are not supported: the specification knows none";
        return Err(Error::new(ErrorKind::Unsupported, problem).at("/linux/personality/flags"));
    }
    let domain = match personality.domain() {
        LinuxPersonalityDomain::PerLinux => LINUX,
        LinuxPersonalityDomain::PerLinux32 => LINUX32,
    };
    plan.step(
        pointer("/linux/personality/domain"),
        &Step::SetPersonality { domain },
    );
    Ok(())
}
