//! The container's first process: born in its namespaces, it builds its root and becomes `/bin/true`.
//!
//! Where two ways lead to the same mount, this takes the one of fewer calls, which is mostly mount(2): it names its
//! targets by paths, which a runtime may not do in a tree that somebody else controls.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::cgroup::Cgroups;
use super::configuration::Configuration;
use super::sys::process::Word;
use super::sys::{mount, process, task};
use super::{During, Failure};

const NOSUID: u64 = libc::MS_NOSUID;
const NOEXEC: u64 = libc::MS_NOEXEC;
const NODEV: u64 = libc::MS_NODEV;
const RDONLY: u64 = libc::MS_RDONLY;
const BIND: u64 = libc::MS_BIND;
const REMOUNT: u64 = libc::MS_BIND | libc::MS_REMOUNT;
const REC: u64 = libc::MS_REC;

/// The nodes that the runtime specification wants in every container ("Default Devices").
const DEVICES: [(&CStr, u32, u32); 6] = [
    (c"dev/null", 1, 3),
    (c"dev/zero", 1, 5),
    (c"dev/full", 1, 7),
    (c"dev/tty", 5, 0),
    (c"dev/random", 1, 8),
    (c"dev/urandom", 1, 9),
];

/// The links of the same section, and of "Dev symbolic links".
const LINKS: [(&CStr, &CStr); 5] = [
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"pts/ptmx", c"dev/ptmx"),
];

const MASKED_FILES: [&CStr; 6] = [
    c"proc/kcore",
    c"proc/keys",
    c"proc/latency_stats",
    c"proc/timer_list",
    c"proc/timer_stats",
    c"proc/sched_debug",
];
const MASKED_DIRECTORIES: [&CStr; 4] =
    [c"proc/acpi", c"proc/asound", c"sys/firmware", c"proc/scsi"];
const READONLY: [&CStr; 5] = [
    c"proc/bus",
    c"proc/fs",
    c"proc/irq",
    c"proc/sys",
    c"proc/sysrq-trigger",
];

/// Everything the first process needs, in the form the kernel takes it.
pub(crate) struct Container<'a> {
    configuration: &'a Configuration<'a>,
    rootfs: CString,
    /// Of each v1 hierarchy: the container's cgroup, its `tasks` file and its directory in the container.
    v1: Vec<(CString, CString, CString)>,
    /// What became of the network namespace and of the cgroups, which the parent makes meanwhile.
    network: Word,
    cgroups: Word,
    /// Files of the host and what they are mounted over.
    binds: Vec<(CString, &'static CStr)>,
}

impl<'a> Container<'a> {
    pub(crate) fn new(
        configuration: &'a Configuration<'a>,
        rootfs: &str,
        cgroups: &Cgroups,
    ) -> io::Result<Self> {
        let hierarchies = match cgroups {
            Cgroups::V1 { directories, .. } => directories.as_slice(),
            Cgroups::V2 { .. } => &[],
        };
        let v1 = hierarchies.iter().map(|(directory, name)| {
            Ok((
                CString::new(directory.as_os_str().as_encoded_bytes())?,
                CString::new(directory.join("tasks").into_os_string().as_encoded_bytes())?,
                CString::new(format!("sys/fs/cgroup/{name}"))?,
            ))
        });
        let files = configuration.files.into_iter().flat_map(|files| {
            [
                (format!("{files}/resolv.conf"), c"etc/resolv.conf"),
                (format!("{files}/hostname"), c"etc/hostname"),
                (format!("{files}/hosts"), c"etc/hosts"),
            ]
        });
        Ok(Self {
            configuration,
            rootfs: CString::new(rootfs)?,
            v1: v1.collect::<io::Result<_>>()?,
            network: Word::default(),
            cgroups: Word::default(),
            binds: files
                .map(|(source, target)| Ok((CString::new(source)?, target)))
                .collect::<io::Result<_>>()?,
        })
    }

