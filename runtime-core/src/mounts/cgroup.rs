//! Mounts of type `cgroup`: what a container sees of its cgroups.
//!
//! On a host with version 2 alone it is that hierarchy. On any other it is a tmpfs with a directory for each version 1
//! hierarchy, as on the host.

use std::ffi::CString;
use std::path::Path;

use runtime_init::{BindBelow, MountAttributes, NewMount, Step, Text, TextList};

use super::options::{self, MS_REC};
use super::parsed::Parsed;
use crate::cgroup::{Directory, Version};
use crate::error::Result;
use crate::namespaces::{NEWCGROUP, NEWUSER, Namespaces};
use crate::plan::{Attributes, Builder, Source, c_string, text_list};

/// A container's cgroup mounts never carry devices, programs or set-user-ID bits.
const RESTRICTED: u64 = options::NOSUID | options::NODEV | options::NOEXEC;

pub(super) fn mount(
    plan: &mut Builder<'_>,
    pointer: &str,
    parsed: &Parsed,
    target: &CString,
) -> Result<()> {
    let directories: Vec<Directory> = plan
        .plan
        .cgroup
        .iter()
        .flat_map(|cgroup| cgroup.places())
        .cloned()
        .collect();
    let (v1, v2): (Vec<_>, Vec<_>) = directories
        .into_iter()
        .partition(|directory| directory.version == Version::V1);
    match v2.first() {
        Some(unified) if v1.is_empty() => mount_v2(plan, pointer, parsed, target, unified),
        _ => mount_v1(plan, pointer, parsed, target, &v1),
    }
}

/// A user namespace may mount the hierarchy only from a cgroup namespace of its own; without one it gets the
/// container's part of the host's mount.
fn mount_v2(
    plan: &mut Builder<'_>,
    pointer: &str,
    parsed: &Parsed,
    target: &CString,
    unified: &Directory,
) -> Result<()> {
    let namespaces = Namespaces::of(plan)?;
    let in_user_namespace = plan.facts.user_namespace || namespaces.has(NEWUSER);
    if in_user_namespace && !namespaces.has(NEWCGROUP) {
        return bind(plan, pointer, parsed, target, &unified.path);
    }
    new(
        plan,
        pointer,
        parsed,
        target,
        c"cgroup2",
        &["source=cgroup"],
    )
}

fn mount_v1(
    plan: &mut Builder<'_>,
    pointer: &str,
    parsed: &Parsed,
    target: &CString,
    directories: &[Directory],
) -> Result<()> {
    let writable = Parsed {
        attributes: without_read_only(parsed.attributes),
        ..parsed.clone()
    };
    let label = super::label::option(plan, "tmpfs")?;
    let label = label.as_ref().and_then(|label| label.to_str().ok());
    let options: Vec<_> = ["source=tmpfs", "mode=755"]
        .into_iter()
        .chain(label)
        .collect();
    new(plan, pointer, &writable, target, c"tmpfs", &options)?;
    let own_view = Namespaces::of(plan)?.has(NEWCGROUP);
    for directory in directories {
        let Some(name) = directory.mount_point.file_name() else {
            continue;
        };
        let name = name.to_string_lossy();
        let place = c_string(pointer, format!("{}/{name}", target.to_string_lossy()))?;
        if own_view {
            let data = hierarchy_options(directory);
            let data: Vec<&str> = data.iter().map(String::as_str).collect();
            new(plan, pointer, parsed, &place, c"cgroup", &data)?;
        } else {
            bind_hierarchy(plan, pointer, parsed, &place, &directory.path)?;
        }
        for controller in name.split(',').filter(|_| name.contains(',')) {
            let path = c_string(
                pointer,
                format!("{}/{controller}", target.to_string_lossy()),
            )?;
            let name = c_string(pointer, name.as_bytes())?;
            plan.step(
                pointer.to_owned(),
                &Step::Symlink {
                    path: Text(&path),
                    target: Text(&name),
                    replace: false,
                },
            );
        }
    }
    if parsed.attributes.set & options::RDONLY != 0 {
        let step = Step::SetMountAttributes {
            target: Text(target),
            attributes: MountAttributes {
                set: options::RDONLY,
                ..MountAttributes::default()
            },
            recursive: false,
        };
        plan.step(pointer.to_owned(), &step);
    }
    Ok(())
}

