//! A mount's options, sorted by what they mean.

use oci_spec::runtime::Mount;

use super::options::{self, Effect, MS_REC};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::Attributes;

/// What kind of mount a configuration asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bind {
        recursive: bool,
    },
    Cgroup,
    New,
    /// A change of what is mounted there already (mount(8), `remount`); with `bind` of that mount alone and not of its
    /// file system.
    Remount {
        bind: bool,
    },
}

/// A mount's options, sorted by what they mean.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    pub(super) kind: Kind,
    pub(super) fstype: String,
    pub(super) attributes: Attributes,
    pub(super) propagation: Vec<u32>,
    /// Whether an option changes an attribute of this mount alone.
    pub(super) has_attributes: bool,
    /// Flags of the file system's superblock.
    pub(super) superblock: Vec<&'static str>,
    /// The file system's own options, each with its number.
    pub(super) data: Vec<(usize, String)>,
    /// `true` for `ridmap`, `false` for `idmap`.
    pub(super) id_map: Option<bool>,
    /// What the new file system covers is copied into it.
    pub(super) copy_up: bool,
}

impl Parsed {
    pub(super) fn of(pointer: &str, mount: &Mount) -> Result<Parsed> {
        let fstype = mount.typ().clone().unwrap_or_default();
        let kind = match fstype.as_str() {
            "cgroup" | "cgroup2" => Kind::Cgroup,
            "bind" => Kind::Bind { recursive: true },
            _ => Kind::New,
        };
        let mut parsed = Parsed {
            kind,
            fstype,
            attributes: Attributes::default(),
            propagation: Vec::new(),
            has_attributes: false,
            superblock: Vec::new(),
            data: Vec::new(),
            id_map: None,
            copy_up: false,
        };
        let given = mount.options().as_deref().unwrap_or_default();
        let mut remount = false;
        for (number, option) in given.iter().enumerate() {
            match options::effect(option) {
                Some(Effect::Remount) => remount = true,
                Some(effect) => parsed.apply(effect),
                None if option.is_empty() => {}
                None => parsed.data.push((number, option.clone())),
            }
        }
        if remount {
            let bind = matches!(parsed.kind, Kind::Bind { .. });
            parsed.kind = Kind::Remount { bind };
        }
        parsed.check(pointer, mount)?;
        parsed.warn_of_ineffective_options(pointer);
        Ok(parsed)
    }

    fn apply(&mut self, effect: Effect) {
        let change = |set: &mut u64, clear: &mut u64, (to_set, to_clear): (u64, u64)| {
            *set = *set & !to_clear | to_set;
            *clear = *clear & !to_set | to_clear;
        };
        let attributes = &mut self.attributes;
        match effect {
            Effect::Attributes { set, clear } => {
                self.has_attributes = true;
                change(&mut attributes.set, &mut attributes.clear, (set, clear));
            }
            Effect::TakeBack(bits) => {
                self.has_attributes = true;
                attributes.set &= !bits;
            }
            Effect::Recursive { set, clear } => {
                change(
                    &mut attributes.recursive_set,
                    &mut attributes.recursive_clear,
                    (set, clear),
                );
            }
            Effect::Propagation(flags) => self.propagation.push(flags),
            Effect::Bind(recursive) => self.kind = Kind::Bind { recursive },
            Effect::Superblock(flag) => self.superblock.push(flag),
            Effect::IdMap(recursive) => self.id_map = Some(recursive),
            Effect::CopyUp => self.copy_up = true,
            Effect::Remount | Effect::Nothing => {}
        }
    }

    fn check(&self, pointer: &str, mount: &Mount) -> Result<()> {
        if self.kind == Kind::New && matches!(self.fstype.as_str(), "" | "none") {
            let problem = "a mount that is not a bind mount needs the type of its file system";
            return Err(Error::config(format!("{pointer}/type"), problem));
        }
        let is_bind = matches!(self.kind, Kind::Bind { .. });
        let is_mapped = mount.uid_mappings().is_some() || mount.gid_mappings().is_some();
        if !is_bind && (self.id_map.is_some() || is_mapped) {
            let problem = "id-mapped mounts are only supported for bind-mounts";
            return Err(Error::new(ErrorKind::Unsupported, problem).at(pointer));
        }
        let is_new_tmpfs = self.kind == Kind::New && self.fstype == "tmpfs";
        if self.copy_up && !is_new_tmpfs {
            let problem = "tmpcopyup copies into a new tmpfs, and this is none";
            return Err(Error::config(pointer, problem));
        }
        Ok(())
    }

    /// Options of a file system that is mounted already: mount(2) ignores them where it binds, and OCI's validation suite
    /// expects a runtime to take them.
    fn warn_of_ineffective_options(&self, pointer: &str) {
        if !matches!(self.kind, Kind::Bind { .. } | Kind::Remount { bind: true }) {
            return;
        }
        for (number, option) in &self.data {
            tracing::warn!(
                "{pointer}/options/{number}: {option:?} is for the file system, which a bind mount does not change"
            );
        }
    }

    /// Attributes of a new mount, where there is nothing below it and nothing to clear.
    pub(super) fn attributes(&self) -> u64 {
        self.attributes.set | self.attributes.recursive_set
    }

    /// Propagation of a new mount.
    pub(super) fn propagation(&self) -> u32 {
        self.propagation.last().map_or(0, |flags| flags & !MS_REC)
    }

    /// A bind mount has its source's attributes, but for one with options: that has what they say, and the access time's
    /// alone unless they name it. In a user namespace it keeps what its source has and a user namespace cannot take from
    /// it, as if the mount were made there.
    pub(super) fn bind_attributes(&self, in_user_namespace: bool) -> Attributes {
        let mut attributes = self.attributes;
        if !self.has_attributes {
            return attributes;
        }
        attributes.clear |= options::BIND_ATTRIBUTES & !attributes.set;
        if attributes.changes_access_time() {
            attributes.clear |= options::ATIME | options::NODIRATIME & !attributes.set;
        }
        if in_user_namespace {
            let asked = self.attributes.clear | options::ATIME & attributes.clear;
            attributes.clear &= asked | !options::LOCKABLE;
        }
        attributes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound(options: &[&str]) -> Attributes {
        let mount = serde_json::json!({"destination": "/x", "type": "none", "source": "/y", "options": options});
        let mount: Mount = serde_json::from_value(mount).unwrap();
        let parsed = Parsed::of("/mounts/0", &mount).unwrap();
        parsed.bind_attributes(false)
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
    fn an_access_time_that_was_asked_for_is_taken_back_by_its_opposite() {
        for [first, last] in [["noatime", "atime"], ["strictatime", "nostrictatime"]] {
            let set = bound(&["bind", first, last]).set;
            assert_eq!(set & options::ATIME, 0, "{first},{last}");
        }
        let set = bound(&["bind", "noatime", "nostrictatime"]).set;
        assert_eq!(set & options::ATIME, options::NOATIME);
    }

    #[test]
    fn the_access_time_of_a_bind_mount_changes_only_where_an_option_sets_it() {
        assert_eq!(bound(&["bind", "atime"]).clear & options::ATIME, 0);
        assert_eq!(bound(&["bind", "nosuid"]).clear & options::NODIRATIME, 0);
        for option in ["relatime", "nodiratime"] {
            let clear = bound(&["bind", option]).clear;
            assert_eq!(clear & options::ATIME, options::ATIME, "{option}");
        }
        let strict = bound(&["bind", "strictatime"]);
        assert_eq!(strict.clear & options::ACCESS_TIME, options::ACCESS_TIME);
    }
}
