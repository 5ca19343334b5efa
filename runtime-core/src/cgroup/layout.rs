//! Which cgroup hierarchies the host has, and where the runtime itself is in them: cgroups(7).

use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::systemd::Systemd;

/// Controllers of version 1 that a container gets a cgroup in. A named hierarchy is systemd's or nobody's business.
const V1_CONTROLLERS: &[&str] = &[
    "blkio",
    "cpu",
    "cpuacct",
    "cpuset",
    "devices",
    "freezer",
    "hugetlb",
    "memory",
    "misc",
    "name=systemd",
    "net_cls",
    "net_prio",
    "perf_event",
    "pids",
    "rdma",
];

/// Controllers of version 2 that are assumed where nobody could be asked.
const V2_CONTROLLERS: &[&str] = &[
    "cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc",
];

/// Where a host has version 2 alone, with or without a forgotten version 1 mount elsewhere.
pub(super) const MOUNT_POINT: &str = "/sys/fs/cgroup";

/// How the host arranges its cgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Hierarchies of version 1 alone, or none.
    V1,
    /// Controllers in version 1, and a version 2 hierarchy beside them.
    Hybrid,
    /// Version 2 alone.
    V2,
}

/// One hierarchy of version 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V1Hierarchy {
    /// Its controllers, several when they are mounted together, or `name=systemd`.
    pub(super) controllers: Vec<String>,
    pub(super) place: Place,
}

/// The hierarchy of version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct V2Hierarchy {
    pub(super) controllers: Vec<String>,
    pub(super) place: Place,
}

/// Where a hierarchy is mounted, and where the runtime is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) mount_point: PathBuf,
    /// The runtime's own cgroup, relative to the mount point.
    pub(super) own: PathBuf,
    /// Whether cgroups are made where those without a `cgroupsPath` go: where the caller may not, and no one asked for any,
    /// a container goes without.
    pub(super) writable: bool,
}

/// The cgroup hierarchies of a host, as far as compiling a plan has to know them.
#[derive(Clone, Debug)]
pub struct Layout {
    pub(super) v1: Vec<V1Hierarchy>,
    pub(super) v2: Option<V2Hierarchy>,
    /// The caller is not the host's root, and cannot restrict devices.
    pub(super) rootless: bool,
    /// Who makes the cgroups, when that is not the runtime itself.
    pub(super) systemd: Option<Systemd>,
}

impl Layout {
    /// A host without any.
    pub(crate) fn none() -> Layout {
        Layout {
            v1: Vec::new(),
            v2: None,
            rootless: false,
            systemd: None,
        }
    }

    /// The same, where this systemd is to make containers' cgroups: `cgroupsPath` is `SLICE:PREFIX:NAME` then.
    pub fn managed_by(self, systemd: Systemd) -> Layout {
        Layout {
            systemd: Some(systemd),
            ..self
        }
    }

    /// What root finds where somebody else has looked.
    pub(crate) fn of_root(mut self) -> Layout {
        let v1 = self.v1.iter_mut().map(|hierarchy| &mut hierarchy.place);
        let v2 = self.v2.iter_mut().map(|hierarchy| &mut hierarchy.place);
        v1.chain(v2).for_each(|place| place.writable = true);
        Layout {
            rootless: false,
            ..self
        }
    }

    /// The layout that these contents of `/proc/self/mountinfo` and `/proc/self/cgroup` tell, for root. The controllers
    /// of a version 2 hierarchy are assumed: all that the kernel has, or none where version 1 has them.
    ///
    /// ```
    /// use runtime_core::cgroup::{Layout, Mode};
    ///
    /// let layout = Layout::parse("29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw", "0::/");
    /// assert_eq!(layout.mode(), Mode::V2);
    /// ```
    pub fn parse(mountinfo: &str, cgroup: &str) -> Layout {
        let mounts: Vec<Mount<'_>> = mountinfo.lines().filter_map(Mount::parse).collect();
        let v1 = |controllers: &str, own: &str| {
            Some(
                mounts
                    .iter()
                    .find(|mount| mount.has(controllers))?
                    .place(own),
            )
        };
        let v2 = |own: &str| Some(mounts.iter().find(|mount| mount.is_v2)?.place(own));
        Layout::assemble(cgroup, v1, v2)
    }

    /// From `/proc/self/cgroup` and where each hierarchy is, by its controllers and the runtime's own path.
    pub(super) fn assemble(
        cgroup: &str,
        find_v1: impl Fn(&str, &str) -> Option<Place>,
        find_v2: impl Fn(&str) -> Option<Place>,
    ) -> Layout {
        let mut layout = Layout::none();
        for line in cgroup.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(number), Some(controllers), Some(own)) =
                (fields.next(), fields.next(), fields.next())
            else {
                continue;
            };
            if number == "0" {
                layout.v2 = find_v2(own).map(|place| V2Hierarchy {
                    controllers: Vec::new(),
                    place,
                });
            } else if let Some(place) = find_v1(controllers, own) {
                layout.add_v1(controllers, place);
            }
        }
        layout.settle();
        layout
    }

    /// How the host arranges its cgroups.
    pub fn mode(&self) -> Mode {
        match (&self.v2, self.v1.is_empty()) {
            (None, _) => Mode::V1,
            (Some(_), false) => Mode::Hybrid,
            (Some(_), true) => Mode::V2,
        }
    }

    fn add_v1(&mut self, controllers: &str, place: Place) {
        let controllers: Vec<String> = controllers.split(',').map(str::to_owned).collect();
        if controllers
            .iter()
            .any(|controller| V1_CONTROLLERS.contains(&controller.as_str()))
        {
            self.v1.push(V1Hierarchy { controllers, place });
        }
    }

    /// Decides which version rules, and what version 2 is assumed to control.
    fn settle(&mut self) {
        let Some(v2) = &mut self.v2 else { return };
        if v2.place.mount_point == Path::new(MOUNT_POINT) {
            self.v1.clear();
        }
        if self.v1.is_empty() {
            v2.controllers = V2_CONTROLLERS.iter().map(|&name| name.to_owned()).collect();
        }
    }
}

