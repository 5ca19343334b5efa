//! What an update makes of a container's resources: pure.
//!
//! What is not given stays as it is. Two pairs of values are one limit each, and are written together: quota and period, and
//! memory with memory and swap. What is in force of the one that is not given is taken from the cgroup itself, because
//! `unified` or somebody else may have changed it.

use oci_spec::runtime::{LinuxCpu, LinuxMemory, LinuxResources};
use serde_json::{Map, Value};

use super::POINTER;
use crate::cgroup::InForce;
use crate::error::{Error, Result};

/// Numbers that set nothing when they are 0: the kernel has no such value.
const ZERO_IS_NONE: [&str; 12] = [
    "limit",
    "reservation",
    "swap",
    "kernel",
    "kernelTCP",
    "shares",
    "quota",
    "period",
    "realtimeRuntime",
    "realtimePeriod",
    "weight",
    "leafWeight",
];

/// The kernel rounds limits down to pages, of which the largest is 64 KiB.
const LARGEST_PAGE: i64 = 1 << 16;

/// The result of an update.
#[derive(Debug)]
pub(super) struct Merged {
    /// What is written now.
    pub(super) written: LinuxResources,
    /// All that holds afterwards, as it is kept in `config.json`.
    pub(super) kept: Value,
}

/// Puts what is asked for over the resources that a configuration has.
pub(super) fn merge(
    stored: Option<&Value>,
    asked: &LinuxResources,
    in_force: InForce,
) -> Result<Merged> {
    let mut kept = stored.filter(|value| value.is_object()).cloned();
    let kept = kept.get_or_insert_with(|| Value::Object(Map::new()));
    let before: LinuxResources = typed(kept.clone())?;
    let mut asked = given(serde_json::to_value(asked).map_err(unreadable)?, &[]);
    let mut written: LinuxResources = typed(asked.clone())?;
    if let Some(cpu) = written.cpu_mut().as_mut() {
        complete_cpu(cpu, before.cpu().as_ref(), in_force);
    }
    let unlimited = written.memory_mut().as_mut().map(|memory| {
        let unlimited = memory.limit() == Some(-1) && memory.swap().is_none();
        complete_memory(memory, before.memory().as_ref(), in_force);
        unlimited
    });
    if unlimited == Some(true) {
        // Unlimited memory that swap limits would not be unlimited.
        remove(kept, "/memory", "swap");
    }
    check_memory(&written)?;
    // Somebody may have put rules on top of the container's own: without a change these stay.
    if written.devices() == before.devices() {
        written.set_devices(None);
    }
    // How one update is to be made, and not what holds afterwards.
    remove(&mut asked, "/memory", "checkBeforeUpdate");
    forget_overridden(kept, &asked);
    merge_value(kept, asked);
    Ok(Merged {
        written,
        kept: kept.take(),
    })
}

pub(super) fn typed(value: Value) -> Result<LinuxResources> {
    serde_json::from_value(value).map_err(unreadable)
}

fn unreadable(error: serde_json::Error) -> Error {
    Error::config(POINTER, error.to_string())
}

fn remove(value: &mut Value, parent: &str, member: &str) {
    if let Some(members) = value.pointer_mut(parent).and_then(Value::as_object_mut) {
        members.remove(member);
    }
}

/// What of it sets anything.
fn given(value: Value, path: &[&str]) -> Value {
    let Value::Object(members) = value else {
        return value;
    };
    let is_given = |name: &str, value: &Value| {
        let is_number_of_none = match path {
            // Zero is a limit of processes; entries of lists are not looked into.
            ["pids", ..] | ["rdma", ..] | ["unified", ..] => false,
            ["network"] => name == "classID" && *value == 0,
            _ => ZERO_IS_NONE.contains(&name) && *value == 0,
        };
        let is_empty = ["cpus", "mems"].contains(&name) && *value == "";
        !value.is_null() && !is_number_of_none && !is_empty
    };
    members
        .into_iter()
        .filter(|(name, value)| is_given(name, value))
        .map(|(name, value)| {
            let inner = [path, &[name.as_str()]].concat();
            let value = given(value, &inner);
            (name, value)
        })
        .collect::<Map<_, _>>()
        .into()
}

