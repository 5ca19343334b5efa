//! Bind mounts whose source lies inside the root.

use runtime_init::{BindInside, MountAttributes, Operation};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::mount::OpenTreeFlags;

use crate::control::Control;
use crate::{During, Outcome, mounts, root, sys};

/// mount(2), MS_REC.
const MS_REC: u32 = 0x4000;

pub(crate) fn inside(
    root: BorrowedFd<'_>,
    control: &Control,
    step: u32,
    bind: &BindInside<'_>,
) -> Outcome {
    let source = root::open(root, bind.source.0).during(Operation::OpenSource)?;
    let flags = if bind.recursive {
        OpenTreeFlags::AT_RECURSIVE
    } else {
        OpenTreeFlags::empty()
    };
    let tree = mounts::clone_tree(source.as_fd(), flags)?;
    if bind.mapped {
        control.have_ids_mapped(step, tree.as_fd())?;
    }
    set_attributes(tree.as_fd(), bind)?;
    mounts::mount_tree(root, tree.as_fd(), bind.target.0)
}

/// First what is for all of the tree, then what is for its top alone, as for the trees that the runtime opens.
fn set_attributes(tree: BorrowedFd<'_>, bind: &BindInside<'_>) -> Outcome {
    for (attributes, recursive) in [(bind.all, true), (bind.own, false)] {
        if attributes != MountAttributes::default() {
            sys::mount_setattr(tree, &attributes, recursive).during(Operation::SetAttributes)?;
        }
    }
    for flags in bind.propagation.iter() {
        let propagation = MountAttributes {
            propagation: flags & !MS_REC,
            ..MountAttributes::default()
        };
        sys::mount_setattr(tree, &propagation, flags & MS_REC != 0)
            .during(Operation::SetAttributes)?;
    }
    Ok(())
}
