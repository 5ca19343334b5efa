//! The container's first process: born in its namespaces, it builds its root and becomes `/bin/true`.

use std::ffi::{CStr, CString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use super::cgroup::Cgroups;
use super::{During, Failure};
use crate::sys::mount::{self, Attributes, MountTarget};
use crate::sys::{process, task};

const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;

/// The nodes that the runtime specification wants in every container ("Default Devices").
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"/dev/null", 1, 3),
    (c"/dev/zero", 1, 5),
    (c"/dev/full", 1, 7),
    (c"/dev/tty", 5, 0),
    (c"/dev/random", 1, 8),
    (c"/dev/urandom", 1, 9),
];

/// The links of the same section, and of "Dev symbolic links".
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

const MASKED_FILES: [&CStr; 6] = [
    c"/proc/kcore",
    c"/proc/keys",
    c"/proc/latency_stats",
    c"/proc/timer_list",
    c"/proc/timer_stats",
    c"/proc/sched_debug",
];
const MASKED_DIRECTORIES: [&CStr; 4] = [
    c"/proc/acpi",
    c"/proc/asound",
    c"/sys/firmware",
    c"/proc/scsi",
];
const READONLY: [&CStr; 5] = [
    c"/proc/bus",
    c"/proc/fs",
    c"/proc/irq",
    c"/proc/sys",
    c"/proc/sysrq-trigger",
];

/// Everything the first process needs, in the form the kernel takes it.
pub(crate) struct Container {
    rootfs: CString,
    /// Of each v1 hierarchy: the container's cgroup, its `tasks` file and its directory in the container.
    v1: Vec<(CString, CString, CString)>,
}

impl Container {
    pub(crate) fn new(rootfs: &str, cgroups: &Cgroups) -> io::Result<Self> {
        let v1 = match cgroups {
            Cgroups::V1 { directories, .. } => directories
                .iter()
                .map(|(directory, name)| {
                    Ok((
                        CString::new(directory.as_os_str().as_bytes())?,
                        CString::new(directory.join("tasks").into_os_string().as_bytes())?,
                        CString::new(name.as_str())?,
                    ))
                })
                .collect::<io::Result<_>>()?,
            Cgroups::V2 { .. } => Vec::new(),
        };
        Ok(Self {
            rootfs: CString::new(rootfs)?,
            v1,
        })
    }

    /// Starts the first process, waits for its end and gives its exit code.
    pub(crate) fn run(&self, v2_cgroup: Option<BorrowedFd<'_>>) -> Result<u8, Failure> {
        let pid = process::start(v2_cgroup, || {
            let failure = match self.become_true() {
                Ok(never) => match never {},
                Err(failure) => failure,
            };
            eprintln!(
                "floor: in the container: {}: {}",
                failure.what, failure.cause
            );
        })
        .during("clone3")?;
        process::wait(pid).during("wait4")
    }

    fn become_true(&self) -> Result<std::convert::Infallible, Failure> {
        if self.v1.is_empty() {
            task::new_cgroup_namespace().during("cgroup namespace")?;
        }
        // A task that moves itself alone spares the kernel's global lock, and with it a grace period.
        for (_, tasks, _) in &self.v1 {
            task::write_file(tasks, b"0").during("joining a cgroup")?;
        }
        task::set_sid().during("setsid")?;
        let cgroups = self.enter_root().during("pivot_root")?;
        mount_filesystems().during("mounts")?;
        self.mount_cgroups(cgroups).during("cgroup mount")?;
        make_devices().during("devices")?;
        protect_paths().during("masked and read-only paths")?;
        task::set_host_name(b"runc").during("hostname")?;
        task::loopback_up().during("loopback")?;
        drop_privileges().during("credentials")?;
        task::become_program(
            c"/bin/true",
            &[
                c"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                c"TERM=xterm",
                c"HOME=/root",
            ],
        )
        .during("execve")
    }

    /// Makes the bundle's directory the root; gives clones of the cgroups, which cannot be reached afterwards.
    fn enter_root(&self) -> io::Result<Vec<OwnedFd>> {
        mount::set_attributes(None, c"/", Attributes::PRIVATE, true)?;
        let cgroups = self
            .v1
            .iter()
            .map(|(directory, ..)| mount::clone_tree(None, directory, false))
            .collect::<io::Result<_>>()?;
        let root = mount::clone_tree(None, &self.rootfs, true)?;
        mount::set_attributes(Some(root.as_fd()), c"", Attributes::set(RDONLY), false)?;
        mount::attach(root.as_fd(), MountTarget::Path(&self.rootfs))?;
        mount::pivot_into(root.as_fd())?;
        Ok(cgroups)
    }