fn complete_cpu(cpu: &mut LinuxCpu, before: Option<&LinuxCpu>, in_force: InForce) {
    // The kernel forgets the weight of an idle cgroup.
    if cpu.idle() == Some(0) && cpu.shares().is_none() && in_force.idle {
        cpu.set_shares(before.and_then(LinuxCpu::shares));
    }
    if cpu.quota().is_none() && cpu.period().is_none() {
        return;
    }
    if cpu.quota().is_none() {
        cpu.set_quota(in_force.quota);
    }
    if cpu.period().is_none() {
        cpu.set_period(in_force.period);
    }
}

fn complete_memory(memory: &mut LinuxMemory, before: Option<&LinuxMemory>, in_force: InForce) {
    if memory.check_before_update().is_none() {
        memory.set_check_before_update(before.and_then(LinuxMemory::check_before_update));
    }
    let before =
        |field: fn(&LinuxMemory) -> Option<i64>| before.and_then(field).filter(|&bytes| bytes != 0);
    match (memory.limit(), memory.swap()) {
        (Some(limit), None) if limit != -1 => {
            memory.set_swap(before(LinuxMemory::swap));
        }
        (None, Some(_)) => {
            memory.set_limit(limit_in_force(before(LinuxMemory::limit), in_force.memory));
        }
        _ => {}
    }
}

/// What the configuration says, unless something else is in force by now.
fn limit_in_force(stored: Option<i64>, in_force: Option<i64>) -> Option<i64> {
    let Some(bytes) = in_force else {
        return stored.filter(|&stored| stored == -1);
    };
    let is_rounded = |stored: &i64| (0..LARGEST_PAGE).contains(&stored.saturating_sub(bytes));
    stored.filter(is_rounded).or(in_force)
}

fn check_memory(resources: &LinuxResources) -> Result<()> {
    let Some(memory) = resources.memory() else {
        return Ok(());
    };
    let (Some(limit @ 1..), Some(swap @ 1..)) = (memory.limit(), memory.swap()) else {
        return Ok(());
    };
    if limit <= swap {
        return Ok(());
    }
    let problem = format!(
        "memory and swap together ({swap}) would be less than the memory limit ({limit}): give both, or -1 for \
         unlimited swap"
    );
    Err(Error::config(format!("{POINTER}/memory/swap"), problem))
}

/// A file that an earlier update or the configuration named has another value from now on.
fn forget_overridden(kept: &mut Value, given: &Value) {
    const FILES: [(&str, &str); 11] = [
        ("/cpu/quota", "cpu.max"),
        ("/cpu/period", "cpu.max"),
        ("/cpu/burst", "cpu.max.burst"),
        ("/cpu/shares", "cpu.weight"),
        ("/cpu/idle", "cpu.idle"),
        ("/cpu/cpus", "cpuset.cpus"),
        ("/cpu/mems", "cpuset.mems"),
        ("/memory/limit", "memory.max"),
        ("/memory/swap", "memory.swap.max"),
        ("/memory/reservation", "memory.low"),
        ("/pids/limit", "pids.max"),
    ];
    for (member, file) in FILES {
        if given.pointer(member).is_some() {
            remove(kept, "/unified", file);
        }
    }
}

/// Puts what is given over what was there. A member that is a list of entries gets those that it has not.
fn merge_value(kept: &mut Value, given: Value) {
    let (Some(kept), Value::Object(given)) = (kept.as_object_mut(), given) else {
        return;
    };
    for (name, value) in given {
        match (kept.get_mut(&name), value) {
            (Some(before @ Value::Object(_)), value @ Value::Object(_)) => {
                merge_value(before, value);
            }
            (Some(Value::Array(before)), Value::Array(entries)) if name != "devices" => {
                merge_entries(before, entries);
            }
            (_, value) => {
                kept.insert(name, value);
            }
        }
    }
}

