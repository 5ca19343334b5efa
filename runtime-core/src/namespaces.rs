//! `linux.namespaces`: what the container has for itself, and what it shares.

use std::io;
use std::path::Path;

use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType, Spec};
use runtime_init::{Step, Text};
use rustix::fs::{CWD, readlinkat};
use rustix::io::Errno;

use crate::error::{Error, Result};
use crate::id_mappings;
use crate::plan::{Builder, Origin, Source, c_string};

pub(crate) const NEWTIME: u32 = 0x80;
pub(crate) const NEWNS: u32 = 0x2_0000;
pub(crate) const NEWCGROUP: u32 = 0x200_0000;
pub(crate) const NEWUTS: u32 = 0x400_0000;
pub(crate) const NEWIPC: u32 = 0x800_0000;
pub(crate) const NEWUSER: u32 = 0x1000_0000;
pub(crate) const NEWPID: u32 = 0x2000_0000;
pub(crate) const NEWNET: u32 = 0x4000_0000;

/// The kinds of namespaces, by name.
pub(crate) const KINDS: [LinuxNamespaceType; 8] = [
    LinuxNamespaceType::Cgroup,
    LinuxNamespaceType::Ipc,
    LinuxNamespaceType::Mount,
    LinuxNamespaceType::Network,
    LinuxNamespaceType::Pid,
    LinuxNamespaceType::Time,
    LinuxNamespaceType::User,
    LinuxNamespaceType::Uts,
];

/// The CLONE_NEW flag of a kind of namespace (namespaces(7)).
pub(crate) fn flag(kind: LinuxNamespaceType) -> u32 {
    match kind {
        LinuxNamespaceType::Mount => NEWNS,
        LinuxNamespaceType::Cgroup => NEWCGROUP,
        LinuxNamespaceType::Uts => NEWUTS,
        LinuxNamespaceType::Ipc => NEWIPC,
        LinuxNamespaceType::User => NEWUSER,
        LinuxNamespaceType::Pid => NEWPID,
        LinuxNamespaceType::Network => NEWNET,
        LinuxNamespaceType::Time => NEWTIME,
    }
}

/// Namespaces in words, from their CLONE_NEW flags.
pub(crate) fn names(flags: u32) -> String {
    let kinds = [
        (NEWUSER, "user"),
        (NEWNS, "mount"),
        (NEWUTS, "uts"),
        (NEWIPC, "ipc"),
        (NEWPID, "pid"),
        (NEWNET, "network"),
        (NEWCGROUP, "cgroup"),
        (NEWTIME, "time"),
    ];
    let names = kinds
        .iter()
        .filter(|(flag, _)| flags & flag != 0)
        .map(|(_, name)| *name);
    names.collect::<Vec<_>>().join(", ")
}

/// Whether the caller is in the first namespace of a kind; in a kernel without such namespaces everybody is. These are user
/// and cgroup namespaces, by their CLONE_NEW flag.
///
/// The link's text tells as much as the namespace itself, which the kernel would have to open. The numbers are
/// PROC_USER_INIT_INO and PROC_CGROUP_INIT_INO of include/linux/proc_ns.h.
pub(crate) fn is_initial(kind: u32) -> bool {
    let (path, link) = match kind {
        NEWUSER => ("/proc/self/ns/user", "user:[4026531837]"),
        NEWCGROUP => ("/proc/self/ns/cgroup", "cgroup:[4026531835]"),
        _ => return false,
    };
    match readlinkat(CWD, path, Vec::new()) {
        Ok(found) => found.as_bytes() == link.as_bytes(),
        Err(errno) => errno == Errno::NOENT,
    }
}

/// The namespaces of a configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Namespaces<'a> {
    /// Those made for the container.
    pub(crate) new: u32,
    /// Those joined by path, with their place in the configuration.
    pub(crate) joined: Vec<(u32, &'a Path, String)>,
}

impl<'a> Namespaces<'a> {
    pub(crate) fn of(plan: &Builder<'a>) -> Result<Self> {
        Namespaces::of_spec(plan.spec)
    }

