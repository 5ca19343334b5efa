//! What is refused, as a change of a configuration that is not, and the JSON pointer that the error names.

use serde_json::{Value, json};

use crate::configurations::{config, default, patched, rich};
use crate::refusals_scheduling;

pub(crate) struct Refusal {
    pub(crate) config: Value,
    /// Where the configuration is changed, and to what.
    pub(crate) place: &'static str,
    pub(crate) value: Value,
    pub(crate) pointer: &'static str,
    /// Whether it is this version that cannot do it.
    pub(crate) supported_some_day: bool,
}

pub(crate) type Row = (&'static str, Value, &'static str);

/// A row whose error names the very place that is changed.
fn itself(place: &'static str, value: Value) -> Row {
    (place, value, place)
}

/// Rows about one place.
pub(crate) fn at(
    place: &'static str,
    rows: impl IntoIterator<Item = (Value, &'static str)>,
) -> impl Iterator<Item = Row> {
    rows.into_iter()
        .map(move |(value, pointer)| (place, value, pointer))
}

pub(crate) fn all() -> Vec<Refusal> {
    let invalid = [
        (config as fn() -> Value, general()),
        (config, namespaces()),
        (without_mount_list, root_and_mounts()),
        (default, process()),
        (config, devices_and_paths()),
        (config, resources()),
        (rich, mappings_and_filter()),
        (config, refusals_scheduling::scheduling()),
        (config, refusals_scheduling::memory_policies()),
        (rich, net_devices()),
        (config, what_the_kernel_would_take_for_something_else()),
    ];
    let rows = |(base, rows): (fn() -> Value, Vec<Row>), supported_some_day| {
        rows.into_iter()
            .map(move |(place, value, pointer)| Refusal {
                config: base(),
                place,
                value,
                pointer,
                supported_some_day,
            })
    };
    let invalid = invalid.into_iter().flat_map(|group| rows(group, false));
    invalid.chain(rows((config, unsupported()), true)).collect()
}

fn without_mount_list() -> Value {
    patched(config(), "/mounts", json!([]))
}

fn general() -> Vec<Row> {
    vec![
        itself("/ociVersion", json!("2.0.0")),
        itself("/ociVersion", json!("1.0")),
        itself("/ociVersion", json!("latest")),
        itself("/root", Value::Null),
        (
            "/hooks/poststop/-",
            json!({"path": "bin/true"}),
            "/hooks/poststop/0/path",
        ),
        (
            "/hooks/prestart/-",
            json!({"path": "/bin/true", "timeout": 0}),
            "/hooks/prestart/0/timeout",
        ),
        (
            "/hooks/createRuntime/-",
            json!({"path": "/bin/true", "timeout": -1}),
            "/hooks/createRuntime/0/timeout",
        ),
        itself("/linux/cgroupsPath", json!("/")),
        itself("/linux/cgroupsPath", json!("/a/..")),
        itself("/linux/cgroupsPath", json!("a\nb")),
        itself("/linux/cgroupsPath", json!("a\u{0}b")),
    ]
}

fn namespaces() -> Vec<Row> {
    vec![
        (
            "/linux/namespaces/-",
            json!({"type": "mount"}),
            "/linux/namespaces/1",
        ),
        (
            "/linux/namespaces/-",
            json!({"type": "pid", "path": "ns/pid"}),
            "/linux/namespaces/1/path",
        ),
        itself("/hostname", json!("web")),
        itself("/domainname", json!("example.org")),
        itself("/linux/timeOffsets", json!({"monotonic": {"secs": 1}})),
        (
            "/linux/namespaces/-",
            json!({"type": "user"}),
            "/linux/uidMappings",
        ),
        (
            "/linux",
            json!({"namespaces": [{"type": "mount"}, {"type": "time"}], "timeOffsets": {"a/b": {"secs": 1}}}),
            "/linux/timeOffsets/a~1b",
        ),
        (
            "/linux",
            json!({"namespaces": [{"type": "mount"}, {"type": "user"}], "uidMappings": mapping(1), "gidMappings": vec![mapping(1)[0].clone(); 341]}),
            "/linux/gidMappings",
        ),
        itself("/linux/uidMappings", mapping(1)),
        itself("/linux/gidMappings", mapping(1)),
        itself("/linux/netDevices", json!({"eth0": {}})),
        (
            "/linux/sysctl",
            json!({"net.ipv4.ip_forward": "1"}),
            "/linux/sysctl/net.ipv4.ip_forward",
        ),
        (
            "/linux/sysctl",
            json!({"kernel.shmmax": "1"}),
            "/linux/sysctl/kernel.shmmax",
        ),
        (
            "/linux/sysctl",
            json!({"kernel.core_pattern": "x"}),
            "/linux/sysctl/kernel.core_pattern",
        ),
        (
            "/linux/sysctl",
            json!({"net/../kernel": "x"}),
            "/linux/sysctl/net~1..~1kernel",
        ),
    ]
}

fn net_devices() -> Vec<Row> {
    at(
        "/linux/netDevices",
        [
            (json!({"a/b~c": {}}), "/linux/netDevices/a~1b~0c"),
            (json!({"": {}}), "/linux/netDevices/"),
            (
                json!({"sixteen-bytes-is": {}}),
                "/linux/netDevices/sixteen-bytes-is",
            ),
            (
                json!({"eth0": {"name": "a:1"}}),
                "/linux/netDevices/eth0/name",
            ),
            (
                json!({"eth0": {"name": "eth%s"}}),
                "/linux/netDevices/eth0/name",
            ),
            (
                json!({"eth0": {"name": "eth1"}, "eth1": {}}),
                "/linux/netDevices/eth1",
            ),
        ],
    )
    .collect()
}

fn mapping(size: u32) -> Value {
    json!([{"containerID": 0, "hostID": 1000, "size": size}])
}

/// A bind mount with these fields.
fn bind(fields: Value) -> Value {
    let mut mount = json!({"destination": "/a", "source": "/b", "options": ["bind"]});
    for (name, value) in fields.as_object().into_iter().flatten() {
        mount[name] = value.clone();
    }
    mount
}

fn root_and_mounts() -> Vec<Row> {
    let rows = [
        (
            json!({"destination": "", "type": "tmpfs"}),
            "/mounts/0/destination",
        ),
        (
            json!({"destination": "/a\u{0}b", "type": "tmpfs"}),
            "/mounts/0/destination",
        ),
        (json!({"destination": "/a"}), "/mounts/0/type"),
        (
            json!({"destination": "/a", "type": "none", "source": "/b"}),
            "/mounts/0/type",
        ),
        (
            json!({"destination": "/a", "type": "a\u{0}b"}),
            "/mounts/0/type",
        ),
        (
            json!({"destination": "/a", "type": "tmpfs", "source": "a\u{0}b"}),
            "/mounts/0/source",
        ),
        (
            json!({"destination": "/a", "type": "tmpfs", "options": ["a\u{0}b"]}),
            "/mounts/0/options/0",
        ),
        (bind(json!({"options": ["bind", "tmpcopyup"]})), "/mounts/0"),
        // Without mappings these are the container's, which has none.
        (bind(json!({"options": ["bind", "idmap"]})), "/mounts/0"),
        (bind(json!({"options": ["bind", "ridmap"]})), "/mounts/0"),
        (bind(json!({"uidMappings": mapping(1)})), "/mounts/0"),
        (bind(json!({"gidMappings": mapping(1)})), "/mounts/0"),
        (
            bind(json!({"uidMappings": mapping(0), "gidMappings": mapping(1)})),
            "/mounts/0/uidMappings/0/size",
        ),
        (
            json!({"destination": "/a", "type": "overlay", "options": [format!("lowerdir={}", "/x".repeat(2048))]}),
            "/mounts/0/options",
        ),
        // A path of the host that names the root itself.
        (
            json!({"destination": "/srv/bundles/web/rootfs/.", "type": "tmpfs"}),
            "/mounts/0/destination",
        ),
        (
            json!({"destination": "/a", "type": "bind"}),
            "/mounts/0/source",
        ),
        (
            json!({"destination": "/a", "options": ["bind"]}),
            "/mounts/0/source",
        ),
        (
            json!({"destination": "/proc", "type": "tmpfs"}),
            "/mounts/0/destination",
        ),
        (
            json!({"destination": "/x/../proc/self", "type": "proc"}),
            "/mounts/0/destination",
        ),
        (
            json!({"destination": "proc/sys", "type": "bind", "source": "/"}),
            "/mounts/0/destination",
        ),
    ];
    let mut rows: Vec<Row> = at("/mounts/-", rows).collect();
    rows.extend([
        itself("/linux/rootfsPropagation", json!("sideways")),
        itself("/linux/rootfsPropagation", json!("rbind")),
        itself("/root/path", json!("root\u{0}fs")),
    ]);
    rows
}

fn process() -> Vec<Row> {
    let limit = json!({"type": "RLIMIT_NOFILE", "soft": 1, "hard": 1});
    vec![
        itself("/process/cwd", json!("srv")),
        itself("/process/cwd", json!("")),
        itself("/process/cwd", json!("/a\u{0}b")),
        itself("/process/args", json!([])),
        itself("/process/args", json!([""])),
        itself("/process/args", Value::Null),
        ("/process/args", json!(["sh", "a\u{0}b"]), "/process/args/1"),
        ("/process/env", json!(["A=1", "B"]), "/process/env/1"),
        ("/process/env", json!(["A=1", "=B"]), "/process/env/1"),
        ("/process/env", json!(["A=1\u{0}"]), "/process/env/0"),
        (
            "/process/consoleSize",
            json!({"width": 65536, "height": 1}),
            "/process/consoleSize/width",
        ),
        (
            "/process/consoleSize",
            json!({"width": 1, "height": 65536}),
            "/process/consoleSize/height",
        ),
        ("/process/rlimits/-", limit, "/process/rlimits/1/type"),
        (
            "/process/rlimits/-",
            json!({"type": "RLIMIT_CORE", "soft": 2, "hard": 1}),
            "/process/rlimits/1/soft",
        ),
        itself("/hostname", json!("a\u{0}b")),
        itself("/domainname", json!("a\u{0}b")),
    ]
}

fn devices_and_paths() -> Vec<Row> {
    let device = |key: &str, value: Value| {
        let mut device = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 1});
        device[key] = value;
        device
    };
    let rows = [
        (device("path", json!("dev/x")), "/linux/devices/0/path"),
        (device("type", json!("a")), "/linux/devices/0/type"),
        (device("major", json!(-1)), "/linux/devices/0/major"),
        (
            device("minor", json!(1_i64 << 32)),
            "/linux/devices/0/minor",
        ),
        (device("path", json!("/dev/\u{0}")), "/linux/devices/0"),
    ];
    let mut rows: Vec<Row> = at("/linux/devices/-", rows).collect();
    rows.extend([
        (
            "/linux/maskedPaths",
            json!(["/a", "b"]),
            "/linux/maskedPaths/1",
        ),
        (
            "/linux/maskedPaths",
            json!(["/a\u{0}"]),
            "/linux/maskedPaths/0",
        ),
        (
            "/linux/readonlyPaths",
            json!(["a"]),
            "/linux/readonlyPaths/0",
        ),
        (
            "/linux/readonlyPaths",
            json!(["/a", "/b\u{0}"]),
            "/linux/readonlyPaths/1",
        ),
    ]);
    rows
}

