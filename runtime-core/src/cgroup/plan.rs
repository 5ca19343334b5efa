//! What is to be done for a container's cgroup: directories, and what is written to the files in them.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::CgroupError;
use super::bpf::Program;
use super::layout::{Layout, Mode, Place};
use super::path::{POINTER, Requested};
use super::systemd::UnitPlan;

/// The JSON pointer of what asked for something, or the default that did, in words.
pub(super) type Origin = Cow<'static, str>;

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// One of several hierarchies, each with controllers of its own.
    V1,
    /// The unified hierarchy.
    V2,
}

/// A container's place in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Directory {
    /// The version of the hierarchy.
    pub version: Version,
    /// The hierarchy's controllers; `name=systemd` for that of systemd.
    pub controllers: Vec<String>,
    /// Where the hierarchy is mounted.
    pub mount_point: PathBuf,
    /// The container's cgroup.
    pub path: PathBuf,
}

/// What happens when a file is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Missing {
    /// The kernel cannot do what is asked for.
    Fail,
    /// Nothing is lost without it.
    Skip,
    /// There is another file for the same.
    Instead(&'static str, String),
}

/// A value for a file of the cgroup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Write {
    pub(super) file: Cow<'static, str>,
    pub(super) value: String,
    pub(super) origin: Origin,
    #[serde(skip)]
    pub(super) missing: Missing,
    /// The kernel may refuse it (EINVAL) until the writes that follow it are done: limits that bound one another.
    #[serde(skip)]
    pub(super) again: bool,
}

/// What is made in one hierarchy.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Planned {
    #[serde(flatten)]
    pub(super) directory: Directory,
    /// Nothing that was asked for is lost without it.
    #[serde(skip)]
    pub(super) optional: bool,
    pub(super) writes: Vec<Write>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) devices: Option<Program>,
}

/// Something that the configuration says and that has no effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Ignored {
    pub(super) origin: Origin,
    pub(super) reason: &'static str,
}

/// The steps that make a container's cgroup. `Display` lists them, a line each.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CgroupPlan {
    /// Who makes the directories, when that is systemd.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) unit: Option<UnitPlan>,
    pub(super) directories: Vec<Planned>,
    /// Controllers of hierarchies that the caller may not make cgroups in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) unwritable: Vec<String>,
    /// The runtime's own places in these hierarchies, where the container stays.
    #[serde(skip)]
    pub(super) shared: Vec<Directory>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) ignored: Vec<Ignored>,
    /// The host's uid of who owns the cgroup; nothing leaves it to the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner: Option<u32>,
    #[serde(skip)]
    pub(super) mode: Mode,
    #[serde(skip)]
    pub(super) rootless: bool,
}

impl CgroupPlan {
    /// The directories of a container, and nothing to write yet.
    pub(super) fn new(layout: &Layout, requested: &Requested) -> CgroupPlan {
        let mode = layout.mode();
        let mut plan = CgroupPlan {
            unit: None,
            directories: vec![],
            unwritable: vec![],
            shared: vec![],
            ignored: vec![],
            owner: None,
            mode,
            rootless: layout.rootless,
        };
        for hierarchy in &layout.v1 {
            plan.add(
                Version::V1,
                &hierarchy.controllers,
                &hierarchy.place,
                requested,
            );
        }
        if let Some(hierarchy) = &layout.v2 {
            plan.add(
                Version::V2,
                &hierarchy.controllers,
                &hierarchy.place,
                requested,
            );
        }
        plan
    }

