//! A step in words, for plans in text and for errors.

use runtime_init::{Slot, Step, Text, TextList};

use super::{Attributes, Plan, Source};
use crate::mounts::options::{MS_REC, attribute_names, propagation_name};
use crate::{apparmor, io_priority, memory_policy, namespaces, number_list, scheduler, selinux};

/// What the step does, on what.
pub(crate) fn describe(plan: &Plan, step: &Step<'_>) -> String {
    match step {
        Step::MountTree { tree, target } => {
            format!("bind {} → {}", slot(plan, *tree), text(target))
        }
        Step::BindInside { source, target, .. } => {
            format!(
                "bind {} of the root → {}{}",
                text(source),
                text(target),
                mount_changes(step)
            )
        }
        Step::MountByData {
            fstype,
            source,
            data,
            target,
            ..
        } => format!(
            "mount {} {} → {} ({}){}",
            text(fstype),
            text(source),
            text(target),
            text(data),
            mount_changes(step)
        ),
        Step::Reconfigure { target, options } => {
            format!("reconfigure {} ({})", text(target), list(options))
        }
        Step::LabelFile { path, label } => format!("label {} {}", text(path), text(label)),
        Step::MountNew {
            fstype,
            target,
            options,
            ..
        } => {
            format!(
                "mount {} → {} ({}){}",
                text(fstype),
                text(target),
                list(options),
                mount_changes(step)
            )
        }
        Step::OpenRoot { path } => format!("use {} as root, unmounted", text(path)),
        Step::AttachRoot { path, .. } => format!("mount root {}", text(path)),
        Step::SetMountAttributes { target, .. } => {
            format!("change mount {}{}", text(target), mount_changes(step))
        }
        Step::SetRootPropagation { flags } => {
            format!("make the mounts of the host {}", propagation_name(*flags))
        }
        Step::JoinNamespaces {
            slot: number,
            flags,
        } => format!(
            "join {} ({})",
            slot(plan, *number),
            namespaces::names(*flags)
        ),
        Step::JoinCgroups { count, .. } => format!("join {count} cgroups"),
        Step::Unshare { flags } => format!("make namespaces ({})", namespaces::names(*flags)),
        Step::MakeDirectory { path, mode } => {
            format!("make directory {} (mode {mode:04o})", text(path))
        }
        Step::Symlink { path, target, .. } => format!("link {} → {}", text(path), text(target)),
        Step::MakeDevice {
            path, mode, device, ..
        } => {
            let (major, minor) = (rustix::fs::major(*device), rustix::fs::minor(*device));
            format!("make device {} ({mode:06o} {major}:{minor})", text(path))
        }
        Step::Detach { path } => format!("detach the host's {}", text(path)),
        Step::Mask { path, .. } => format!("mask {}", text(path)),
        Step::MakeReadonly { path } => format!("make {} read-only", text(path)),
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
        Step::OpenConsole { columns, rows, .. } => format!("open a terminal ({columns}×{rows})"),
        Step::ChangeDirectory { path } => format!("change directory to {}", text(path)),
        Step::SetUser { uid, gid, .. } => format!("become user {uid}, group {gid}"),
        Step::SetLimit {
            resource,
            soft,
            hard,
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
        plain => sentence(plain),
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

/// The attributes and the propagation that a mount gets, each with a comma before it.
fn mount_changes(step: &Step<'_>) -> String {
    let (attributes, propagation, extra) = match *step {
        Step::BindInside {
            set,
            clear,
            recursive_set,
            recursive_clear,
            propagation,
            mapped,
            ..
        } => {
            let attributes = Attributes {
                set,
                clear,
                recursive_set,
                recursive_clear,
            };
            let propagation = propagation.iter().collect();
            (attributes, propagation, if mapped { ", idmap" } else { "" })
        }
        Step::MountNew {
            attributes: set,
            propagation,
            copy_up,
            ..
        } => {
            let extra = if copy_up { ", tmpcopyup" } else { "" };
            (attributes_of(set, 0, false), vec![propagation], extra)
        }
        Step::MountByData {
            attributes: set,
            propagation,
            ..
        } => (attributes_of(set, 0, false), vec![propagation], ""),
        Step::SetMountAttributes {
            set,
            clear,
            propagation,
            recursive,
            ..
        } => {
            let rec = if recursive && propagation != 0 {
                MS_REC
            } else {
                0
            };
            let attributes = attributes_of(set, clear, recursive);
            (attributes, vec![propagation | rec], "")
        }
        _ => return String::new(),
    };
    let propagation = propagation
        .into_iter()
        .filter(|&flags| flags != 0)
        .map(propagation_name);
    let names = attribute_names(&attributes).into_iter();
    let names = names.chain(propagation.map(str::to_owned));
    names.map(|name| format!(", {name}")).collect::<String>() + extra
}

fn attributes_of(set: u64, clear: u64, recursive: bool) -> Attributes {
    let none = Attributes::default();
    if recursive {
        Attributes {
            recursive_set: set,
            recursive_clear: clear,
            ..none
        }
    } else {
        Attributes { set, clear, ..none }
    }
}

fn list(options: &TextList<'_>) -> String {
    let options: Vec<_> = options
        .iter()
        .map(|option| option.to_string_lossy())
        .collect();
    options.join(",")
}

fn text(text: &Text<'_>) -> String {
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
