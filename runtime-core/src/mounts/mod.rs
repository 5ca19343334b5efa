//! `mounts`: the file systems of the container.

mod cgroup;
pub(crate) mod options;
pub(crate) mod root;

use std::ffi::CString;
use std::path::{Component, Path};

use oci_spec::runtime::Mount;
use runtime_init::{Step, Text, TextList};

use self::options::{Effect, MS_REC};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{Attributes, Builder, Source, c_string, text_list};

/// Paths under /proc over which a mount may lie: the files that programs such as lxcfs replace.
const MOUNTABLE_UNDER_PROC: &[&str] = &[
    "cpuinfo",
    "diskstats",
    "loadavg",
    "meminfo",
    "slabinfo",
    "stat",
    "swaps",
    "sys/crypto/fips_enabled",
    "sys/kernel/ns_last_pid",
    "uptime",
];

/// Makes the mounts, in the order of the configuration.
pub(crate) fn all(plan: &mut Builder<'_>) -> Result<()> {
    for (number, mount) in plan
        .spec
        .mounts()
        .as_deref()
        .unwrap_or_default()
        .iter()
        .enumerate()
    {
        let pointer = format!("/mounts/{number}");
        let parsed = Parsed::of(&pointer, mount)?;
        let target = destination(&pointer, mount)?;
        check_target(&pointer, mount.destination(), &parsed)?;
        match parsed.kind {
            Kind::Bind { recursive } => bind(plan, &pointer, mount, &parsed, &target, recursive)?,
            Kind::Cgroup => cgroup::mount(plan, &pointer, &parsed, &target)?,
            Kind::New => new(plan, &pointer, mount, &parsed, &target)?,
        }
    }
    Ok(())
}

/// What kind of mount a configuration asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Bind { recursive: bool },
    Cgroup,
    New,
}

/// A mount's options, sorted by what they mean.
#[derive(Clone, Debug)]
struct Parsed {
    kind: Kind,
    fstype: String,
    attributes: Attributes,
    propagation: Vec<u32>,
    /// Whether an option changes an attribute of this mount alone.
    has_attributes: bool,
    /// The file system's own options, and flags of its superblock.
    data: Vec<String>,
}

impl Parsed {
    fn of(pointer: &str, mount: &Mount) -> Result<Parsed> {
        let fstype = mount.typ().clone().unwrap_or_default();
        let kind = match fstype.as_str() {
            "cgroup" | "cgroup2" => Kind::Cgroup,
            "bind" => Kind::Bind { recursive: true },
            _ => Kind::New,
        };
        let (attributes, propagation, data, has_attributes) = Default::default();
        let mut parsed = Parsed {
            kind,
            fstype,
            attributes,
            propagation,
            has_attributes,
            data,
        };
        for (number, option) in mount
            .options()
            .as_deref()
            .unwrap_or_default()
            .iter()
            .enumerate()
        {
            let place = || format!("{pointer}/options/{number}");
            parsed
                .option(option)
                .map_err(|problem| Error::new(ErrorKind::Unsupported, problem).at(place()))?;
        }
        if mount.uid_mappings().is_some() || mount.gid_mappings().is_some() {
            let problem = "id-mapped mounts are not supported by this version";
            return Err(Error::new(ErrorKind::Unsupported, problem).at(pointer));
        }
        if parsed.kind == Kind::New && matches!(parsed.fstype.as_str(), "" | "none") {
            let problem = "a mount that is not a bind mount needs the type of its file system";
            return Err(Error::config(format!("{pointer}/type"), problem));
        }
        Ok(parsed)
    }

