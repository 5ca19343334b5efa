//! The mount options of the specification's table (config.md, "Linux mount options"): what each sets and clears.

/// What an option does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Attributes of the mount: MOUNT_ATTR_ bits to set and to clear.
    Attributes { set: u64, clear: u64 },
    /// Bits that an earlier option set are not: what the mount is by itself stays as it is.
    TakeBack(u64),
    /// The same for the mount and all below it (mount_setattr(2), AT_RECURSIVE).
    Recursive { set: u64, clear: u64 },
    /// Propagation: an MS_ flag, perhaps with MS_REC.
    Propagation(u32),
    /// A bind mount, `true` for one with what is mounted below the source.
    Bind(bool),
    /// A flag of the file system itself.
    Superblock(&'static str),
    /// A change of what is mounted there already.
    Remount,
    /// A bind mount with ids of its own, `true` for one with those of what is mounted below, too.
    IdMap(bool),
    /// A tmpfs that begins with what it covers.
    CopyUp,
    /// Nothing: what the kernel does anyway (a file system itself decides whether it counts versions), or an option for
    /// fstab(5) alone.
    Nothing,
}

use Effect::{
    Attributes, Bind, CopyUp, IdMap, Nothing, Propagation, Recursive, Remount, Superblock, TakeBack,
};

pub(crate) const RDONLY: u64 = 0x1;
pub(crate) const NOSUID: u64 = 0x2;
pub(crate) const NODEV: u64 = 0x4;
pub(crate) const NOEXEC: u64 = 0x8;
/// The field of the access time's attributes; relatime is its zero.
pub(crate) const ATIME: u64 = 0x70;
pub(crate) const NOATIME: u64 = 0x10;
pub(crate) const STRICTATIME: u64 = 0x20;
pub(crate) const NODIRATIME: u64 = 0x80;
const NOSYMFOLLOW: u64 = 0x20_0000;

/// What a bind mount with any option of this kind has exactly as the options say, whatever its source has.
pub(crate) const BIND_ATTRIBUTES: u64 = RDONLY | NOSUID | NODEV | NOEXEC | NOSYMFOLLOW;

/// What a user namespace may not take from a mount that it got from another (mount_namespaces(7), "locked").
pub(crate) const LOCKABLE: u64 = RDONLY | NOSUID | NODEV | NOEXEC | ACCESS_TIME;

/// All that is about access times: who asks for one of these gets it alone.
pub(crate) const ACCESS_TIME: u64 = ATIME | NODIRATIME;

pub(crate) const MS_REC: u32 = 0x4000;
pub(crate) const MS_UNBINDABLE: u32 = 1 << 17;
pub(crate) const MS_PRIVATE: u32 = 1 << 18;
pub(crate) const MS_SLAVE: u32 = 1 << 19;
pub(crate) const MS_SHARED: u32 = 1 << 20;

const fn set(bits: u64) -> Effect {
    Attributes {
        set: bits,
        clear: 0,
    }
}

const fn clear(bits: u64) -> Effect {
    Attributes {
        set: 0,
        clear: bits,
    }
}

const fn rset(bits: u64) -> Effect {
    Recursive {
        set: bits,
        clear: 0,
    }
}

const fn rclear(bits: u64) -> Effect {
    Recursive {
        set: 0,
        clear: bits,
    }
}

const fn atime(bits: u64) -> Effect {
    Attributes {
        set: bits,
        clear: ATIME,
    }
}

const fn ratime(bits: u64) -> Effect {
    Recursive {
        set: bits,
        clear: ATIME,
    }
}

