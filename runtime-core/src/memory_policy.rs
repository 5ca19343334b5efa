//! `linux.memoryPolicy`: from which NUMA nodes memory comes (set_mempolicy(2)).

use oci_spec::runtime::{LinuxMemoryPolicy, MemoryPolicyFlagType, MemoryPolicyModeType};
use runtime_init::{Bytes, Step};

use crate::error::{Error, Result};
use crate::number_list::{self, Mask};
use crate::plan::{Builder, pointer};

/// How many nodes a mode needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Nodes {
    None,
    Some,
    Any,
}

/// A mode: its name, the kernel's number (linux/mempolicy.h), its nodes, and the first Linux that has it, if that is later
/// than those that this runtime needs at least.
struct Mode(
    MemoryPolicyModeType,
    &'static str,
    u32,
    Nodes,
    Option<&'static str>,
);

const MODES: [Mode; 7] = [
    Mode(
        MemoryPolicyModeType::MpolDefault,
        "MPOL_DEFAULT",
        0,
        Nodes::None,
        None,
    ),
    Mode(
        MemoryPolicyModeType::MpolBind,
        "MPOL_BIND",
        2,
        Nodes::Some,
        None,
    ),
    Mode(
        MemoryPolicyModeType::MpolInterleave,
        "MPOL_INTERLEAVE",
        3,
        Nodes::Some,
        None,
    ),
    Mode(
        MemoryPolicyModeType::MpolWeightedInterleave,
        "MPOL_WEIGHTED_INTERLEAVE",
        6,
        Nodes::Some,
        Some("6.9"),
    ),
    Mode(
        MemoryPolicyModeType::MpolPreferred,
        "MPOL_PREFERRED",
        1,
        Nodes::Any,
        None,
    ),
    Mode(
        MemoryPolicyModeType::MpolPreferredMany,
        "MPOL_PREFERRED_MANY",
        5,
        Nodes::Some,
        Some("5.15"),
    ),
    Mode(
        MemoryPolicyModeType::MpolLocal,
        "MPOL_LOCAL",
        4,
        Nodes::None,
        None,
    ),
];

const FLAGS: [(MemoryPolicyFlagType, &str, u32); 3] = [
    (
        MemoryPolicyFlagType::MpolFNumaBalancing,
        "MPOL_F_NUMA_BALANCING",
        NUMA_BALANCING,
    ),
    (
        MemoryPolicyFlagType::MpolFRelativeNodes,
        "MPOL_F_RELATIVE_NODES",
        RELATIVE,
    ),
    (
        MemoryPolicyFlagType::MpolFStaticNodes,
        "MPOL_F_STATIC_NODES",
        STATIC,
    ),
];

const NUMA_BALANCING: u32 = 1 << 13;
const RELATIVE: u32 = 1 << 14;
const STATIC: u32 = 1 << 15;

/// The names of the modes.
pub(crate) fn modes() -> impl Iterator<Item = &'static str> {
    MODES.iter().map(|mode| mode.1)
}

/// The names of the flags.
pub(crate) fn flags() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(_, name, _)| *name)
}

/// Sets the policy, of the container's process and of those that join it.
pub(crate) fn set(plan: &mut Builder<'_>) -> Result<()> {
    let Some(policy) = plan
        .linux()
        .and_then(|linux| linux.memory_policy().as_ref())
    else {
        return Ok(());
    };
    let Some(Mode(_, name, number, needed, _)) = MODES.iter().find(|mode| mode.0 == policy.mode())
    else {
        let problem = format!("{} is not known", policy.mode());
        return Err(Error::config("/linux/memoryPolicy/mode", problem));
    };
    let nodes = nodes(policy)?;
    check_count(name, *needed, nodes.count())?;
    let step = Step::SetMemoryPolicy {
        mode: number | flag_bits(policy)?,
        nodes: Bytes(&nodes.to_bytes()),
    };
    plan.step(pointer("/linux/memoryPolicy"), &step);
    Ok(())
}

fn nodes(policy: &LinuxMemoryPolicy) -> Result<Mask> {
    let list = policy.nodes().as_deref().unwrap_or_default();
    Mask::parse(list).map_err(|problem| {
        Error::config(
            "/linux/memoryPolicy/nodes",
            format!("invalid memory policy node: {problem}"),
        )
    })
}

fn check_count(name: &str, needed: Nodes, count: u32) -> Result<()> {
    let problem = match (needed, count) {
        (Nodes::None, 1..) => format!("{name}: mode requires 0 nodes but got {count}"),
        (Nodes::Some, 0) => format!("{name}: mode requires at least one node but got 0"),
        _ => return Ok(()),
    };
    // Of nodes that are not there, the policy speaks.
    let pointer = match count {
        0 => "/linux/memoryPolicy",
        _ => "/linux/memoryPolicy/nodes",
    };
    Err(Error::config(pointer, problem))
}

fn flag_bits(policy: &LinuxMemoryPolicy) -> Result<u32> {
    let asked = policy.flags().iter().flatten();
    let bits = asked.fold(0, |bits, asked| {
        let row = FLAGS.iter().find(|(flag, ..)| flag == asked);
        row.map_or(bits, |(.., bit)| bits | bit)
    });
    if bits & STATIC != 0 && bits & RELATIVE != 0 {
        let problem = "nodes cannot be both MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES";
        return Err(Error::config("/linux/memoryPolicy/flags", problem));
    }
    Ok(bits)
}

/// The mode and nodes in words.
pub(crate) fn describe(mode: u32, nodes: &[u8]) -> String {
    let number = mode & !(NUMA_BALANCING | RELATIVE | STATIC);
    let mut text = "set memory policy".to_owned();
    if let Some(Mode(_, name, _, _, since)) = MODES.iter().find(|mode| mode.2 == number) {
        text = format!("{text} {name}");
        if let Some(since) = since {
            text = format!("{text} (from Linux {since} on)");
        }
    }
    for (_, name, bit) in FLAGS {
        if mode & bit != 0 {
            text = format!("{text} {name}");
        }
    }
    match number_list::describe(nodes) {
        list if list.is_empty() => text,
        list => format!("{text} for nodes {list}"),
    }
}

/// What is wrong with the value at this pointer, if the parser refused it as a part of a policy.
pub(crate) fn explain(pointer: &str, problem: &str) -> Option<String> {
    let part = match pointer.strip_prefix("/linux/memoryPolicy")? {
        "" | "/mode" => "mode",
        flag if flag.starts_with("/flags/") => "flag",
        _ => return None,
    };
    Some(format!("invalid memory policy {part}: {problem}"))
}
