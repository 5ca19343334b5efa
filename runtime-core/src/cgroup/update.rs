//! Changes the limits of a cgroup that is in use.
//!
//! Values are written by the same plan as at creation, and each is noted before it is changed: when the kernel refuses one,
//! those before it are taken back. Device rules come last.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxMemory, LinuxResources};
use rustix::io::Errno;

use super::create::enable_controllers;
use super::device_transition::{Current, transition};
use super::devices::{self, Rules};
use super::error::shown;
use super::files::{open_directory, read_file, read_value, write_file};
use super::layout::Mode;
use super::path::POINTER;
use super::plan::{CgroupPlan, Directory, Planned, Version, Write};
use super::update_unit::{UnitUpdate, files_of};
use super::write::{Journal, write_each};
use super::{Cgroup, CgroupError, Layout, resources, restore, sys, systemd};

const LIMIT: &str = "/linux/resources/memory/limit";
const SWAP: &str = "/linux/resources/memory/swap";

/// What version 1 shows where there is no limit is this, or more: the greatest number of pages.
const UNLIMITED: i64 = 1 << 62;

/// Limits in force that an update may leave as they are, though they are written with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InForce {
    /// Bytes; nothing when there is no limit.
    pub(crate) memory: Option<i64>,
    /// Microseconds in a period; nothing when there is no limit.
    pub(crate) quota: Option<i64>,
    /// Microseconds.
    pub(crate) period: Option<u64>,
    /// Whether the cgroup's processes run when nobody else wants to.
    pub(crate) idle: bool,
}

/// What is to be written to a cgroup that is there.
#[derive(Debug)]
pub(crate) struct CgroupUpdate {
    plan: CgroupPlan,
    /// Rules for the devices controller of version 1.
    devices: Option<(Directory, Rules)>,
    memory: Option<LinuxMemory>,
    unit: Option<UnitUpdate>,
}

/// What an update is compiled from.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// What is written.
    pub(crate) resources: &'a LinuxResources,
    /// All that holds afterwards.
    pub(crate) kept: &'a LinuxResources,
    /// `linux.devices`.
    pub(crate) devices: &'a [LinuxDevice],
    pub(crate) in_force: InForce,
}

/// Compiles an update: pure. Only what is asked for is written. The layout has systemd where the cgroup is a unit's.
///
/// # Errors
///
/// As for [`super::compile`].
pub(crate) fn compile(
    cgroup: &Cgroup,
    layout: &Layout,
    asked: &Asked<'_>,
) -> Result<CgroupUpdate, CgroupError> {
    let mut plan = CgroupPlan::of(cgroup, layout);
    resources::compile(&mut plan, asked.resources)?;
    let memory = asked.resources.memory();
    if let Some(memory) = memory {
        enable_oom_killer(&mut plan, memory);
    }
    settle_weight(&mut plan, asked.in_force.idle && cgroup.unit().is_some());
    let mut update = CgroupUpdate {
        plan,
        devices: None,
        memory: *memory,
        unit: None,
    };
    let mut rules = None;
    if let Some(devices) = asked.resources.devices() {
        rules = Some(Rules::from_config(devices, asked.devices)?).filter(|_| !layout.rootless);
        update.compile_devices(devices, asked.devices)?;
    }
    if let (Some(unit), Some(systemd)) = (cgroup.unit(), &layout.systemd) {
        let mut all = CgroupPlan::of(cgroup, layout);
        resources::compile(&mut all, asked.kept)?;
        update.unit = Some(UnitUpdate {
            unit: unit.clone(),
            properties: systemd::update(&mut update.plan, rules.as_ref(), systemd)?,
            files: files_of([&update.plan, &all]),
        });
    }
    for planned in &mut update.plan.directories {
        // Whether a value is wrong may depend on any other that is in force still.
        planned
            .writes
            .iter_mut()
            .for_each(|write| write.again = true);
    }
    Ok(update)
}

