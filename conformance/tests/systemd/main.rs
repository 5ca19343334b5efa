//! The systemd cgroup driver: the container is a transient unit of a systemd that runs here. Where none does, nothing is
//! tested.

mod notify;
mod user;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::RwLock;

use conformance::process::{Finished, run, spawn, until};
use conformance::{Config, Container, cgroup};
use serde_json::json;

/// A slice of the tests' own, which is not at the top.
const SLICE: &str = "bareboattest-inner.slice";
const SLICE_PATH: &str = "bareboattest.slice/bareboattest-inner.slice";

/// A container whose cgroup systemd makes.
struct Scope {
    container: Container,
    unit: String,
}

impl Scope {
    /// None where there is no systemd to ask.
    fn new(change: impl FnOnce(&mut Config)) -> Option<Scope> {
        if !Path::new("/run/systemd/system").is_dir() {
            eprintln!("skipped: this machine does not run systemd");
            return None;
        }
        let container = Container::new(|config| {
            config.waits();
        });
        let scope = Scope {
            unit: format!("test-{}.scope", container.id),
            container,
        };
        let mut config = scope.container.config();
        let path = format!("{SLICE}:test:{}", scope.container.id);
        config.set("/linux/cgroupsPath", json!(path));
        change(&mut config);
        scope.container.write_config(&config);
        Some(scope)
    }

    fn command(&self, subcommand: &str, options: &[&str]) -> Command {
        let mut command = self.container.runtime();
        command
            .args(["--systemd-cgroup", subcommand, "--bundle"])
            .arg(self.container.bundle())
            .args(options)
            .arg(&self.container.id);
        command
    }

    fn run_detached(&self) -> Finished {
        run(&mut self.command("run", &["--detach"]))
    }

    fn path(&self) -> String {
        format!("/{SLICE_PATH}/{}", self.unit)
    }

    /// A property as `systemctl show` has it.
    fn property(&self, name: &str) -> String {
        property(&self.unit, name)
    }

    /// The text of a controller's file, by its name in version 1 and in version 2.
    fn read(&self, controller: &str, v1: &str, v2: &str) -> String {
        cgroup::read(&self.path(), controller, v1, v2)
    }

    fn is_gone(&self) -> bool {
        self.property("LoadState") == "not-found" && cgroup::existing(&self.path()).is_empty()
    }

    /// Waits until systemd has seen that nobody is in it. On version 1 it is told by a program that the kernel starts on
    /// the host, so a systemd in a container hears nothing.
    fn await_end(&self) {
        if is_v2() {
            until("the end of the unit", || self.is_gone().then_some(()));
        }
    }

    fn assert_nothing_left(&self) {
        until(&format!("the end of {}", self.unit), || {
            self.is_gone().then_some(())
        });
        self.container.assert_nothing_left();
    }
}

fn property(unit: &str, name: &str) -> String {
    let mut command = Command::new("systemctl");
    let shown = run(command.args(["show", "--value", "--property", name, unit])).ok();
    shown.stdout.trim().to_owned()
}

/// systemd counts no time while it reads its units anew, so units that are to run out of it have to have it for themselves.
static RELOADS: RwLock<()> = RwLock::new(());

fn reload() {
    let _alone = RELOADS.write();
    let _ = run(Command::new("systemctl").arg("daemon-reload")).ok();
}

fn is_v2() -> bool {
    !cgroup::is_v1("memory")
}

#[test]
fn a_container_is_a_scope_in_its_slice_until_it_is_deleted() {
    let Some(scope) = Scope::new(|_| {}) else {
        return;
    };
    let _ = run(&mut scope.command("create", &[])).ok();
    for (name, value) in [
        ("ActiveState", "active"),
        ("Slice", SLICE),
        ("Delegate", "yes"),
        ("DefaultDependencies", "no"),
        ("MemoryAccounting", "yes"),
        ("Transient", "yes"),
    ] {
        assert_eq!(scope.property(name), value, "{name}");
    }
    let cgroups = fs::read_to_string(format!("/proc/{}/cgroup", scope.container.pid())).unwrap();
    for line in cgroups.lines() {
        assert!(line.ends_with(&scope.path()), "{cgroups}");
    }
    // Nobody says again that systemd manages it.
    let _ = scope.container.start().ok();
    let inside = scope.container.exec(&[], &["cat", "/proc/self/cgroup"]);
    assert_eq!(inside.code(), 0);
    let _ = scope.container.delete_force().ok();
    scope.assert_nothing_left();
}