fn merge_entries(before: &mut Vec<Value>, entries: Vec<Value>) {
    let key = |entry: &Value| {
        ["major", "minor", "pageSize", "name"].map(|member| entry.get(member).cloned())
    };
    for entry in entries {
        // Of several the last holds, as for whoever writes them in this order.
        match before.iter_mut().rfind(|there| key(there) == key(&entry)) {
            Some(there) => merge_value(there, entry),
            None => before.push(entry),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOTHING: InForce = InForce {
        memory: None,
        quota: None,
        period: None,
        idle: false,
    };

    fn merged(stored: Value, asked: Value, in_force: InForce) -> (Value, Value) {
        let asked = serde_json::from_value(asked).unwrap();
        let merged = merge(Some(&stored), &asked, in_force).unwrap();
        (serde_json::to_value(merged.written).unwrap(), merged.kept)
    }

    #[test]
    fn what_is_not_given_stays_as_it_is() {
        let stored =
            json!({"memory": {"limit": 7, "swappiness": 0}, "pids": {"limit": 20}, "strange": [1]});
        let (written, kept) = merged(stored.clone(), json!({"pids": {"limit": 0}}), NOTHING);
        assert_eq!(written, json!({"pids": {"limit": 0}}));
        let mut expected = stored;
        expected["pids"]["limit"] = json!(0);
        assert_eq!(kept, expected);
    }

    #[test]
    fn zero_is_not_given_where_the_kernel_has_no_such_value() {
        let stored = json!({"memory": {"limit": 7}, "cpu": {"shares": 8, "cpus": "0", "burst": 5}});
        let asked = json!({
            "memory": {"limit": 0, "swap": 0},
            "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "burst": 0, "idle": 0},
            "blockIO": {"weight": 0, "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 0}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 0}],
            "network": {"classID": 0},
            "unified": {"limit": "0"},
        });
        let (written, kept) = merged(stored, asked, NOTHING);
        assert_eq!(written["cpu"], json!({"burst": 0, "idle": 0}));
        assert_eq!(written["memory"], json!({}));
        assert_eq!(written["network"], json!({}));
        assert_eq!(kept["memory"], json!({"limit": 7}));
        assert_eq!(
            kept["cpu"],
            json!({"shares": 8, "cpus": "0", "burst": 0, "idle": 0})
        );
        assert_eq!(kept["blockIO"]["throttleReadBpsDevice"][0]["rate"], 0);
        assert_eq!(kept["hugepageLimits"][0]["limit"], 0);
    }

    #[test]
    fn quota_and_period_are_written_together_with_what_is_in_force() {
        let in_force = InForce {
            quota: Some(5000),
            period: Some(100_000),
            ..NOTHING
        };
        let stored = json!({"cpu": {"quota": 1}});
        let (written, kept) = merged(stored.clone(), json!({"cpu": {"period": 7000}}), in_force);
        assert_eq!(written, json!({"cpu": {"quota": 5000, "period": 7000}}));
        assert_eq!(kept, json!({"cpu": {"quota": 1, "period": 7000}}));
        let (written, _) = merged(stored.clone(), json!({"cpu": {"quota": -1}}), in_force);
        assert_eq!(written, json!({"cpu": {"quota": -1, "period": 100_000}}));
        let (written, _) = merged(stored, json!({"cpu": {"shares": 9}}), in_force);
        assert_eq!(written, json!({"cpu": {"shares": 9}}));
    }

    #[test]
    fn memory_and_swap_are_written_together() {
        let written = |stored: Value, asked: Value, in_force: Option<i64>| {
            let in_force = InForce {
                memory: in_force,
                ..NOTHING
            };
            merged(
                json!({"memory": stored}),
                json!({"memory": asked}),
                in_force,
            )
            .0["memory"]
                .take()
        };
        let both = json!({"limit": 60, "swap": 80});
        assert_eq!(
            written(json!({"limit": 10, "swap": 80}), json!({"limit": 60}), None),
            both
        );
        assert_eq!(
            written(json!({"limit": 60}), json!({"swap": 80}), Some(60)),
            both
        );
        assert_eq!(
            written(json!({"limit": 5000}), json!({"swap": 9000}), Some(4096)),
            json!({"limit": 5000, "swap": 9000}),
            "the kernel has rounded the limit"
        );
        assert_eq!(
            written(json!({"limit": 1}), json!({"swap": 9000}), Some(4096)),
            json!({"limit": 4096, "swap": 9000}),
            "the limit was changed behind the configuration"
        );
        assert_eq!(
            written(json!({}), json!({"swap": 80}), None),
            json!({"swap": 80})
        );
        assert_eq!(
            written(json!({"limit": -1}), json!({"swap": 80}), None),
            json!({"limit": -1, "swap": 80})
        );
    }

    #[test]
    fn unlimited_memory_takes_the_limit_of_swap_with_it() {
        let stored = json!({"memory": {"limit": 10, "swap": 80}});
        let (written, kept) = merged(stored, json!({"memory": {"limit": -1}}), NOTHING);
        assert_eq!(written, json!({"memory": {"limit": -1}}));
        assert_eq!(kept, json!({"memory": {"limit": -1}}));
    }

    #[test]
    fn a_memory_limit_above_that_of_memory_and_swap_is_refused() {
        let asked = serde_json::from_value(json!({"memory": {"limit": 90}})).unwrap();
        let error = merge(Some(&json!({"memory": {"swap": 80}})), &asked, NOTHING).unwrap_err();
        assert_eq!(error.origin(), Some("/linux/resources/memory/swap"));
    }

    #[test]
    fn whether_to_check_is_a_matter_of_one_update() {
        let (written, kept) = merged(
            json!({}),
            json!({"memory": {"limit": 9, "checkBeforeUpdate": true}}),
            NOTHING,
        );
        assert_eq!(written["memory"]["checkBeforeUpdate"], true);
        assert_eq!(kept, json!({"memory": {"limit": 9}}));
        let stored = json!({"memory": {"checkBeforeUpdate": true}});
        let (written, _) = merged(stored.clone(), json!({"memory": {"limit": 9}}), NOTHING);
        assert_eq!(written["memory"]["checkBeforeUpdate"], true);
        let asked = json!({"memory": {"limit": 9, "checkBeforeUpdate": false}});
        let (written, kept) = merged(stored, asked, NOTHING);
        assert_eq!(written["memory"]["checkBeforeUpdate"], false);
        assert_eq!(kept["memory"]["checkBeforeUpdate"], true);
    }

    #[test]
    fn entries_replace_those_for_the_same_thing_and_come_after_the_others() {
        let device = |minor: u32, rate: u32| json!({"major": 8, "minor": minor, "rate": rate});
        let list = |devices: &[Value]| json!({"blockIO": {"throttleReadBpsDevice": devices}});
        let stored = list(&[device(0, 1), device(0, 2), device(1, 3)]);
        let asked = list(&[device(0, 9), device(2, 9)]);
        let (written, kept) = merged(stored, asked.clone(), NOTHING);
        assert_eq!(written, asked, "others are in force already");
        let expected = list(&[device(0, 1), device(0, 9), device(1, 3), device(2, 9)]);
        assert_eq!(kept, expected);
        let stored = json!({"unified": {"memory.high": "1"}, "rdma": {"a": {"hcaHandles": 1}}});
        let asked = json!({"unified": {"pids.max": "2"}, "rdma": {"a": {"hcaObjects": 2}}});
        let (_, kept) = merged(stored, asked, NOTHING);
        assert_eq!(
            kept["unified"],
            json!({"memory.high": "1", "pids.max": "2"})
        );
        assert_eq!(kept["rdma"]["a"], json!({"hcaHandles": 1, "hcaObjects": 2}));
    }

    #[test]
    fn what_unified_said_before_is_forgotten_where_a_limit_is_given() {
        let stored = json!({"unified": {"cpu.max": "1 2", "memory.high": "3"}});
        let (_, kept) = merged(stored, json!({"cpu": {"quota": 9}}), NOTHING);
        assert_eq!(kept["unified"], json!({"memory.high": "3"}));
    }

    #[test]
    fn a_container_that_is_idle_no_longer_has_its_weight_again() {
        let stored = json!({"cpu": {"shares": 512, "idle": 1}});
        let idle = InForce {
            idle: true,
            ..NOTHING
        };
        let (written, kept) = merged(stored.clone(), json!({"cpu": {"idle": 0}}), idle);
        assert_eq!(written, json!({"cpu": {"shares": 512, "idle": 0}}));
        assert_eq!(kept, written);
        let (written, _) = merged(stored, json!({"cpu": {"idle": 0}}), NOTHING);
        assert_eq!(written, json!({"cpu": {"idle": 0}}));
    }

    #[test]
    fn device_rules_are_replaced_and_written_only_when_they_change() {
        let none = json!({"allow": false, "access": "rwm"});
        let some = json!({"allow": true, "type": "c", "major": 1, "minor": 11, "access": "r"});
        let stored = json!({"devices": [none]});
        let (written, _) = merged(stored.clone(), stored.clone(), NOTHING);
        assert_eq!(written, json!({}));
        let asked = json!({"devices": [none, some]});
        let (written, kept) = merged(stored, asked.clone(), NOTHING);
        assert_eq!((&written, &kept), (&asked, &asked));
    }

    #[test]
    fn a_configuration_without_resources_gets_them() {
        let asked = serde_json::from_value(json!({"pids": {"limit": 5}})).unwrap();
        let merged = merge(None, &asked, NOTHING).unwrap();
        assert_eq!(merged.kept, json!({"pids": {"limit": 5}}));
    }
}
