//! Where a container's cgroup is: `linux.cgroupsPath` (config-linux.md, "Cgroups Path").

use std::path::{Component, Path, PathBuf};

use super::CgroupError;
use super::layout::Place;

/// The pointer of what decides it.
pub(super) const POINTER: &str = "/linux/cgroupsPath";

/// The path that a configuration asks for.
#[derive(Debug)]
pub(super) struct Requested {
    /// Without `.`, `..` and leading slashes, so it stays below where it is put.
    inner: PathBuf,
    /// From the mount point, rather than from the runtime's own cgroup.
    absolute: bool,
    /// The configuration has it; the default is the container's ID.
    pub(super) explicit: bool,
}

impl Requested {
    /// Where systemd puts a unit.
    pub(super) fn of_unit(path: PathBuf) -> Requested {
        Requested {
            inner: path,
            absolute: true,
            explicit: true,
        }
    }

    pub(super) fn new(
        cgroups_path: Option<&Path>,
        container_id: &str,
    ) -> Result<Requested, CgroupError> {
        let cgroups_path = cgroups_path.filter(|path| !path.as_os_str().is_empty());
        let path = cgroups_path.unwrap_or(Path::new(container_id));
        let Some(text) = path.to_str().filter(|text| !text.contains('\0')) else {
            return Err(CgroupError::refused(
                POINTER,
                format!("{path:?} is not text"),
            ));
        };
        // cgroup_mkdir() in the kernel: names with a newline would make /proc/PID/cgroup ambiguous.
        if text.contains('\n') {
            return Err(CgroupError::refused(
                POINTER,
                format!("{text:?} has a newline, which no cgroup's name may have"),
            ));
        }
        let inner = clean(path);
        if inner.as_os_str().is_empty() {
            return Err(CgroupError::refused(
                POINTER,
                format!("{text:?} is a hierarchy's root, not a cgroup of its own"),
            ));
        }
        Ok(Requested {
            inner,
            absolute: path.is_absolute(),
            explicit: cgroups_path.is_some(),
        })
    }

    /// The container's directory in a hierarchy, absolute.
    pub(super) fn within(&self, place: &Place, v2_alone: bool) -> PathBuf {
        let parent = if self.absolute {
            place.mount_point.clone()
        } else {
            place.default_parent(v2_alone)
        };
        parent.join(&self.inner)
    }
}

/// Resolves `..` as at a root, where it leads nowhere.
fn clean(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => {
                clean.pop();
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
        clean
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(cgroups_path: Option<&str>, v2_alone: bool) -> PathBuf {
        let place = Place {
            mount_point: "/cg".into(),
            own: "user/session".into(),
            writable: true,
        };
        Requested::new(cgroups_path.map(Path::new), "web")
            .unwrap()
            .within(&place, v2_alone)
    }

    #[test]
    fn a_container_without_a_path_goes_under_its_id_into_the_runtimes_own_cgroup() {
        assert_eq!(directory(None, false), Path::new("/cg/user/session/web"));
        assert_eq!(
            directory(Some(""), false),
            Path::new("/cg/user/session/web")
        );
    }

    #[test]
    fn in_version_2_alone_it_goes_beside_the_runtimes_own_which_has_processes() {
        assert_eq!(directory(None, true), Path::new("/cg/user/web"));
        assert_eq!(directory(Some("a/b"), true), Path::new("/cg/user/a/b"));
    }

    #[test]
    fn an_absolute_path_is_below_the_mount_point() {
        assert_eq!(
            directory(Some("/docker/1"), false),
            Path::new("/cg/docker/1")
        );
        assert_eq!(
            directory(Some("/docker/1"), true),
            Path::new("/cg/docker/1")
        );
    }

    #[test]
    fn dots_do_not_lead_out() {
        assert_eq!(
            directory(Some("/../../etc/../a/./b"), false),
            Path::new("/cg/a/b")
        );
        assert_eq!(
            directory(Some("../../../a"), false),
            Path::new("/cg/user/session/a")
        );
    }

    #[test]
    fn the_root_of_a_hierarchy_and_names_with_newlines_are_refused() {
        for path in ["/", "..", "/a/..", "a\nb"] {
            let error = Requested::new(Some(Path::new(path)), "web").unwrap_err();
            assert_eq!(error.pointer(), "/linux/cgroupsPath", "{path:?}");
        }
    }
}