#[test]
fn limits_are_the_units_and_in_the_files() {
    let scope = Scope::new(|config| {
        config.set(
            "/linux/resources",
            json!({
                "memory": {"limit": 64 << 20, "reservation": 32 << 20},
                "cpu": {"shares": 512, "quota": 12_345, "period": 50_000, "cpus": "0"},
                "pids": {"limit": 30},
            }),
        );
    });
    let Some(scope) = scope else { return };
    let _ = scope.run_detached().ok();
    let shown = |v1: &str, v2: &str| scope.property(if is_v2() { v2 } else { v1 });
    assert_eq!(shown("MemoryLimit", "MemoryMax"), (64 << 20).to_string());
    assert_eq!(
        shown("CPUShares", "CPUWeight"),
        if is_v2() { "59" } else { "512" }
    );
    assert_eq!(scope.property("CPUQuotaPerSecUSec"), "250ms");
    assert_eq!(scope.property("CPUQuotaPeriodUSec"), "50ms");
    assert_eq!(scope.property("TasksMax"), "30");
    assert_eq!(scope.property("AllowedCPUs"), "0");
    let files = || {
        [
            scope.read("memory", "memory.limit_in_bytes", "memory.max"),
            scope.read("memory", "memory.soft_limit_in_bytes", "memory.low"),
            scope.read("cpu", "cpu.shares", "cpu.weight"),
            scope.read("cpu", "cpu.cfs_quota_us", "cpu.max"),
            scope.read("cpuset", "cpuset.cpus", "cpuset.cpus"),
            scope.read("pids", "pids.max", "pids.max"),
        ]
    };
    let expected = [
        "67108864",
        "33554432",
        if is_v2() { "59" } else { "512" },
        if is_v2() { "12500 50000" } else { "12500" },
        "0",
        "30",
    ];
    assert_eq!(files(), expected);
    reload();
    assert_eq!(files(), expected, "after daemon-reload");
}

#[test]
fn what_a_container_may_use_stays_so_when_systemd_reloads() {
    // There is no such device, which only somebody hears who may use it.
    let (denied, allowed) = ("Operation not permitted", "No such device or address");
    let cases = [
        (json!([{"allow": false, "access": "rwm"}]), denied),
        // A list of what is denied, which systemd cannot have.
        (
            json!([
                {"allow": true, "access": "rwm"},
                {"allow": false, "type": "c", "major": 1, "minor": 99, "access": "rw"},
            ]),
            denied,
        ),
        (json!([{"allow": true, "access": "rwm"}]), allowed),
    ];
    for (rules, answer) in cases {
        let scope = Scope::new(|config| {
            let device = json!([{"path": "/dev/none", "type": "c", "major": 1, "minor": 99}]);
            config
                .set("/linux/resources/devices", rules)
                .set("/linux/devices", device);
        });
        let Some(scope) = scope else { return };
        let _ = scope.run_detached().ok();
        let used = |script: &str| scope.container.exec(&[], &["sh", "-c", script]).ok().stdout;
        let common = "echo a > /dev/null && head -c 2 /dev/zero | wc -c";
        let other = "cat /dev/none 2>&1 || true";
        assert_eq!(used(common), "2\n");
        assert!(used(other).contains(answer), "{}", used(other));
        reload();
        assert!(
            used(other).contains(answer),
            "after daemon-reload: {}",
            used(other)
        );
        // On version 1 systemd's rules come in place of the runtime's, and it knows no list of what is denied.
        if is_v2() {
            assert_eq!(used(common), "2\n", "after daemon-reload");
        }
    }
}

#[test]
fn annotations_are_properties_of_the_unit() {
    let scope = Scope::new(|config| {
        config.set(
            "/annotations",
            json!({
                "org.systemd.property.TimeoutStopSec": "uint64 7",
                "org.systemd.property.CollectMode": "'inactive-or-failed'",
            }),
        );
    });
    let Some(scope) = scope else { return };
    let _ = scope.run_detached().ok();
    assert_eq!(scope.property("TimeoutStopUSec"), "7s");
    assert_eq!(scope.property("CollectMode"), "inactive-or-failed");
}

#[test]
fn a_property_that_systemd_refuses_is_named_and_nothing_is_left() {
    let name = "org.systemd.property.NoSuchProperty";
    let scope = Scope::new(|config| {
        config.set("/annotations", json!({name: "true"}));
    });
    let Some(scope) = scope else { return };
    let refused = scope.run_detached();
    let _ = refused.refused(&["NoSuchProperty", &scope.unit]);
    scope.assert_nothing_left();
}

#[test]
fn nothing_is_left_of_a_container_that_came_to_nothing() {
    for (pointer, value) in [
        ("/process/args", json!(["/no/such/program"])),
        ("/hooks", json!({"createRuntime": [{"path": "/bin/false"}]})),
        (
            "/linux/resources/unified",
            json!({"pids.no_such_file": "1"}),
        ),
    ] {
        let scope = Scope::new(|config| {
            config.set(pointer, value);
        });
        let Some(scope) = scope else { return };
        let _ = scope.run_detached().refused(&[]);
        scope.assert_nothing_left();
    }
}

#[test]
fn a_container_that_ends_by_itself_takes_its_unit_with_it() {
    let scope = Scope::new(|config| {
        config.shell("exit 7");
    });
    let Some(scope) = scope else { return };
    assert_eq!(run(&mut scope.command("run", &[])).code(), 7);
    scope.assert_nothing_left();
    let _ = run(&mut scope.command("run", &["--detach"])).ok();
    scope.container.wait_for("stopped");
    scope.await_end();
    let _ = scope.container.delete().ok();
    scope.container.assert_nothing_left();
}

