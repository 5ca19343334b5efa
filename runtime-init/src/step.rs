//! The steps of a plan.

use serde::{Deserialize, Serialize};

use crate::text::{Bytes, Numbers, Text, TextList};

/// The front of an encoded plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// How many steps follow.
    pub steps: u32,
}

/// A descriptor that the init inherits, counted from the one after the plan's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot(pub u16);

/// Where the init waits for the runtime's part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rendezvous {
    /// The user namespace exists; the runtime writes its id maps.
    IdMaps,
    /// The namespaces and mounts exist, the root is still the host's: prestart, createRuntime and createContainer hooks.
    CreateHooks,
    /// All is done that `create` does; the runtime sets limits, records the state, and writes the pid file.
    Ready,
}

/// One thing to do inside the container. Paths are relative to the container's root and resolved inside it
/// (openat2(2), `RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS`), unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "'de: 'a"))]
#[allow(
    missing_docs,
    reason = "the step says what its fields are; they carry the names of the system calls' arguments"
)]
pub enum Step<'a> {
    /// Write `0` to `count` open `tasks` files from `first` on: the process moves itself, which spares the kernel's
    /// global lock (cgroups(7)).
    JoinCgroups { first: Slot, count: u16 },
    /// setns(2) to a namespace, or to several by a pidfd.
    JoinNamespaces { slot: Slot, flags: u32 },
    /// unshare(2).
    Unshare { flags: u32 },
    /// Clone once more, as a sibling (`CLONE_PARENT`): the child goes on as the first process in its pid namespace.
    Fork,
    /// setns(2) to the time namespace just made for children, whose offsets are written by now (time_namespaces(7)).
    EnterTimeNamespace,
    /// Tell the runtime that this point is reached, and wait for its word.
    Wait(Rendezvous),
    /// Be user and group 0 of the user namespace just entered.
    BecomeRoot,
    /// PR_SET_DUMPABLE off: nobody in the container may ptrace the init or read its descriptors (CVE-2016-9962).
    Undumpable,
    /// setsid(2).
    NewSession,
    /// A session keyring of this name (keyctl(2), KEYCTL_JOIN_SESSION_KEYRING).
    NewKeyring { name: Text<'a> },
    /// Make the private procfs through which [`Step::WriteProc`] writes; no mount of the container can redirect it.
    OpenProc,
    /// Write to a file of the private procfs.
    WriteProc { path: Text<'a>, value: Text<'a> },
    /// Propagation of the whole mount tree, as mount(2)'s MS_ flags.
    SetRootPropagation { flags: u32 },
    /// Mount the tree of the slot at this path of the host: the root from now on.
    AttachRoot { tree: Slot, path: Text<'a> },
    /// The root of the mount namespace, which was joined, is the root from now on.
    UseCurrentRoot,
    /// Attach a tree that the runtime opened and set up. A missing target is made: a directory or an empty file.
    MountTree { tree: Slot, target: Text<'a> },
    /// A new file system.
    MountNew {
        fstype: Text<'a>,
        /// `key=value` or `flag`, for fsconfig(2).
        options: TextList<'a>,
        /// MOUNT_ATTR_ bits.
        attributes: u64,
        /// MS_SHARED, MS_SLAVE, MS_PRIVATE or MS_UNBINDABLE; 0 leaves it.
        propagation: u32,
        target: Text<'a>,
        /// No symbolic link may lead to the target (CVE-2019-19921).
        strict: bool,
        /// The new root directory gets the mode of the directory that it covers.
        keep_mode: bool,
    },
    /// mount_setattr(2) on the mount at this path.
    SetMountAttributes {
        target: Text<'a>,
        set: u64,
        clear: u64,
        propagation: u32,
        recursive: bool,
    },
    /// A directory, with those above it, unless it is there.
    MakeDirectory { path: Text<'a>, mode: u32 },
    /// A symbolic link; what is there already stays, or gives way when `replace` is set.
    Symlink {
        path: Text<'a>,
        target: Text<'a>,
        replace: bool,
    },
    /// mknod(2), then owner and mode exactly as given.
    MakeDevice {
        path: Text<'a>,
        /// S_IFCHR, S_IFBLK or S_IFIFO, and the permission bits.
        mode: u32,
        device: u64,
        uid: u32,
        gid: u32,
    },
    /// A pty of the container's own devpts: controlling terminal and standard streams; its master goes to the runtime.
    OpenConsole {
        uid: u32,
        columns: u16,
        rows: u16,
        mount: bool,
    },
    /// Give the standard streams to the user, unless they are terminals or null devices of the host.
    ChownStdio { uid: u32 },
    /// pivot_root(2) into the root, and detach what was there.
    PivotRoot,
    /// Detach the mount at this path of the host, in the container's mount namespace alone.
    Detach { path: Text<'a> },
    /// Move the root over `/` and chroot(2) into it, for hosts whose root cannot be pivoted (initramfs).
    MoveRoot,
    /// chroot(2) alone, for a container without a mount namespace.
    Chroot,
    /// Hide a path: a directory behind an empty read-only one, anything else behind the null device of the slot. A path
    /// that is not there needs no hiding.
    Mask { path: Text<'a>, null: Slot },
    /// Make a path read-only, with the mounts below it; a path that is not there needs none.
    MakeReadonly { path: Text<'a> },
    /// Bring up the network namespace's `lo`.
    BringLoopbackUp,
    /// personality(2).
    SetPersonality { domain: u32 },
    /// sethostname(2).
    SetHostname { name: Text<'a> },
    /// setdomainname(2).
    SetDomainname { name: Text<'a> },
    /// umask(2).
    SetUmask { mask: u32 },
    /// Take every capability that is not in the mask from the bounding set, up to the kernel's last one.
    LimitBoundingSet { keep: u64, last: u32 },
    /// setrlimit(2).
    SetLimit { resource: u32, soft: u64, hard: u64 },
    /// Set groups, group and user; permitted capabilities stay until [`Step::SetCapabilities`].
    SetUser {
        uid: u32,
        gid: u32,
        groups: Option<Numbers<'a>>,
    },
    /// capset(2), then the ambient set.
    SetCapabilities {
        effective: u64,
        permitted: u64,
        inheritable: u64,
        ambient: u64,
    },
    /// Change directory, and check that it lies inside the root (CVE-2024-21626).
    ChangeDirectory { path: Text<'a> },
    /// PR_SET_NO_NEW_PRIVS.
    SetNoNewPrivileges,
    /// The first of these that is an executable file is what [`Step::Execute`] executes.
    FindProgram { candidates: TextList<'a> },
    /// Wait for `start`, which connects to the listening socket of the slot.
    AwaitStart { listener: Slot },
    /// seccomp(2), SECCOMP_SET_MODE_FILTER. With [`SECCOMP_NEW_LISTENER`](crate::SECCOMP_NEW_LISTENER) among the flags
    /// the listener goes to the runtime.
    LoadSeccomp { flags: u32, program: Bytes<'a> },
    /// execve(2) with the init's own arguments and environment, which are the user's.
    Execute,
}
