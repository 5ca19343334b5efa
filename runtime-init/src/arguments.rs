//! The arguments of steps that take many.

use serde::{Deserialize, Serialize};

use crate::step::Slot;
use crate::text::{Numbers, Text, TextList};

/// What mount_setattr(2) changes: MOUNT_ATTR_ bits to set and to clear, and MS_SHARED, MS_SLAVE, MS_PRIVATE or
/// MS_UNBINDABLE. Zeroes change nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub struct MountAttributes {
    pub set: u64,
    pub clear: u64,
    pub propagation: u32,
}

/// A bind mount of what lies inside the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct BindInside<'a> {
    /// What is bound.
    pub source: Text<'a>,
    /// Where; it is made when it is missing.
    pub target: Text<'a>,
    /// With the mounts below the source.
    pub recursive: bool,
    /// Of the mount alone.
    pub own: MountAttributes,
    /// Of the mount with all below it.
    pub all: MountAttributes,
    /// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE, each perhaps with MS_REC, in the order of application.
    pub propagation: Numbers<'a>,
    /// The runtime maps its ids before it is attached: that needs rights over the host's file systems.
    pub mapped: bool,
}

/// What a path of the host has to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expected {
    /// Nothing in particular.
    Anything,
    /// A procfs.
    Proc,
    /// No directory, and no symbolic link on the way there.
    File,
    /// The null device, which is the character device 1:3.
    NullDevice,
}

/// A tree of the host's mounts, of which the container's mount namespace has a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct HostTree<'a> {
    /// The slot that it is for.
    pub tree: Slot,
    /// The path on the host.
    pub source: Text<'a>,
    /// With the mounts below it.
    pub recursive: bool,
    /// What has to be there.
    pub expected: Expected,
    /// Of the mount alone.
    pub own: MountAttributes,
    /// Of the mount with all below it.
    pub all: MountAttributes,
    /// As in [`BindInside`].
    pub propagation: Numbers<'a>,
}

/// A directory of the host's, of which the container's mount namespace has a copy, to be seen in the mount that was made
/// last: one hierarchy of version 1 in the tmpfs that is made for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct BindBelow<'a> {
    /// The path on the host.
    pub source: Text<'a>,
    /// Where; the last component is the name of the directory that is made in that mount.
    pub target: Text<'a>,
    /// Of the mount with all below it.
    pub all: MountAttributes,
}

/// A new file system, by fsopen(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct NewMount<'a> {
    /// Its type.
    pub fstype: Text<'a>,
    /// `key=value` or `flag`, for fsconfig(2).
    pub options: TextList<'a>,
    /// What is set of the mount.
    pub attributes: MountAttributes,
    /// Where it is mounted.
    pub target: Text<'a>,
    /// No symbolic link may lead to the target (CVE-2019-19921).
    pub strict: bool,
    /// The new root directory gets the mode of the directory that it covers.
    pub keep_mode: bool,
    /// It begins with a copy of what it covers.
    pub copy_up: bool,
}

/// A new file system, by mount(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
pub struct DataMount<'a> {
    /// Its type.
    pub fstype: Text<'a>,
    /// What mount(2) calls the source.
    pub source: Text<'a>,
    /// MS_ flags of the superblock.
    pub flags: u32,
    /// All options, with commas between them.
    pub data: Text<'a>,
    /// What is set of the mount.
    pub attributes: MountAttributes,
    /// Where it is mounted.
    pub target: Text<'a>,
}

/// A device node or a fifo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
#[allow(missing_docs, reason = "the names are mknod(2)'s and chown(2)'s")]
pub struct Node<'a> {
    pub path: Text<'a>,
    /// S_IFCHR, S_IFBLK or S_IFIFO, and the permission bits.
    pub mode: u32,
    pub device: u64,
    pub uid: u32,
    pub gid: u32,
}

/// A terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Console {
    /// Whose it is.
    pub uid: u32,
    /// Its size in characters; zeroes leave the kernel's.
    pub columns: u16,
    /// As the columns.
    pub rows: u16,
    /// At /dev/console, too.
    pub mount: bool,
}
