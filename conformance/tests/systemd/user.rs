//! A user's containers, whose cgroups his own systemd makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::cgroup;
use conformance::process::{Running, run, spawn, until};
use conformance::runtime::runtime;
use nix::sys::signal::Signal;
use serde_json::json;

use super::Scope;

/// The user whose systemd may make cgroups.
const USER: &str = "user";

/// A user's session and the user namespace that he is root in: how Podman runs a runtime for him.
struct Session {
    user: String,
    runtime_directory: PathBuf,
    holder: Running,
}

impl Session {
    /// None where there is no such user, he has no systemd of his own, or that may make no cgroups with limits.
    fn new() -> Option<Session> {
        if cgroup::is_v1("pids") {
            eprintln!("skipped: a user's systemd has no controllers of cgroup v1");
            return None;
        }
        let id = run(Command::new("id").args(["-u", USER])).stdout;
        let runtime_directory = PathBuf::from(format!("/run/user/{}", id.trim()));
        if id.is_empty() || !runtime_directory.join("bus").exists() {
            eprintln!("skipped: there is no {USER} with a systemd of his own");
            return None;
        }
        let user = id.trim().to_owned();
        let mut holder = as_user(&runtime_directory);
        let holder = spawn(holder.args(["unshare", "--user", "--mount", "sleep", "1000"]));
        let directory = PathBuf::from(format!("/proc/{}", holder.id()));
        until("the user namespace", || {
            let namespace = |of: &Path| fs::read_link(of.join("ns/mnt")).ok();
            (namespace(&directory)? != namespace(Path::new("/proc/self"))?).then_some(())
        });
        let script = format!(
            "cd {} && echo 0 {user} 1 > uid_map && echo 0 {user} 1 > gid_map",
            directory.display()
        );
        let _ = run(Command::new("sh").args(["-c", &script])).ok();
        Some(Session {
            user,
            runtime_directory,
            holder,
        })
    }

    /// A command of his, inside or outside of the cgroups that his systemd manages.
    fn command(&self, managed: bool) -> Command {
        let mut command = as_user(&self.runtime_directory);
        if managed {
            command.args(["systemd-run", "--user", "--quiet", "--wait", "--pipe", "--"]);
        }
        let target = self.holder.id().to_string();
        command.args(["nsenter", "--user", "--mount", "--target", &target]);
        command
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.holder.signal(Signal::SIGKILL);
    }
}

fn as_user(runtime_directory: &Path) -> Command {
    let mut command = Command::new("setpriv");
    let directory = format!("XDG_RUNTIME_DIR={}", runtime_directory.display());
    command.args(["--reuid", USER, "--regid", USER, "--clear-groups"]);
    command.args(["env", "-u", "DBUS_SESSION_BUS_ADDRESS", &directory]);
    command
}

#[test]
fn a_users_container_is_a_scope_of_his_own_systemd() {
    let Some(session) = Session::new() else {
        return;
    };
    for managed in [false, true] {
        let scope = Scope::new(|config| {
            config
                .user_namespace(&[(0, 0, 1)])
                .set("/linux/resources", json!({"pids": {"limit": 30}}))
                .remove("/linux/cgroupsPath");
            let mounts = config.0["mounts"].as_array_mut().unwrap();
            // Whose group has no number here.
            mounts.retain(|mount| mount["type"] != "devpts");
        });
        let Some(scope) = scope else { return };
        let container = &scope.container;
        let _ = run(Command::new("chown")
            .args(["-R", USER])
            .arg(container.path()))
        .ok();
        let call = |arguments: &[&str]| {
            let mut command = session.command(managed);
            command.arg(&runtime().path).arg("--root");
            command.arg(container.state_root()).arg("--systemd-cgroup");
            run(command.args(arguments))
        };
        let bundle = container.bundle();
        let bundle = bundle.to_str().unwrap();
        let _ = call(&["run", "--detach", "--bundle", bundle, &container.id]).ok();
        let unit = format!("bareboat-{}.scope", container.id);
        let cgroup = |pid: &str| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
        let own = cgroup(&container.pid().to_string());
        let path = own.trim().trim_start_matches("0::");
        let expected = format!("/user@{}.service/user.slice/{unit}", session.user);
        assert!(path.ends_with(&expected), "{own}");
        let mut show = as_user(&session.runtime_directory);
        show.args(["systemctl", "--user", "show", "--value"]);
        let shown = run(show.args(["--property", "TasksMax", &unit])).ok();
        assert_eq!(shown.stdout.trim(), "30");
        assert_eq!(cgroup::read(path, "pids", "pids.max", "pids.max"), "30");

        let _ = call(&["exec", "--detach", &container.id, "sleep", "1000"]).ok();
        let inside = cgroup::read(path, "pids", "cgroup.procs", "cgroup.procs");
        assert!(inside.lines().count() >= 2, "{inside}");
        let _ = call(&["delete", "--force", &container.id]).ok();
        assert_eq!(cgroup::existing(path).len(), 0);
    }
}