    fn mount_cgroups(&self, clones: Vec<OwnedFd>) -> io::Result<()> {
        let flags = NOSUID | NOEXEC | NODEV;
        if self.v1.is_empty() {
            return mount_new(
                c"cgroup2",
                &[(c"source", c"cgroup")],
                flags | RDONLY,
                c"/sys/fs/cgroup",
            )
            .map(drop);
        }
        let directory = mount_new(
            c"tmpfs",
            &[(c"source", c"cgroup"), (c"mode", c"755")],
            flags,
            c"/sys/fs/cgroup",
        )?;
        for ((_, _, name), clone) in self.v1.iter().zip(clones) {
            task::make_directory(directory.as_fd(), name)?;
            mount::set_attributes(
                Some(clone.as_fd()),
                c"",
                Attributes::set(flags | RDONLY),
                false,
            )?;
            mount::attach(clone.as_fd(), MountTarget::Below(directory.as_fd(), name))?;
        }
        mount::set_attributes(Some(directory.as_fd()), c"", Attributes::set(RDONLY), false)
    }
}

/// Mounts a new filesystem; gives the mount. The first option is the source, as mountinfo shows it.
fn mount_new(
    kind: &CStr,
    options: &[(&CStr, &CStr)],
    attributes: u64,
    target: &CStr,
) -> io::Result<OwnedFd> {
    let mount = mount::new_filesystem(kind, options, attributes)?;
    mount::attach(mount.as_fd(), MountTarget::Path(target))?;
    Ok(mount)
}

fn mount_filesystems() -> io::Result<()> {
    mount_new(c"proc", &[(c"source", c"proc")], 0, c"/proc")?;
    let dev = [
        (c"source", c"tmpfs"),
        (c"mode", c"755"),
        (c"size", c"65536k"),
    ];
    let dev = mount_new(c"tmpfs", &dev, NOSUID | STRICTATIME, c"/dev")?;
    for name in [c"pts", c"shm", c"mqueue"] {
        task::make_directory(dev.as_fd(), name)?;
    }
    let pts = [
        (c"source", c"devpts"),
        (c"ptmxmode", c"0666"),
        (c"mode", c"0620"),
        (c"gid", c"5"),
    ];
    mount_new(c"devpts", &pts, NOSUID | NOEXEC, c"/dev/pts")?;
    let shm = [
        (c"source", c"shm"),
        (c"mode", c"1777"),
        (c"size", c"65536k"),
    ];
    let flags = NOSUID | NOEXEC | NODEV;
    mount_new(c"tmpfs", &shm, flags, c"/dev/shm")?;
    mount_new(c"mqueue", &[(c"source", c"mqueue")], flags, c"/dev/mqueue")?;
    mount_new(c"sysfs", &[(c"source", c"sysfs")], flags | RDONLY, c"/sys").map(drop)
}

fn make_devices() -> io::Result<()> {
    task::set_umask(0);
    for (path, major, minor) in DEVICES {
        task::make_character_device(path, 0o666, major, minor)?;
    }
    task::set_umask(0o022);
    for (target, link) in LINKS {
        symlink(target, link)?;
    }
    if fs::exists("/proc/kcore")? {
        symlink("/proc/kcore", "/dev/core")?;
    }
    Ok(())
}

fn protect_paths() -> io::Result<()> {
    for path in MASKED_FILES {
        if let Some(target) = task::open_path(path)? {
            let null = mount::clone_tree(None, c"/dev/null", false)?;
            mount::attach(null.as_fd(), MountTarget::Descriptor(target.as_fd()))?;
        }
    }
    mask_directories()?;
    for path in READONLY {
        if let Some(target) = task::open_path(path)? {
            let clone = mount::clone_tree(Some(target.as_fd()), c"", true)?;
            mount::set_attributes(Some(clone.as_fd()), c"", Attributes::set(RDONLY), true)?;
            mount::attach(clone.as_fd(), MountTarget::Descriptor(target.as_fd()))?;
        }
    }
    Ok(())
}

/// One empty filesystem covers all of them: the second and later ones are clones of the first mount.
fn mask_directories() -> io::Result<()> {
    let mut first: Option<OwnedFd> = None;
    for path in MASKED_DIRECTORIES {
        let Some(target) = task::open_path(path)? else {
            continue;
        };
        let mask = match &first {
            None => mount::new_filesystem(c"tmpfs", &[], RDONLY)?,
            Some(first) => mount::clone_tree(Some(first.as_fd()), c"", false)?,
        };
        mount::attach(mask.as_fd(), MountTarget::Descriptor(target.as_fd()))?;
        first.get_or_insert(mask);
    }
    Ok(())
}

fn drop_privileges() -> io::Result<()> {
    /// CAP_KILL, CAP_NET_BIND_SERVICE and CAP_AUDIT_WRITE.
    const KEPT: u64 = 1 << 5 | 1 << 10 | 1 << 29;
    task::limit_open_files(1024)?;
    task::drop_bounding_capabilities(KEPT)?;
    task::set_root_user()?;
    task::clear_ambient_capabilities()?;
    task::set_capabilities(KEPT, KEPT, 0)?;
    task::set_no_new_privileges()
}
