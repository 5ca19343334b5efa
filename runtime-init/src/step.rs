//! The steps of a plan.

use serde::{Deserialize, Serialize};

use crate::arguments::{
    BindBelow, BindInside, Console, DataMount, HostTree, MountAttributes, NewMount, Node,
};
use crate::text::{Bytes, Numbers, Text, TextList};

/// The front of an encoded plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// How many steps follow.
    pub steps: u32,
    /// Where the init notes when it begins each step, if the runtime wants to know: a file with room for a number of eight
    /// bytes a step, nanoseconds by CLOCK_REALTIME. That clock is the same in all time namespaces (time_namespaces(7)).
    pub stamps: Option<Slot>,
}

/// A descriptor that the init inherits, counted from the one after the plan's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot(pub u16);

/// Where the init waits for the runtime's part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rendezvous {
    /// Nothing is done yet; the runtime has the init put into its cgroup.
    Cgroup,
    /// The user namespace exists; the runtime writes its id maps, or reads those of one that was joined.
    IdMaps,
    /// The network namespace exists; the runtime moves network devices into it.
    NetDevices,
    /// The namespaces and mounts exist, the root is still the host's: prestart, createRuntime and createContainer hooks.
    CreateHooks,
    /// All is done that `create` does; the runtime sets limits, records the state, and writes the pid file.
    Ready,
}

/// What sched_setattr(2) sets, as `struct sched_attr` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names are the kernel's")]
pub struct Scheduling {
    pub policy: u32,
    pub flags: u64,
    pub nice: i32,
    pub priority: u32,
    pub runtime: u64,
    pub deadline: u64,
    pub period: u64,
}

/// `struct sched_attr` with the fields that Linux 5.3 added (SCHED_ATTR_SIZE_VER1): the utilisation that
/// SCHED_FLAG_UTIL_CLAMP_MIN and _MAX are about, for which the specification has no values.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SchedulingAttributes {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    deadline: u64,
    period: u64,
    utilisation: [u32; 2],
}

impl From<&Scheduling> for SchedulingAttributes {
    fn from(scheduling: &Scheduling) -> Self {
        SchedulingAttributes {
            size: size_of::<SchedulingAttributes>() as u32,
            policy: scheduling.policy,
            flags: scheduling.flags,
            nice: scheduling.nice,
            priority: scheduling.priority,
            runtime: scheduling.runtime,
            deadline: scheduling.deadline,
            period: scheduling.period,
            utilisation: [0; 2],
        }
    }
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
    /// Write `0` to so many `tasks` files: the process moves itself, which spares the kernel's global lock (cgroups(7)). The
    /// runtime sends them, open, in its first message, when it has made the cgroups.
    JoinCgroups { count: u16 },
    /// setns(2) to a namespace, or to several by a pidfd. The slot is closed.
    JoinNamespaces { slot: Slot, flags: u32 },
    /// setns(2) to the network namespace that comes through the socket of the slot, which is closed.
    JoinNetwork { slot: Slot },
    /// unshare(2).
    Unshare { flags: u32 },
    /// Clone once more, as a sibling (`CLONE_PARENT`): the child goes on, in the pid namespace that was joined or made.
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
    /// sched_setaffinity(2) to these CPUs.
    SetCpuAffinity { cpus: Bytes<'a> },
    /// sched_setaffinity(2) to all CPUs that the cgroup allows, if the kernel lets it.
    ResetCpuAffinity,
    /// A session keyring of this name, a new one unless there is one that may be searched (keyctl(2),
    /// KEYCTL_JOIN_SESSION_KEYRING), and its permissions, unless they are 0 (KEYCTL_SETPERM).
    NewKeyring { name: Text<'a>, permissions: u32 },
    /// Make the private procfs through which [`Step::WriteProc`] writes; no mount of the container can redirect it.
    OpenProc,
    /// Write to a file of the private procfs.
    WriteProc { path: Text<'a>, value: Text<'a> },
    /// Propagation of the whole mount tree, as mount(2)'s MS_ flags.
    SetRootPropagation { flags: u32 },
    /// Open a tree of the host's for the slot, in the container's mount namespace: for a runtime that may not clone the
    /// host's mounts itself.
    OpenTree(HostTree<'a>),
    /// Mount the tree of the slot at this path of the host: the root from now on.
    AttachRoot { tree: Slot, path: Text<'a> },
    /// The directory at this path of the host is the root from now on: there is no mount namespace of the container's own to
    /// mount it in.
    OpenRoot { path: Text<'a> },
    /// The root of the mount namespace, which was joined, is the root from now on.
    UseCurrentRoot,
    /// Attach a tree that the runtime opens and sets up when this step's turn has come. A missing target is made: a directory or an empty file.
    MountTree { tree: Slot, target: Text<'a> },
    /// Bind what the mounts before this one have made of a source that lies inside the root too.
    BindInside(BindInside<'a>),
    /// Bind a directory of the host's in the mount that was made last, at a new directory.
    BindBelow(BindBelow<'a>),
    /// A new file system.
    MountNew(NewMount<'a>),
    /// A new file system by mount(2), for options that fsconfig(2) has no room for.
    MountByData(DataMount<'a>),
    /// Change the options of the file system that is mounted at this path (fspick(2)).
    Reconfigure {
        target: Text<'a>,
        options: TextList<'a>,
    },
    /// The SELinux label of a directory (xattr(7), `security.selinux`).
    LabelFile { path: Text<'a>, label: Text<'a> },
    /// mount_setattr(2) on the mount at this path.
    SetMountAttributes {
        target: Text<'a>,
        attributes: MountAttributes,
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
    MakeDevice(Node<'a>),
    /// A pty of the container's own devpts becomes the standard streams; its master goes to the runtime.
    OpenConsole(Console),
    /// The terminal on standard input is the session's (ioctl_tty(2), `TIOCSCTTY`).
    TakeTerminal,
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
    /// sched_setattr(2).
    SetScheduler(Scheduling),
    /// ioprio_set(2), of the process group.
    SetIoPriority { value: u32 },
    /// set_mempolicy(2): the mode with its flags, and the mask of nodes.
    SetMemoryPolicy { mode: u32, nodes: Bytes<'a> },
    /// umask(2).
    SetUmask { mask: u32 },
    /// Take every capability that is not in the mask from the bounding set, up to the kernel's last one.
    LimitBoundingSet { keep: u64, last: u32 },
    /// setrlimit(2). One that is only to be raised stays where it is higher.
    SetLimit {
        resource: u32,
        soft: u64,
        hard: u64,
        raise: bool,
    },
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
