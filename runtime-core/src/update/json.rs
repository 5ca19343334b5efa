//! `linux.resources` as an update has it in JSON: a part of it is enough, and engines that are written in Go take names in
//! any case, as Go's parser does.

use oci_spec::runtime::LinuxResources;
use serde_json::{Map, Value};

use super::POINTER;
use crate::bundle::explain_value;
use crate::error::{Error, Result};

/// All members of `linux.resources`, at any depth: config-linux.md, "Control Groups".
const MEMBERS: &[&str] = &[
    "access",
    "allow",
    "blockIO",
    "burst",
    "checkBeforeUpdate",
    "classID",
    "cpu",
    "cpus",
    "devices",
    "disableOOMKiller",
    "hcaHandles",
    "hcaObjects",
    "hugepageLimits",
    "idle",
    "kernel",
    "kernelTCP",
    "leafWeight",
    "limit",
    "major",
    "memory",
    "mems",
    "minor",
    "name",
    "network",
    "pageSize",
    "period",
    "pids",
    "priorities",
    "priority",
    "quota",
    "rate",
    "rdma",
    "realtimePeriod",
    "realtimeRuntime",
    "reservation",
    "shares",
    "swap",
    "swappiness",
    "throttleReadBpsDevice",
    "throttleReadIOPSDevice",
    "throttleWriteBpsDevice",
    "throttleWriteIOPSDevice",
    "type",
    "unified",
    "useHierarchy",
    "weight",
    "weightDevice",
];

/// Parses resources as `update --resources` has them in a file: what `linux.resources` is in `config.json`, or a part of it.
/// Members that nobody knows are left out with a warning (config.md, "Extensibility").
///
/// ```
/// let resources = runtime_core::parse_resources(br#"{"memory": {"limit": 67108864}}"#)?;
/// assert_eq!(resources.memory().unwrap().limit(), Some(64 << 20));
/// # Ok::<(), runtime_core::Error>(())
/// ```
///
/// # Errors
///
/// [`crate::ErrorKind::InvalidConfig`] when it is not JSON or has a value of the wrong shape, whose JSON pointer is the
/// error's origin, as in `config.json`.
pub fn parse_resources(text: &[u8]) -> Result<LinuxResources> {
    let resources: Value =
        serde_json::from_slice(text).map_err(|cause| Error::config("", cause.to_string()))?;
    let mut resources = respelled(resources, POINTER);
    if let Some(members) = resources.as_object_mut() {
        // For the parser an absent limit is 0, which is a limit.
        let is_limit = |pids: &Value| pids.get("limit").is_some();
        if members.get("pids").is_some_and(|pids| !is_limit(pids)) {
            members.remove("pids");
        }
    }
    serde_path_to_error::deserialize(resources).map_err(|error| explain_value(POINTER, &error))
}

/// The value in the specification's spelling, without what is null or unknown.
fn respelled(value: Value, pointer: &str) -> Value {
    match value {
        Value::Object(members) => Value::Object(respelled_members(members, pointer)),
        Value::Array(elements) => elements
            .into_iter()
            .enumerate()
            .map(|(number, element)| respelled(element, &format!("{pointer}/{number}")))
            .collect(),
        other => other,
    }
}

fn respelled_members(members: Map<String, Value>, pointer: &str) -> Map<String, Value> {
    // The names in these are files and devices.
    let verbatim = ["unified", "rdma"]
        .iter()
        .any(|map| pointer == format!("{POINTER}/{map}"));
    let mut result = Map::new();
    for (given, value) in members.into_iter().filter(|(_, value)| !value.is_null()) {
        let known = MEMBERS
            .iter()
            .find(|member| member.eq_ignore_ascii_case(&given));
        let name = match known {
            _ if verbatim => given,
            Some(known) => (*known).to_owned(),
            None => {
                tracing::warn!("{pointer}/{given}: there is no such member: left out");
                continue;
            }
        };
        let value = respelled(value, &format!("{pointer}/{name}"));
        result.insert(name, value);
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn parsed(text: &str) -> LinuxResources {
        parse_resources(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_are_taken_in_any_case_and_a_part_is_enough() {
        let resources = parsed(r#"{"CPU": {"Cpus": "1", "realtimeperiod": 7}, "blockio": {}}"#);
        let cpu = resources.cpu().as_ref().unwrap();
        assert_eq!(cpu.cpus().as_deref(), Some("1"));
        assert_eq!(cpu.realtime_period(), Some(7));
        assert!(resources.memory().is_none());
    }

    #[test]
    fn every_member_of_the_specification_is_known() {
        let text = r#"{
            "devices": [{"allow": true, "type": "c", "major": 1, "minor": 3, "access": "rwm"}],
            "memory": {"limit": 1, "reservation": 1, "swap": 1, "kernel": 1, "kernelTCP": 1, "swappiness": 1,
                       "disableOOMKiller": true, "useHierarchy": true, "checkBeforeUpdate": true},
            "cpu": {"shares": 2, "quota": 1, "burst": 1, "period": 1, "realtimeRuntime": 1, "realtimePeriod": 1,
                    "cpus": "0", "mems": "0", "idle": 1},
            "pids": {"limit": 1},
            "blockIO": {"weight": 10, "leafWeight": 10,
                        "weightDevice": [{"major": 8, "minor": 0, "weight": 10, "leafWeight": 10}],
                        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
                        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 1}],
                        "throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 1}],
                        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 1}]},
            "hugepageLimits": [{"pageSize": "2MB", "limit": 1}],
            "network": {"classID": 1, "priorities": [{"name": "eth0", "priority": 1}]},
            "rdma": {"Mlx5_1": {"hcaHandles": 1, "hcaObjects": 1}},
            "unified": {"Memory.high": "1"}
        }"#;
        let given: Value = serde_json::from_str(text).unwrap();
        assert_eq!(respelled(given.clone(), POINTER), given);
        assert_eq!(serde_json::to_value(parsed(text)).unwrap(), given);
    }

    #[test]
    fn nothing_and_nulls_and_strangers_change_nothing() {
        let text =
            r#"{"pids": {}, "memory": {"limit": null}, "cpu": null, "strange": {"limit": 1}}"#;
        let resources = parsed(text);
        assert!(resources.pids().is_none() && resources.cpu().is_none());
        assert_eq!(resources.memory().unwrap().limit(), None);
        assert_eq!(
            parsed(r#"{"pids": {"limit": 0}}"#).pids().unwrap().limit(),
            0
        );
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_named_by_its_pointer() {
        let error = parse_resources(br#"{"memory": {"limit": "64M"}}"#).unwrap_err();
        assert_eq!(error.origin(), Some("/linux/resources/memory/limit"));
        let error = parse_resources(b"memory").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }
}
