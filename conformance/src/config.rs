//! config.json: what `runc spec` prints, with no terminal and the probe as its program, to be changed by each case.

use serde_json::{Value, json};

/// A configuration. Cases change what they are about and leave the rest as `runc spec` has it.
#[derive(Clone, Debug)]
pub struct Config(pub Value);

const CAPABILITIES: [&str; 3] = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];

const MASKED: [&str; 10] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/sys/firmware",
    "/proc/scsi",
];

const READONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

impl Default for Config {
    fn default() -> Self {
        Self(json!({
            "ociVersion": "1.0.2",
            "process": process(),
            "root": {"path": "rootfs", "readonly": true},
            "hostname": "conformance",
            "mounts": mounts(),
            "linux": {
                "resources": {"devices": [{"allow": false, "access": "rwm"}]},
                "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
                "maskedPaths": MASKED,
                "readonlyPaths": READONLY,
            },
        }))
    }
}

fn process() -> Value {
    json!({
        "terminal": false,
        "user": {"uid": 0, "gid": 0},
        "args": ["/probe"],
        "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
        "cwd": "/",
        "capabilities": {
            "bounding": CAPABILITIES,
            "effective": CAPABILITIES,
            "permitted": CAPABILITIES,
        },
        "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
        "noNewPrivileges": true,
    })
}

fn mounts() -> Value {
    let mount = |destination: &str, kind: &str, source: &str, options: &[&str]| {
        let mut mount = json!({"destination": destination, "type": kind, "source": source});
        if !options.is_empty() {
            mount["options"] = json!(options);
        }
        mount
    };
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

impl Config {
    /// Says with which version of the specification the bundle complies: what a later version has is unknown to it.
    pub fn version(&mut self, version: &str) -> &mut Self {
        self.set("/ociVersion", json!(version))
    }

    /// Sets the value at a JSON pointer; objects on the way are made.
    pub fn set(&mut self, pointer: &str, value: Value) -> &mut Self {
        let mut place = &mut self.0;
        for key in pointer.trim_start_matches('/').split('/') {
            let key = key.replace("~1", "/").replace("~0", "~");
            place = match place {
                Value::Array(items) => &mut items[key.parse::<usize>().expect("an index")],
                other => &mut other[key.as_str()],
            };
        }
        *place = value;
        self
    }

    /// Removes the field at a JSON pointer.
    pub fn remove(&mut self, pointer: &str) -> &mut Self {
        let (parent, key) = pointer.rsplit_once('/').expect("a JSON pointer");
        let parent = self
            .0
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("the object is there");
        parent.remove(key);
        self
    }

    /// Appends to the array at a JSON pointer, which is made if it is not there.
    pub fn push(&mut self, pointer: &str, value: Value) -> &mut Self {
        match self.0.pointer_mut(pointer).and_then(Value::as_array_mut) {
            Some(array) => array.push(value),
            None => drop(self.set(pointer, json!([value]))),
        }
        self
    }

    /// Runs this program instead of the probe.
    pub fn args(&mut self, args: &[&str]) -> &mut Self {
        self.set("/process/args", json!(args))
    }

    /// Runs this shell script instead of the probe.
    pub fn shell(&mut self, script: &str) -> &mut Self {
        self.args(&["sh", "-c", script])
    }

    /// Runs a program that ends when it is asked to (SIGTERM, too, although it is PID 1), or after a minute.
    pub fn waits(&mut self) -> &mut Self {
        self.shell(
            "trap 'exit 0' TERM; n=0; while [ $n -lt 1200 ]; do sleep 0.05; n=$((n+1)); done",
        )
    }

    /// Adds an environment variable.
    pub fn env(&mut self, variable: &str) -> &mut Self {
        self.push("/process/env", json!(variable))
    }

    /// Adds a mount, after those that are there.
    pub fn mount(
        &mut self,
        destination: &str,
        kind: &str,
        source: &str,
        options: &[&str],
    ) -> &mut Self {
        let mount =
            json!({"destination": destination, "type": kind, "source": source, "options": options});
        self.push("/mounts", mount)
    }

    /// Adds a bind mount.
    pub fn bind(
        &mut self,
        source: impl AsRef<std::path::Path>,
        destination: &str,
        options: &[&str],
    ) -> &mut Self {
        self.mount(
            destination,
            "none",
            source.as_ref().to_str().expect("UTF-8"),
            options,
        )
    }

    /// Makes a namespace of this kind, or joins the one that a path names.
    pub fn namespace(&mut self, kind: &str, path: Option<&str>) -> &mut Self {
        self.share(kind);
        let namespace = path.map_or_else(
            || json!({"type": kind}),
            |path| json!({"type": kind, "path": path}),
        );
        self.push("/linux/namespaces", namespace)
    }

    /// Leaves the container in the runtime's namespace of this kind.
    pub fn share(&mut self, kind: &str) -> &mut Self {
        let namespaces = self.0["linux"]["namespaces"]
            .as_array_mut()
            .expect("the default has namespaces");
        namespaces.retain(|namespace| namespace["type"] != kind);
        self
    }

    /// Makes a user namespace with mappings of (container, host, size), the same for users and groups.
    pub fn user_namespace(&mut self, ranges: &[(u32, u32, u32)]) -> &mut Self {
        let ranges: Vec<_> = ranges
            .iter()
            .map(|(container, host, size)| json!({"containerID": container, "hostID": host, "size": size}))
            .collect();
        self.set("/linux/uidMappings", json!(ranges))
            .set("/linux/gidMappings", json!(ranges));
        self.namespace("user", None)
    }

    /// Gives the process these capabilities in the sets that make them effective, and no others.
    pub fn capabilities(&mut self, names: &[&str]) -> &mut Self {
        let sets = json!({"bounding": names, "effective": names, "permitted": names});
        self.set("/process/capabilities", sets)
    }
}
