//! Mounts of new file systems.

use std::ffi::{CStr, CString};

use oci_spec::runtime::Mount;
use runtime_init::{DataMount, MountAttributes, NewMount, Step, Text, TextList};

use super::parsed::Parsed;
use super::{data, label, options};
use crate::error::{Error, Result};
use crate::plan::{Builder, c_string, text_list};

/// The longest value that fsconfig(2) takes, without its NUL (fs/fsopen.c).
const VALUE_MAX: usize = 255;

/// What mount(2) copies of a list of options, with its NUL: a page.
const DATA_MAX: usize = 4096;

/// Superblock flags and their bits for mount(2).
const SUPERBLOCK_FLAGS: &[(&str, u32)] = &[
    ("sync", 1 << 4),
    ("mand", 1 << 6),
    ("dirsync", 1 << 7),
    ("lazytime", 1 << 25),
];

const MS_RDONLY: u32 = 1;

pub(super) fn new(
    plan: &mut Builder<'_>,
    pointer: &str,
    mount: &Mount,
    parsed: &Parsed,
    target: &CString,
) -> Result<()> {
    let source = mount
        .source()
        .as_ref()
        .map(|source| source.as_os_str().as_encoded_bytes())
        .unwrap_or_default();
    let source = c_string(&format!("{pointer}/source"), source)?;
    let mut given = data::split(pointer, &parsed.data)?;
    given.extend(label::option(plan, &parsed.fstype)?);
    // What is made inside a tmpfs, devices for one, comes before it is read-only.
    let mut attributes = parsed.attributes();
    if parsed.fstype == "tmpfs" && attributes & options::RDONLY != 0 {
        attributes &= !options::RDONLY;
        plan.read_only_later
            .push((pointer.to_owned(), target.clone()));
    }
    let new = New {
        fstype: c_string(&format!("{pointer}/type"), parsed.fstype.as_str())?,
        // A file system on a device would write to it: its journal, for one.
        read_only: attributes & options::RDONLY != 0 && source.as_bytes().starts_with(b"/"),
        source,
        given,
        attributes,
    };
    if new.fits() {
        new.mount(plan, pointer, parsed, target)?;
    } else {
        new.mount_by_data(plan, pointer, parsed, target)?;
    }
    label::file(plan, &parsed.fstype, target)
}

/// Why the kernel refused a new file system, where its errno says too little.
pub(crate) fn remedy(step: &Step<'_>, errno: i32) -> Option<&'static str> {
    let (Step::MountNew(NewMount { fstype, .. }), libc::EPERM) = (step, errno) else {
        return None;
    };
    // user_namespaces(7), mount_namespaces(7); fs/namespace.c, mount_too_revealing.
    match fstype.0.to_bytes() {
        b"sysfs" => Some(
            "in a user namespace a new sysfs needs a network namespace of the container's own: bind the host's /sys instead",
        ),
        b"proc" => Some(
            "in a user namespace a new procfs needs a pid namespace of the container's own, and a procfs of the host's that \
             no mount covers a part of",
        ),
        b"mqueue" => Some(
            "in a user namespace a new mqueue needs an ipc namespace of the container's own: bind the host's instead",
        ),
        _ => None,
    }
}

struct New {
    fstype: CString,
    source: CString,
    /// The file system's own options.
    given: Vec<CString>,
    attributes: u64,
    /// The file system itself is read-only, not this mount of it alone.
    read_only: bool,
}

impl New {
    /// Whether fsconfig(2) can carry all options. A comma is one that it would have to know as escaped: file systems that
    /// have not learnt of fsconfig(2) refuse it.
    fn fits(&self) -> bool {
        let fits = |option: &CString| {
            let value = option
                .as_bytes()
                .iter()
                .position(|&byte| byte == b'=')
                .and_then(|equals| option.as_bytes().get(equals + 1..))
                .unwrap_or_default();
            let is_label = label::is_label(option);
            value.len() <= VALUE_MAX && (is_label || !value.contains(&b','))
        };
        self.source.as_bytes().len() <= VALUE_MAX && self.given.iter().all(fits)
    }

    fn mount(
        &self,
        plan: &mut Builder<'_>,
        pointer: &str,
        parsed: &Parsed,
        target: &CStr,
    ) -> Result<()> {
        let mut options: Vec<CString> = Vec::new();
        if !self.source.is_empty() {
            let text = [b"source=", self.source.as_bytes()].concat();
            options.push(c_string(&format!("{pointer}/source"), text)?);
        }
        options.extend_from_slice(&self.given);
        for flag in &parsed.superblock {
            options.push(c_string(pointer, *flag)?);
        }
        if self.read_only {
            options.push(c"ro".to_owned());
        }
        let is_tmpfs = parsed.fstype == "tmpfs";
        let has_mode = self
            .given
            .iter()
            .any(|option| option.as_bytes().starts_with(b"mode="));
        let list = text_list(options.iter().map(CString::as_c_str));
        let step = Step::MountNew(NewMount {
            fstype: Text(&self.fstype),
            options: TextList::new(&list),
            attributes: self.attributes(parsed),
            target: Text(target),
            strict: matches!(parsed.fstype.as_str(), "proc" | "sysfs"),
            keep_mode: is_tmpfs && !has_mode,
            copy_up: parsed.copy_up,
        });
        plan.step(pointer.to_owned(), &step);
        Ok(())
    }

    /// As mount(2) has it: all options in one list, and the flags of the superblock as bits.
    fn mount_by_data(
        &self,
        plan: &mut Builder<'_>,
        pointer: &str,
        parsed: &Parsed,
        target: &CStr,
    ) -> Result<()> {
        let list: Vec<&[u8]> = self.given.iter().map(|option| option.as_bytes()).collect();
        let data = list.join(&b","[..]);
        if data.len() >= DATA_MAX || matches!(parsed.fstype.as_str(), "proc" | "sysfs" | "tmpfs") {
            let problem = format!(
                "{} bytes of options for {}: the kernel takes {VALUE_MAX} for each value, or {} in all of a file system that \
                 is mounted with mount(2)",
                data.len(),
                parsed.fstype,
                DATA_MAX - 1
            );
            return Err(Error::config(format!("{pointer}/options"), problem));
        }
        let flags = SUPERBLOCK_FLAGS
            .iter()
            .filter(|(name, _)| parsed.superblock.contains(name))
            .fold(0, |flags, (_, bit)| flags | bit);
        let read_only = if self.read_only { MS_RDONLY } else { 0 };
        let data = c_string(&format!("{pointer}/options"), data)?;
        let step = Step::MountByData(DataMount {
            fstype: Text(&self.fstype),
            source: Text(&self.source),
            flags: flags | read_only,
            data: Text(&data),
            attributes: self.attributes(parsed),
            target: Text(target),
        });
        plan.step(pointer.to_owned(), &step);
        Ok(())
    }

    fn attributes(&self, parsed: &Parsed) -> MountAttributes {
        MountAttributes {
            set: self.attributes,
            clear: 0,
            propagation: parsed.propagation(),
        }
    }
}