fn resources() -> Vec<Row> {
    let rule = |key: &str, value: Value| {
        let mut rule = json!({"allow": true, "type": "c", "major": 1, "minor": 1, "access": "r"});
        rule[key] = value;
        json!({"devices": [rule]})
    };
    vec![
        (
            "/linux/resources",
            rule("access", json!("rx")),
            "/linux/resources/devices/0/access",
        ),
        (
            "/linux/resources",
            rule("type", json!("p")),
            "/linux/resources/devices/0/type",
        ),
        (
            "/linux/resources",
            rule("major", json!(-2)),
            "/linux/resources/devices/0/major",
        ),
        (
            "/linux/resources",
            json!({"memory": {"limit": -2}}),
            "/linux/resources/memory/limit",
        ),
        (
            "/linux/resources",
            json!({"memory": {"limit": 9, "swap": 8}}),
            "/linux/resources/memory/swap",
        ),
        (
            "/linux/resources",
            json!({"memory": {"swappiness": 101}}),
            "/linux/resources/memory/swappiness",
        ),
        (
            "/linux/resources",
            json!({"cpu": {"cpus": "0;1"}}),
            "/linux/resources/cpu/cpus",
        ),
        (
            "/linux/resources",
            json!({"network": {"classID": 1}}),
            "/linux/resources/network/classID",
        ),
        (
            "/linux/resources",
            json!({"unified": {"memory": "1"}}),
            "/linux/resources/unified/memory",
        ),
        (
            "/linux/resources",
            json!({"unified": {"../x.y": "1"}}),
            "/linux/resources/unified/..~1x.y",
        ),
    ]
}