    fn of_spec(spec: &'a Spec) -> Result<Self> {
        let linux = spec.linux().as_ref();
        let list = linux.and_then(|linux| linux.namespaces().as_deref());
        Namespaces::parse(list.unwrap_or_default())
    }

    fn parse(list: &'a [LinuxNamespace]) -> Result<Self> {
        let mut namespaces = Namespaces::default();
        let mut seen = 0;
        for (number, namespace) in list.iter().enumerate() {
            let pointer = format!("/linux/namespaces/{number}");
            let flag = flag(namespace.typ());
            if seen & flag != 0 {
                return Err(Error::config(
                    pointer,
                    format!("a second namespace of type {}", names(flag)),
                ));
            }
            seen |= flag;
            match namespace.path() {
                None => namespaces.new |= flag,
                Some(path) if path.as_os_str().is_empty() => namespaces.new |= flag,
                Some(path) if !path.is_absolute() => {
                    return Err(Error::config(
                        format!("{pointer}/path"),
                        format!("{} is not an absolute path", path.display()),
                    ));
                }
                Some(path) => namespaces.joined.push((flag, path, pointer)),
            }
        }
        Ok(namespaces)
    }

    /// New or joined: not the runtime's own.
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.all() & flag != 0
    }

    /// All namespaces that are not the runtime's own.
    pub(crate) fn all(&self) -> u32 {
        self.joined
            .iter()
            .fold(self.new, |all, (flag, ..)| all | flag)
    }

    fn joins(&self, flag: u32) -> bool {
        self.joined.iter().any(|(joined, ..)| *joined == flag)
    }
}

/// Whether the configuration has a user namespace, made or joined.
pub(crate) fn has_user_namespace(spec: &Spec) -> bool {
    listed(spec).any(|namespace| flag(namespace.typ()) == NEWUSER)
}

/// Whether the container is the first in a PID namespace of its own, rather than in one that it joins.
pub(crate) fn makes_pid_namespace(spec: &Spec) -> bool {
    listed(spec).any(|namespace| {
        let path = namespace.path().as_ref();
        flag(namespace.typ()) == NEWPID && path.is_none_or(|path| path.as_os_str().is_empty())
    })
}

fn listed(spec: &Spec) -> impl Iterator<Item = &LinuxNamespace> {
    let linux = spec.linux().iter();
    linux.flat_map(|linux| linux.namespaces().iter().flatten())
}

/// The namespaces that the container has for itself or shares with another, as those who join it later need them.
pub(crate) fn all_of(spec: &Spec) -> u32 {
    listed(spec).fold(0, |all, namespace| all | flag(namespace.typ()))
}

/// The processes in the PID namespace that this one is in, in order: without those that the caller may not look at.
pub(crate) fn processes_beside(pid: i32) -> io::Result<Vec<i32>> {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid"));
    let common = namespace(pid)?;
    let numbers = std::fs::read_dir("/proc")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let mut pids: Vec<i32> = numbers
        .filter(|&pid| namespace(pid).is_ok_and(|namespace| namespace == common))
        .collect();
    pids.sort_unstable();
    Ok(pids)
}

/// Made after the attach to the cgroup, and after its offsets are written, respectively; never at birth.
const LATE: u32 = NEWCGROUP | NEWTIME;

