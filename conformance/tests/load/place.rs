//! Where the containers of one test are: one root file system, one state root, one parent of all cgroups.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use conformance::leftovers::{self, Places};
use conformance::process::{Finished, run};
use conformance::runtime::runtime;
use conformance::{Config, cgroup, mountinfo, rootfs};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use serde_json::json;
use tempfile::TempDir;

/// Parents of all cgroups of a test, below a cgroup of its own, so that several have to be made.
const PARENTS: [&str; 3] = ["", "/shared", "/shared/by"];

/// The kernel frees keyrings when it finds the time.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the containers of one test share. They are made in a mount namespace of the test's own.
pub(crate) struct Place {
    directory: TempDir,
    /// The beginning of all IDs, and the name of the outermost cgroup.
    pub(crate) name: String,
    /// The first of the host's ids that containers with a user namespace have.
    first_id: u32,
    mounts: BTreeSet<String>,
}

impl Place {
    /// To be made by the thread that starts the callers: they inherit its mount namespace, where mounts propagate.
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        own_mount_namespace();
        let directory = tempfile::Builder::new().prefix("load-").tempdir().unwrap();
        fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["bundles", "temporary", "rootfs"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        rootfs::fill(&directory.path().join("rootfs"));
        let process = std::process::id();
        Self {
            name: format!("load-{process}-{number}"),
            first_id: 0x4000_0000 + (process % 0x8000) * 0x8000 + number * 0x400,
            mounts: mounts(),
            directory,
        }
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.directory.path().join("rootfs")
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The state root, which is not there until a container is.
    pub(crate) fn state_root(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    pub(crate) fn id(&self, number: usize) -> String {
        format!("{}-{number}", self.name)
    }

    /// The cgroups that all containers' are in, outermost first.
    pub(crate) fn parents(&self) -> impl DoubleEndedIterator<Item = String> {
        PARENTS
            .map(|below| format!("/{}{below}", self.name))
            .into_iter()
    }

    /// A bundle of the container with this ID, which knows its own by its name on the network.
    pub(crate) fn bundle(&self, id: &str, change: impl FnOnce(&mut Config)) -> PathBuf {
        let mut config = Config::default();
        config
            .set("/hostname", json!(id))
            .set("/root/path", json!(self.rootfs()))
            .set(
                "/linux/cgroupsPath",
                json!(format!("/{}/shared/by/{id}", self.name)),
            )
            .env(&format!("{}={}", leftovers::MARK, self.name));
        change(&mut config);
        let bundle = self.directory.path().join("bundles").join(id);
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join("config.json"), config.0.to_string()).unwrap();
        bundle
    }

    /// A user namespace, with ids of the host that only this test has.
    pub(crate) fn map_ids(&self, config: &mut Config) {
        config.user_namespace(&[(0, self.first_id, 0x400)]);
    }

    /// The runtime with the shared state root and this subcommand.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&runtime().path);
        command
            .arg("--root")
            .arg(self.state_root())
            .args(arguments)
            .current_dir("/")
            .env(leftovers::MARK, &self.name)
            .env("TMPDIR", self.directory.path().join("temporary"));
        command
    }

    pub(crate) fn call(&self, arguments: &[&str]) -> Finished {
        run(&mut self.command(arguments))
    }

    pub(crate) fn status(&self, id: &str) -> String {
        let state = self.call(&["state", id]).ok().stdout;
        let state: serde_json::Value = serde_json::from_str(&state).unwrap();
        state["status"].as_str().unwrap().to_owned()
    }

    /// A file for the output of the container.
    pub(crate) fn output(&self, id: &str) -> (PathBuf, File) {
        let path = self
            .directory
            .path()
            .join("bundles")
            .join(id)
            .join("output");
        let file = File::create(&path).unwrap();
        (path, file)
    }

    /// Asserts that nothing is left of all the containers.
    pub(crate) fn assert_empty(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut found = self.look();
        while !found.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(100));
            found = self.look();
        }
        assert!(found.is_empty(), "left behind: {found:#?}");
    }

    fn look(&self) -> Vec<String> {
        // Parents stay, as far as others may need them; they go only when they are empty.
        for parent in self.parents().rev() {
            for directory in cgroup::existing(&parent) {
                drop(fs::remove_dir(directory));
            }
        }
        drop(fs::remove_dir(self.state_root()));
        let mut found = self
            .places(&self.state_root(), &format!("/{}", self.name))
            .leftovers();
        found.extend(entries(&self.state_root()).map(|name| format!("state {name}")));
        found.extend(entries(&self.path("temporary")).map(|name| format!("temporary file {name}")));
        found.extend(
            mounts()
                .difference(&self.mounts)
                .map(|target| format!("mount {target}")),
        );
        found.extend(self.keys());
        found
    }

    fn places<'a>(&'a self, state: &'a Path, cgroup: &'a str) -> Places<'a> {
        Places {
            directory: self.directory.path(),
            state,
            cgroup,
            unit: None,
            mark: &self.name,
        }
    }

    /// Session keyrings, which have the containers' names, and whatever the users of their user namespaces own: keyrings(7),
    /// proc_keys(5).
    fn keys(&self) -> Vec<String> {
        let named = fs::read_to_string("/proc/keys").unwrap_or_default();
        let name = format!("_ses.{}", self.name);
        let owned = fs::read_to_string("/proc/key-users").unwrap_or_default();
        let is_ours = |line: &&str| {
            let user = line.split(':').next().unwrap_or_default().trim().parse();
            user.is_ok_and(|user: u32| (self.first_id..self.first_id + 0x400).contains(&user))
        };
        let named = named.lines().filter(|line| line.contains(&name));
        named
            .chain(owned.lines().filter(is_ours))
            .map(|line| format!("keys {line}"))
            .collect()
    }
}

impl Drop for Place {
    /// For a test that failed.
    fn drop(&mut self) {
        self.places(&self.state_root(), &format!("/{}", self.name))
            .clear();
    }
}

/// One in which mounts propagate, although to nobody outside: whatever is left of a mount is seen.
fn own_mount_namespace() {
    unshare(CloneFlags::CLONE_NEWNS).unwrap();
    for propagation in [MsFlags::MS_PRIVATE, MsFlags::MS_SHARED] {
        let flags = propagation | MsFlags::MS_REC;
        mount(None::<&str>, "/", None::<&str>, flags, None::<&str>).unwrap();
    }
}

fn mounts() -> BTreeSet<String> {
    mountinfo::read("/proc/thread-self/mountinfo")
        .into_iter()
        .map(|mount| mount.target)
        .collect()
}

fn entries(directory: &Path) -> impl Iterator<Item = String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned())
}
