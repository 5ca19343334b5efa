//! `hostname` and `domainname`.

use runtime_init::{Step, Text};

use crate::error::Result;
use crate::plan::{Builder, c_string, pointer};

/// Sets the names of the container's UTS namespace.
pub(crate) fn names(plan: &mut Builder<'_>) -> Result<()> {
    let set = |name: &Option<String>| name.clone().filter(|name| !name.is_empty());
    if let Some(name) = set(plan.spec.hostname()) {
        let name = c_string("/hostname", name)?;
        plan.step(
            pointer("/hostname"),
            &Step::SetHostname { name: Text(&name) },
        );
    }
    if let Some(name) = set(plan.spec.domainname()) {
        let name = c_string("/domainname", name)?;
        plan.step(
            pointer("/domainname"),
            &Step::SetDomainname { name: Text(&name) },
        );
    }
    Ok(())
}
