//! The container's cgroups as the parent sees them: made, limited, removed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use super::device_filter;
use super::{During, Failure};

/// What runc grants beside the configuration's rules, in the syntax of `devices.allow`; all else is denied.
const ALLOWED_DEVICES: [&str; 11] = [
    "c *:* m",
    "b *:* m",
    "c 1:3 rwm",
    "c 1:5 rwm",
    "c 1:7 rwm",
    "c 1:8 rwm",
    "c 1:9 rwm",
    "c 5:0 rwm",
    "c 5:2 rwm",
    "c 136:* rwm",
    "c 10:200 rwm",
];

/// Where the container's cgroups are.
pub(crate) enum Cgroups {
    V1 {
        /// One directory for each hierarchy, and the name of the hierarchy's mount point.
        directories: Vec<(PathBuf, String)>,
        cpus: String,
        mems: String,
    },
    V2 {
        directory: PathBuf,
    },
}

impl Cgroups {
    pub(crate) fn v1(name: &str, cpus: &str, mems: &str, hierarchies: &[&str]) -> Self {
        let directories = hierarchies.iter().map(|mount_point| {
            let base = mount_point.rsplit('/').next().unwrap_or_default();
            (Path::new(mount_point).join(name), base.to_owned())
        });
        Self::V1 {
            directories: directories.collect(),
            cpus: cpus.to_owned(),
            mems: mems.to_owned(),
        }
    }

    pub(crate) fn v2(name: &str, hierarchy: &str) -> Self {
        Self::V2 {
            directory: Path::new(hierarchy).join(name),
        }
    }

    /// Makes the cgroups of v1 hierarchies and says which devices may be used; `/dev/console` is one that not every
    /// configuration allows.
    pub(crate) fn make_v1(&self, console: bool) -> Result<(), Failure> {
        let Self::V1 {
            directories,
            cpus,
            mems,
        } = self
        else {
            return Ok(());
        };
        for (directory, hierarchy) in directories {
            fs::create_dir(directory).during("mkdir of a cgroup")?;
            match hierarchy.as_str() {
                // A new cpuset has no CPU and no memory node, and takes no task until it has (cpuset(7)).
                "cpuset" => set_cpuset(directory, cpus, mems).during("cpuset")?,
                "devices" => set_devices(directory, console).during("devices")?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes the v2 cgroup, which the container is born in, with the same rules.
    pub(crate) fn make_v2(&self, console: bool) -> Result<Option<File>, Failure> {
        let Self::V2 { directory } = self else {
            return Ok(None);
        };
        fs::create_dir(directory).during("mkdir of a cgroup")?;
        let open = File::open(directory).during("open of a cgroup")?;
        device_filter::attach(open.as_fd(), console).during("device filter")?;
        Ok(Some(open))
    }

    /// Removes the cgroups.
    pub(crate) fn remove(&self) -> io::Result<()> {
        match self {
            Self::V1 { directories, .. } => directories
                .iter()
                .try_for_each(|(directory, _)| remove(directory)),
            Self::V2 { directory } => remove(directory),
        }
    }
}

/// A task that was just reaped may be counted in its cgroup for a moment longer.
fn remove(directory: &Path) -> io::Result<()> {
    loop {
        match fs::remove_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy => std::thread::yield_now(),
            other => return other,
        }
    }
}

fn set_cpuset(directory: &Path, cpus: &str, mems: &str) -> io::Result<()> {
    put(&directory.join("cpuset.cpus"), [cpus])?;
    put(&directory.join("cpuset.mems"), [mems])
}

fn set_devices(directory: &Path, console: bool) -> io::Result<()> {
    put(&directory.join("devices.deny"), ["a"])?;
    let console = console.then_some("c 5:1 rwm");
    let allowed = ALLOWED_DEVICES.into_iter().chain(console);
    put(&directory.join("devices.allow"), allowed)
}

/// Writes each value with a call of its own, as control files demand.
fn put<'a>(file: &Path, values: impl IntoIterator<Item = &'a str>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(file)?;
    values
        .into_iter()
        .try_for_each(|value| file.write_all(value.as_bytes()))
}