    /// The directories of a container that there is, and nothing to write yet.
    pub(super) fn of(cgroup: &super::Cgroup, layout: &Layout) -> CgroupPlan {
        let planned = |directory: &Directory| Planned {
            directory: directory.clone(),
            optional: false,
            writes: vec![],
            devices: None,
        };
        let has = |version| {
            let mut directories = cgroup.directories.iter();
            directories.any(|directory| directory.version == version)
        };
        let mode = match (has(Version::V1), has(Version::V2)) {
            (true, true) => Mode::Hybrid,
            (false, true) => Mode::V2,
            (_, false) => Mode::V1,
        };
        let held = |name: &String| {
            let mut directories = cgroup.directories.iter();
            directories.any(|directory| directory.controllers.contains(name))
        };
        let mut unwritable: Vec<String> = Vec::new();
        if layout.rootless {
            unwritable.extend(layout.v1.iter().flat_map(|v1| v1.controllers.clone()));
            unwritable.extend(layout.v2.iter().flat_map(|v2| v2.controllers.clone()));
            unwritable.retain(|name| !held(name));
        }
        CgroupPlan {
            unit: None,
            directories: cgroup.directories.iter().map(planned).collect(),
            unwritable,
            shared: vec![],
            ignored: vec![],
            owner: None,
            mode,
            rootless: layout.rootless,
        }
    }

    fn add(
        &mut self,
        version: Version,
        controllers: &[String],
        place: &Place,
        requested: &Requested,
    ) {
        if !requested.explicit && !place.writable {
            self.unwritable.extend_from_slice(controllers);
            self.shared.push(Directory {
                version,
                controllers: controllers.to_vec(),
                mount_point: place.mount_point.clone(),
                path: place.mount_point.join(&place.own),
            });
            return;
        }
        let directory = Directory {
            version,
            controllers: controllers.to_vec(),
            mount_point: place.mount_point.clone(),
            path: requested.within(place, self.mode == Mode::V2),
        };
        let beside = self.mode == Mode::Hybrid && version == Version::V2;
        self.directories.push(Planned {
            directory,
            optional: beside,
            writes: vec![],
            devices: None,
        });
    }

    /// The hierarchy of a controller, by its name in version 1.
    ///
    /// # Errors
    ///
    /// When there is none, or the caller may not use it.
    pub(super) fn hierarchy(
        &mut self,
        controller: &str,
        origin: &str,
    ) -> Result<&mut Planned, CgroupError> {
        let name = match self.mode {
            Mode::V2 => in_version_2(controller),
            Mode::V1 | Mode::Hybrid => controller,
        };
        let unwritable = self.unwritable.iter().any(|unwritable| unwritable == name);
        let found = self
            .directories
            .iter_mut()
            .find(|planned| planned.controls(controller));
        found.ok_or_else(|| {
            let problem = match unwritable {
                // The phrase is runc's.
                true => format!(
                    "cannot set {name} limit: container could not join or create cgroup (the {name} controller's cgroups \
                     cannot be written by this user)"
                ),
                false => format!("this host has no cgroup hierarchy with the {name} controller"),
            };
            CgroupError::refused(origin.to_owned(), problem)
        })
    }

    /// Notes that something has no effect, as the specification lets it.
    pub(super) fn ignore(&mut self, origin: impl Into<Origin>, reason: &'static str) {
        self.ignored.push(Ignored {
            origin: origin.into(),
            reason,
        });
    }

    /// The unit whose cgroup this is, when systemd makes it: around the container's init, which is there before.
    pub fn unit(&self) -> Option<&UnitPlan> {
        self.unit.as_ref()
    }

    /// How many `tasks` files the container's init joins: see [`super::Cgroup::task_files`].
    pub fn task_file_count(&self) -> usize {
        self.directories
            .iter()
            .filter(|planned| planned.directory.version == Version::V1)
            .count()
    }

    /// The cgroup as it will be, for a record of what may be there before it is made.
    pub fn intended(&self) -> super::Cgroup {
        super::Cgroup {
            directories: self.directories().cloned().collect(),
            existed: self
                .directories()
                .filter(|directory| directory.path.exists())
                .map(|directory| directory.path.clone())
                .collect(),
            made_parents: Vec::new(),
            unit: None,
        }
    }

    /// The cgroup as it is once it was made.
    pub(crate) fn made(&self) -> super::Cgroup {
        super::Cgroup {
            directories: self.directories().cloned().collect(),
            ..super::Cgroup::default()
        }
    }

