//! Who owns the container's cgroup: config-linux.md, "Cgroup ownership".

use std::path::Path;

use oci_spec::runtime::{Linux, LinuxIdMapping, LinuxNamespace, LinuxNamespaceType, Mount, Spec};
use rustix::fs::{AtFlags, CWD, Uid, chownat};
use rustix::io::Errno;

use super::CgroupError;

/// What asks for it: there is no field of its own.
pub(super) const POINTER: &str = "/process/user/uid";

/// The files that whoever a cgroup is delegated to may write (cgroups(7)).
const DELEGATED: &str = "/sys/kernel/cgroup/delegate";

/// The same on a kernel before 4.15, which has no list.
const ALWAYS_DELEGATED: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";

/// The host's uid of the container's user, when he is to own a cgroup of version 2: his cgroup namespace begins there, and
/// he may write to its mount.
pub(super) fn of(spec: &Spec) -> Option<u32> {
    let linux = spec.linux().as_ref()?;
    let user = spec.process().as_ref()?.user().uid();
    let mounts = spec.mounts().as_deref().unwrap_or_default();
    let is_delegated = new_namespace(linux, LinuxNamespaceType::Cgroup).is_some()
        && mounts.iter().any(is_writable_cgroup);
    is_delegated.then(|| host_uid(linux, user)).flatten()
}

fn namespace(linux: &Linux, kind: LinuxNamespaceType) -> Option<&LinuxNamespace> {
    let namespaces = linux.namespaces().as_deref().unwrap_or_default();
    namespaces.iter().find(|namespace| namespace.typ() == kind)
}

fn new_namespace(linux: &Linux, kind: LinuxNamespaceType) -> Option<&LinuxNamespace> {
    namespace(linux, kind).filter(|namespace| {
        namespace
            .path()
            .as_ref()
            .is_none_or(|path| path.as_os_str().is_empty())
    })
}

fn is_writable_cgroup(mount: &Mount) -> bool {
    let source = mount.source().as_deref();
    let options = mount.options().as_deref().unwrap_or_default();
    source == Some(Path::new("cgroup"))
        && mount.destination() == Path::new("/sys/fs/cgroup")
        && !options.iter().any(|option| option == "ro")
}

/// What the mappings make of the uid; those of a user namespace that is joined are not known unless they are given, too.
fn host_uid(linux: &Linux, user: u32) -> Option<u32> {
    if namespace(linux, LinuxNamespaceType::User).is_none() {
        return Some(user);
    }
    let mappings: &[LinuxIdMapping] = linux.uid_mappings().as_deref().unwrap_or_default();
    mappings.iter().find_map(|mapping| {
        let offset = user.checked_sub(mapping.container_id())?;
        (offset < mapping.size()).then(|| mapping.host_id().checked_add(offset))?
    })
}

/// Gives the cgroup's directory, and those files in it that are delegated, to the user.
pub(super) fn change(path: &Path, user: u32) -> Result<(), CgroupError> {
    let list = std::fs::read_to_string(DELEGATED);
    let list = list.as_deref().unwrap_or(ALWAYS_DELEGATED);
    let files = list.lines().map(|name| path.join(name));
    for path in std::iter::once(path.to_owned()).chain(files) {
        let owner = Some(Uid::from_raw(user));
        match chownat(CWD, &path, owner, None, AtFlags::SYMLINK_NOFOLLOW) {
            // Not every cgroup has every file: memory.reclaim without the memory controller, for one.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => {
                let attempt = format_args!("give {} to user {user}", path.display());
                return Err(CgroupError::failed(POINTER, attempt, errno));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn owner(change: impl FnOnce(&mut Value)) -> Option<u32> {
        let mut config = json!({
            "ociVersion": "1.3.0",
            "process": {"cwd": "/", "args": ["true"], "user": {"uid": 1000, "gid": 0}},
            "mounts": [{"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["rw"]}],
            "linux": {"namespaces": [{"type": "cgroup"}]},
        });
        change(&mut config);
        of(&serde_json::from_value(config).unwrap())
    }

    #[test]
    fn the_containers_user_owns_a_cgroup_that_he_sees_and_may_write() {
        assert_eq!(owner(|_| {}), Some(1000));
        assert_eq!(
            owner(|config| config["mounts"][0]["options"] = json!(["ro"])),
            None
        );
        assert_eq!(owner(|config| config["mounts"] = json!([])), None);
        assert_eq!(
            owner(|config| config["linux"]["namespaces"] = json!([])),
            None
        );
        let joined = json!([{"type": "cgroup", "path": "/proc/1/ns/cgroup"}]);
        assert_eq!(owner(|config| config["linux"]["namespaces"] = joined), None);
    }

    #[test]
    fn his_uid_is_the_hosts() {
        let mapped = |first: u32| {
            owner(|config| {
                config["linux"] = json!({
                    "namespaces": [{"type": "cgroup"}, {"type": "user"}],
                    "uidMappings": [{"containerID": first, "hostID": 100_000, "size": 65_536}],
                });
            })
        };
        assert_eq!(mapped(0), Some(101_000));
        assert_eq!(mapped(1001), None);
    }
}