/// -1 as an id means "leave it" to setresuid(2) and chown(2), and device numbers have 12 and 20 bits: what does not fit
/// would be done as something else.
fn what_the_kernel_would_take_for_something_else() -> Vec<Row> {
    let device = |key: &str, value: Value| {
        let mut device = json!({"path": "/dev/x", "type": "c", "major": 1, "minor": 1});
        device[key] = value;
        device
    };
    let no_id = json!(u32::MAX);
    let rows = [
        (device("major", json!(4096)), "/linux/devices/0/major"),
        (device("minor", json!(1 << 20)), "/linux/devices/0/minor"),
        (device("uid", no_id.clone()), "/linux/devices/0/uid"),
        (device("gid", no_id.clone()), "/linux/devices/0/gid"),
    ];
    let mut rows: Vec<Row> = at("/linux/devices/-", rows).collect();
    rows.extend([
        itself("/process/user/uid", no_id.clone()),
        itself("/process/user/gid", no_id.clone()),
        (
            "/process/user/additionalGids",
            json!([5, no_id]),
            "/process/user/additionalGids/1",
        ),
        itself("/root/path", json!("")),
    ]);
    let hooks = [
        (
            json!({"path": "/bin/true", "env": ["A"]}),
            "/hooks/poststop/0/env/0",
        ),
        (json!({"path": "/bin/\u{0}"}), "/hooks/poststop/0/path"),
    ];
    rows.extend(at("/hooks/poststop/-", hooks));
    rows
}