/// Every option that is not the file system's own, sorted by name.
const OPTIONS: &[(&str, Effect)] = &[
    ("async", Superblock("async")),
    ("atime", TakeBack(NOATIME)),
    ("bind", Bind(false)),
    ("defaults", Nothing),
    ("dev", clear(NODEV)),
    ("diratime", clear(NODIRATIME)),
    ("dirsync", Superblock("dirsync")),
    ("exec", clear(NOEXEC)),
    ("idmap", IdMap(false)),
    ("iversion", Nothing),
    ("lazytime", Superblock("lazytime")),
    ("loud", Nothing),
    ("mand", Superblock("mand")),
    ("noatime", atime(NOATIME)),
    ("nodev", set(NODEV)),
    ("nodiratime", set(NODIRATIME)),
    ("noexec", set(NOEXEC)),
    ("noiversion", Nothing),
    ("nolazytime", Superblock("nolazytime")),
    ("nomand", Superblock("nomand")),
    ("norelatime", TakeBack(0)),
    ("nostrictatime", TakeBack(STRICTATIME)),
    ("nosuid", set(NOSUID)),
    ("nosymfollow", set(NOSYMFOLLOW)),
    ("private", Propagation(MS_PRIVATE)),
    ("ratime", ratime(0)),
    ("rbind", Bind(true)),
    ("rdev", rclear(NODEV)),
    ("rdiratime", rclear(NODIRATIME)),
    ("relatime", clear(ATIME)),
    ("remount", Remount),
    ("rexec", rclear(NOEXEC)),
    ("ridmap", IdMap(true)),
    ("rnoatime", ratime(NOATIME)),
    ("rnodev", rset(NODEV)),
    ("rnodiratime", rset(NODIRATIME)),
    ("rnoexec", rset(NOEXEC)),
    ("rnorelatime", ratime(0)),
    ("rnostrictatime", ratime(0)),
    ("rnosuid", rset(NOSUID)),
    ("rnosymfollow", rset(NOSYMFOLLOW)),
    ("ro", set(RDONLY)),
    ("rprivate", Propagation(MS_PRIVATE | MS_REC)),
    ("rrelatime", ratime(0)),
    ("rro", rset(RDONLY)),
    ("rrw", rclear(RDONLY)),
    ("rshared", Propagation(MS_SHARED | MS_REC)),
    ("rslave", Propagation(MS_SLAVE | MS_REC)),
    ("rstrictatime", ratime(STRICTATIME)),
    ("rsuid", rclear(NOSUID)),
    ("rsymfollow", rclear(NOSYMFOLLOW)),
    ("runbindable", Propagation(MS_UNBINDABLE | MS_REC)),
    ("rw", clear(RDONLY)),
    ("shared", Propagation(MS_SHARED)),
    ("silent", Nothing),
    ("slave", Propagation(MS_SLAVE)),
    ("strictatime", atime(STRICTATIME)),
    ("suid", clear(NOSUID)),
    ("symfollow", clear(NOSYMFOLLOW)),
    ("sync", Superblock("sync")),
    ("tmpcopyup", CopyUp),
    ("unbindable", Propagation(MS_UNBINDABLE)),
];

/// What the option does, when it is one of the table and not the file system's own.
pub(crate) fn effect(option: &str) -> Option<Effect> {
    let found = OPTIONS
        .binary_search_by(|(name, _)| (*name).cmp(option))
        .ok()?;
    OPTIONS.get(found).map(|(_, effect)| *effect)
}

/// The name of a propagation, such as `rslave`.
pub(crate) fn propagation_name(flags: u32) -> &'static str {
    let found = OPTIONS
        .iter()
        .find(|(_, effect)| *effect == Propagation(flags));
    found.map_or("unchanged", |(name, _)| name)
}

/// What attributes set and clear, by the names of the options that do.
pub(crate) fn attribute_names(attributes: &crate::plan::Attributes) -> Vec<String> {
    let bits = [RDONLY, NOSUID, NODEV, NOEXEC, NODIRATIME, NOSYMFOLLOW];
    let on = [
        "ro",
        "nosuid",
        "nodev",
        "noexec",
        "nodiratime",
        "nosymfollow",
    ];
    let off = ["rw", "suid", "dev", "exec", "diratime", "symfollow"];
    let mut names = Vec::new();
    for (prefix, set, clear) in [
        ("r", attributes.recursive_set, attributes.recursive_clear),
        ("", attributes.set, attributes.clear),
    ] {
        for ((bit, on), off) in bits.iter().zip(on).zip(off) {
            if set & bit != 0 {
                names.push(format!("{prefix}{on}"));
            } else if clear & bit != 0 {
                names.push(format!("{prefix}{off}"));
            }
        }
        let access_time = match set & ATIME {
            NOATIME => Some("noatime"),
            STRICTATIME => Some("strictatime"),
            _ if clear & ATIME != 0 => Some("relatime"),
            _ => None,
        };
        names.extend(access_time.map(|name| format!("{prefix}{name}")));
    }
    names
}

/// The options that work, for `features`.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_so_that_every_name_is_found() {
        assert!(OPTIONS.is_sorted_by_key(|(name, _)| name));
        assert!(
            OPTIONS
                .iter()
                .all(|(name, found)| effect(name) == Some(*found))
        );
    }
}
