//! `org.systemd.property.*` annotations: properties that the configuration gives the unit itself.

use std::collections::HashMap;

use super::property::Property;
use super::text;
use super::value::Value;
use crate::annotations::SYSTEMD_PROPERTY as PREFIX;
use crate::cgroup::{CgroupError, pointer_token};

const MICROSECONDS: u64 = 1_000_000;

/// The properties, by name: a map has no order, and the same configuration gives the same plan.
pub(super) fn properties(
    annotations: &HashMap<String, String>,
) -> Result<Vec<Property>, CgroupError> {
    let mut named: Vec<_> = annotations
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(PREFIX)?, value)))
        .collect();
    named.sort();
    named
        .into_iter()
        .map(|(name, value)| {
            let pointer = format!("/annotations/{PREFIX}{}", pointer_token(name));
            property(name, value)
                .map(|(name, value)| Property::new(name, value, pointer.clone()))
                .map_err(|problem| CgroupError::refused(pointer, problem))
        })
        .collect()
}

fn property(name: &str, value: &str) -> Result<(String, Value), String> {
    if name.len() < 3 || !name.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        return Err(format!(
            "{name:?} is not the name of a property: at least three letters, and nothing else"
        ));
    }
    let parsed = text::parse(value).map_err(|problem| {
        format!("{value:?} is not a value in GVariant's text format: {problem}")
    })?;
    // As in unit files, where TimeoutStopSec is what D-Bus has as TimeoutStopUSec.
    let stem = name
        .strip_suffix("Sec")
        .filter(|stem| stem.ends_with(|c: char| c.is_ascii_lowercase()));
    match stem {
        Some(stem) => Ok((format!("{stem}USec"), microseconds(&parsed)?)),
        None => Ok((name.to_owned(), parsed)),
    }
}

fn microseconds(seconds: &Value) -> Result<Value, String> {
    let whole = match *seconds {
        Value::Byte(value) => Some(value.into()),
        Value::Uint16(value) => Some(value.into()),
        Value::Uint32(value) => Some(value.into()),
        Value::Uint64(value) => Some(value),
        Value::Int16(value) => u64::try_from(value).ok(),
        Value::Int32(value) => u64::try_from(value).ok(),
        Value::Int64(value) => u64::try_from(value).ok(),
        Value::Double(value) => {
            let fits = (0.0..=1e12).contains(&value);
            let microseconds = (value * MICROSECONDS as f64) as u64;
            return fits
                .then_some(Value::Uint64(microseconds))
                .ok_or_else(|| not_a_time(seconds));
        }
        _ => return Err("not a number of seconds".to_owned()),
    };
    let microseconds = whole.and_then(|seconds| seconds.checked_mul(MICROSECONDS));
    microseconds
        .map(Value::Uint64)
        .ok_or_else(|| not_a_time(seconds))
}

fn not_a_time(seconds: &Value) -> String {
    format!("{seconds} seconds are no time that systemd knows")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(name: &str, value: &str) -> Result<String, (String, String)> {
        let annotations = HashMap::from([
            (format!("{PREFIX}{name}"), value.to_owned()),
            ("com.example".to_owned(), "1".to_owned()),
        ]);
        match properties(&annotations) {
            Ok(properties) => Ok(properties
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join(" ")),
            Err(error) => Err((error.pointer().to_owned(), error.to_string())),
        }
    }

    #[test]
    fn annotations_become_properties() {
        assert_eq!(
            only("CollectMode", "'inactive-or-failed'").unwrap(),
            "CollectMode=\"inactive-or-failed\""
        );
        assert_eq!(
            only("After", "['a.service', 'b.service']").unwrap(),
            "After=[\"a.service\", \"b.service\"]"
        );
    }

    #[test]
    fn seconds_become_microseconds() {
        assert_eq!(
            only("TimeoutStopSec", "uint64 3").unwrap(),
            "TimeoutStopUSec=uint64 3000000"
        );
        assert_eq!(
            only("TimeoutStopSec", "0.5").unwrap(),
            "TimeoutStopUSec=uint64 500000"
        );
        assert_eq!(
            only("TimeoutStopUSec", "uint64 3").unwrap(),
            "TimeoutStopUSec=uint64 3"
        );
        // Of these the letter before is none of a unit of time's.
        assert_eq!(only("FooBARSec", "3").unwrap(), "FooBARSec=3");
        for value in ["-1", "'3'", "true", "-0.5", "uint64 18446744073709551615"] {
            let (pointer, _) = only("TimeoutStopSec", value).unwrap_err();
            assert_eq!(
                pointer, "/annotations/org.systemd.property.TimeoutStopSec",
                "{value}"
            );
        }
    }

    #[test]
    fn a_name_that_is_none_and_a_value_that_is_none_are_refused() {
        for name in ["", "ab", "Foo1", "Foo-Bar", "Ünit"] {
            let (_, problem) = only(name, "true").unwrap_err();
            assert!(
                problem.contains("is not the name of a property"),
                "{problem}"
            );
        }
        let (pointer, problem) = only("Foo/Bar", "true").unwrap_err();
        assert_eq!(pointer, "/annotations/org.systemd.property.Foo~1Bar");
        assert!(problem.contains("is not the name"));
        let (_, problem) = only("Description", "web").unwrap_err();
        assert!(
            problem.contains("\"web\" is neither a value nor a type"),
            "{problem}"
        );
    }
}