fn mappings_and_filter() -> Vec<Row> {
    let argument = json!([{"index": 6, "value": 0, "op": "SCMP_CMP_EQ"}]);
    let rows = [
        (
            json!({"names": ["mkdir"], "action": "SCMP_ACT_ERRNO", "errnoRet": 5000}),
            "/linux/seccomp/syscalls/3/errnoRet",
        ),
        (
            json!({"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", "errnoRet": 1}),
            "/linux/seccomp/syscalls/3/errnoRet",
        ),
        (
            json!({"names": ["mkdir"], "action": "SCMP_ACT_ALLOW", "args": argument}),
            "/linux/seccomp/syscalls/3/args/0/index",
        ),
        (
            json!({"names": [""], "action": "SCMP_ACT_ALLOW"}),
            "/linux/seccomp/syscalls/3/names/0",
        ),
        (
            json!({"names": ["write"], "action": "SCMP_ACT_NOTIFY"}),
            "/linux/seccomp/syscalls/3/action",
        ),
    ];
    let mut rows: Vec<Row> = at("/linux/seccomp/syscalls/-", rows).collect();
    rows.extend([
        itself("/linux/seccomp/defaultErrnoRet", json!(4096)),
        (
            "/linux/seccomp/flags",
            json!(["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]),
            "/linux/seccomp/flags/0",
        ),
        itself("/linux/seccomp/listenerMetadata", json!("for nobody")),
        (
            "/linux/seccomp/syscalls/-",
            json!({"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}),
            "/linux/seccomp/listenerPath",
        ),
        itself("/linux/uidMappings", json!([])),
        itself("/linux/gidMappings", Value::Null),
        (
            "/linux/gidMappings",
            mapping(0),
            "/linux/gidMappings/0/size",
        ),
        (
            "/linux/timeOffsets",
            json!({"realtime": {"secs": 1}}),
            "/linux/timeOffsets/realtime",
        ),
        (
            "/linux/namespaces/7",
            json!({"type": "time", "path": "/proc/1/ns/time"}),
            "/linux/timeOffsets",
        ),
        (
            "/linux/namespaces",
            json!([{"type": "uts"}]),
            "/linux/maskedPaths",
        ),
    ]);
    rows
}

fn unsupported() -> Vec<Row> {
    let mapped_tmpfs = json!({"destination": "/a", "type": "tmpfs", "uidMappings": mapping(1), "gidMappings": mapping(1)});
    vec![
        itself("/process/apparmorProfile", json!("web")),
        itself("/process/selinuxLabel", json!("web")),
        itself("/linux/mountLabel", json!("web")),
        itself("/linux/intelRdt", json!({"closID": "web"})),
        (
            "/linux/personality",
            json!({"domain": "LINUX", "flags": ["X"]}),
            "/linux/personality/flags",
        ),
        (
            "/mounts/-",
            json!({"destination": "/a", "type": "tmpfs", "options": ["idmap"]}),
            "/mounts/0",
        ),
        ("/mounts/-", mapped_tmpfs, "/mounts/0"),
    ]
}
