//! `linux.cgroupsPath` as the systemd driver reads it, `SLICE:PREFIX:NAME`: which unit a container has, and where systemd
//! puts that unit's cgroup.

use std::path::{Path, PathBuf};

use super::{Manager, Systemd};
use crate::cgroup::CgroupError;
use crate::cgroup::path::POINTER;

const SLICE: &str = ".slice";

/// The slice that all units are in.
const ROOT: &str = "-.slice";

/// The prefix of a container that has no `cgroupsPath`.
const PREFIX: &str = "bareboat";

/// UNIT_NAME_MAX of systemd.
const LONGEST: usize = 255;

/// The kinds of units that a container can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scope,
    Slice,
}

/// A unit by its name, and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) unit: String,
    pub(super) kind: Kind,
    /// The slice that it is in.
    pub(super) slice: String,
    /// What the description calls it.
    pub(super) name: String,
    /// Its cgroup, relative to a hierarchy's root.
    pub(super) path: PathBuf,
}

impl Names {
    /// # Errors
    ///
    /// When the path is not of the form, or names no unit.
    pub(super) fn new(
        cgroups_path: Option<&Path>,
        container_id: &str,
        systemd: &Systemd,
    ) -> Result<Names, CgroupError> {
        let text = cgroups_path
            .map(|path| path.to_str().ok_or(path))
            .transpose();
        let text = text.map_err(|path| refuse(format!("{path:?} is not text")))?;
        let parts: Vec<&str> = match text.filter(|text| !text.is_empty()) {
            Some(text) => text.split(':').collect(),
            None => vec!["", PREFIX, container_id],
        };
        let [slice, prefix, name] = parts.as_slice() else {
            let problem = format!(
                "expected cgroupsPath to be of format \"slice:prefix:name\" for systemd cgroups, got {:?} instead",
                text.unwrap_or_default()
            );
            return Err(refuse(problem));
        };
        let slice = match (*slice, systemd.manager) {
            ("", Manager::System) => "system.slice",
            ("", Manager::User) => "user.slice",
            (slice, _) => slice,
        };
        let parent = expand(slice)?;
        if *name == ROOT {
            let problem = format!("{ROOT} is the root, whose processes are not the container's");
            return Err(refuse(problem));
        }
        let (unit, kind, path) = if name.ends_with(SLICE) {
            // Where a slice is, its own name says.
            ((*name).to_owned(), Kind::Slice, expand(name)?)
        } else {
            let unit = format!("{prefix}-{name}.scope");
            let path = parent.join(&unit);
            (unit, Kind::Scope, path)
        };
        check(&unit)?;
        Ok(Names {
            unit,
            kind,
            slice: slice.to_owned(),
            name: (*name).to_owned(),
            path: systemd.control_group().join(path),
        })
    }
}

/// Where a slice's cgroup is: systemd.slice(5), `a-b.slice` is `a.slice/a-b.slice`, and `-.slice` the root.
fn expand(slice: &str) -> Result<PathBuf, CgroupError> {
    let invalid = || refuse(format!("invalid slice name: {slice:?}"));
    let stem = slice.strip_suffix(SLICE).ok_or_else(invalid)?;
    check(slice)?;
    if stem == "-" {
        return Ok(PathBuf::new());
    }
    let mut path = PathBuf::new();
    let mut name = String::new();
    for part in stem.split('-') {
        if part.is_empty() {
            return Err(invalid());
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(part);
        path.push(format!("{name}{SLICE}"));
    }
    Ok(path)
}

/// VALID_CHARS of systemd's unit-name.c, without `@`, which would make it an instance of a template.
fn check(unit: &str) -> Result<(), CgroupError> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || ":-_.\\".contains(c);
    if unit.len() > LONGEST {
        return Err(refuse(format!(
            "{unit:?} is longer than the {LONGEST} bytes that the name of a unit may have"
        )));
    }
    match unit.chars().find(|c| !is_valid(*c)) {
        None => Ok(()),
        Some(c) => Err(refuse(format!(
            "{unit:?} is no name of a unit: it has {c:?} in it"
        ))),
    }
}

