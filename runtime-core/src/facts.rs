//! What compiling a plan has to know of the host: read once, passed in, so that compiling stays pure.

use std::io;
use std::path::PathBuf;

use oci_spec::runtime::{Process, Spec};
use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{OpenTreeFlags, open_tree};

use crate::builder::CgroupDriver;
use crate::cgroup::{Layout, Systemd};
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::namespaces::{self, NEWUSER};
use crate::plan::Options;
use crate::{apparmor, mounts, selinux};

/// What is true of the host that a plan is compiled for.
#[derive(Clone, Debug)]
pub struct HostFacts {
    /// The cgroup hierarchies.
    pub cgroups: Layout,
    /// The effective user of the caller; a plan for anyone but 0 is a rootless one.
    pub uid: u32,
    /// The effective group of the caller.
    pub gid: u32,
    /// Whether the caller is in a user namespace below the first one, as rootless Podman starts a runtime: nobody can make
    /// a device there.
    pub user_namespace: bool,
    /// Whether the mounts that the caller sees are another's: he entered a user namespace and kept the mount namespace. He
    /// may not clone them then, and the container, which has a copy, may.
    pub foreign_mounts: bool,
    /// Whether nobody may call setgroups(2) in the caller's user namespace, nor in any below.
    pub denies_setgroups: bool,
    /// The highest capability that the kernel knows (`/proc/sys/kernel/cap_last_cap`).
    pub last_capability: u32,
    /// Where the host has a procfs or sysfs: only `--no-pivot`, which leaves the host's mounts below the root, asks.
    pub kernel_mounts: Vec<PathBuf>,
    /// Where a resctrl file system is mounted: only `linux.intelRdt` asks.
    pub resctrl: Option<PathBuf>,
    /// Capabilities that the caller may pass on: its bounding set, bit by number.
    pub bounding_set: u64,
    /// Whether AppArmor is enabled: only a process with an `apparmorProfile` asks.
    pub apparmor: bool,
    /// Whether SELinux is enabled: only a configuration with a label asks.
    pub selinux: bool,
}

impl HostFacts {
    /// Reads the facts of this host.
    ///
    /// # Errors
    ///
    /// [`crate::ErrorKind::Host`] when `/proc` cannot be read.
    pub fn read() -> Result<HostFacts> {
        HostFacts::read_with(None)
    }

    fn read_with(rootless_cgroups: Option<bool>) -> Result<HostFacts> {
        let uid = rustix::process::geteuid();
        let user_namespace = !namespaces::is_initial(NEWUSER);
        let cgroups = Layout::detect_for(!uid.is_root() || user_namespace, rootless_cgroups);
        let capabilities = BoundingSet::read();
        let capabilities = capabilities.host(|| "read the capability bounding set".to_owned())?;
        Ok(HostFacts {
            cgroups: cgroups.host(|| "read the cgroup hierarchies".to_owned())?,
            uid: uid.as_raw(),
            gid: rustix::process::getegid().as_raw(),
            user_namespace,
            foreign_mounts: user_namespace && has_foreign_mounts(),
            denies_setgroups: user_namespace && denies_setgroups(),
            last_capability: capabilities.last,
            kernel_mounts: Vec::new(),
            resctrl: None,
            bounding_set: capabilities.set,
            apparmor: false,
            selinux: false,
        })
    }

    /// Reads the facts that the plan of a process of this configuration needs.
    pub(crate) fn read_for(
        options: &Options,
        spec: &Spec,
        process: Option<&Process>,
    ) -> Result<HostFacts> {
        let mut facts = HostFacts::read_with(options.rootless_cgroups)?;
        if options.cgroup_driver == CgroupDriver::Systemd {
            let systemd = Systemd::read().map_err(|error| {
                let kind = ErrorKind::Unsupported;
                Error::new(kind, error.to_string()).at(error.pointer())
            })?;
            facts.cgroups = facts.cgroups.managed_by(systemd);
        }
        let find =
            |types: &[&str]| mounts_of(types).host(|| "read /proc/self/mountinfo".to_owned());
        if options.no_pivot {
            facts.kernel_mounts = find(&["proc", "sysfs"])?;
        }
        let linux = spec.linux().as_ref();
        if linux.is_some_and(|linux| linux.intel_rdt().is_some()) {
            facts.resctrl = find(&["resctrl"])?.into_iter().next();
        }
        facts.apparmor = process.is_some_and(apparmor::is_asked_for) && apparmor::is_enabled();
        let labels = process.is_some_and(selinux::is_asked_for) || mounts::has_label(spec);
        facts.selinux = labels && selinux::is_enabled();
        Ok(facts)
    }

    /// Whether the caller can clone mounts for the container. Otherwise its init does.
    pub(crate) fn may_clone_mounts(&self) -> bool {
        !self.is_unprivileged() && !self.foreign_mounts
    }

    /// Whether the caller has none of root's rights over the host, and the container is what he may make in a user namespace
    /// of his own.
    pub(crate) fn is_unprivileged(&self) -> bool {
        self.uid != 0
    }

    /// What root finds where a user has looked.
    pub(crate) fn of_root(self) -> HostFacts {
        HostFacts {
            cgroups: self.cgroups.of_root(),
            uid: 0,
            gid: 0,
            ..self
        }
    }

    /// The facts of a host as most are: root, cgroup version 2, a recent kernel. For examples, tests and fuzzing.
    pub fn typical() -> HostFacts {
        HostFacts {
            cgroups: Layout::parse(
                "29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime - cgroup2 cgroup2 rw\n",
                "0::/\n",
            ),
            uid: 0,
            gid: 0,
            user_namespace: false,
            foreign_mounts: false,
            denies_setgroups: false,
            last_capability: 40,
            kernel_mounts: Vec::new(),
            resctrl: None,
            bounding_set: (1 << 41) - 1,
            apparmor: false,
            selinux: false,
        }
    }
}

/// The first thing that open_tree(2) asks for is CAP_SYS_ADMIN in the user namespace that the mount namespace belongs to.
fn has_foreign_mounts() -> bool {
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    open_tree(CWD, "/", clone).is_err_and(|errno| errno == Errno::PERM)
}

/// user_namespaces(7), "The /proc/pid/setgroups file".
fn denies_setgroups() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|rule| rule.trim() == "deny")
}

/// Where file systems of these types are mounted.
fn mounts_of(types: &[&str]) -> io::Result<Vec<PathBuf>> {
    let mounts = procfs::process::Process::myself().and_then(|process| process.mountinfo());
    let found = mounts
        .map_err(io::Error::other)?
        .into_iter()
        .filter(|mount| types.contains(&mount.fs_type.as_str()));
    Ok(found.map(|mount| mount.mount_point).collect())
}

/// The caller's bounding set.
struct BoundingSet {
    set: u64,
    /// The highest capability that the kernel knows.
    last: u32,
}

impl BoundingSet {
    /// It ends where the kernel stops knowing capabilities, so one system call for each tells both.
    fn read() -> io::Result<Self> {
        let mut found = BoundingSet { set: 0, last: 0 };
        for number in 0..64 {
            match crate::sys::is_in_bounding_set(number)? {
                None => break,
                Some(has) => {
                    found.set |= u64::from(has) << number;
                    found.last = number;
                }
            }
        }
        Ok(found)
    }
}