    /// Starts the first process, makes the network namespace and the cgroups while it mounts, waits for its end and gives
    /// its exit code.
    pub(crate) fn run(&self, cgroups: &Cgroups) -> Result<u8, Failure> {
        let console = self.configuration.console;
        let v2_cgroup = cgroups.make_v2(console)?;
        let own = process::own_descriptor().during("pidfd_open")?;
        let child = process::start(v2_cgroup.as_ref().map(AsFd::as_fd), || {
            self.enter(own.as_fd());
        });
        let child = child.during("clone3")?;
        let network = task::new_network().during("network namespace");
        self.network.set(outcome(&network));
        let made = cgroups.make_v1(console);
        self.cgroups.set(outcome(&made));
        let code = child.wait().during("wait4");
        network.and(made).and(code)
    }

    fn enter(&self, parent: BorrowedFd<'_>) {
        let Err(failure) = self.become_true(parent);
        eprintln!("floor: in the container: {failure}");
    }

    fn become_true(&self, parent: BorrowedFd<'_>) -> Result<Infallible, Failure> {
        if self.v1.is_empty() {
            task::new_cgroup_namespace().during("cgroup namespace")?;
        }
        task::set_sid().during("setsid")?;
        task::set_umask(0);
        self.open_root().during("root")?;
        self.mount_filesystems().during("mounts")?;
        make_devices().during("devices")?;
        task::set_host_name(self.configuration.hostname.as_bytes()).during("hostname")?;
        if self.configuration.oom_score_adjust {
            task::write_file(c"proc/self/oom_score_adj", b"0").during("oom_score_adj")?;
        }
        mask_files().during("masked files")?;
        self.join_network(parent).during("network")?;
        mask_directories().during("masked directories")?;
        self.make_read_only().during("read-only paths")?;
        self.join_cgroups().during("joining a cgroup")?;
        self.mount_cgroups().during("cgroup mount")?;
        self.enter_root().during("pivot_root")?;
        task::set_umask(0o022);
        self.drop_privileges().during("credentials")?;
        task::become_program(c"/bin/true", &self.configuration.environment).during("execve")
    }

    /// What depends on the network namespace: the interfaces in sysfs, and those below /proc/sys/net.
    fn join_network(&self, parent: BorrowedFd<'_>) -> io::Result<()> {
        await_success(&self.network)?;
        task::join_network(parent)?;
        let flags = NOSUID | NOEXEC | NODEV | RDONLY;
        mount::new(c"sysfs", c"sysfs", c"sys", flags, c"")?;
        task::loopback_up()?;
        for (file, value) in self.configuration.sysctl {
            task::write_file(file, value)?;
        }
        Ok(())
    }

    /// A task that moves itself alone spares the kernel's global lock, and with it a grace period.
    fn join_cgroups(&self) -> io::Result<()> {
        await_success(&self.cgroups)?;
        self.v1
            .iter()
            .try_for_each(|(_, tasks, _)| task::write_file(tasks, b"0"))
    }

    /// Makes the bundle's root a mount, and goes there.
    fn open_root(&self) -> io::Result<()> {
        mount::change(c"/", libc::MS_PRIVATE | REC)?;
        mount::bind(&self.rootfs, &self.rootfs, BIND | REC)?;
        task::change_directory(&self.rootfs)
    }