/// At creation it is enabled already.
fn enable_oom_killer(plan: &mut CgroupPlan, memory: &LinuxMemory) {
    const OOM: &str = "/linux/resources/memory/disableOOMKiller";
    if memory.disable_oom_killer() == Some(false)
        && let Ok(hierarchy) = plan.hierarchy("memory", OOM)
        && hierarchy.version() == Version::V1
    {
        hierarchy.write("memory.oom_control", 0, OOM).or_skip();
    }
}

/// An idle cgroup has no weight, and the kernel takes none for it. systemd makes one that gets a weight a common one.
fn settle_weight(plan: &mut CgroupPlan, no_longer_idle: bool) {
    let is_weight = |write: &Write| ["cpu.weight", "cpu.shares"].contains(&write.file.as_ref());
    let mut ignored = None;
    for planned in &mut plan.directories {
        let weight = planned.writes.iter().find(|write| is_weight(write));
        let Some(origin) = weight.map(|write| write.origin.clone()) else {
            continue;
        };
        let mut writes = planned.writes.iter();
        match writes.rfind(|write| write.file == "cpu.idle") {
            Some(idle) if idle.value.trim() == "1" => {
                planned.writes.retain(|write| !is_weight(write));
                ignored = Some(origin);
            }
            None if no_longer_idle => drop(planned.write("cpu.idle", 0, origin)),
            _ => {}
        }
    }
    if let Some(origin) = ignored {
        plan.ignore(
            origin,
            "unable to apply both a weight and idle: an idle cgroup has no weight",
        );
    }
}

impl CgroupUpdate {
    fn compile_devices(
        &mut self,
        rules: &[LinuxDeviceCgroup],
        configured: &[LinuxDevice],
    ) -> Result<(), CgroupError> {
        if self.plan.rootless || self.plan.mode == Mode::V2 {
            return devices::compile(&mut self.plan, rules, configured);
        }
        let rules = Rules::from_config(rules, configured)?;
        let hierarchy = self.plan.hierarchy("devices", devices::POINTER)?;
        self.devices = Some((hierarchy.directory.clone(), rules));
        Ok(())
    }

    /// What is asked for that has no effect, and why: JSON pointers with reasons.
    pub(crate) fn ignored(&self) -> impl Iterator<Item = (&str, &str)> {
        self.plan.ignored()
    }

    fn changes_devices(&self) -> bool {
        let mut planned = self.plan.directories.iter();
        self.devices.is_some() || planned.any(|planned| planned.devices.is_some())
    }
}

impl Cgroup {
    /// Reads what an update goes by. What cannot be read is not in force.
    pub(crate) fn in_force(&self) -> InForce {
        let read = |controller: &str, v1: &str, v2: &str| {
            let directory = self.with_controller(controller).or(self.in_v2())?;
            let file = match directory.version {
                Version::V1 => v1,
                Version::V2 => v2,
            };
            let path = open_directory(&directory.path).ok()?;
            read_value(path, file).ok()
        };
        let number = |text: String| text.trim().parse::<i64>().ok();
        let memory = read("memory", "memory.limit_in_bytes", "memory.max").and_then(number);
        let quota = read("cpu", "cpu.cfs_quota_us", "cpu.max");
        let period = read("cpu", "cpu.cfs_period_us", "cpu.max");
        InForce {
            memory: memory.filter(|&bytes| bytes < UNLIMITED),
            quota: quota
                .and_then(|text| text.split_whitespace().next()?.parse().ok())
                .filter(|&quota| quota > 0),
            period: period.and_then(|text| text.split_whitespace().last()?.parse().ok()),
            idle: read("cpu", "cpu.idle", "cpu.idle").is_some_and(|text| text.trim() == "1"),
        }
    }

    /// Carries an update out, or nothing of it.
    ///
    /// # Errors
    ///
    /// When usage is above a limit that is to be checked, and when the kernel refuses a value, with the JSON pointer of what
    /// asked for it. What was changed by then is taken back; if that fails, the error says of which file.
    pub(crate) fn update(&self, update: &CgroupUpdate) -> Result<(), CgroupError> {
        if let Some(memory) = &update.memory
            && memory.check_before_update() == Some(true)
        {
            self.check_usage(memory)?;
        }
        let mut changes = Changes::default();
        self.carry_out(update, &mut changes).map_err(|error| {
            let left = changes.take_back();
            match left.is_empty() {
                true => error,
                false => error.explained(&format!("and not taken back: {}", left.join(", "))),
            }
        })
    }