    fn option(&mut self, option: &str) -> std::result::Result<(), String> {
        let change = |set: &mut u64, clear: &mut u64, (to_set, to_clear): (u64, u64)| {
            *set = *set & !to_clear | to_set;
            *clear = *clear & !to_set | to_clear;
        };
        let attributes = &mut self.attributes;
        match options::effect(option) {
            Some(Effect::Attributes { set, clear }) => {
                self.has_attributes = true;
                change(&mut attributes.set, &mut attributes.clear, (set, clear));
            }
            Some(Effect::Recursive { set, clear }) => {
                change(
                    &mut attributes.recursive_set,
                    &mut attributes.recursive_clear,
                    (set, clear),
                );
            }
            Some(Effect::Propagation(flags)) => self.propagation.push(flags),
            Some(Effect::Bind(recursive)) => self.kind = Kind::Bind { recursive },
            Some(Effect::Superblock(flag)) => self.data.push(flag.to_owned()),
            Some(Effect::Nothing) => {}
            Some(Effect::Unsupported) => {
                return Err(format!("option {option} is not supported by this version"));
            }
            None if option.is_empty() => {}
            None => self.data.push(option.to_owned()),
        }
        Ok(())
    }

    /// Attributes of a new mount, where there is nothing below it and nothing to clear.
    fn attributes(&self) -> u64 {
        self.attributes.set | self.attributes.recursive_set
    }

    /// Propagation of a new mount.
    fn propagation(&self) -> u32 {
        self.propagation.last().map_or(0, |flags| flags & !MS_REC)
    }
}

/// Where the mount goes; a relative destination is relative to the root.
fn destination(pointer: &str, mount: &Mount) -> Result<CString> {
    let path = mount.destination();
    if components(path).is_some_and(|components| components.is_empty()) {
        let problem = "a mount needs a destination below the root";
        return Err(Error::config(format!("{pointer}/destination"), problem));
    }
    let absolute = Path::new("/").join(path);
    c_string(
        &format!("{pointer}/destination"),
        absolute.as_os_str().as_encoded_bytes(),
    )
}

/// Nothing may lie over /proc but a procfs, nor over what is in it: writes there are how a runtime confines a process
/// (CVE-2019-16884).
fn check_target(pointer: &str, destination: &Path, parsed: &Parsed) -> Result<()> {
    let Some(inside) = below_proc(destination) else {
        return Ok(());
    };
    let is_new_proc = parsed.kind == Kind::New && parsed.fstype == "proc";
    // A bind of the host's procfs passes here, and is checked when the host opens it.
    let is_bind = matches!(parsed.kind, Kind::Bind { .. });
    if inside.is_empty() && (is_new_proc || is_bind)
        || MOUNTABLE_UNDER_PROC.contains(&inside.as_str())
    {
        return Ok(());
    }
    let problem = format!(
        "{} cannot be mounted because it is inside /proc",
        destination.display()
    );
    Err(Error::config(format!("{pointer}/destination"), problem))
}

/// What follows /proc in a path; nothing when it leads elsewhere.
fn below_proc(destination: &Path) -> Option<String> {
    let components = components(destination)?;
    let (first, rest) = components.split_first()?;
    (*first == "proc").then(|| rest.join("/"))
}

/// The names in a path, without `.` and `..`; nothing when one is not UTF-8.
fn components(path: &Path) -> Option<Vec<&str>> {
    let mut components = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => components.push(name.to_str()?),
            Component::ParentDir => drop(components.pop()),
            _ => {}
        }
    }
    Some(components)
}

fn bind(
    plan: &mut Builder<'_>,
    pointer: &str,
    mount: &Mount,
    parsed: &Parsed,
    target: &CString,
    recursive: bool,
) -> Result<()> {
    let source = mount
        .source()
        .as_ref()
        .filter(|path| !path.as_os_str().is_empty());
    let source = source
        .ok_or_else(|| Error::config(format!("{pointer}/source"), "a bind mount needs a source"))?;
    for option in &parsed.data {
        tracing::debug!(
            "{pointer}: option {option} belongs to the file system, a bind mount does not change it"
        );
    }
    let source = Source::Tree {
        path: plan.options.bundle.join(source),
        recursive,
        attributes: bind_attributes(parsed),
        propagation: root::bind_propagation(plan, &parsed.propagation)?,
        must_be_proc: below_proc(mount.destination()).is_some_and(|inside| inside.is_empty()),
    };
    let tree = plan.slot(pointer.to_owned(), source)?;
    plan.step(
        pointer.to_owned(),
        &Step::MountTree {
            tree,
            target: Text(target),
        },
    );
    Ok(())
}