    fn mount_filesystems(&self) -> io::Result<()> {
        let flags = NOSUID | NOEXEC | NODEV;
        mount::new(
            c"proc",
            c"proc",
            c"proc",
            self.configuration.proc_flags,
            c"",
        )?;
        let options = c"mode=755,size=65536k";
        mount::new(
            c"tmpfs",
            c"tmpfs",
            c"dev",
            NOSUID | libc::MS_STRICTATIME,
            options,
        )?;
        for directory in [c"dev/pts", c"dev/shm", c"dev/mqueue"] {
            task::make_directory(directory)?;
        }
        let options = c"newinstance,ptmxmode=0666,mode=0620,gid=5";
        mount::new(c"devpts", c"devpts", c"dev/pts", NOSUID | NOEXEC, options)?;
        mount::new(
            c"tmpfs",
            c"shm",
            c"dev/shm",
            flags,
            c"mode=1777,size=65536k",
        )?;
        mount::new(c"mqueue", c"mqueue", c"dev/mqueue", flags, c"")?;
        for (source, target) in &self.binds {
            mount::bind(source, target, BIND | REC)?;
        }
        Ok(())
    }

    fn mount_cgroups(&self) -> io::Result<()> {
        let (flags, target) = (NOSUID | NOEXEC | NODEV, c"sys/fs/cgroup");
        if self.v1.is_empty() {
            return mount::new(c"cgroup2", c"cgroup", target, flags | RDONLY, c"");
        }
        mount::new(c"tmpfs", c"cgroup", target, flags, c"mode=755")?;
        for (directory, _, target) in &self.v1 {
            task::make_directory(target)?;
            mount::bind(directory, target, BIND)?;
        }
        mount::set_recursively(target, RDONLY | flags)
    }

    fn make_read_only(&self) -> io::Result<()> {
        for path in READONLY {
            if if_there(mount::bind(path, path, BIND | REC))? {
                mount::change(path, REMOUNT | RDONLY | self.configuration.proc_flags)?;
            }
        }
        Ok(())
    }

    fn enter_root(&self) -> io::Result<()> {
        if self.configuration.read_only_root {
            mount::change(&self.rootfs, REMOUNT | RDONLY)?;
        }
        mount::pivot_here()
    }

    fn drop_privileges(&self) -> io::Result<()> {
        let kept = self.configuration.capabilities;
        if let Some(limit) = self.configuration.open_files {
            task::limit_open_files(limit)?;
        }
        task::drop_bounding_capabilities(kept)?;
        task::set_root_user(self.configuration.groups)?;
        if self.configuration.no_new_privileges {
            task::set_no_new_privileges()?;
        }
        if let Some(filter) = &self.configuration.filter {
            task::load_filter(filter)?;
        }
        task::set_capabilities(kept, kept, 0)
    }
}

const SUCCESS: u32 = 1;
const FAILURE: u32 = 2;

fn outcome<T, E>(result: &Result<T, E>) -> u32 {
    if result.is_ok() { SUCCESS } else { FAILURE }
}

/// Waits for what the parent does.
fn await_success(word: &Word) -> io::Result<()> {
    match word.wait() {
        SUCCESS => Ok(()),
        _ => Err(io::ErrorKind::Other.into()),
    }
}

fn make_devices() -> io::Result<()> {
    for (path, major, minor) in DEVICES {
        task::make_character_device(path, 0o666, major, minor)?;
    }
    for (target, link) in LINKS {
        task::make_link(target, link)?;
    }
    if task::is_there(c"proc/kcore") {
        task::make_link(c"/proc/kcore", c"dev/core")?;
    }
    Ok(())
}

fn mask_files() -> io::Result<()> {
    MASKED_FILES
        .into_iter()
        .try_for_each(|path| if_there(mount::bind(c"dev/null", path, BIND)).map(drop))
}

/// One empty filesystem covers all of them: the second and later ones are clones of the first mount.
fn mask_directories() -> io::Result<()> {
    let mut first = None;
    for path in MASKED_DIRECTORIES {
        let masked = match first {
            None => mount::new(c"tmpfs", c"tmpfs", path, RDONLY, c""),
            Some(first) => mount::bind(first, path, BIND),
        };
        if if_there(masked)? {
            first.get_or_insert(path);
        }
    }
    Ok(())
}

/// Whether the target of a mount is there.
fn if_there(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        other => other.map(|()| true),
    }
}
