//! `process` as it stands in JSON, where the specification takes what the parser does not.

use oci_spec::runtime::{Capability, Process};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::bundle::explain_value;
use crate::error::{Error, Result};
use crate::scheduler;

/// Parses a process as `exec --process` has it in a file: what `process` is in `config.json`. One without a user is root's.
///
/// ```
/// let process = runtime_core::parse_process(br#"{"args": ["ps"], "cwd": "/"}"#)?;
/// assert_eq!(process.user().uid(), 0);
/// # Ok::<(), runtime_core::Error>(())
/// ```
///
/// # Errors
///
/// [`crate::ErrorKind::InvalidConfig`] when it is not JSON or has a value of the wrong shape, whose JSON pointer is the
/// error's origin, as in `config.json`.
pub fn parse_process(text: &[u8]) -> Result<Process> {
    let mut process: Value =
        serde_json::from_slice(text).map_err(|cause| Error::config("", cause.to_string()))?;
    if let Some(members) = process.as_object_mut() {
        members
            .entry("user")
            .or_insert_with(|| json!({"uid": 0, "gid": 0}));
    }
    respell(&mut process);
    serde_path_to_error::deserialize(process).map_err(|error| explain_value("/process", &error))
}

/// Changes what the parser would not take to what it does, and says whether there was any of it.
pub(crate) fn respell(process: &mut Value) -> bool {
    let changes = [
        leave_out_unknown_capabilities(process),
        respell_scheduler_flags(process),
        leave_out_empty_affinity(process),
    ];
    changes.contains(&true)
}

/// Capabilities that nobody knows are left out with a warning, as config.md wants it ("Linux Process"); for the parser
/// they are an error.
fn leave_out_unknown_capabilities(process: &mut Value) -> bool {
    let sets = process
        .get_mut("capabilities")
        .and_then(Value::as_object_mut);
    let mut changed = false;
    for (set, names) in sets.into_iter().flatten() {
        let Some(names) = names.as_array_mut() else {
            continue;
        };
        names.retain(|name| {
            let known = !name.is_string() || Capability::deserialize(name).is_ok();
            if !known {
                tracing::warn!("/process/capabilities/{set}: {name} is not a capability: left out");
            }
            changed |= !known;
            known
        });
    }
    changed
}

/// The parser has names of its own for two of the specification's flags.
fn respell_scheduler_flags(process: &mut Value) -> bool {
    let flags = process.pointer_mut("/scheduler/flags");
    let flags = flags.and_then(Value::as_array_mut).into_iter().flatten();
    let mut changed = false;
    for flag in flags {
        let row = scheduler::FLAGS.iter().find(|(name, ..)| *flag == **name);
        if let Some(name) = row.and_then(|(_, known, _)| serde_json::to_value(known).ok()) {
            changed |= *flag != name;
            *flag = name;
        }
    }
    changed
}

/// An empty list of CPUs is none (config.md, "Linux Process").
fn leave_out_empty_affinity(process: &mut Value) -> bool {
    let affinity = process
        .get_mut("execCPUAffinity")
        .and_then(Value::as_object_mut);
    let Some(affinity) = affinity else {
        return false;
    };
    let before = affinity.len();
    affinity.retain(|_, list| *list != "");
    affinity.len() != before
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(members: Value) -> Result<Process> {
        let mut process = json!({"cwd": "/", "args": ["true"]});
        if let (Some(process), Value::Object(members)) = (process.as_object_mut(), members) {
            process.extend(members);
        }
        parse_process(process.to_string().as_bytes())
    }

    #[test]
    fn every_scheduler_flag_of_the_specification_is_known() {
        for (name, flag, _) in scheduler::FLAGS {
            let process =
                parsed(json!({"scheduler": {"policy": "SCHED_OTHER", "flags": [name]}})).unwrap();
            let scheduler = process.scheduler().clone().unwrap();
            assert_eq!(scheduler.flags().as_deref(), Some([flag].as_slice()));
        }
    }

    #[test]
    fn an_unknown_scheduler_flag_is_refused_with_the_specifications_names() {
        let scheduler = json!({"policy": "SCHED_OTHER", "flags": ["SCHED_FLAG_RECLAIM", "X"]});
        let error = parsed(json!({"scheduler": scheduler})).unwrap_err();
        assert_eq!(error.origin(), Some("/process/scheduler/flags/1"));
        assert!(
            error.to_string().contains("SCHED_FLAG_DL_OVERRUN"),
            "{error}"
        );
    }

    #[test]
    fn an_empty_list_of_cpus_is_no_list() {
        let process = parsed(json!({"execCPUAffinity": {"initial": "", "final": "0-1"}})).unwrap();
        let affinity = process.exec_cpu_affinity().clone().unwrap();
        assert_eq!(affinity.initial(), &None);
        assert_eq!(affinity.cpu_affinity_final().as_deref(), Some("0-1"));
    }

    #[test]
    fn a_process_has_its_unknown_capabilities_left_out_and_its_own_mistakes_named() {
        let capabilities = json!({"bounding": ["CAP_KILL", "CAP_NONESUCH"]});
        let process = parsed(json!({"capabilities": capabilities})).unwrap();
        let sets = process.capabilities().clone().unwrap();
        assert_eq!(sets.bounding().as_ref().unwrap().len(), 1);
        let mistake = json!({"capabilities": capabilities, "oomScoreAdj": "high"});
        assert_eq!(
            parsed(mistake).unwrap_err().origin(),
            Some("/process/oomScoreAdj")
        );
    }
}