fn without_read_only(attributes: Attributes) -> Attributes {
    Attributes {
        set: attributes.set & !options::RDONLY,
        ..attributes
    }
}

/// What names the hierarchy to the kernel: its controllers, or the name of one without any.
fn hierarchy_options(directory: &Directory) -> Vec<String> {
    let named = directory
        .controllers
        .iter()
        .any(|controller| controller.starts_with("name="));
    let none = named.then(|| "none".to_owned());
    ["source=cgroup".to_owned()]
        .into_iter()
        .chain(none)
        .chain(directory.controllers.iter().cloned())
        .collect()
}

fn new(
    plan: &mut Builder<'_>,
    pointer: &str,
    parsed: &Parsed,
    target: &CString,
    fstype: &std::ffi::CStr,
    data: &[&str],
) -> Result<()> {
    let data: Vec<CString> = data
        .iter()
        .map(|option| c_string(pointer, *option))
        .collect::<Result<_>>()?;
    let data = text_list(data.iter().map(CString::as_c_str));
    let step = Step::MountNew(NewMount {
        fstype: Text(fstype),
        options: TextList::new(&data),
        attributes: MountAttributes {
            set: parsed.attributes() | RESTRICTED,
            propagation: parsed.propagation(),
            ..MountAttributes::default()
        },
        target: Text(target),
        strict: false,
        keep_mode: false,
        copy_up: false,
    });
    plan.step(pointer.to_owned(), &step);
    Ok(())
}

/// Binds in the tmpfs that was mounted just now. Most of these mounts can be made with one step and few calls.
fn bind_hierarchy(
    plan: &mut Builder<'_>,
    pointer: &str,
    parsed: &Parsed,
    target: &CString,
    directory: &Path,
) -> Result<()> {
    let propagation = super::root::bind_propagation(plan, &parsed.propagation)?;
    let has_copy = super::has_own_copy(plan, &propagation)?;
    let Some(all) = changes_of_all(parsed, &propagation).filter(|_| has_copy) else {
        return bind(plan, pointer, parsed, target, directory);
    };
    let source = c_string(pointer, directory.as_os_str().as_encoded_bytes())?;
    let step = Step::BindBelow(BindBelow {
        source: Text(&source),
        target: Text(target),
        all,
    });
    plan.step(pointer.to_owned(), &step);
    Ok(())
}

/// What all mounts of a tree get, if one call can tell: the options name none of its own for those below the top, of which a
/// cgroup has none anyway, and nothing has an order.
fn changes_of_all(parsed: &Parsed, propagation: &[u32]) -> Option<MountAttributes> {
    let &[flags] = propagation else {
        return None;
    };
    let attributes = parsed.attributes;
    let is_plain = attributes.recursive_set | attributes.recursive_clear == 0;
    (is_plain && flags & MS_REC != 0).then_some(MountAttributes {
        set: attributes.set | RESTRICTED,
        clear: attributes.clear,
        propagation: flags & !MS_REC,
    })
}

fn bind(
    plan: &mut Builder<'_>,
    pointer: &str,
    parsed: &Parsed,
    target: &CString,
    directory: &Path,
) -> Result<()> {
    let attributes = Attributes {
        set: parsed.attributes() | RESTRICTED,
        ..parsed.attributes
    };
    let propagation = super::root::bind_propagation(plan, &parsed.propagation)?;
    let source = Source::Tree {
        path: directory.to_owned(),
        recursive: true,
        attributes,
        propagation,
        id_map: None,
        keeps_locks: false,
        must_be_proc: false,
    };
    let tree = plan.tree(pointer.to_owned(), source)?;
    plan.step(
        pointer.to_owned(),
        &Step::MountTree {
            tree,
            target: Text(target),
        },
    );
    Ok(())
}
