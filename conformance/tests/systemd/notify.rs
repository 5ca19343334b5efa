//! A container as a service of `Type=notify`: systemd starts it, and hears when it is ready.

use std::path::Path;
use std::process::Command;

use conformance::Container;
use conformance::process::{Running, run, spawn, until};

/// A unit whose process is the runtime. It goes when this value does.
struct Service {
    name: String,
    container: Container,
}

impl Service {
    /// None where there is no systemd to ask. The container's program is ready when there is a file `go`.
    fn new() -> Option<Service> {
        if !Path::new("/run/systemd/system").is_dir() {
            eprintln!("skipped: this machine does not run systemd");
            return None;
        }
        let script = "trap 'exit 0' TERM; touch /case/up; until [ -e /case/go ]; do sleep 0.02; done; \
                      /probe notify READY=1; while :; do sleep 0.05; done";
        let container = Container::with_path(|config, path| {
            config.bind(path, "/case", &["bind"]).shell(script);
        });
        let name = format!("{}.service", container.id);
        Some(Service { name, container })
    }

    /// Has systemd start it, which takes until it is ready.
    fn start(&self, options: &[&str]) -> Running {
        let command = self.container.run_command(options);
        let mut start = Command::new("systemd-run");
        start.args(["--quiet", "--unit", &self.name, "--property=Type=notify"]);
        start.args(["--property=NotifyAccess=main", "--"]);
        spawn(start.arg(command.get_program()).args(command.get_args()))
    }

    fn property(&self, name: &str) -> String {
        let show = ["show", "--value", "--property", name, &self.name];
        let shown = run(Command::new("systemctl").args(show)).ok();
        shown.stdout.trim().to_owned()
    }

    /// Sees it through to where it is ready.
    fn is_awaited(&self, options: &[&str]) {
        let start = self.start(options);
        let up = self.container.path().join("up");
        until("the program", || up.exists().then_some(()));
        assert_eq!(self.property("ActiveState"), "activating");
        self.container.file("go", "");
        let _ = start.wait().ok();
        assert_eq!(self.property("ActiveState"), "active");
    }

    fn stop(&self) {
        let _ = run(Command::new("systemctl").args(["stop", &self.name])).ok();
        assert_ne!(self.property("ActiveState"), "active");
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        for verb in ["stop", "reset-failed"] {
            // It may be gone already.
            let _ = run(Command::new("systemctl").args([verb, &self.name]));
        }
    }
}

#[test]
fn a_run_in_the_foreground_is_the_service() {
    let Some(service) = Service::new() else {
        return;
    };
    service.is_awaited(&[]);
    let main = service.property("MainPID");
    let command = std::fs::read(format!("/proc/{main}/cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).into_owned();
    assert!(command.contains("\0run\0"), "{command:?}");
    service.stop();
    service.container.assert_nothing_left();
}

#[test]
fn a_detached_run_leaves_the_containers_process_to_be_the_service() {
    let Some(service) = Service::new() else {
        return;
    };
    service.is_awaited(&["--detach"]);
    assert_eq!(
        service.property("MainPID"),
        service.container.pid().to_string()
    );
    service.stop();
    service.container.wait_for("stopped");
}