    fn carry_out(&self, update: &CgroupUpdate, changes: &mut Changes) -> Result<(), CgroupError> {
        for planned in &update.plan.directories {
            if !planned.writes.is_empty() {
                changes.make(planned)?;
            }
        }
        if let Some((directory, rules)) = &update.devices {
            self.change_devices(directory, rules)?;
        }
        for planned in &update.plan.directories {
            if let Some(program) = &planned.devices {
                let path = &planned.directory.path;
                let attached = sys::attach_device_filter(path, program.instructions(), false);
                attached.map_err(|errno| {
                    let attempt = format_args!("attach the device filter to {}", path.display());
                    CgroupError::failed(devices::POINTER, attempt, errno)
                })?;
            }
        }
        let Some(unit) = &update.unit else {
            return Ok(());
        };
        self.tell_systemd(unit)
            .map_err(|error| match update.changes_devices() {
                true => error.explained("and the new device rules are in force"),
                false => error,
            })
    }

    /// On version 2 the kernel would kill processes until a new limit holds, on version 1 it refuses the limit without
    /// saying why.
    fn check_usage(&self, memory: &LinuxMemory) -> Result<(), CgroupError> {
        let Some(directory) = self.with_controller("memory").or(self.in_v2()) else {
            return Ok(());
        };
        let Ok(path) = open_directory(&directory.path) else {
            return Ok(());
        };
        let read = |file| read_value(&path, file).ok()?.trim().parse::<i64>().ok();
        let (alone, together) = match directory.version {
            Version::V1 => (
                read("memory.usage_in_bytes"),
                read("memory.memsw.usage_in_bytes"),
            ),
            Version::V2 => {
                let alone = read("memory.current");
                let swap = read("memory.swap.current").unwrap_or(0);
                (alone, alone.map(|alone| alone.saturating_add(swap)))
            }
        };
        for (limit, usage, pointer, what) in [
            (memory.swap(), together, SWAP, "memory+swap"),
            (memory.limit(), alone, LIMIT, "memory"),
        ] {
            if let (Some(limit @ 1..), Some(usage)) = (limit, usage)
                && limit <= usage
            {
                let problem = format!("rejecting {what} limit {limit} <= usage {usage}");
                return Err(CgroupError::refused(pointer, problem));
            }
        }
        Ok(())
    }

    fn change_devices(&self, directory: &Directory, rules: &Rules) -> Result<(), CgroupError> {
        let path = &directory.path;
        let handle = open(path)?;
        let before = read_devices(path, handle.as_fd())?;
        let steps = transition(&before, rules);
        let pause = steps.disruptive && !self.is_frozen().unwrap_or(false);
        if pause {
            self.freeze().map_err(|cause| {
                let problem = format!("stop the processes while the device rules change: {cause}");
                CgroupError::refused(devices::POINTER, problem)
            })?;
        }
        let changed = write_rules(path, handle.as_fd(), &steps.writes).and_then(|()| {
            match read_devices(path, handle.as_fd())?.is(rules) {
                true => Ok(()),
                false => {
                    let problem =
                        format!("{} is not what was written", shown(path, "devices.list"));
                    Err(CgroupError::refused(devices::POINTER, problem))
                }
            }
        });
        let result = changed.map_err(|error| match restore_devices(path, &before) {
            Ok(()) => error,
            Err(second) => error.explained(&format!("and not taken back: {second}")),
        });
        if pause && let Err(cause) = self.thaw() {
            let problem = format!("let the processes go on: {cause}");
            return result.and(Err(CgroupError::refused(devices::POINTER, problem)));
        }
        result
    }
}