    /// The container's place in each hierarchy.
    pub fn directories(&self) -> impl Iterator<Item = &Directory> {
        self.directories.iter().map(|planned| &planned.directory)
    }

    /// Its place in every hierarchy of the host; where it has none of its own, the runtime's.
    pub(crate) fn places(&self) -> impl Iterator<Item = &Directory> {
        self.directories().chain(&self.shared)
    }

    /// The same, owned by the caller, who may give nothing away.
    pub(crate) fn kept_by_caller(self) -> CgroupPlan {
        CgroupPlan {
            owner: None,
            ..self
        }
    }

    /// What the configuration says that has no effect, and why: JSON pointers with reasons.
    pub fn ignored(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ignored
            .iter()
            .map(|ignored| (ignored.origin.as_ref(), ignored.reason))
    }
}

/// The name in version 2 of a controller of version 1.
fn in_version_2(controller: &str) -> &str {
    match controller {
        "blkio" => "io",
        name => name,
    }
}

impl Planned {
    pub(super) fn version(&self) -> Version {
        self.directory.version
    }

    fn controls(&self, controller: &str) -> bool {
        let name = match self.directory.version {
            Version::V1 => controller,
            Version::V2 => in_version_2(controller),
        };
        self.directory
            .controllers
            .iter()
            .any(|controller| controller == name)
    }

    /// Plans a write, without which the container is not what was asked for.
    pub(super) fn write(
        &mut self,
        file: impl Into<Cow<'static, str>>,
        value: impl fmt::Display,
        origin: impl Into<Origin>,
    ) -> &mut Write {
        self.optional = false;
        let write = Write {
            file: file.into(),
            value: value.to_string(),
            origin: origin.into(),
            missing: Missing::Fail,
            again: false,
        };
        let place = self.writes.len();
        self.writes.push(write);
        &mut self.writes[place]
    }
}

impl Write {
    /// The controller whose file it is, by its name in the hierarchy.
    pub(super) fn controller(&self) -> &str {
        self.file.split('.').next().unwrap_or_default()
    }

    pub(super) fn or_skip(&mut self) -> &mut Self {
        self.missing = Missing::Skip;
        self
    }

    pub(super) fn or_else(&mut self, file: &'static str, value: impl fmt::Display) -> &mut Self {
        self.missing = Missing::Instead(file, value.to_string());
        self
    }

    pub(super) fn or_later(&mut self) -> &mut Self {
        self.again = true;
        self
    }
}

impl fmt::Display for CgroupPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(unit) = &self.unit {
            for property in unit.properties() {
                line(f, property.origin(), format_args!("property {property}"))?;
            }
            line(f, POINTER, format_args!("{unit}"))?;
        }
        for Planned {
            directory,
            writes,
            devices,
            ..
        } in &self.directories
        {
            if self.unit.is_none() {
                line(
                    f,
                    POINTER,
                    format_args!("mkdir {}", directory.path.display()),
                )?;
            }
            for write in writes {
                let file = directory.path.join(write.file.as_ref());
                line(
                    f,
                    &write.origin,
                    format_args!("write {:?} to {}", write.value, file.display()),
                )?;
            }
            if let Some(program) = devices {
                let (path, length) = (directory.path.display(), program.instructions().len());
                line(
                    f,
                    super::devices::POINTER,
                    format_args!("attach a device filter of {length} instructions to {path}"),
                )?;
            }
            if let Some(user) = self.owner {
                line(
                    f,
                    super::owner::POINTER,
                    format_args!("give {} to user {user}", directory.path.display()),
                )?;
            }
        }
        self.ignored
            .iter()
            .try_for_each(|Ignored { origin, reason }| {
                line(f, origin, format_args!("ignored: {reason}"))
            })
    }
}

fn line(f: &mut fmt::Formatter<'_>, origin: &str, what: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(f, "{origin:<34} {what}")
}
