//! What holds of units whatever bytes come in: see [`crate::fuzzing`].
#![allow(
    clippy::expect_used,
    reason = "a panic is how a target says that something does not hold"
)]

use std::path::{Component, Path};

use super::name::Names;
use super::text::parse;
use super::{Manager, Systemd};

/// A `cgroupsPath` names a unit and a place below the hierarchy's root, and a property's value is sent as it is shown.
pub fn systemd_unit(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for line in text.lines() {
        value(line);
        for manager in [Manager::System, Manager::User] {
            let systemd = Systemd {
                manager,
                version: 252,
                control_group: "/user.slice/user-1000.slice/user@1000.service".into(),
            };
            for path in [Some(Path::new(line)), None] {
                if let Ok(names) = Names::new(path, "web", &systemd) {
                    assert_has_a_place(&names);
                }
            }
        }
    }
}

fn assert_has_a_place(names: &Names) {
    assert!((1..=255).contains(&names.unit.len()), "{names:?}");
    assert!(!names.unit.contains('/'), "{names:?}");
    let mut parts = names.path.components();
    let is_below = parts.all(|part| matches!(part, Component::Normal(_)));
    assert!(is_below && names.path.ends_with(&names.unit), "{names:?}");
}

fn value(text: &str) {
    let Ok(value) = parse(text) else {
        return;
    };
    let shown = value.to_string();
    let again = parse(&shown);
    assert_eq!(again.as_ref(), Ok(&value), "{text:?} is shown as {shown}");
    let again = again.expect("it was just compared");
    assert_eq!(again.to_wire().ok(), value.to_wire().ok(), "{shown}");
}