/// A bind mount has its source's attributes, but for one with options: that has what they say, and the access time's
/// alone unless they name it.
fn bind_attributes(parsed: &Parsed) -> Attributes {
    let mut attributes = parsed.attributes;
    if parsed.has_attributes {
        attributes.clear |= options::BIND_ATTRIBUTES & !attributes.set;
    }
    attributes
}

fn new(
    plan: &mut Builder<'_>,
    pointer: &str,
    mount: &Mount,
    parsed: &Parsed,
    target: &CString,
) -> Result<()> {
    let mut options: Vec<CString> = Vec::new();
    if let Some(source) = mount
        .source()
        .as_ref()
        .filter(|source| !source.as_os_str().is_empty())
    {
        let text = [b"source=", source.as_os_str().as_encoded_bytes()].concat();
        options.push(c_string(&format!("{pointer}/source"), text)?);
    }
    for option in &parsed.data {
        options.push(c_string(&format!("{pointer}/options"), option.as_str())?);
    }
    let keep_mode =
        parsed.fstype == "tmpfs" && !parsed.data.iter().any(|option| option.starts_with("mode="));
    let fstype = c_string(&format!("{pointer}/type"), parsed.fstype.as_str())?;
    let data = text_list(options.iter().map(CString::as_c_str));
    // What is made inside a tmpfs, devices for one, comes before it is read-only.
    let mut attributes = parsed.attributes();
    if parsed.fstype == "tmpfs" && attributes & options::RDONLY != 0 {
        attributes &= !options::RDONLY;
        plan.read_only_later
            .push((pointer.to_owned(), target.clone()));
    }
    let step = Step::MountNew {
        fstype: Text(&fstype),
        options: TextList::new(&data),
        attributes,
        propagation: parsed.propagation(),
        target: Text(target),
        strict: matches!(parsed.fstype.as_str(), "proc" | "sysfs"),
        keep_mode,
    };
    plan.step(pointer.to_owned(), &step);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_only_resembles_proc_is_not_inside_it() {
        assert_eq!(below_proc(Path::new("/proc")).as_deref(), Some(""));
        assert_eq!(
            below_proc(Path::new("/x/../proc/sys")).as_deref(),
            Some("sys")
        );
        assert_eq!(below_proc(Path::new("/process")), None);
        assert_eq!(below_proc(Path::new("/srv/proc")), None);
    }

    fn bound(options: &[&str]) -> Attributes {
        let mount = serde_json::json!({"destination": "/x", "type": "none", "source": "/y", "options": options});
        let mount: Mount = serde_json::from_value(mount).unwrap();
        bind_attributes(&Parsed::of("/mounts/0", &mount).unwrap())
    }

    #[test]
    fn a_bind_mount_with_options_has_those_and_none_of_its_sources() {
        let attributes = bound(&["rbind", "nosuid"]);
        assert_eq!(attributes.set, options::NOSUID);
        let others = options::RDONLY | options::NODEV | options::NOEXEC;
        assert_eq!(attributes.clear & others, others);
        assert_eq!(attributes.clear & options::NOSUID, 0);
    }

    #[test]
    fn a_bind_mount_without_options_is_as_its_source() {
        assert_eq!(bound(&["rbind", "rprivate"]), Attributes::default());
    }

    #[test]
    fn the_access_time_of_a_bind_mount_changes_only_where_an_option_sets_it() {
        assert_eq!(bound(&["bind", "atime"]).clear & options::ATIME, 0);
        assert_eq!(
            bound(&["bind", "relatime"]).clear & options::ATIME,
            options::ATIME
        );
    }
}
