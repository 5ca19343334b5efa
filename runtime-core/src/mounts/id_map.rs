//! Id-mapped mounts: `uidMappings` and `gidMappings` of a mount, `idmap` and `ridmap` among its options.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use serde::Serialize;

use crate::builder::Stdio;
use crate::error::{Error, ErrorKind, Result};
use crate::id_mappings::{self, IdMappings};
use crate::launch::{Handover, Init};
use crate::namespaces::{NEWUSER, Namespaces};
use crate::plan::{Builder, Plan};
use crate::sys;
use crate::timings::Recorder;

/// Whose ids the files of a mount have (mount_setattr(2), MOUNT_ATTR_IDMAP; Linux 5.12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IdMap {
    /// For the mounts below as well.
    pub(crate) recursive: bool,
    pub(crate) namespace: UserNamespace,
}

impl fmt::Display for IdMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.recursive { "ridmap" } else { "idmap" })?;
        match &self.namespace {
            UserNamespace::Joined(path) => write!(f, " as {}", path.display()),
            UserNamespace::New(maps) => {
                let text = |ranges| id_mappings::map_text(ranges).trim_end().replace('\n', ", ");
                write!(
                    f,
                    " (users {}; groups {})",
                    text(&maps.users),
                    text(&maps.groups)
                )
            }
        }
    }
}

/// The user namespace that has the mappings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum UserNamespace {
    /// One made for its mappings.
    New(IdMappings),
    /// One that the container joins, too.
    Joined(PathBuf),
}

/// The id mapping of a bind mount. `option` is `true` for `ridmap`, `false` for `idmap`, nothing for neither.
pub(super) fn of(
    plan: &Builder<'_>,
    pointer: &str,
    mount: &Mount,
    option: Option<bool>,
) -> Result<Option<IdMap>> {
    let users = mount.uid_mappings().as_deref().unwrap_or_default();
    let groups = mount.gid_mappings().as_deref().unwrap_or_default();
    let namespace = match (option, users.is_empty(), groups.is_empty()) {
        (None, true, true) => return Ok(None),
        (Some(_), true, true) => containers(plan, pointer)?,
        (_, false, false) => UserNamespace::New(IdMappings {
            joined: false,
            users: id_mappings::ranges(&format!("{pointer}/uidMappings"), users)?,
            groups: id_mappings::ranges(&format!("{pointer}/gidMappings"), groups)?,
            denies_setgroups: false,
        }),
        _ => {
            let problem =
                "id-mapped mounts must have both uid and gid mappings specified, or neither";
            return Err(Error::config(pointer, problem));
        }
    };
    if plan.facts.uid != 0 {
        let problem = "id-mapped mounts are not supported for rootless containers";
        return Err(Error::new(ErrorKind::Unsupported, problem).at(pointer));
    }
    Ok(Some(IdMap {
        recursive: option.unwrap_or(false),
        namespace,
    }))
}

/// The mappings of the container itself.
fn containers(plan: &Builder<'_>, pointer: &str) -> Result<UserNamespace> {
    let namespaces = Namespaces::of(plan)?;
    let joined = namespaces.joined.iter().find(|(flag, ..)| *flag == NEWUSER);
    if let Some((_, path, _)) = joined {
        return Ok(UserNamespace::Joined(path.to_path_buf()));
    }
    match &plan.plan.id_mappings {
        Some(mappings) => Ok(UserNamespace::New(mappings.clone())),
        None => {
            let problem = "an id-mapped mount without mappings takes the container's, which has no user namespace: \
                           id-mapped mounts must have both uid and gid mappings specified then";
            Err(Error::config(pointer, problem))
        }
    }
}

/// The user namespaces of id-mapped mounts, each opened once.
#[derive(Default)]
pub(crate) struct UserNamespaces<'a> {
    /// The state directory, for a host that has no executable memfds.
    directory: Option<&'a Path>,
    open: Vec<(UserNamespace, OwnedFd)>,
}

