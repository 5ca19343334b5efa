//! Steps about mounts in words.

use runtime_init::{
    BindBelow, BindInside, DataMount, HostTree, MountAttributes, NewMount, Numbers, Step,
};

use super::options::{MS_REC, attribute_names, propagation_name};
use crate::plan::{Attributes, list, text};

/// What a step about mounts does, on what, where it has an argument.
pub(crate) fn describe(step: &Step<'_>) -> Option<String> {
    Some(match step {
        Step::BindInside(bind) => bind_inside(bind),
        Step::BindBelow(bind) => bind_below(bind),
        Step::OpenTree(host) => open_tree(host),
        Step::MountNew(new) => mount_new(new),
        Step::MountByData(new) => mount_by_data(new),
        Step::Reconfigure { target, options } => {
            format!("reconfigure {} ({})", text(target), list(options))
        }
        Step::LabelFile { path, label } => format!("label {} {}", text(path), text(label)),
        Step::OpenRoot { path } => format!("use {} as root, unmounted", text(path)),
        Step::AttachRoot { path, .. } => format!("mount root {}", text(path)),
        Step::SetMountAttributes {
            target,
            attributes,
            recursive,
        } => {
            let rec = if *recursive && attributes.propagation != 0 {
                MS_REC
            } else {
                0
            };
            let propagation = [attributes.propagation | rec];
            let changes = changes(own_or_all(attributes, *recursive), &propagation);
            format!("change mount {}{changes}", text(target))
        }
        Step::SetRootPropagation { flags } => {
            format!("make the mounts of the host {}", propagation_name(*flags))
        }
        Step::Detach { path } => format!("detach the host's {}", text(path)),
        Step::Mask { path, .. } => format!("mask {}", text(path)),
        Step::MakeReadonly { path } => format!("make {} read-only", text(path)),
        _ => return None,
    })
}

fn open_tree(host: &HostTree<'_>) -> String {
    format!(
        "open the host's {}{}{}",
        text(&host.source),
        if host.recursive { " recursively" } else { "" },
        changes_of_tree(&host.own, &host.all, &host.propagation),
    )
}

fn changes_of_tree(
    own: &MountAttributes,
    all: &MountAttributes,
    propagation: &Numbers<'_>,
) -> String {
    let attributes = Attributes {
        set: own.set,
        clear: own.clear,
        recursive_set: all.set,
        recursive_clear: all.clear,
    };
    let propagation: Vec<u32> = propagation.iter().collect();
    changes(attributes, &propagation)
}

fn bind_inside(bind: &BindInside<'_>) -> String {
    format!(
        "bind {} of the root → {}{}{}",
        text(&bind.source),
        text(&bind.target),
        changes_of_tree(&bind.own, &bind.all, &bind.propagation),
        if bind.mapped { ", idmap" } else { "" }
    )
}

fn bind_below(bind: &BindBelow<'_>) -> String {
    let propagation = Some(bind.all.propagation).filter(|&flags| flags != 0);
    let propagation: Vec<u32> = propagation
        .map(|flags| flags | MS_REC)
        .into_iter()
        .collect();
    format!(
        "bind the host's {} → {}{}",
        text(&bind.source),
        text(&bind.target),
        changes(own_or_all(&bind.all, true), &propagation),
    )
}

fn mount_new(new: &NewMount<'_>) -> String {
    format!(
        "mount {} → {} ({}){}{}",
        text(&new.fstype),
        text(&new.target),
        list(&new.options),
        changes_of(&new.attributes),
        if new.copy_up { ", tmpcopyup" } else { "" }
    )
}

fn mount_by_data(new: &DataMount<'_>) -> String {
    format!(
        "mount {} {} → {} ({}){}",
        text(&new.fstype),
        text(&new.source),
        text(&new.target),
        text(&new.data),
        changes_of(&new.attributes)
    )
}

fn changes_of(attributes: &MountAttributes) -> String {
    changes(own_or_all(attributes, false), &[attributes.propagation])
}

/// The attributes and the propagation that a mount gets, each with a comma before it.
fn changes(attributes: Attributes, propagation: &[u32]) -> String {
    let propagation = propagation.iter().filter(|&&flags| flags != 0);
    let propagation = propagation.map(|&flags| propagation_name(flags).to_owned());
    let names = attribute_names(&attributes).into_iter().chain(propagation);
    names.map(|name| format!(", {name}")).collect()
}

fn own_or_all(attributes: &MountAttributes, all: bool) -> Attributes {
    let (set, clear) = (attributes.set, attributes.clear);
    let none = Attributes::default();
    if all {
        Attributes {
            recursive_set: set,
            recursive_clear: clear,
            ..none
        }
    } else {
        Attributes { set, clear, ..none }
    }
}
