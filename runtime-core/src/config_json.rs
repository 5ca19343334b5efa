//! `config.json` and `process.json` as text: where the types of oci-spec take less than the specification allows, or
//! call a thing otherwise, the text is set right before it is read.

use oci_spec::runtime::{Capability, Process, Spec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};

/// Scheduler flags whose names oci-spec 0.10 derives wrongly, with what it calls them.
const MISSPELT_SCHEDULER_FLAGS: [(&str, &str); 2] = [
    ("SCHED_FLAG_RESET_ON_FORK", "SCHED_RESET_ON_FORK"),
    ("SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_D_L_OVERRUN"),
];

/// Reads `config.json`.
pub(crate) fn parse_spec(text: &[u8]) -> Result<Spec> {
    parse(text, |config| {
        let process = config.pointer_mut("/process");
        process.is_some_and(|process| set_right(process, "/process"))
    })
}

/// Reads a process as `config.json` has it under `process`, and as engines hand it to `exec`. One without a user is
/// root's.
///
/// # Errors
///
/// [`crate::ErrorKind::InvalidConfig`] when it is not JSON or has a value of the wrong shape; the origin is the JSON pointer
/// of that value.
///
/// ```
/// let process = runtime_core::parse_process(br#"{"cwd": "/", "args": ["ls"]}"#)?;
/// assert_eq!(process.user().uid(), 0);
/// # Ok::<(), runtime_core::Error>(())
/// ```
pub fn parse_process(text: &[u8]) -> Result<Process> {
    parse(text, |process| {
        let changed = set_right(process, "");
        let Some(members) = process.as_object_mut() else {
            return changed;
        };
        let without_user = !members.contains_key("user");
        if without_user {
            members.insert("user".to_owned(), serde_json::json!({"uid": 0, "gid": 0}));
        }
        changed || without_user
    })
}

/// A first parse takes the fast way; only when it fails is the text looked at more closely, and what is wrong explained.
fn parse<T: DeserializeOwned>(text: &[u8], set_right: impl Fn(&mut Value) -> bool) -> Result<T> {
    serde_json::from_slice(text).or_else(|first| {
        let Ok(mut value) = serde_json::from_slice::<Value>(text) else {
            return Err(Error::config("", first.to_string()));
        };
        if !set_right(&mut value) {
            // From the text, not from its values: the error then has the line and column.
            return explain(&mut serde_json::Deserializer::from_slice(text));
        }
        explain(value)
    })
}

/// The value, or an error with the JSON pointer of what is wrong.
fn explain<'de, T: Deserialize<'de>, D: serde::Deserializer<'de>>(json: D) -> Result<T>
where
    D::Error: std::fmt::Display,
{
    serde_path_to_error::deserialize(json)
        .map_err(|error| Error::config(json_pointer(error.path()), error.inner().to_string()))
}

/// Tells whether anything was changed in the process, which stands at this pointer.
fn set_right(process: &mut Value, pointer: &str) -> bool {
    let renamed = rename_scheduler_flags(process);
    drop_unknown_capabilities(process, pointer) || renamed
}

fn rename_scheduler_flags(process: &mut Value) -> bool {
    let flags = process.pointer_mut("/scheduler/flags");
    let mut changed = false;
    for flag in flags.and_then(Value::as_array_mut).into_iter().flatten() {
        let known = MISSPELT_SCHEDULER_FLAGS
            .iter()
            .find(|(name, _)| flag.as_str() == Some(name));
        if let Some((_, misspelt)) = known {
            *flag = Value::from(*misspelt);
            changed = true;
        }
    }
    changed
}

/// Capabilities that nobody knows are left out with a warning, as config.md wants it ("Linux Process"); for the parser
/// they are an error.
fn drop_unknown_capabilities(process: &mut Value, pointer: &str) -> bool {
    let sets = process.pointer_mut("/capabilities");
    let mut changed = false;
    for (set, names) in sets.and_then(Value::as_object_mut).into_iter().flatten() {
        let Some(names) = names.as_array_mut() else {
            continue;
        };
        names.retain(|name| {
            // What is no name at all is the parser's to refuse.
            let known = !name.is_string() || Capability::deserialize(name).is_ok();
            if !known {
                tracing::warn!(
                    "{pointer}/capabilities/{set}: {name} is not a capability: left out"
                );
                changed = true;
            }
            known
        });
    }
    changed
}

/// RFC 6901, from the path that the parser was on.
fn json_pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .fold(String::new(), |pointer, segment| match segment {
            Segment::Seq { index } => format!("{pointer}/{index}"),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"))
            }
            Segment::Unknown => pointer,
        })
}

#[cfg(test)]
mod tests {
    use oci_spec::runtime::LinuxSchedulerFlag;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_value_of_the_wrong_shape_is_named_by_its_pointer() {
        let error = parse_spec(
            br#"{"ociVersion":"1.0.2","process":{"cwd":"/","user":{"uid":"zero","gid":0}}}"#,
        )
        .unwrap_err();
        assert_eq!(error.origin(), Some("/process/user/uid"));
        assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    }

    #[test]
    fn a_value_of_the_wrong_shape_is_named_beside_what_was_set_right() {
        let error = parse_spec(
            br#"{"ociVersion":"1.0.2","process":{"cwd":"/","user":{"uid":"zero","gid":0},
            "capabilities":{"bounding":["CAP_NONESUCH"]}}}"#,
        )
        .unwrap_err();
        assert_eq!(error.origin(), Some("/process/user/uid"));
    }

    #[test]
    fn a_capability_that_nobody_knows_is_left_out() {
        let text = br#"{"ociVersion":"1.0.2","process":{"cwd":"/","user":{"uid":0,"gid":0},
            "capabilities":{"bounding":["CAP_KILL","CAP_NONESUCH"]}}}"#;
        let spec = parse_spec(text).unwrap();
        let capabilities = spec
            .process()
            .as_ref()
            .and_then(|process| process.capabilities().as_ref());
        let bounding = capabilities
            .and_then(|sets| sets.bounding().as_ref())
            .unwrap();
        assert_eq!(bounding.len(), 1);
    }

    #[test]
    fn scheduler_flags_have_the_specifications_names() {
        let text = br#"{"cwd": "/", "scheduler": {"policy": "SCHED_DEADLINE",
            "flags": ["SCHED_FLAG_RESET_ON_FORK", "SCHED_FLAG_DL_OVERRUN"]}}"#;
        let process = parse_process(text).unwrap();
        let flags = process
            .scheduler()
            .as_ref()
            .and_then(|scheduler| scheduler.flags().clone());
        let expected = vec![
            LinuxSchedulerFlag::SchedResetOnFork,
            LinuxSchedulerFlag::SchedFlagDLOverrun,
        ];
        assert_eq!(flags, Some(expected));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_position() {
        let error = parse_spec(b"{\"ociVersion\": ").unwrap_err();
        assert!(error.to_string().contains("line 1"), "{error}");
    }
}