#[test]
fn a_unit_that_is_in_use_is_left_alone_and_one_that_has_failed_gives_way() {
    let Some(scope) = Scope::new(|_| {}) else {
        return;
    };
    let start = |lifetime: &str| {
        let mut command = Command::new("systemd-run");
        command.args(["--scope", "--unit", &scope.unit, "--slice", SLICE]);
        command.args([
            "--property",
            &format!("RuntimeMaxSec={lifetime}"),
            "sleep",
            "1000",
        ]);
        spawn(&mut command)
    };
    let other = start("1000");
    until("the other's unit", || {
        (scope.property("ActiveState") == "active").then_some(())
    });
    let _ = scope.run_detached().refused(&[
        "container's cgroup is not empty",
        &scope.unit,
        "UnitExists",
    ]);
    assert_eq!(scope.property("ActiveState"), "active");
    let _ = run(Command::new("systemctl").args(["stop", &scope.unit])).ok();
    let _ = other.wait();

    let _undisturbed = RELOADS.read();
    let failing = start("1");
    let _ = failing.wait();
    until("the failure of the unit", || {
        (scope.property("ActiveState") == "failed").then_some(())
    });
    let _ = scope.run_detached().ok();
    assert_eq!(scope.property("ActiveState"), "active");
    let _ = scope.container.delete_force().ok();
    scope.assert_nothing_left();
}

#[test]
fn a_unit_that_fails_with_its_container_is_forgotten_at_delete() {
    let scope = Scope::new(|config| {
        config.set(
            "/annotations",
            json!({"org.systemd.property.RuntimeMaxSec": "uint64 2"}),
        );
    });
    let Some(scope) = scope else { return };
    let _undisturbed = RELOADS.read();
    let _ = scope.run_detached().ok();
    until("the failure of the unit", || {
        (scope.property("ActiveState") == "failed").then_some(())
    });
    scope.container.wait_for("stopped");
    let _ = scope.container.delete().ok();
    scope.assert_nothing_left();
}

#[test]
fn kill_reaches_all_processes_of_the_scope() {
    let scope = Scope::new(|config| {
        config.share("pid").shell("sleep 1000 & sleep 1000 & wait");
    });
    let Some(scope) = scope else { return };
    let _ = scope.run_detached().ok();
    let _ = scope.container.kill("KILL").ok();
    scope.container.wait_for("stopped");
    scope.await_end();
    let _ = scope.container.delete().ok();
}

#[test]
fn a_container_that_joins_a_pid_namespace_is_a_scope_with_its_process() {
    let (Some(first), Some(second)) = (Scope::new(|_| {}), Scope::new(|_| {})) else {
        return;
    };
    let _ = first.run_detached().ok();
    let mut config = second.container.config();
    let path = format!("/proc/{}/ns/pid", first.container.pid());
    config.namespace("pid", Some(&path));
    second.container.write_config(&config);
    let _ = second.run_detached().ok();
    let pid = second.container.pid();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(cgroups.contains(&second.path()), "{cgroups}");
    assert_eq!(second.property("ActiveState"), "active");
}

#[test]
fn a_name_that_ends_in_slice_is_a_slice() {
    let Some(mut scope) = Scope::new(|config| {
        config.set("/linux/resources/pids", json!({"limit": 30}));
    }) else {
        return;
    };
    let name = format!(
        "bareboattest-{}.slice",
        scope.container.id.replace('-', "_")
    );
    let mut config = scope.container.config();
    config.set(
        "/linux/cgroupsPath",
        json!(format!("bareboattest.slice::{name}")),
    );
    scope.container.write_config(&config);
    scope.unit.clone_from(&name);
    let _ = scope.run_detached().ok();
    assert_eq!(scope.property("TasksMax"), "30");
    let pid = scope.container.pid();
    let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    assert!(
        cgroups.contains(&format!("/bareboattest.slice/{name}")),
        "{cgroups}"
    );
    let _ = scope.container.delete_force().ok();
    until("the end of the slice", || {
        (scope.property("ActiveState") == "inactive").then_some(())
    });
}

#[test]
fn a_cgroups_path_that_names_no_unit_is_refused() {
    for path in ["/not/a/unit", "a--b.slice:x:y", "a.slice:b:c/d"] {
        let Some(scope) = Scope::new(|config| {
            config.set("/linux/cgroupsPath", json!(path));
        }) else {
            return;
        };
        let _ = run(&mut scope.command("create", &[])).refused(&["cgroup"]);
        scope.container.assert_nothing_left();
    }
}

#[test]
fn without_systemd_the_driver_says_so() {
    if Path::new("/run/systemd/system").exists() {
        eprintln!("skipped: systemd runs here");
        return;
    }
    let container = Container::new(|_| {});
    let mut command = container.runtime();
    command.args(["--systemd-cgroup", "create", "--bundle"]);
    let refused = run(command.arg(container.bundle()).arg(&container.id));
    let _ = refused.refused(&["systemd"]);
    container.assert_nothing_left();
}
