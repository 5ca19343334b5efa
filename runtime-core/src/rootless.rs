//! Containers of a caller who is not root: what the configuration has to be, in runc's words.
//!
//! The caller makes a user namespace, in which the container's first process has all rights over what is made there and none
//! over what is the host's. Root of a user namespace is no such caller: he has these rights already.

use oci_spec::runtime::{LinuxIdMapping, Spec};

use crate::error::{Error, ErrorKind, Result};
use crate::facts::HostFacts;
use crate::hooks::{self, Kind};
use crate::namespaces::{NEWUSER, Namespaces};
use crate::plan::Builder;

/// Refuses what needs root.
pub(crate) fn check(plan: &Builder<'_>) -> Result<()> {
    if !plan.facts.is_unprivileged() {
        return Ok(());
    }
    let namespaces = Namespaces::of(plan)?;
    if !namespaces.has(NEWUSER) {
        let problem = "rootless container requires user namespaces";
        return Err(Error::config("/linux/namespaces", problem));
    }
    let ids = [
        Ids::of(plan.spec, "uid", "UID"),
        Ids::of(plan.spec, "gid", "GID"),
    ];
    if namespaces.new & NEWUSER != 0 {
        ids.iter().try_for_each(Ids::check_there)?;
    } else {
        check_hooks(plan.spec)?;
    }
    check_mounts(plan.spec, &ids)
}

/// Whoever joins the namespaces of a process needs rights over it. The caller has them over one that was born in a user
/// namespace of his, and not over one that entered it and shut itself off before it executes the user's program.
fn check_hooks(spec: &Spec) -> Result<()> {
    for kind in [Kind::CreateContainer, Kind::StartContainer] {
        if let Some(hook) = hooks::of(spec, kind).next() {
            let problem = "without root a hook can run in a container's namespaces only if the user namespace is made for it, and \
                           this one is joined";
            return Err(Error::new(ErrorKind::Unsupported, problem).at(hook.origin().to_string()));
        }
    }
    Ok(())
}

struct Ids<'a> {
    /// `uid` or `gid`.
    kind: &'static str,
    /// The same for the start of a sentence.
    title: &'static str,
    mappings: &'a [LinuxIdMapping],
}

impl<'a> Ids<'a> {
    fn of(spec: &'a Spec, kind: &'static str, title: &'static str) -> Self {
        let linux = spec.linux().as_ref();
        let mappings = linux.and_then(|linux| match kind {
            "uid" => linux.uid_mappings().as_deref(),
            _ => linux.gid_mappings().as_deref(),
        });
        Ids {
            kind,
            title,
            mappings: mappings.unwrap_or_default(),
        }
    }

    fn check_there(&self) -> Result<()> {
        if !self.mappings.is_empty() {
            return Ok(());
        }
        let problem = format!(
            "rootless containers requires at least one {} mapping",
            self.title
        );
        Err(Error::config(
            format!("/linux/{}Mappings", self.kind),
            problem,
        ))
    }

    fn has(&self, id: u32) -> bool {
        self.mappings.iter().any(|mapping| {
            let first = mapping.container_id();
            id.checked_sub(first)
                .is_some_and(|offset| offset < mapping.size())
        })
    }

    /// Whether an option gives an id that nobody in the container has.
    fn check_option(&self, pointer: &str, option: &str) -> Result<()> {
        let value = option
            .strip_prefix(self.kind)
            .and_then(|rest| rest.strip_prefix('='));
        // The kernel says what it thinks of one that is no number, and of ids of a namespace that others have mapped.
        let Some(id) = value.and_then(|value| value.parse().ok()) else {
            return Ok(());
        };
        if self.mappings.is_empty() || self.has(id) {
            return Ok(());
        }
        let problem = format!(
            "cannot specify {option} mount option for rootless container: user namespaces enabled, but no mapping found \
             for {} {id}",
            self.kind
        );
        Err(Error::config(pointer, problem))
    }
}

fn check_mounts(spec: &Spec, ids: &[Ids<'_>]) -> Result<()> {
    for (number, mount) in spec.mounts().iter().flatten().enumerate() {
        let options = mount.options().iter().flatten().enumerate();
        for (place, options) in options {
            let pointer = format!("/mounts/{number}/options/{place}");
            for option in options.split(',') {
                ids.iter()
                    .try_for_each(|ids| ids.check_option(&pointer, option))?;
            }
        }
    }
    Ok(())
}

/// Whether the namespace's groups can be mapped only if nobody in it may call setgroups(2): one group, the caller's own. Any
/// other is mapped by newgidmap(1).
pub(crate) fn denies_setgroups(caller: &HostFacts, groups: &[LinuxIdMapping]) -> bool {
    let own = |mapping: &LinuxIdMapping| mapping.size() == 1 && mapping.host_id() == caller.gid;
    caller.is_unprivileged() && matches!(groups, [only] if own(only))
}

/// Refuses groups that the process could not be given.
pub(crate) fn check_groups(plan: &Builder<'_>) -> Result<()> {
    let linux = plan.linux();
    let groups = linux.and_then(|linux| linux.gid_mappings().as_deref());
    if !denies_setgroups(plan.facts, groups.unwrap_or_default()) {
        return Ok(());
    }
    let problem = "cannot set any additional groups in a rootless container whose only group is the caller's own";
    Err(Error::config("/process/user/additionalGids", problem))
}
