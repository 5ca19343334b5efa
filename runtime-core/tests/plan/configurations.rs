//! Configurations to compile, as JSON.

use runtime_core::cgroup::Layout;
use runtime_core::plan::HostFacts;
use runtime_core::{default_spec, default_spec_rootless};
use serde_json::{Value, json};

/// The default, whatever host the test runs on: one with version 2 alone would have a cgroup namespace in it.
pub(crate) fn default() -> Value {
    without_cgroup_namespace(serde_json::to_value(default_spec()).unwrap())
}

pub(crate) fn rootless() -> Value {
    without_cgroup_namespace(serde_json::to_value(default_spec_rootless(1000, 100)).unwrap())
}

fn without_cgroup_namespace(mut config: Value) -> Value {
    let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
    namespaces.retain(|namespace| namespace["type"] != "cgroup");
    config
}

/// As little as a container can have.
pub(crate) fn config() -> Value {
    json!({
        "ociVersion": "1.0.2",
        "root": {"path": "rootfs"},
        "process": {"cwd": "/", "args": ["true"], "user": {"uid": 0, "gid": 0}},
        "linux": {"namespaces": [{"type": "mount"}]}
    })
}

/// A bit of everything that there is a step for.
pub(crate) fn rich() -> Value {
    let mut config = config();
    config["hostname"] = json!("web");
    config["domainname"] = json!("example.org");
    config["root"]["readonly"] = json!(true);
    config["process"] = process();
    config["mounts"] = mounts();
    config["linux"] = linux();
    config["hooks"] = json!({
        "prestart": [{"path": "/bin/true"}],
        "createRuntime": [{"path": "/bin/true", "args": ["true", "1"], "env": ["A=1"], "timeout": 5}],
        "createContainer": [{"path": "/bin/true"}],
        "startContainer": [{"path": "/bin/true"}],
        "poststart": [{"path": "/bin/true"}],
        "poststop": [{"path": "/bin/true"}]
    });
    config
}

fn process() -> Value {
    json!({
        "terminal": true,
        "consoleSize": {"width": 80, "height": 25},
        "cwd": "/srv",
        "args": ["server", "--port", "80"],
        "env": ["PATH=/usr/bin:/bin", "TERM=xterm"],
        "user": {"uid": 1000, "gid": 1000, "umask": 63, "additionalGids": [5, 6]},
        "noNewPrivileges": true,
        "oomScoreAdj": 100,
        "scheduler": {"policy": "SCHED_BATCH", "nice": 5},
        "ioPriority": {"class": "IOPRIO_CLASS_BE", "priority": 6},
        "execCPUAffinity": {"initial": "0-1", "final": "1"},
        "rlimits": [
            {"type": "RLIMIT_NOFILE", "soft": 1024, "hard": 4096},
            {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}
        ],
        "capabilities": {
            "bounding": ["CAP_NET_BIND_SERVICE", "CAP_KILL"],
            "permitted": ["CAP_NET_BIND_SERVICE", "CAP_KILL"],
            "effective": ["CAP_KILL"],
            "inheritable": ["CAP_NET_BIND_SERVICE"],
            "ambient": ["CAP_NET_BIND_SERVICE"]
        }
    })
}

fn mounts() -> Value {
    json!([
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=64k"]},
        {"destination": "/srv/data", "source": "/srv/data", "options": ["rbind", "ro", "rslave", "nodev"]},
        {"destination": "/srv/more", "type": "bind", "source": "more", "options": ["rro", "rprivate"]}
    ])
}

fn linux() -> Value {
    let kinds = [
        "user", "mount", "pid", "network", "ipc", "uts", "cgroup", "time",
    ];
    let namespaces: Vec<Value> = kinds.iter().map(|kind| json!({"type": kind})).collect();
    let mapping = json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    json!({
        "namespaces": namespaces,
        "netDevices": {"eth1": {"name": "eth%d"}, "dummy0": {}},
        "uidMappings": mapping,
        "gidMappings": mapping,
        "timeOffsets": {"monotonic": {"secs": 5, "nanosecs": 7}, "boottime": {"secs": 9}},
        "rootfsPropagation": "rslave",
        "cgroupsPath": "/engine/web",
        "personality": {"domain": "LINUX"},
        "memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0-1", "flags": ["MPOL_F_STATIC_NODES"]},
        "sysctl": {"net.ipv4.ip_forward": "1", "kernel.msgmax": "65536"},
        "maskedPaths": ["/proc/kcore", "/sys/firmware"],
        "readonlyPaths": ["/proc/sys", "/proc/bus"],
        "devices": [
            {"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229, "fileMode": 432, "uid": 0, "gid": 0},
            {"path": "/dev/pipe", "type": "p"}
        ],
        "resources": {
            "memory": {"limit": 67_108_864},
            "cpu": {"shares": 512, "quota": 50_000, "period": 100_000},
            "pids": {"limit": 100},
            "devices": [{"allow": false, "access": "rwm"}]
        },
        "seccomp": seccomp()
    })
}

fn seccomp() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": 38,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [
            {"names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW"},
            {"names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 8, "op": "SCMP_CMP_EQ"}]},
            {"names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS"}
        ]
    })
}

/// A host with cgroup version 1 alone.
pub(crate) fn version_1() -> HostFacts {
    let mountinfo = "\
        31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
        33 25 0:29 / /sys/fs/cgroup/devices rw - cgroup cgroup rw,devices\n\
        34 25 0:30 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n";
    let own = "4:pids:/\n3:devices:/\n2:memory:/\n1:cpu,cpuacct:/\n";
    HostFacts {
        cgroups: Layout::parse(mountinfo, own),
        ..HostFacts::typical()
    }
}

/// The configuration with the value at a JSON pointer replaced; `-` is the place after a list's last element, and null
/// takes away what is there.
pub(crate) fn patched(mut config: Value, pointer: &str, value: Value) -> Value {
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    let key = key.replace("~1", "/").replace("~0", "~");
    if config.pointer(parent).is_none_or(Value::is_null) {
        let empty = if key == "-" { json!([]) } else { json!({}) };
        config = patched(config, parent, empty);
    }
    match config.pointer_mut(parent).unwrap() {
        Value::Array(list) if key == "-" => list.push(value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        Value::Object(map) if value.is_null() => drop(map.remove(&key)),
        Value::Object(map) => drop(map.insert(key, value)),
        other => panic!("{parent} is {other}"),
    }
    config
}
