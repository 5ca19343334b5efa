//! The bundles that are run: `runc spec`'s default configuration on a root file system of one static busybox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Context, Error, Result};

const BUSYBOX: &str = "/bin/busybox";

/// Makes a root file system that has /bin/true and /bin/sleep.
pub(crate) fn make_rootfs(rootfs: &Path) -> Result<()> {
    for name in ["bin", "proc", "dev", "sys", "tmp"] {
        let directory = rootfs.join(name);
        fs::create_dir_all(&directory).context(directory.display())?;
    }
    let program = fs::read(BUSYBOX).map_err(|cause| {
        Error::new(format!(
            "{BUSYBOX}: {cause} (package busybox-static needed)"
        ))
    })?;
    if is_dynamic(&program) {
        let message = "is not statically linked (package busybox-static needed)";
        return Err(Error::new(format!("{BUSYBOX}: {message}")));
    }
    let busybox = rootfs.join("bin/busybox");
    fs::copy(BUSYBOX, &busybox).context(busybox.display())?;
    for applet in ["true", "sleep"] {
        let link = rootfs.join("bin").join(applet);
        symlink("busybox", &link).context(link.display())?;
    }
    Ok(())
}

/// An interpreter's path near the beginning tells a dynamic executable from a static one (elf(5), PT_INTERP).
fn is_dynamic(program: &[u8]) -> bool {
    let head = program.get(..4096).unwrap_or(program);
    head.windows(7)
        .any(|window| window == b"/lib/ld" || window == b"/lib64/")
}

/// What a container runs, and where.
#[derive(Debug)]
pub(crate) struct Container {
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) pid_file: PathBuf,
}

/// What differs between the bench's containers.
pub(crate) struct Request<'a> {
    pub(crate) id: &'a str,
    pub(crate) rootfs: &'a Path,
    /// The cgroup in each hierarchy, below its root.
    pub(crate) cgroup: &'a str,
    /// On a host with cgroup v2 alone the default configuration has a cgroup namespace as well.
    pub(crate) cgroup_namespace: bool,
    pub(crate) arguments: &'a [&'a str],
}

/// Writes a bundle into a new directory.
pub(crate) fn make(directory: PathBuf, request: &Request<'_>) -> Result<Container> {
    fs::create_dir(&directory).context(directory.display())?;
    let file = directory.join("config.json");
    fs::write(&file, config(request).to_string()).context(file.display())?;
    Ok(Container {
        id: request.id.to_owned(),
        pid_file: directory.join("pid"),
        bundle: directory,
    })
}

fn config(request: &Request<'_>) -> Value {
    let capabilities = json!(["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": false,
            "user": {"uid": 0, "gid": 0},
            "args": request.arguments,
            "env": [
                "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                "TERM=xterm",
            ],
            "cwd": "/",
            "capabilities": {
                "bounding": capabilities,
                "effective": capabilities,
                "permitted": capabilities,
            },
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": true,
        },
        "root": {"path": request.rootfs, "readonly": true},
        "hostname": "runc",
        "mounts": mounts(),
        "linux": {
            "cgroupsPath": request.cgroup,
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": namespaces(request.cgroup_namespace),
            "maskedPaths": [
                "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
                "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware", "/proc/scsi",
            ],
            "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
        },
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| json!({"destination": destination, "type": kind, "source": source, "options": options});
    json!([
        mount("/proc", "proc", "proc", &[]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"]
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5"
            ]
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"]
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"]
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"]
        ),
    ])
}

fn namespaces(cgroup: bool) -> Value {
    let always = ["pid", "network", "ipc", "uts", "mount"];
    let names = always.into_iter().chain(cgroup.then_some("cgroup"));
    names.map(|name| json!({"type": name})).collect()
}
