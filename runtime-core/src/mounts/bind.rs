//! Bind mounts, and changes of what is mounted already (`remount`).

use std::ffi::CString;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;
use runtime_init::{
    BindInside, Expected, HostTree, MountAttributes, Numbers, Slot, Step, Text, TextList,
};

use super::options::{self, MS_REC, MS_SHARED, MS_SLAVE};
use super::parsed::Parsed;
use super::{below_proc, data, id_map, root};
use crate::error::{Error, Result};
use crate::plan::{Attributes, Builder, Origin, Source, c_string, text_list};
use crate::process;

/// Binds what the source is.
///
/// The host opens sources, each when its mount's turn has come, but for files that the init finds in its own copy of the host's
/// mounts (`sources::files`). One that lies in the root, as its path is written, shows what the mounts before this one have made
/// of it: the init opens it, and resolves it inside the root.
pub(super) fn bind(
    plan: &mut Builder<'_>,
    pointer: &str,
    mount: &Mount,
    parsed: &Parsed,
    target: &CString,
    recursive: bool,
) -> Result<()> {
    let source = source(plan, pointer, mount)?;
    note_superblock_flags(pointer, parsed);
    let must_be_proc =
        below_proc(Path::new(&*target.to_string_lossy())).is_some_and(|inside| inside.is_empty());
    let in_user_namespace = process::in_user_namespace(plan)?;
    let mut attributes = parsed.bind_attributes(in_user_namespace);
    if recursive && in_user_namespace && shows_cgroups(target) {
        attributes.recursive_set |= attributes.set & options::RDONLY;
    }
    let id_map = id_map::of(plan, pointer, mount, parsed.id_map)?;
    let inside = root::inside(plan, &source).filter(|_| !must_be_proc);
    if let Some(inside) = inside {
        let source = c_string(
            &format!("{pointer}/source"),
            inside.as_os_str().as_encoded_bytes(),
        )?;
        let mapped = id_map.is_some();
        if let Some(id_map) = id_map {
            plan.map_ids_of_next_step(id_map);
        }
        bind_inside(
            plan,
            pointer,
            parsed,
            target,
            &Inside {
                source,
                recursive,
                mapped,
                attributes,
            },
        );
        return Ok(());
    }
    let propagation = root::bind_propagation(plan, &parsed.propagation)?;
    let is_plain = id_map.is_none() && !in_user_namespace && !must_be_proc;
    let is_same_there = is_plain && is_in_own_copy(plan, &source, &propagation)?;
    let source = Source::Tree {
        path: source,
        // There is nothing below a file.
        recursive: recursive && !is_same_there,
        attributes,
        propagation,
        id_map,
        keeps_locks: in_user_namespace,
        must_be_proc,
    };
    // To ask the runtime takes as long as several mounts.
    let tree = match is_same_there {
        true => plan.file_of_copy(pointer.to_owned(), source)?,
        false => plan.tree(pointer.to_owned(), source)?,
    };
    plan.step(
        pointer.to_owned(),
        &Step::MountTree {
            tree,
            target: Text(target),
        },
    );
    Ok(())
}

/// The host's /sys has its cgroups mounted below. To root of a user namespace, who is its maker outside, those that are the
/// maker's are as writable as they were: `ro` has to be for them, too (CVE-2023-25809).
fn shows_cgroups(target: &CString) -> bool {
    Path::new(&*target.to_string_lossy()).starts_with("/sys")
}

/// Whether the init finds the same file in its own copy of the host's mounts.
fn is_in_own_copy(plan: &Builder<'_>, source: &Path, propagation: &[u32]) -> Result<bool> {
    let mut files = plan.options.file_sources.iter();
    let is_known = files.any(|file| file == source);
    Ok(is_known && has_same_masters(propagation) && super::has_own_copy(plan, propagation)?)
}

/// Whether a tree of the container's copy of the host's mounts, which has the first propagation already, comes to the same as
/// one of the host's own: it is no peer of theirs, nor a slave where the copy is none.
fn has_same_masters(propagation: &[u32]) -> bool {
    let is = |flags: &u32, kind: u32| flags & kind != 0;
    match propagation {
        [] => false,
        [first, ..] if is(first, MS_SLAVE) => propagation.iter().all(|flags| !is(flags, MS_SHARED)),
        all => all.iter().all(|flags| !is(flags, MS_SHARED | MS_SLAVE)),
    }
}

/// The kernel ignores them for a bind mount, as mount(8) does.
fn note_superblock_flags(pointer: &str, parsed: &Parsed) {
    for option in &parsed.superblock {
        tracing::debug!(
            "{pointer}: option {option} belongs to the file system, a bind mount does not change it"
        );
    }
}

