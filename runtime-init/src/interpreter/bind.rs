//! Bind mounts whose source lies inside the root.

use core::ffi::CStr;

use runtime_init::{Numbers, Operation};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::mount::OpenTreeFlags;

use crate::control::Control;
use crate::{During, Outcome, mounts, root, sys};

/// mount(2), MS_REC.
const MS_REC: u32 = 0x4000;

pub(crate) struct Inside<'c> {
    pub(crate) source: &'static CStr,
    pub(crate) recursive: bool,
    /// To set and to clear: of the mount alone, and of all below it.
    pub(crate) attributes: [(u64, u64); 2],
    pub(crate) propagation: Numbers<'static>,
    /// Who maps the tree's ids, and the number of the step by which it knows them.
    pub(crate) waiting: Option<(&'c Control, u32)>,
}

impl Inside<'_> {
    pub(crate) fn bind(&self, root: BorrowedFd<'_>, target: &CStr) -> Outcome {
        let source = root::open(root, self.source).during(Operation::OpenSource)?;
        let flags = if self.recursive {
            OpenTreeFlags::AT_RECURSIVE
        } else {
            OpenTreeFlags::empty()
        };
        let tree = mounts::clone_tree(source.as_fd(), flags)?;
        if let Some((control, step)) = self.waiting {
            control.have_ids_mapped(step, tree.as_fd())?;
        }
        self.set_attributes(tree.as_fd())?;
        mounts::mount_tree(root, tree.as_fd(), target)
    }

    /// First what is for all of the tree, then what is for its top alone, as for the trees that the runtime opens.
    fn set_attributes(&self, tree: BorrowedFd<'_>) -> Outcome {
        let [own, all] = self.attributes;
        for ((set, clear), recursive) in [(all, true), (own, false)] {
            if (set, clear) != (0, 0) {
                let attributes = sys::MountAttributes {
                    set,
                    clear,
                    propagation: 0,
                };
                sys::mount_setattr(tree, &attributes, recursive)
                    .during(Operation::SetAttributes)?;
            }
        }
        for flags in self.propagation.iter() {
            let propagation = sys::MountAttributes {
                propagation: flags & !MS_REC,
                ..sys::MountAttributes::default()
            };
            sys::mount_setattr(tree, &propagation, flags & MS_REC != 0)
                .during(Operation::SetAttributes)?;
        }
        Ok(())
    }
}