/// Joins and makes the namespaces.
///
/// Where nothing forbids it the init is born into the new ones. Joining one by path needs the privileges that the
/// runtime has over its owner, so that comes before a new user namespace; a joined user namespace in turn has to own
/// what is made after it. A PID namespace is entered by a child only (setns(2), unshare(2)).
pub(crate) fn enter(plan: &mut Builder<'_>) -> Result<()> {
    let namespaces = Namespaces::of(plan)?;
    check(plan, &namespaces)?;
    let at_birth = if namespaces.joins(NEWUSER)
        || (namespaces.new & NEWUSER != 0 && !namespaces.joined.is_empty())
    {
        0
    } else {
        namespaces.new & !LATE
    };
    // A process that is to join a PID namespace is not the first in one of its own.
    let at_birth = if namespaces.joins(NEWPID) {
        at_birth & !NEWPID
    } else {
        at_birth
    };
    let is_beside = network_is_beside(plan.spec, plan.facts.is_unprivileged())?;
    let beside = if is_beside { NEWNET } else { 0 };
    plan.plan.clone_flags = at_birth & !beside;
    // Without root's rights there is none over the others before the user namespace that owns them is joined.
    let user_first = plan.facts.is_unprivileged();
    join(plan, &namespaces, |flag| (flag == NEWUSER) == user_first)?;
    join(plan, &namespaces, |flag| (flag == NEWUSER) != user_first)?;
    let later = namespaces.new & !LATE & !at_birth;
    unshare(plan, later & NEWUSER);
    id_mappings::plan(plan, &namespaces)?;
    unshare(plan, later & !NEWUSER);
    if namespaces.joins(NEWPID) {
        // Those who are in it see this process from now on.
        plan.step(Origin::Default("isolation of the init"), &Step::Undumpable);
    }
    if later & NEWPID != 0 || namespaces.joins(NEWPID) {
        plan.step(
            Origin::Default("first process of its pid namespace"),
            &Step::Fork,
        );
        plan.plan.forks = true;
    }
    if plan.arrival.cgroups.is_none() {
        make_cgroup_namespace(plan)?;
    }
    if beside != 0 {
        let slot = plan.slot(crate::plan::pointer("/linux/namespaces"), Source::Network)?;
        plan.arrival.network = Some(slot);
    } else if namespaces.new & NEWNET != 0 {
        let origin = Origin::Default("loopback interface");
        plan.step(origin, &Step::BringLoopbackUp);
    }
    Ok(())
}

/// A cgroup namespace begins where its maker is (cgroup_namespaces(7)), so that comes after the join.
pub(crate) fn make_cgroup_namespace(plan: &mut Builder<'_>) -> Result<()> {
    let flags = Namespaces::of(plan)?.new & NEWCGROUP;
    unshare(plan, flags);
    Ok(())
}

/// Whether a thread of the runtime's makes the network namespace while the init is at work: the kernel takes longer for one than
/// for all mounts.
///
/// Not where another namespace has to be there before, a user namespace that owns it for one, nor where interfaces move there
/// before there are mounts.
pub(crate) fn network_is_beside(spec: &Spec, is_unprivileged: bool) -> Result<bool> {
    let namespaces = Namespaces::of_spec(spec)?;
    let depends = namespaces.has(NEWUSER) || !namespaces.joined.is_empty();
    let linux = spec.linux().as_ref();
    let devices = linux.and_then(|linux| linux.net_devices().as_ref());
    let has_devices = devices.is_some_and(|devices| !devices.is_empty());
    let is_ours = !depends && !has_devices && !is_unprivileged;
    Ok(is_ours && namespaces.new & NEWNET != 0)
}

fn join(
    plan: &mut Builder<'_>,
    namespaces: &Namespaces<'_>,
    which: impl Fn(u32) -> bool,
) -> Result<()> {
    for (flag, path, pointer) in namespaces.joined.iter().filter(|(flag, ..)| which(*flag)) {
        let source = Source::Namespace {
            path: path.to_path_buf(),
            kind: *flag,
        };
        let slot = plan.slot(pointer.clone(), source)?;
        plan.step(
            pointer.clone(),
            &Step::JoinNamespaces { slot, flags: *flag },
        );
        if *flag == NEWUSER {
            plan.step(pointer.clone(), &Step::BecomeRoot);
        }
    }
    Ok(())
}

fn unshare(plan: &mut Builder<'_>, flags: u32) {
    if flags != 0 {
        plan.step(
            crate::plan::pointer("/linux/namespaces"),
            &Step::Unshare { flags },
        );
    }
}