impl Place {
    pub(super) fn new(mount_point: PathBuf, own: &Path) -> Place {
        let own = own
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        Place {
            mount_point,
            own,
            writable: true,
        }
    }

    /// The directory, absolute, where cgroups go whose path is relative. In version 2 alone it is the parent of the
    /// runtime's own, which has processes in it and can therefore have no children with controllers (cgroups(7), "no
    /// internal processes").
    pub(super) fn default_parent(&self, beside: bool) -> PathBuf {
        self.mount_point.join(self.relative_parent(beside))
    }

    /// The same, relative to the mount point.
    pub(super) fn relative_parent(&self, beside: bool) -> &Path {
        if beside {
            self.own.parent().unwrap_or(Path::new(""))
        } else {
            &self.own
        }
    }
}

/// A line of mountinfo that is a cgroup mount: proc_pid_mountinfo(5).
struct Mount<'a> {
    root: PathBuf,
    mount_point: PathBuf,
    is_v2: bool,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Mount<'a>> {
        let (mount, filesystem) = line.split_once(" - ")?;
        let mut filesystem = filesystem.split(' ');
        let is_v2 = match filesystem.next()? {
            "cgroup" => false,
            "cgroup2" => true,
            _ => return None,
        };
        let mut mount = mount.split(' ').skip(3);
        Some(Mount {
            root: unescape(mount.next()?),
            mount_point: unescape(mount.next()?),
            is_v2,
            options: filesystem.nth(1)?,
        })
    }

    fn has(&self, controllers: &str) -> bool {
        !self.is_v2
            && controllers
                .split(',')
                .all(|name| self.options.split(',').any(|option| option == name))
    }

    fn place(&self, own: &str) -> Place {
        // Without a cgroup namespace of its own, a container sees its cgroup alone, mounted at the top, under the path
        // that it has on the host.
        let own = Path::new(own);
        let own = own.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let own = own
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        Place {
            mount_point: self.mount_point.clone(),
            own,
            writable: true,
        }
    }
}

/// Undoes the octal escapes of mountinfo: space, tab, newline and backslash.
fn unescape(field: &str) -> PathBuf {
    if !field.contains('\\') {
        return PathBuf::from(field);
    }
    let escapes = [
        ("\\040", " "),
        ("\\011", "\t"),
        ("\\012", "\n"),
        ("\\134", "\\"),
    ];
    escapes
        .iter()
        .fold(field.to_owned(), |text, (from, to)| text.replace(from, to))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

    #[test]
    fn a_host_with_both_versions_is_hybrid_and_keeps_controllers_together_that_are_mounted_together()
     {
        let layout = Layout::parse(
            HYBRID,
            "4:name=systemd:/\n3:memory:/jobs/7\n2:cpu,cpuacct:/\n5:freezer:/\n0::/x\n",
        );
        assert_eq!(layout.mode(), Mode::Hybrid);
        let names: Vec<_> = layout
            .v1
            .iter()
            .map(|hierarchy| hierarchy.controllers.join(","))
            .collect();
        assert_eq!(
            names,
            ["name=systemd", "memory", "cpu,cpuacct"],
            "freezer is not mounted"
        );
        assert_eq!(layout.v1[1].place.own, Path::new("jobs/7"));
        let v2 = layout.v2.unwrap();
        assert_eq!(v2.place.mount_point, Path::new("/sys/fs/cgroup/unified"));
        assert!(v2.controllers.is_empty());
    }

    #[test]
    fn version_1_alone_is_version_1() {
        let mountinfo = HYBRID.lines().take(4).collect::<Vec<_>>().join("\n");
        let layout = Layout::parse(&mountinfo, "3:memory:/\n0::/\n");
        assert_eq!(layout.mode(), Mode::V1);
        assert!(layout.v2.is_none());
    }

    #[test]
    fn a_version_1_mount_elsewhere_does_not_make_a_version_2_host_hybrid() {
        let mountinfo = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n\
                         60 23 0:50 / /opt/net_cls rw - cgroup net_cls rw,net_cls\n";
        let layout = Layout::parse(mountinfo, "1:net_cls:/\n0::/user.slice\n");
        assert_eq!(layout.mode(), Mode::V2);
        assert!(
            layout
                .v2
                .unwrap()
                .controllers
                .contains(&"memory".to_owned())
        );
    }

    #[test]
    fn the_runtimes_own_path_is_relative_to_what_is_mounted() {
        let mountinfo =
            "32 31 0:29 /docker/a\\040b /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory";
        let inside = Layout::parse(mountinfo, "3:memory:/docker/a b/c");
        assert_eq!(inside.v1[0].place.own, Path::new("c"));
        let outside = Layout::parse(mountinfo, "3:memory:/../elsewhere");
        assert_eq!(outside.v1[0].place.own, Path::new(""));
    }

    #[test]
    fn nonsense_is_no_hierarchy() {
        for (mountinfo, cgroup) in [
            ("", ""),
            ("a b - cgroup", "x"),
            ("1 2 3 / /m - cgroup2", "0::"),
            (HYBRID, "::\n:"),
        ] {
            let layout = Layout::parse(mountinfo, cgroup);
            assert!(layout.v1.is_empty() && layout.v2.is_none());
        }
    }
}
