//! What the init inherits: each slot's descriptor, as the host opens it.

use std::path::PathBuf;

use serde::Serialize;

use crate::mounts::id_map::IdMap;
use crate::mounts::options;

/// Mount attributes that the host sets on a tree before it hands it over (mount_setattr(2)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attributes {
    /// MOUNT_ATTR_ bits to set.
    pub set: u64,
    /// MOUNT_ATTR_ bits to clear.
    pub clear: u64,
    /// The same for the tree with all below it.
    pub recursive_set: u64,
    /// The same for the tree with all below it.
    pub recursive_clear: u64,
}

impl Attributes {
    /// Of the null device that masks are made of: its inode is the host's, and nobody in the container may change its mode
    /// or owner.
    pub(crate) const NULL_DEVICE: Attributes = Attributes {
        set: options::RDONLY | options::NOSUID | options::NOEXEC,
        clear: 0,
        recursive_set: 0,
        recursive_clear: 0,
    };

    /// Whether the mount's own access time is asked for.
    pub(crate) fn changes_access_time(&self) -> bool {
        self.set & options::NODIRATIME != 0 || self.clear & options::ATIME != 0
    }
}

/// How the host opens the descriptor of a slot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// The init's end of the control socket.
    Control,
    /// The listening socket on which a created container waits for `start`.
    StartListener,
    /// A namespace by its path.
    Namespace {
        /// The path, such as `/proc/1234/ns/net`.
        path: PathBuf,
        /// CLONE_NEW flag of the kind that it must be.
        kind: u32,
    },
    /// The socket through which the network namespace comes, from the thread that makes it.
    Network,
    /// The container's init, whose namespaces are joined.
    InitPidfd,
    /// A mount tree, cloned (open_tree(2)).
    Tree {
        /// The path on the host.
        path: PathBuf,
        /// With the mounts below it.
        recursive: bool,
        /// Attributes to set and clear.
        attributes: Attributes,
        /// MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE, each perhaps with MS_REC, in the order of application.
        propagation: Vec<u32>,
        /// Whose ids the files have there.
        id_map: Option<IdMap>,
        /// What a user namespace could not take from the mount stays, even where the attributes are to change it.
        keeps_locks: bool,
        /// It has to be a procfs.
        must_be_proc: bool,
    },
    /// The host's null device, which has to be the character device 1:3.
    NullDevice,
}