impl<'a> UserNamespaces<'a> {
    pub(crate) fn new(directory: &'a Path) -> Self {
        UserNamespaces {
            directory: Some(directory),
            open: Vec::new(),
        }
    }

    /// Gives a detached tree its ids.
    pub(crate) fn map_ids(
        &mut self,
        tree: BorrowedFd<'_>,
        id_map: &IdMap,
    ) -> std::result::Result<(), Refused> {
        let namespace = self.get(&id_map.namespace)?;
        sys::map_ids(tree, namespace, id_map.recursive).map_err(Refused::Mount)
    }

    fn get(&mut self, wanted: &UserNamespace) -> std::result::Result<BorrowedFd<'_>, Refused> {
        let number = match self.open.iter().position(|(open, _)| open == wanted) {
            Some(number) => number,
            None => {
                let opened = match wanted {
                    UserNamespace::Joined(path) => open(path)?,
                    UserNamespace::New(mappings) => self.make(mappings)?,
                };
                self.open.push((wanted.clone(), opened));
                self.open.len() - 1
            }
        };
        match self.open.get(number) {
            Some((_, namespace)) => Ok(namespace.as_fd()),
            None => Err(Refused::Mount(io::ErrorKind::NotFound.into())),
        }
    }

    /// A user namespace lives as long as somebody is in it or has it open. Nobody can write the maps of one that he is in
    /// himself, so another process has to be there: an init that waits, and is ended before it does anything.
    fn make(&self, mappings: &IdMappings) -> std::result::Result<OwnedFd, Refused> {
        let plan = Plan::waiting_in(NEWUSER);
        let mut null = None;
        let handover = Handover {
            stdio: Stdio::Null.streams(&mut null).map_err(Refused::Namespace)?,
            preserved: 0,
            cgroup: None,
            waits: false,
            directory: self.directory.unwrap_or(Path::new("/")),
            timings: Recorder::default(),
        };
        let init = Init::start(&plan, &[], &handover).map_err(Refused::Namespace)?;
        let opened = write_maps(init.pid(), mappings)
            .and_then(|()| open(Path::new(&format!("/proc/{}/ns/user", init.pid()))));
        init.kill();
        opened
    }
}

fn write_maps(pid: i32, mappings: &IdMappings) -> std::result::Result<(), Refused> {
    for (file, ranges) in [("uid_map", &mappings.users), ("gid_map", &mappings.groups)] {
        let path = format!("/proc/{pid}/{file}");
        std::fs::write(&path, id_mappings::map_text(ranges)).map_err(|cause| {
            let attempt = format!("write {file} of its user namespace");
            Refused::Namespace(Error::io(ErrorKind::Setup, attempt, cause))
        })?;
    }
    Ok(())
}

fn open(path: &Path) -> std::result::Result<OwnedFd, Refused> {
    let opened = File::open(path).map_err(|cause| {
        let attempt = format!("open user namespace {}", path.display());
        Refused::Namespace(Error::io(ErrorKind::Setup, attempt, cause))
    });
    Ok(opened?.into())
}

/// Why a tree has no id mapping.
pub(crate) enum Refused {
    /// There is no user namespace with the mappings.
    Namespace(Error),
    /// The kernel does not map the mount's ids.
    Mount(io::Error),
}

impl Refused {
    /// The error for what was to be mapped.
    pub(crate) fn of(self, what: &str) -> Error {
        let attempt = format!("map the ids of {what}");
        match self {
            Refused::Namespace(error) => error.context(attempt),
            Refused::Mount(cause) => {
                let (kind, reason) = match cause.raw_os_error() {
                    Some(libc::EINVAL) => (
                        ErrorKind::Unsupported,
                        " (its file system does not support id-mapped mounts on this kernel: each file system has learnt \
                         it in another version from Linux 5.12 on)",
                    ),
                    Some(libc::EPERM) => (
                        ErrorKind::Setup,
                        " (one that is id-mapped already cannot be mapped again)",
                    ),
                    _ => (ErrorKind::Setup, ""),
                };
                Error::io(kind, format!("{attempt}{reason}"), cause)
            }
        }
    }
}