/// What needs a namespace of the container's own, or else would change the host.
fn check(plan: &Builder<'_>, namespaces: &Namespaces<'_>) -> Result<()> {
    let spec = plan.spec;
    let needs = |asked: bool, flag: u32, pointer: &str, kind: &str| {
        let missing = format!(
            "without a {kind} namespace of the container's own this would change the host's"
        );
        if asked && !namespaces.has(flag) {
            Err(Error::config(pointer, missing))
        } else {
            Ok(())
        }
    };
    let named = |name: &Option<String>| name.as_deref().is_some_and(|name| !name.is_empty());
    needs(named(spec.hostname()), NEWUTS, "/hostname", "uts")?;
    needs(named(spec.domainname()), NEWUTS, "/domainname", "uts")?;
    let Some(linux) = spec.linux() else {
        return Ok(());
    };
    let listed = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|list| !list.is_empty());
    needs(
        listed(linux.masked_paths()),
        NEWNS,
        "/linux/maskedPaths",
        "mount",
    )?;
    needs(
        listed(linux.readonly_paths()),
        NEWNS,
        "/linux/readonlyPaths",
        "mount",
    )?;
    let offsets = linux
        .time_offsets()
        .as_ref()
        .is_some_and(|offsets| !offsets.is_empty());
    needs(offsets, NEWTIME, "/linux/timeOffsets", "time")?;
    if offsets && namespaces.new & NEWTIME == 0 {
        return Err(Error::config(
            "/linux/timeOffsets",
            "the offsets of a time namespace that is joined cannot be changed",
        ));
    }
    Ok(())
}

/// Makes the time namespace: its offsets are written while nobody is in it (time_namespaces(7)).
pub(crate) fn set_time_offsets(plan: &mut Builder<'_>) -> Result<()> {
    if Namespaces::of(plan)?.new & NEWTIME == 0 {
        return Ok(());
    }
    unshare(plan, NEWTIME);
    let offsets = plan.linux().and_then(|linux| linux.time_offsets().as_ref());
    // A map has no order, and the same configuration gives the same plan.
    let mut offsets: Vec<_> = offsets.into_iter().flatten().collect();
    offsets.sort_by_key(|(clock, _)| *clock);
    for (clock, offset) in offsets {
        let key = clock.replace('~', "~0").replace('/', "~1");
        let pointer = format!("/linux/timeOffsets/{key}");
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(Error::config(
                pointer,
                "only the clocks monotonic and boottime have offsets",
            ));
        }
        let line = format!(
            "{clock} {} {}",
            offset.secs().unwrap_or(0),
            offset.nanosecs().unwrap_or(0)
        );
        let (path, value) = (c"self/timens_offsets", c_string(&pointer, line)?);
        plan.step(
            pointer,
            &Step::WriteProc {
                path: Text(path),
                value: Text(&value),
            },
        );
    }
    plan.step(
        crate::plan::pointer("/linux/namespaces"),
        &Step::EnterTimeNamespace,
    );
    Ok(())
}

/// Joins the namespaces of a container that runs, all at once by its init's pidfd (setns(2), Linux 5.8).
pub(crate) fn enter_running(plan: &mut Builder<'_>, namespaces: u32) -> Result<()> {
    let origin = || Origin::Default("namespaces of the container");
    // Before anything of the container is in reach: from then on its processes could look into this one.
    plan.step(origin(), &Step::Undumpable);
    if namespaces != 0 {
        let slot = plan.slot(origin(), Source::InitPidfd)?;
        plan.step(
            origin(),
            &Step::JoinNamespaces {
                slot,
                flags: namespaces,
            },
        );
    }
    if namespaces & NEWUSER != 0 {
        plan.step(origin(), &Step::BecomeRoot);
    }
    if namespaces & NEWNS != 0 {
        plan.step(origin(), &Step::UseCurrentRoot);
    }
    Ok(())
}

/// Goes into the PID namespace of a container that runs, where its processes see this one. With CAP_SYS_PTRACE they can take
/// it over, dumpable or not (ptrace(2), "Ptrace access mode checking"): by then it has neither rights that they lack nor
/// anything of the host's.
pub(crate) fn appear(plan: &mut Builder<'_>, namespaces: u32) {
    if namespaces & NEWPID != 0 {
        plan.step(
            Origin::Default("pid namespace of the container"),
            &Step::Fork,
        );
        plan.plan.forks = true;
    }
}
