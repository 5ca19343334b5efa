//! Reads the layout of this host.

use std::path::Path;
use std::{fs, io};

use rustix::fs::{Access, AtFlags, CWD, accessat, stat, statfs};

use super::files::{read_file, read_value};
use super::layout::{Layout, MOUNT_POINT, Place};
use crate::namespaces::{self, NEWCGROUP, NEWUSER};

/// CGROUP_SUPER_MAGIC and CGROUP2_SUPER_MAGIC of linux/magic.h.
const V1_MAGIC: u64 = 0x0027_e0eb;
const V2_MAGIC: u64 = 0x6367_7270;

/// The inode of a hierarchy's root, which is not that of any other cgroup (fs/kernfs/dir.c).
const ROOT_INODE: u64 = 1;

/// Whether the caller is not the host's root.
fn is_rootless() -> bool {
    !rustix::process::geteuid().is_root() || !namespaces::is_initial(NEWUSER)
}

impl Layout {
    /// Reads the layout of this host, as the calling process sees it.
    ///
    /// # Errors
    ///
    /// When `/proc/self/cgroup` or `/proc/self/mountinfo` cannot be read.
    pub fn detect() -> io::Result<Layout> {
        Layout::detect_for(is_rootless(), None)
    }

    /// The same for a caller who is the host's root or `rootless`, with what he decides about cgroups that may not be made:
    /// whether a container that asks for nothing goes without them. By default it does when he is not root.
    pub(crate) fn detect_for(rootless: bool, goes_without: Option<bool>) -> io::Result<Layout> {
        let cgroup = match read_file(CWD, "/proc/self/cgroup") {
            // A kernel without cgroups has no such file.
            Err(rustix::io::Errno::NOENT) => String::new(),
            content => content?,
        };
        let mut layout = match usual(&cgroup) {
            Some(layout) => layout,
            None => Layout::parse(&fs::read_to_string("/proc/self/mountinfo")?, &cgroup),
        };
        if let Some(v2) = &mut layout.v2 {
            let file = v2.place.mount_point.join("cgroup.controllers");
            let controllers = read_value(CWD, &file).unwrap_or_default();
            v2.controllers = controllers.split_whitespace().map(str::to_owned).collect();
        }
        layout.rootless = rootless;
        if goes_without.unwrap_or(rootless) {
            find_writable(&mut layout);
        }
        Ok(layout)
    }
}

/// Hierarchies that are where they are everywhere. The other way, mountinfo, takes the longer the more mounts a host has:
/// milliseconds where it runs hundreds of containers.
fn usual(cgroup: &str) -> Option<Layout> {
    if !namespaces::is_initial(NEWCGROUP) {
        return None;
    }
    let top = Path::new(MOUNT_POINT);
    if is_root(top, V2_MAGIC) {
        return Some(Layout::assemble(
            cgroup,
            |_, _| None,
            |own| Some(Place::new(top.into(), Path::new(own))),
        ));
    }
    let place = |name: &str, own: &str, magic| {
        let mount_point = top.join(name);
        is_root(&mount_point, magic).then(|| Place::new(mount_point, Path::new(own)))
    };
    let name = |controllers: &'_ str| {
        controllers
            .strip_prefix("name=")
            .unwrap_or(controllers)
            .to_owned()
    };
    let v1 = |controllers: &str, own: &str| place(&name(controllers), own, V1_MAGIC);
    let v2 = |own: &str| place("unified", own, V2_MAGIC);
    let layout = Layout::assemble(cgroup, v1, v2);
    // One that is not there may be somewhere else.
    let found = layout.v1.len() + usize::from(layout.v2.is_some());
    (found == cgroup.lines().count()).then_some(layout)
}

fn is_root(path: &Path, magic: u64) -> bool {
    let is_of_type = statfs(path).is_ok_and(|filesystem| filesystem.f_type as u64 == magic);
    is_of_type && stat(path).is_ok_and(|root| root.st_ino == ROOT_INODE)
}

fn find_writable(layout: &mut Layout) {
    for hierarchy in &mut layout.v1 {
        hierarchy.place.writable = may_make_directories(&hierarchy.place.default_parent(false));
    }
    let v2_alone = layout.v1.is_empty();
    if let Some(v2) = &mut layout.v2 {
        let parent = v2.place.default_parent(v2_alone);
        v2.place.writable = may_make_directories(&parent) && may_move_processes(&parent);
    }
}

fn may_make_directories(directory: &Path) -> bool {
    let access = Access::WRITE_OK | Access::EXEC_OK;
    accessat(CWD, directory, access, AtFlags::EACCESS).is_ok()
}

/// From the runtime's own cgroup to one in this directory, which is the closest above both (cgroups(7), "Delegation
/// containment").
fn may_move_processes(directory: &Path) -> bool {
    let file = directory.join("cgroup.procs");
    accessat(CWD, file, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_host_has_a_layout() {
        let layout = Layout::detect().unwrap();
        assert!(layout.v2.is_some() || !layout.v1.is_empty());
    }

    #[test]
    fn the_usual_places_are_those_that_mountinfo_tells() {
        let cgroup = fs::read_to_string("/proc/self/cgroup").unwrap();
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        if let Some(usual) = usual(&cgroup) {
            let told = Layout::parse(&mountinfo, &cgroup);
            assert_eq!((usual.v1, usual.v2), (told.v1, told.v2));
        }
    }
}