/// The rules that were in force are again.
pub(super) fn restore_devices(path: &Path, before: &Current) -> Result<(), CgroupError> {
    let Current::Only(list) = before else {
        let problem = "devices that were denied before may be allowed now";
        return Err(CgroupError::host(devices::POINTER, problem));
    };
    let mut rules = Rules::default();
    for (device, access) in list {
        let exception = (*access, devices::POINTER.into());
        rules.exceptions.insert(*device, exception);
    }
    let handle = open(path)?;
    let now = read_devices(path, handle.as_fd())?;
    write_rules(path, handle.as_fd(), &transition(&now, &rules).writes)
}

fn open(path: &Path) -> Result<OwnedFd, CgroupError> {
    open_directory(path).map_err(|errno| {
        CgroupError::failed(
            POINTER,
            format_args!("open the cgroup {}", path.display()),
            errno,
        )
    })
}

fn read_devices(path: &Path, handle: BorrowedFd<'_>) -> Result<Current, CgroupError> {
    let file = shown(path, "devices.list");
    let list = read_file(handle, "devices.list").map_err(|errno| {
        CgroupError::failed(devices::POINTER, format_args!("read {file}"), errno)
    })?;
    let unknown = || CgroupError::refused(devices::POINTER, format!("{file} has unknown lines"));
    Current::parse(&list).ok_or_else(unknown)
}

fn write_rules(
    path: &Path,
    handle: BorrowedFd<'_>,
    writes: &[(&'static str, String)],
) -> Result<(), CgroupError> {
    writes.iter().try_for_each(|(file, value)| {
        write_file(handle, file, value).map_err(|errno| {
            let attempt = format_args!("write {value:?} to {}", shown(path, file));
            let error = CgroupError::failed(devices::POINTER, attempt, errno);
            match errno {
                Errno::PERM => error.explained("a parent's rules do not allow it"),
                Errno::INVAL if value == "a" => {
                    error.explained("the container has made cgroups below its own")
                }
                _ => error,
            }
        })
    })
}

/// Values before they were changed, in the order of the changes.
#[derive(Debug, Default)]
struct Changes(Vec<Change>);

#[derive(Debug)]
struct Change {
    directory: PathBuf,
    file: String,
    /// What was there, unless it cannot be told.
    line: Option<String>,
}

/// Notes the changes in one directory.
struct Noting<'a> {
    changes: &'a mut Vec<Change>,
    directory: &'a Path,
    handle: BorrowedFd<'a>,
}

impl Journal for Noting<'_> {
    fn before(&mut self, file: &str, value: &str) {
        let before = read_file(self.handle, file).ok();
        self.changes.push(Change {
            directory: self.directory.to_owned(),
            file: file.to_owned(),
            line: before.and_then(|before| restore::line(file, value, &before)),
        });
    }

    fn refused(&mut self) {
        self.changes.pop();
    }
}

impl Changes {
    fn make(&mut self, planned: &Planned) -> Result<(), CgroupError> {
        let directory = &planned.directory;
        if directory.version == Version::V2 {
            enable_controllers(directory);
        }
        let handle = open(&directory.path)?;
        let mut journal = Noting {
            changes: &mut self.0,
            directory: &directory.path,
            handle: handle.as_fd(),
        };
        write_each(planned, handle.as_fd(), &mut journal)
    }

    /// Writes back what was there, the last first, in turns as long as one more can be. What cannot be is named.
    fn take_back(self) -> Vec<String> {
        let mut pending: Vec<Change> = self.0;
        pending.reverse();
        loop {
            let count = pending.len();
            pending.retain(|change| change.take_back().is_err());
            if pending.is_empty() || pending.len() == count {
                return pending
                    .iter()
                    .map(|change| shown(&change.directory, &change.file))
                    .collect();
            }
        }
    }
}

impl Change {
    fn take_back(&self) -> rustix::io::Result<()> {
        let line = self.line.as_ref().ok_or(Errno::OPNOTSUPP)?;
        write_file(open_directory(&self.directory)?, &self.file, line)
    }
}

#[cfg(test)]
#[path = "update_tests.rs"]
mod tests;
