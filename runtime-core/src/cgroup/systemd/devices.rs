//! Which devices a unit may use: `DevicePolicy` and `DeviceAllow` (systemd.resource-control(5)).
//!
//! The runtime's own filter decides in any case. What systemd is told is for `systemctl daemon-reload`, after which it
//! puts its own rules in force again, beside that filter (version 2) or in its place (version 1).

use super::property::Property;
use super::value::Value;
use crate::cgroup::Mode;
use crate::cgroup::devices::{Kind, Match, POINTER, Rules};

/// The first version that takes devices which it has no file for, and `char-MAJOR` (systemd's NEWS, 240).
const NUMBERS: u32 = 240;

pub(super) fn properties(rules: &Rules, mode: Mode, version: u32) -> Vec<Property> {
    let entries: Vec<_> = rules
        .order
        .iter()
        .filter_map(|device| Some((device, rules.exceptions.get(device)?.0)))
        .map(|(device, access)| entry(device, version).map(|path| (path, access.to_string())))
        .collect();
    let is_complete = entries.iter().all(Option::is_some);
    let restricted = match (rules.allow, mode) {
        (true, _) if entries.is_empty() => false,
        // A list of what is denied, or a device that systemd has no name for: nothing is lost where its rules come in
        // addition, and it would allow all where they come instead.
        (true, Mode::V2) => false,
        (false, Mode::V2) => is_complete,
        (_, Mode::V1 | Mode::Hybrid) => true,
    };
    // The list of an existing unit is emptied first, as every other assignment adds to it.
    let mut properties = vec![
        property("DeviceAllow", Value::pairs([])),
        property(
            "DevicePolicy",
            Value::text(if restricted { "strict" } else { "auto" }),
        ),
    ];
    if restricted && !rules.allow {
        let allowed = entries.into_iter().flatten();
        properties.push(property("DeviceAllow", Value::pairs(allowed)));
    }
    properties
}

fn property(name: &'static str, value: Value) -> Property {
    Property::new(name, value, POINTER)
}

/// The devices as systemd names them; nothing where it cannot.
fn entry(device: &Match, version: u32) -> Option<String> {
    let kind = match device.kind {
        Kind::Block => "block",
        Kind::Character => "char",
    };
    match (device.major, device.minor) {
        (Some(major), Some(minor)) => Some(format!("/dev/{kind}/{major}:{minor}")),
        (Some(major), None) => (version >= NUMBERS).then(|| format!("{kind}-{major}")),
        (None, None) => Some(format!("{kind}-*")),
        (None, Some(_)) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn lines(rules: Json, mode: Mode, version: u32) -> Vec<String> {
        let rules: Vec<_> = serde_json::from_value(rules).unwrap();
        let rules = Rules::from_config(&rules, &[]).unwrap();
        let properties = properties(&rules, mode, version);
        properties.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_allow_list_is_one_for_systemd_too() {
        let rules = json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "major": 10, "minor": 229, "access": "rw"},
            {"allow": true, "type": "b", "major": 8, "access": "r"},
        ]);
        for mode in [Mode::V1, Mode::Hybrid, Mode::V2] {
            let lines = lines(rules.clone(), mode, 252);
            assert_eq!(
                lines[..2],
                ["DeviceAllow=@a(ss) []", "DevicePolicy=\"strict\""]
            );
            let [_, _, allowed] = lines.as_slice() else {
                panic!("{lines:?}")
            };
            for entry in [
                "(\"/dev/char/10:229\", \"rw\")",
                "(\"block-8\", \"r\")",
                "(\"char-*\", \"m\")",
                "(\"block-*\", \"m\")",
                "(\"/dev/char/1:3\", \"rwm\")",
                "(\"char-136\", \"rwm\")",
            ] {
                assert!(allowed.contains(entry), "{entry}: {allowed}");
            }
        }
    }

    #[test]
    fn where_everything_is_allowed_there_is_no_policy() {
        let rules = json!([{"allow": true, "access": "rwm"}]);
        for mode in [Mode::V1, Mode::V2] {
            assert_eq!(
                lines(rules.clone(), mode, 252),
                ["DeviceAllow=@a(ss) []", "DevicePolicy=\"auto\""]
            );
        }
    }

    #[test]
    fn what_systemd_cannot_say_is_left_to_the_filter_that_stays_and_denied_where_none_does() {
        let denied = json!([
            {"allow": true, "access": "rwm"},
            {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rw"},
        ]);
        let nameless = json!([
            {"allow": false, "access": "rwm"},
            {"allow": true, "type": "c", "minor": 5, "access": "rw"},
        ]);
        for rules in [denied.clone(), nameless.clone()] {
            assert_eq!(
                lines(rules, Mode::V2, 252),
                ["DeviceAllow=@a(ss) []", "DevicePolicy=\"auto\""]
            );
        }
        assert_eq!(
            lines(denied, Mode::V1, 252),
            ["DeviceAllow=@a(ss) []", "DevicePolicy=\"strict\""]
        );
        let lines = lines(nameless, Mode::V1, 252);
        assert!(
            lines[1].contains("strict") && lines[2].contains("char-*") && !lines[2].contains("*:5")
        );
    }

    #[test]
    fn an_old_systemd_has_no_names_for_whole_majors() {
        let lines = lines(json!([]), Mode::V1, 239);
        assert!(
            lines[2].contains("/dev/char/1:3") && !lines[2].contains("char-136"),
            "{lines:?}"
        );
    }
}
