//! The bundles that are run: `runc spec`'s default configuration, or Docker's, on a root file system of one static busybox.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::error::{Context, Error, Result};

const BUSYBOX: &str = "/bin/busybox";

/// What dockerd writes: see README.md.
const DOCKER: &str = include_str!("../fixtures/docker.json");

/// The files of the host that Docker mounts over those in `/etc`.
const DOCKER_FILES: [&str; 3] = ["resolv.conf", "hostname", "hosts"];

/// Makes a root file system that has /bin/true and /bin/sleep, and the empty files that dockerd leaves in an image.
pub(crate) fn make_rootfs(rootfs: &Path) -> Result<()> {
    for name in ["bin", "proc", "dev", "sys", "tmp", "etc"] {
        let directory = rootfs.join(name);
        fs::create_dir_all(&directory).context(directory.display())?;
    }
    for name in DOCKER_FILES {
        let file = rootfs.join("etc").join(name);
        fs::write(&file, "").context(file.display())?;
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
pub(crate) fn is_dynamic(program: &[u8]) -> bool {
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

/// Makes the files that Docker's configuration mounts.
pub(crate) fn make_docker_files(directory: &Path) -> Result<()> {
    fs::create_dir(directory).context(directory.display())?;
    for name in DOCKER_FILES {
        let file = directory.join(name);
        fs::write(&file, "# of the bench\n").context(file.display())?;
    }
    Ok(())
}

/// Whose configuration a container has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    RuncSpec,
    Docker,
}

/// What differs between the bench's containers.
pub(crate) struct Request<'a> {
    pub(crate) id: &'a str,
    pub(crate) origin: Origin,
    pub(crate) rootfs: &'a Path,
    /// Where the files are that Docker's configuration mounts.
    pub(crate) files: &'a Path,
    /// The cgroup in each hierarchy, below its root.
    pub(crate) cgroup: &'a str,
    /// On a host with cgroup v2 alone both configurations have a cgroup namespace as well.
    pub(crate) cgroup_namespace: bool,
    pub(crate) arguments: &'a [&'a str],
    /// In bytes.
    pub(crate) memory_limit: Option<u64>,
}

/// Writes a bundle into a new directory.
pub(crate) fn make(directory: PathBuf, request: &Request<'_>) -> Result<Container> {
    fs::create_dir(&directory).context(directory.display())?;
    let container = Container {
        id: request.id.to_owned(),
        pid_file: directory.join("pid"),
        bundle: directory,
    };
    configure(&container, request)?;
    Ok(container)
}

/// Writes the configuration of a bundle anew.
pub(crate) fn configure(container: &Container, request: &Request<'_>) -> Result<()> {
    let mut config = match request.origin {
        Origin::RuncSpec => default_of_runc(request),
        Origin::Docker => docker(request)?,
    };
    if let Some(limit) = request.memory_limit {
        config["linux"]["resources"]["memory"] = json!({"limit": limit});
    }
    let file = container.bundle.join("config.json");
    fs::write(&file, config.to_string()).context(file.display())
}

/// Docker's configuration with the bench's paths in it.
fn docker(request: &Request<'_>) -> Result<Value> {
    let mut config: Value = serde_json::from_str(DOCKER).context("fixtures/docker.json")?;
    config["process"]["args"] = json!(request.arguments);
    config["root"]["path"] = json!(request.rootfs);
    config["linux"]["cgroupsPath"] = json!(request.cgroup);
    for mount in config["mounts"].as_array_mut().into_iter().flatten() {
        let name = mount["source"].as_str();
        let name = name.and_then(|source| source.strip_prefix("FILES/"));
        if let Some(source) = name.map(|name| request.files.join(name)) {
            mount["source"] = json!(source);
        }
    }
    let namespaces = config["linux"]["namespaces"].as_array_mut();
    if let Some(namespaces) = namespaces.filter(|_| request.cgroup_namespace) {
        namespaces.push(json!({"type": "cgroup"}));
    }
    Ok(config)
}

/// The seccomp profile of Docker's configuration.
pub(crate) fn docker_profile() -> Result<Value> {
    let mut config: Value = serde_json::from_str(DOCKER).context("fixtures/docker.json")?;
    Ok(config["linux"]["seccomp"].take())
}

fn default_of_runc(request: &Request<'_>) -> Value {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_docker_s_fixture_is_left_to_be_filled_in() {
        let request = Request {
            id: "a",
            origin: Origin::Docker,
            rootfs: Path::new("/r"),
            files: Path::new("/f"),
            cgroup: "/c",
            cgroup_namespace: true,
            arguments: &["/bin/true"],
            memory_limit: None,
        };
        let config = docker(&request).unwrap();
        let text = config.to_string();
        for word in ["ROOTFS", "FILES", "CGROUP\""] {
            assert!(!text.contains(word), "{word}");
        }
        assert_eq!(config["mounts"].as_array().unwrap().len(), 10);
        assert!(text.contains("/f/hosts"));
        assert!(config.get("hooks").is_none());
    }
}
