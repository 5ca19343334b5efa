//! A bundle and a state root for one test.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use runtime_core::oci_spec::runtime::{Process, Spec};
use runtime_core::{Bundle, Container, ContainerBuilder, Stdio, default_spec};
use tempfile::TempDir;

/// Tests look at what is the whole process's (open descriptors, children), so there is one at a time.
static ALONE: Mutex<()> = Mutex::new(());

pub(crate) struct Place {
    directory: TempDir,
    /// The beginning of the names of all cgroups of this test's containers.
    cgroups: String,
}

/// A place that no other test uses anything beside.
pub(crate) struct Alone {
    place: Arc<Place>,
    _guard: MutexGuard<'static, ()>,
}

impl Deref for Alone {
    type Target = Arc<Place>;

    fn deref(&self) -> &Arc<Place> {
        &self.place
    }
}

impl Place {
    /// A bundle with busybox as its root file system; none, and a word why, where containers cannot be made.
    pub(crate) fn alone() -> Option<Alone> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let busybox = Path::new("/bin/busybox");
        if !rustix::process::geteuid().is_root() || !busybox.exists() {
            println!("skipped: this needs root and a static /bin/busybox");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let rootfs = directory.path().join("bundle/rootfs");
        for name in ["bin", "etc"] {
            fs::create_dir_all(rootfs.join(name)).unwrap();
        }
        fs::copy(busybox, rootfs.join("bin/busybox")).unwrap();
        symlink("busybox", rootfs.join("bin/sh")).unwrap();
        fs::write(rootfs.join("etc/not-executable"), "").unwrap();
        let (process, number) = (std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let place = Arc::new(Place {
            directory,
            cgroups: format!("bareboat-threads-{process}-{number}-"),
        });
        Some(Alone {
            place,
            _guard: guard,
        })
    }

    pub(crate) fn bundle(&self) -> PathBuf {
        self.directory.path().join("bundle")
    }

    pub(crate) fn state_root(&self) -> PathBuf {
        self.directory.path().join("state")
    }

    /// The default configuration without a terminal, for this program.
    pub(crate) fn spec(&self, id: &str, arguments: &[&str]) -> Spec {
        let mut spec = default_spec();
        let process = with_arguments(spec.process().as_ref().unwrap(), arguments);
        spec.set_process(Some(process));
        let cgroup = PathBuf::from(format!("/{}{id}", self.cgroups));
        let linux = spec.linux_mut().as_mut().unwrap();
        linux.set_cgroups_path(Some(cgroup));
        spec
    }

    /// What makes a container of that configuration; its streams are the null device.
    pub(crate) fn builder(&self, id: &str, spec: Spec) -> ContainerBuilder {
        let bundle = Bundle::from_spec(self.bundle(), spec).unwrap();
        Container::builder(id, bundle)
            .state_root(self.state_root())
            .stdio(Stdio::Null)
    }

    /// Asserts that no container left anything: state, cgroup, child or mount.
    pub(crate) fn assert_empty(&self) {
        let left: Vec<_> = entries(&self.state_root());
        assert!(left.is_empty(), "left in the state root: {left:?}");
        let hierarchies = entries(Path::new("/sys/fs/cgroup"));
        let cgroups = hierarchies.iter().flat_map(|hierarchy| entries(hierarchy));
        let ours = |path: &PathBuf| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with(&self.cgroups)
        };
        let left: Vec<_> = cgroups
            .chain(hierarchies.iter().cloned())
            .filter(ours)
            .collect();
        assert!(left.is_empty(), "cgroups left: {left:?}");
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let directory = self.directory.path().to_str().unwrap();
        assert!(!mounts.contains(directory), "mounts left: {mounts}");
    }
}

/// The same process with another program and without a terminal.
pub(crate) fn with_arguments(process: &Process, arguments: &[&str]) -> Process {
    let mut process = process.clone();
    let arguments = arguments.iter().map(|&text| text.to_owned()).collect();
    process.set_terminal(Some(false)).set_args(Some(arguments));
    process
}

/// What is in a directory; nothing when it is none.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect()
}
