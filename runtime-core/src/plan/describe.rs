//! A step in words, for plans in text and for errors.

use runtime_init::{Console, Slot, Step, Text, TextList};

use super::{Plan, Source};
use crate::{
    apparmor, io_priority, memory_policy, mounts, namespaces, number_list, scheduler, selinux,
};

/// What the step does, on what.
pub(crate) fn describe(plan: &Plan, step: &Step<'_>) -> String {
    match step {
        Step::MountTree { tree, target } => {
            format!("bind {} → {}", slot(plan, *tree), text(target))
        }
        Step::JoinNamespaces {
            slot: number,
            flags,
        } => format!(
            "join {} ({})",
            slot(plan, *number),
            namespaces::names(*flags)
        ),
        Step::JoinNetwork { .. } => "join the network namespace".to_owned(),
        Step::JoinCgroups { count } => format!("join {count} cgroups"),
        Step::Unshare { flags } => format!("make namespaces ({})", namespaces::names(*flags)),
        Step::MakeDirectory { path, mode } => {
            format!("make directory {} (mode {mode:04o})", text(path))
        }
        Step::Symlink { path, target, .. } => format!("link {} → {}", text(path), text(target)),
        Step::MakeDevice(node) => {
            let (major, minor) = (
                rustix::fs::major(node.device),
                rustix::fs::minor(node.device),
            );
            let (path, mode) = (text(&node.path), node.mode);
            format!("make device {path} ({mode:06o} {major}:{minor})")
        }
        Step::WriteProc { path, value } => {
            let label = apparmor::describe(path.0, value.0);
            label
                .or_else(|| selinux::describe(path.0, value.0))
                .unwrap_or_else(|| format!("write {:?} to /proc/{}", text(value), text(path)))
        }
        Step::SetPersonality { domain } => format!("set personality {domain:#x}"),
        Step::SetHostname { name } => format!("set hostname {:?}", text(name)),
        Step::SetDomainname { name } => format!("set domainname {:?}", text(name)),
        Step::NewKeyring { name, .. } => format!("make session keyring {}", text(name)),
        Step::OpenConsole(Console { columns, rows, .. }) => {
            format!("open a terminal ({columns}×{rows})")
        }
        Step::ChangeDirectory { path } => format!("change directory to {}", text(path)),
        Step::SetUser { uid, gid, .. } => format!("become user {uid}, group {gid}"),
        Step::SetLimit {
            resource,
            soft,
            hard,
            ..
        } => format!("limit resource {resource} to {soft} (hard {hard})"),
        Step::SetScheduler(scheduling) => scheduler::describe(scheduling),
        Step::SetIoPriority { value } => io_priority::describe(*value),
        Step::SetMemoryPolicy { mode, nodes } => memory_policy::describe(*mode, nodes.0),
        Step::SetCpuAffinity { cpus } => {
            format!("run on CPUs {}", number_list::describe(cpus.0))
        }
        Step::SetUmask { mask } => format!("set umask {mask:04o}"),
        Step::LoadSeccomp { flags, program } => format!(
            "load seccomp filter ({} instructions, flags {flags:#x})",
            program.0.len() / 8
        ),
        Step::FindProgram { candidates } => {
            let candidates: Vec<_> = candidates
                .iter()
                .map(|path| path.to_string_lossy())
                .collect();
            format!("find the program: {}", candidates.join(" "))
        }
        Step::LimitBoundingSet { keep, .. } => format!("limit the bounding set to {keep:#x}"),
        Step::SetCapabilities {
            effective,
            permitted,
            inheritable,
            ambient,
        } => {
            format!(
                "set capabilities: effective {effective:#x}, permitted {permitted:#x}, inheritable {inheritable:#x}, ambient {ambient:#x}"
            )
        }
        Step::Wait(rendezvous) => format!("wait for the runtime: {rendezvous:?}"),
        Step::ChownStdio { uid } => format!("give the standard streams to user {uid}"),
        other => mounts::describe(other).unwrap_or_else(|| sentence(other)),
    }
}

/// A step without arguments is what it is called.
fn sentence(step: &Step<'_>) -> String {
    let name = match step {
        Step::Fork => "clone once more, into the pid namespace",
        Step::EnterTimeNamespace => "enter the time namespace",
        Step::BecomeRoot => "become root of the user namespace",
        Step::Undumpable => "forbid ptrace of the init",
        Step::NewSession => "make a session",
        Step::TakeTerminal => "take the terminal for the session",
        Step::ResetCpuAffinity => "run on all CPUs of the cgroup",
        Step::OpenProc => "open a private procfs",
        Step::UseCurrentRoot => "use the root of the mount namespace",
        Step::PivotRoot => "pivot into the root",
        Step::MoveRoot => "move the root over /",
        Step::Chroot => "change the root",
        Step::BringLoopbackUp => "bring the loopback interface up",
        Step::SetNoNewPrivileges => "set no_new_privs",
        Step::AwaitStart { .. } => "wait for start",
        Step::Execute => "execute the program",
        _ => return format!("{step:?}"),
    };
    name.to_owned()
}

pub(crate) fn list(options: &TextList<'_>) -> String {
    let options: Vec<_> = options
        .iter()
        .map(|option| option.to_string_lossy())
        .collect();
    options.join(",")
}

pub(crate) fn text(text: &Text<'_>) -> String {
    text.0.to_string_lossy().into_owned()
}

/// Where a slot's descriptor comes from.
fn slot(plan: &Plan, slot: Slot) -> String {
    match plan.slots.get(usize::from(slot.0)) {
        Some((_, Source::Tree { path, .. } | Source::Namespace { path, .. })) => {
            path.display().to_string()
        }
        Some((_, Source::InitPidfd)) => "the container's namespaces".to_owned(),
        other => other
            .map(|(_, source)| format!("{source:?}"))
            .unwrap_or_default(),
    }
}
