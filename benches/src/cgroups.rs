//! The cgroup hierarchies of this machine, and the bench's own corner in each.

use std::ffi::CString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};
use crate::sys::harness;

/// Where the hierarchies are mounted.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Layout {
    pub(crate) v1: Vec<PathBuf>,
    pub(crate) v2: Option<PathBuf>,
}

impl Layout {
    /// Reads the lines of `/proc/self/mountinfo` (proc_pid_mountinfo(5)).
    fn parse(mountinfo: &str) -> Self {
        let mut layout = Self::default();
        for line in mountinfo.lines() {
            let mount_point = line.split(' ').nth(4);
            let kind = line
                .split_once(" - ")
                .and_then(|(_, after)| after.split(' ').next());
            match (mount_point, kind) {
                (Some(path), Some("cgroup")) => layout.v1.push(path.into()),
                (Some(path), Some("cgroup2")) => layout.v2 = Some(path.into()),
                _ => {}
            }
        }
        layout
    }

    /// The layout that every runtime is measured on.
    ///
    /// On a hybrid host the v2 hierarchy is hidden: crun refuses to start where it sees both kinds. That happens in a
    /// mount namespace of this process, which all runtimes inherit, so that they find the same world.
    pub(crate) fn prepare() -> Result<Self> {
        let mountinfo =
            fs::read_to_string("/proc/self/mountinfo").context("/proc/self/mountinfo")?;
        let mut layout = Self::parse(&mountinfo);
        harness::leave_host_mounts().context("a mount namespace for the bench (root needed)")?;
        if layout.v1.is_empty() {
            return match layout.v2 {
                Some(_) => Ok(layout),
                None => Err(Error::new(
                    "/proc/self/mountinfo: no cgroup hierarchy is mounted",
                )),
            };
        }
        if let Some(unified) = layout.v2.take() {
            let path = CString::new(unified.as_os_str().as_encoded_bytes()).context("mountinfo")?;
            let what = format!("hiding {} from the bench", unified.display());
            harness::unmount(&path).context(what)?;
        }
        Ok(layout)
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.v1.is_empty()
    }

    /// All mount points.
    pub(crate) fn hierarchies(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().chain(&self.v2)
    }
}

/// A cgroup of the bench's own in each hierarchy, made before and removed after everything else.
#[derive(Debug)]
pub(crate) struct Corner {
    pub(crate) name: String,
    pub(crate) layout: Layout,
    /// The CPUs and memory nodes of the v1 cpuset hierarchy, where there is one.
    pub(crate) cpuset: Option<(String, String)>,
}

impl Corner {
    pub(crate) fn make(layout: Layout) -> Result<Self> {
        let name = format!("bareboat-bench-{}", std::process::id());
        let mut corner = Self {
            name,
            layout,
            cpuset: None,
        };
        for hierarchy in corner.layout.hierarchies() {
            let directory = hierarchy.join(&corner.name);
            fs::create_dir(&directory).context(format!("mkdir {}", directory.display()))?;
        }
        corner.cpuset = corner.open_cpuset()?;
        Ok(corner)
    }

    /// Gives the bench's cpuset what its parent has; else no task could enter (cpuset(7)).
    fn open_cpuset(&self) -> Result<Option<(String, String)>> {
        let mut hierarchies = self.layout.v1.iter();
        let Some(root) = hierarchies.find(|path| path.join("cpuset.cpus").exists()) else {
            return Ok(None);
        };
        let inherit = |file: &str| {
            let value = fs::read_to_string(root.join(file)).context(file)?;
            let own = root.join(&self.name).join(file);
            fs::write(&own, &value).context(own.display())?;
            Ok(value.trim().to_owned())
        };
        Ok(Some((inherit("cpuset.cpus")?, inherit("cpuset.mems")?)))
    }
}

impl Drop for Corner {
    fn drop(&mut self) {
        for hierarchy in self.layout.hierarchies() {
            let directory = hierarchy.join(&self.name);
            if let Err(error) = remove_tree(&directory) {
                eprintln!("benches: rmdir {}: {error}", directory.display());
            }
        }
    }
}

/// Removes a cgroup and those below it, killing what still runs there: nothing but containers of the bench can.
fn remove_tree(directory: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    let deadline = Instant::now() + Duration::from_secs(2);
    loop {
        match fs::remove_dir(directory) {
            Err(error) if is_busy(&error) && Instant::now() < deadline => kill_members(directory),
            other => return other,
        }
    }
}

fn is_busy(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ResourceBusy
}

fn kill_members(directory: &Path) {
    let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
    for pid in members.lines().filter_map(|line| line.parse().ok()) {
        // Gone already is as good as killed; what cannot be killed shows in the caller's rmdir.
        let _ = harness::kill(pid);
    }
    std::thread::sleep(Duration::from_millis(5));
    harness::reap_ended();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_hierarchies_are_found_in_mountinfo() {
        let text = "23 27 0:22 / /sys rw,relatime - sysfs sysfs rw\n\
                    32 31 0:29 / /sys/fs/cgroup/cpu rw shared:5 - cgroup cgroup rw,cpu\n\
                    41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let layout = Layout::parse(text);
        assert_eq!(layout.v1, [PathBuf::from("/sys/fs/cgroup/cpu")]);
        assert_eq!(layout.v2, Some(PathBuf::from("/sys/fs/cgroup/unified")));
    }
}
