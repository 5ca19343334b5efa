//! A user of the tests' own, and his container.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use conformance::process::{Finished, run};
use conformance::runtime::runtime;
use conformance::{Config, Container, cgroup};
use serde_json::json;

/// No one on the host has these.
pub(crate) const UID: u32 = 64_242;
pub(crate) const GID: u32 = 64_243;

/// Who he is called where he has subordinate ids.
const NAME: &str = "conformance-user";

/// A user without any privileges, with a bundle that is his.
#[derive(Debug)]
pub(crate) struct User {
    pub(crate) container: Container,
    program: PathBuf,
    /// A shell script that root runs before he becomes the user.
    prepare: String,
}

impl User {
    /// None where the kernel lets no user make a user namespace, or mount a procfs in one.
    pub(crate) fn new() -> Option<User> {
        let container = Container::empty();
        let user = User {
            program: reachable(&container),
            prepare: String::new(),
            container,
        };
        user.own(user.container.path());
        let mut probe = user.command(&[]);
        let namespaces = ["--user", "--map-root-user", "--mount", "--pid", "--fork"];
        probe.arg("unshare").args(namespaces);
        let probed = run(probe.args(["mount", "-t", "proc", "proc", "/proc"]));
        if probed.code() == 0 {
            return Some(user);
        }
        let said = probed.stderr.trim();
        eprintln!("skipped: a user may not mount a procfs in a user namespace of his own: {said}");
        None
    }

    /// The same with 65536 subordinate ids from 200000 on, in a mount namespace where /etc/subuid says so. None where the
    /// host has no newuidmap.
    pub(crate) fn with_subordinate_ids() -> Option<User> {
        let files = ["/etc/passwd", "/etc/subuid", "/etc/subgid"];
        let tools = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"];
        let missing = files
            .iter()
            .chain(&tools)
            .find(|path| !Path::new(path).exists());
        if let Some(missing) = missing {
            eprintln!("skipped: there is no {missing} (package uidmap)");
            return None;
        }
        let mut user = User::new()?;
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let line = format!("{NAME}:x:{UID}:{GID}::/:/bin/sh\n");
        let passwd = user.container.file("passwd", &(passwd + &line));
        let subids = user
            .container
            .file("subids", &format!("{NAME}:200000:65536\n"));
        for (file, own) in files.iter().zip([&passwd, &subids, &subids]) {
            user.prepare += &format!("mount --bind {} {file} && ", own.display());
        }
        Some(user)
    }

    /// His own ids as 0, and the subordinate ones above.
    pub(crate) fn map_subordinate_ids(&self, config: &mut Config) {
        let above = json!({"containerID": 1, "hostID": 200_000, "size": 65536});
        config.push("/linux/uidMappings", above.clone());
        config.push("/linux/gidMappings", above);
    }

    /// Writes what `spec --rootless` prints for him, changed by the case.
    pub(crate) fn config(&self, change: impl FnOnce(&mut Config)) {
        let path = self.container.bundle().join("config.json");
        drop(fs::remove_file(&path));
        let mut command = self.command(&[]);
        command
            .arg(&self.program)
            .args(["spec", "--rootless", "--bundle"]);
        let _ = run(command.arg(self.container.bundle())).ok();
        let mut config = self.container.config();
        config.set("/process/terminal", json!(false));
        let mark = format!("{}={}", conformance::leftovers::MARK, self.container.id);
        config.env(&mark);
        change(&mut config);
        self.container.write_config(&config);
    }

    /// The host name that `spec` gives.
    pub(crate) fn hostname(&self) -> String {
        self.container.config().0["hostname"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// A command of his, with these variables and a PATH in its environment.
    pub(crate) fn command(&self, environment: &[&str]) -> Command {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c"]);
        command
            .arg(format!("{}exec \"$@\"", self.prepare))
            .arg("sh");
        command.args([
            "setpriv",
            "--reuid",
            &UID.to_string(),
            "--regid",
            &GID.to_string(),
        ]);
        command.args([
            "--clear-groups",
            "env",
            "-i",
            "PATH=/usr/bin:/bin:/usr/sbin:/sbin",
        ]);
        command.args(environment).current_dir("/");
        command
    }

    /// The runtime, where he may execute it.
    pub(crate) fn program(&self) -> PathBuf {
        self.program.clone()
    }

    /// The runtime as he calls it, with the case's state root.
    pub(crate) fn call(&self, arguments: &[&str]) -> Finished {
        let mut command = self.command(&[]);
        command.arg(&self.program).arg("--root");
        run(command.arg(self.container.state_root()).args(arguments))
    }

    /// `run` with options; those that begin with `--rootless` stand before it.
    pub(crate) fn run(&self, options: &[&str]) -> Finished {
        let bundle = self.container.bundle();
        let (global, own) = match options.first() {
            Some(&"--rootless") => (options, &[][..]),
            _ => (&[][..], options),
        };
        let mut arguments = global.to_vec();
        arguments.extend(["run", "--bundle", bundle.to_str().unwrap()]);
        arguments.extend(own);
        arguments.push(&self.container.id);
        self.call(&arguments)
    }

    /// Gives him what is at this path, with all below it.
    pub(crate) fn own(&self, path: &Path) {
        let owner = format!("{UID}:{GID}");
        let _ = run(Command::new("chown").args(["-R", &owner]).arg(path)).ok();
    }

    /// Has his commands begin in the tests' own cgroup again.
    pub(crate) fn leave_cgroup(&mut self) {
        self.prepare.clear();
    }

    /// Makes a cgroup in each hierarchy in which he may make others, and has his commands begin there.
    pub(crate) fn delegate_cgroup(&mut self) -> String {
        let path = self.container.cgroup.clone();
        for (controllers, mount) in cgroup::hierarchies() {
            let directory = mount.join(path.trim_start_matches('/'));
            let inner = directory.join("caller");
            fs::create_dir(&directory).unwrap();
            if controllers.iter().any(|name| name == "cpuset") {
                for file in ["cpuset.cpus", "cpuset.mems"] {
                    let parents = fs::read_to_string(mount.join(file)).unwrap();
                    fs::write(directory.join(file), parents).unwrap();
                }
            }
            let is_v2 = controllers == ["unified"];
            let files: &[&str] = match is_v2 {
                true => &["cgroup.procs", "cgroup.subtree_control"],
                false => &["cgroup.procs", "tasks"],
            };
            for place in files
                .iter()
                .map(|file| directory.join(file))
                .chain([directory.clone()])
            {
                chown(&place, Some(UID), Some(GID)).unwrap();
            }
            // cgroups(7), "Delegation containment": the cgroup above both has to be his.
            if is_v2 {
                fs::create_dir(&inner).unwrap();
                self.prepare += &format!("echo 0 > {}/cgroup.procs && ", inner.display());
            }
        }
        path
    }
}

/// The runtime, or a copy of it in the case's directory where the user may not go to the place that it lies in.
fn reachable(container: &Container) -> PathBuf {
    let path = runtime().path.clone();
    let (uid, gid) = (UID.to_string(), GID.to_string());
    let mut command = Command::new("setpriv");
    command.args([
        "--reuid",
        &uid,
        "--regid",
        &gid,
        "--clear-groups",
        "test",
        "-x",
    ]);
    if run(command.arg(&path)).code() == 0 {
        return path;
    }
    let copy = container.path().join("runtime");
    fs::copy(path, &copy).unwrap();
    fs::set_permissions(&copy, PermissionsExt::from_mode(0o755)).unwrap();
    copy
}
