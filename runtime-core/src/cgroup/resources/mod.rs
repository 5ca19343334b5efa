//! `linux.resources` (config-linux.md, "Control Groups"): which values go to which files, on both versions.
//!
//! A zero is "not set" where the kernel has no such value. What one version of cgroups cannot do is refused there.

mod block_io;
mod cpu;
mod hugepages;
mod memory;
mod network;
mod pids;
mod rdma;
mod unified;

use oci_spec::runtime::LinuxResources;

use super::CgroupError;
use super::plan::CgroupPlan;

/// Plans the writes of all resources but the devices.
pub(super) fn compile(
    plan: &mut CgroupPlan,
    resources: &LinuxResources,
) -> Result<(), CgroupError> {
    if let Some(cpu) = resources.cpu() {
        cpu::cpuset(plan, cpu)?;
        cpu::compile(plan, cpu)?;
    }
    if let Some(memory) = resources.memory() {
        memory::compile(plan, memory)?;
    }
    if let Some(pids) = resources.pids() {
        pids::compile(plan, pids)?;
    }
    if let Some(block_io) = resources.block_io() {
        block_io::compile(plan, block_io)?;
    }
    hugepages::compile(
        plan,
        resources.hugepage_limits().as_deref().unwrap_or_default(),
    )?;
    if let Some(network) = resources.network() {
        network::compile(plan, network)?;
    }
    if let Some(rdma) = resources.rdma() {
        rdma::compile(plan, rdma)?;
    }
    match resources.unified() {
        Some(unified) => unified::compile(plan, unified),
        None => Ok(()),
    }
}

/// The value, when it is there and sets anything.
fn set<T: Default + PartialEq>(value: Option<T>) -> Option<T> {
    value.filter(|value| *value != T::default())
}

fn refuse<T>(pointer: &str, problem: impl Into<String>) -> Result<T, CgroupError> {
    Err(CgroupError::refused(pointer, problem))
}

/// A word that goes into a line of a cgroup file, or names one: it must not begin another field, line or directory.
fn word<'a>(pointer: &str, text: &'a str) -> Result<&'a str, CgroupError> {
    let is_word =
        !text.is_empty() && !text.contains(|c: char| c == '/' || c == '\0' || c.is_whitespace());
    if is_word {
        Ok(text)
    } else {
        refuse(pointer, format!("{text:?} is not a name"))
    }
}
