//! The container's first process: born in its namespaces, it builds its root and becomes `/bin/true`.
//!
//! Where two ways lead to the same mount, this takes the one of fewer calls, which is mostly mount(2): it names its
//! targets by paths, which a runtime may not do in a tree that somebody else controls.

use std::convert::Infallible;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::AsFd;

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
const LINKS: [(&CStr, &CStr); 6] = [
    (c"/proc/self/fd", c"dev/fd"),
    (c"/proc/self/fd/0", c"dev/stdin"),
    (c"/proc/self/fd/1", c"dev/stdout"),
    (c"/proc/self/fd/2", c"dev/stderr"),
    (c"pts/ptmx", c"dev/ptmx"),
    (c"/proc/kcore", c"dev/core"),
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

const MADE: u32 = 1;
const FAILED: u32 = 2;

/// Everything the first process needs, in the form the kernel takes it.
pub(crate) struct Container<'a> {
    configuration: &'a Configuration<'a>,
    rootfs: CString,
    /// Of each v1 hierarchy: the container's cgroup, its `tasks` file and its directory in the container.
    v1: Vec<(CString, CString, CString)>,
    /// What became of the cgroups that the parent makes meanwhile.
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
            cgroups: Word::default(),
            binds: files
                .map(|(source, target)| Ok((CString::new(source)?, target)))
                .collect::<io::Result<_>>()?,
        })
    }

    /// Starts the first process, makes the cgroups while it mounts, waits for its end and gives its exit code.
    pub(crate) fn run(&self, cgroups: &Cgroups) -> Result<u8, Failure> {
        let console = self.configuration.console;
        let v2_cgroup = cgroups.make_v2(console)?;
        let child = process::start(v2_cgroup.as_ref().map(AsFd::as_fd), || self.enter());
        let child = child.during("clone3")?;
        let made = cgroups.make_v1(console);
        self.cgroups.set(if made.is_ok() { MADE } else { FAILED });
        let code = child.wait().during("wait4");
        made.and(code)
    }

    fn enter(&self) {
        let Err(failure) = self.become_true();
        eprintln!("floor: in the container: {failure}");
    }

    fn become_true(&self) -> Result<Infallible, Failure> {
        if self.v1.is_empty() {
            task::new_cgroup_namespace().during("cgroup namespace")?;
        }
        task::set_sid().during("setsid")?;
        task::set_umask(0);
        self.open_root().during("root")?;
        self.mount_filesystems().during("mounts")?;
        make_devices().during("devices")?;
        task::set_host_name(self.configuration.hostname.as_bytes()).during("hostname")?;
        task::loopback_up().during("loopback")?;
        for (file, value) in self.configuration.sysctl {
            task::write_file(file, value).during("sysctl")?;
        }
        if self.configuration.oom_score_adjust {
            task::write_file(c"proc/self/oom_score_adj", b"0").during("oom_score_adj")?;
        }
        self.protect_paths().during("masked and read-only paths")?;
        self.join_cgroups().during("joining a cgroup")?;
        self.mount_cgroups().during("cgroup mount")?;
        self.enter_root().during("pivot_root")?;
        task::set_umask(0o022);
        self.drop_privileges().during("credentials")?;
        task::become_program(c"/bin/true", &self.configuration.environment).during("execve")
    }

    /// A task that moves itself alone spares the kernel's global lock, and with it a grace period.
    fn join_cgroups(&self) -> io::Result<()> {
        if self.cgroups.wait() == FAILED {
            return Err(io::ErrorKind::Other.into());
        }
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
        mount::new(c"sysfs", c"sysfs", c"sys", flags | RDONLY, c"")?;
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
            mount::change(target, REMOUNT | RDONLY | flags)?;
        }
        mount::change(target, REMOUNT | RDONLY | flags)
    }

    fn protect_paths(&self) -> io::Result<()> {
        for path in MASKED_FILES {
            if_there(mount::bind(c"dev/null", path, BIND))?;
        }
        mask_directories()?;
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

fn make_devices() -> io::Result<()> {
    for (path, major, minor) in DEVICES {
        task::make_character_device(path, 0o666, major, minor)?;
    }
    for (target, link) in LINKS {
        task::make_link(target, link)?;
    }
    Ok(())
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