fn refuse(problem: String) -> CgroupError {
    CgroupError::refused(POINTER, problem)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(cgroups_path: Option<&str>, manager: Manager) -> Result<Names, CgroupError> {
        let systemd = Systemd {
            manager,
            version: 252,
            control_group: match manager {
                Manager::System => "/".into(),
                Manager::User => "/user.slice/user-1000.slice/user@1000.service".into(),
            },
        };
        Names::new(cgroups_path.map(Path::new), "web", &systemd)
    }

    fn path(cgroups_path: &str) -> String {
        let names = names(Some(cgroups_path), Manager::System).unwrap();
        format!(
            "{} in {} at {}",
            names.unit,
            names.slice,
            names.path.display()
        )
    }

    #[test]
    fn a_container_is_a_scope_in_the_slice() {
        assert_eq!(
            path("machine.slice:podman:1a2b"),
            "podman-1a2b.scope in machine.slice at machine.slice/podman-1a2b.scope"
        );
        assert_eq!(
            path("kubepods-besteffort-pod1_2.slice:cri-containerd:1a"),
            "cri-containerd-1a.scope in kubepods-besteffort-pod1_2.slice at \
             kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod1_2.slice/cri-containerd-1a.scope"
        );
        assert_eq!(path("-.slice:a:b"), "a-b.scope in -.slice at a-b.scope");
        assert_eq!(
            path(":a:b"),
            "a-b.scope in system.slice at system.slice/a-b.scope"
        );
        assert_eq!(
            path("::b"),
            "-b.scope in system.slice at system.slice/-b.scope"
        );
    }

    #[test]
    fn without_a_path_it_is_named_after_its_id() {
        for absent in [None, Some("")] {
            let system = names(absent, Manager::System).unwrap();
            assert_eq!(system.path, Path::new("system.slice/bareboat-web.scope"));
            let user = names(absent, Manager::User).unwrap();
            assert_eq!(
                user.path,
                Path::new(
                    "user.slice/user-1000.slice/user@1000.service/user.slice/bareboat-web.scope"
                )
            );
            assert_eq!(
                user.slice, "user.slice",
                "which its manager knows by that name"
            );
        }
    }

    #[test]
    fn a_name_that_ends_in_slice_is_a_slice_where_its_name_says() {
        assert_eq!(
            path("machine.slice:ignored:machine-pod.slice"),
            "machine-pod.slice in machine.slice at machine.slice/machine-pod.slice"
        );
        assert_eq!(
            names(Some("::a.slice"), Manager::System).unwrap().kind,
            Kind::Slice
        );
    }

    #[test]
    fn what_names_no_unit_is_refused() {
        let long = format!("::{}", "a".repeat(256));
        for (path, problem) in [
            ("/sys/fs", "expected cgroupsPath to be of format"),
            ("a:b", "expected cgroupsPath to be of format"),
            ("a.slice:b:c:d", "expected cgroupsPath to be of format"),
            ("a:b:c", "invalid slice name: \"a\""),
            (".slice:b:c", "invalid slice name: \".slice\""),
            ("a--b.slice:b:c", "invalid slice name"),
            ("-a.slice:b:c", "invalid slice name"),
            ("a-.slice:b:c", "invalid slice name"),
            ("a/b.slice:b:c", "it has '/' in it"),
            ("a.slice:b:c/d", "it has '/' in it"),
            ("a.slice:b:c d", "it has ' ' in it"),
            ("a.slice:b@:c", "it has '@' in it"),
            ("::a--b.slice", "invalid slice name"),
            ("a.slice::-.slice", "-.slice is the root"),
            (&long, "longer than the 255 bytes"),
        ] {
            let error = names(Some(path), Manager::System).unwrap_err();
            assert_eq!(error.pointer(), "/linux/cgroupsPath", "{path}");
            assert!(error.to_string().contains(problem), "{path}: {error}");
        }
    }
}