fn source(plan: &Builder<'_>, pointer: &str, mount: &Mount) -> Result<PathBuf> {
    let source = mount
        .source()
        .as_ref()
        .filter(|path| !path.as_os_str().is_empty());
    let source = source
        .ok_or_else(|| Error::config(format!("{pointer}/source"), "a bind mount needs a source"))?;
    Ok(plan.options.bundle.join(source))
}

struct Inside {
    source: CString,
    recursive: bool,
    mapped: bool,
    attributes: Attributes,
}

fn bind_inside(
    plan: &mut Builder<'_>,
    pointer: &str,
    parsed: &Parsed,
    target: &CString,
    inside: &Inside,
) {
    let attributes = inside.attributes;
    // What is cloned is the container's own mount already: there is no propagation of the host's to change.
    let propagation = numbers(&parsed.propagation);
    let step = Step::BindInside(BindInside {
        source: Text(&inside.source),
        target: Text(target),
        recursive: inside.recursive,
        own: changes(attributes.set, attributes.clear),
        all: changes(attributes.recursive_set, attributes.recursive_clear),
        propagation: Numbers::new(&propagation),
        mapped: inside.mapped,
    });
    plan.step(pointer.to_owned(), &step);
}

/// Has the init open what the slot is for, in the container's mount namespace.
pub(crate) fn open_in_container(
    plan: &mut Builder<'_>,
    origin: Origin,
    slot: Slot,
    source: &Source,
    expected: Expected,
) -> Result<()> {
    let null = &null_device();
    let (source, expected) = match source {
        Source::NullDevice => (null, Expected::NullDevice),
        Source::Tree {
            must_be_proc: true, ..
        } => (source, Expected::Proc),
        _ => (source, expected),
    };
    let Source::Tree {
        path,
        recursive,
        attributes,
        propagation,
        ..
    } = source
    else {
        return Ok(());
    };
    let path = c_string(&origin.to_string(), path.as_os_str().as_encoded_bytes())?;
    let propagation = numbers(propagation);
    let step = Step::OpenTree(HostTree {
        tree: slot,
        source: Text(&path),
        recursive: *recursive,
        expected,
        own: changes(attributes.set, attributes.clear),
        all: changes(attributes.recursive_set, attributes.recursive_clear),
        propagation: Numbers::new(&propagation),
    });
    plan.step(origin, &step);
    Ok(())
}

/// The tree that [`Source::NullDevice`] is.
fn null_device() -> Source {
    Source::Tree {
        path: "/dev/null".into(),
        recursive: false,
        attributes: Attributes::NULL_DEVICE,
        propagation: vec![],
        id_map: None,
        keeps_locks: false,
        must_be_proc: false,
    }
}

fn numbers(flags: &[u32]) -> Vec<u8> {
    flags.iter().flat_map(|flags| flags.to_ne_bytes()).collect()
}

fn changes(set: u64, clear: u64) -> MountAttributes {
    MountAttributes {
        set,
        clear,
        propagation: 0,
    }
}

/// Changes the mount that is there, and with `bind` not given its file system, too.
pub(super) fn remount(
    plan: &mut Builder<'_>,
    pointer: &str,
    parsed: &Parsed,
    target: &CString,
    bind: bool,
) -> Result<()> {
    if !bind {
        let mut options = data::split(pointer, &parsed.data)?;
        for flag in &parsed.superblock {
            options.push(c_string(pointer, *flag)?);
        }
        for (bits, flag) in [
            (parsed.attributes.set, c"ro"),
            (parsed.attributes.clear, c"rw"),
        ] {
            if bits & options::RDONLY != 0 {
                options.push(flag.to_owned());
            }
        }
        let list = text_list(options.iter().map(CString::as_c_str));
        let step = Step::Reconfigure {
            target: Text(target),
            options: TextList::new(&list),
        };
        plan.step(pointer.to_owned(), &step);
    }
    let attributes = parsed.bind_attributes(process::in_user_namespace(plan)?);
    let mut change = |attributes: MountAttributes, recursive| {
        if attributes != MountAttributes::default() {
            let step = Step::SetMountAttributes {
                target: Text(target),
                attributes,
                recursive,
            };
            plan.step(pointer.to_owned(), &step);
        }
    };
    change(
        changes(attributes.recursive_set, attributes.recursive_clear),
        true,
    );
    change(changes(attributes.set, attributes.clear), false);
    for &flags in &parsed.propagation {
        let propagation = MountAttributes {
            propagation: flags & !MS_REC,
            ..MountAttributes::default()
        };
        change(propagation, flags & MS_REC != 0);
    }
    Ok(())
}
