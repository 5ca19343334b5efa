//! What holds of an update whatever bytes come in: see [`crate::fuzzing`].
#![allow(
    clippy::expect_used,
    reason = "a panic is how a target says that something does not hold"
)]

use oci_spec::runtime::LinuxResources;
use serde_json::Value;

use super::merge::{merge, typed};
use super::parse_resources;
use crate::cgroup::{self, Asked, InForce};
use crate::error::ErrorKind;

/// The resources of an `update`, as `--resources` has them in a file, become writes to the cgroup of a container, or an
/// error that names a JSON pointer; what is kept of them holds after the same update again.
pub fn resources(bytes: &[u8]) {
    let asked = match parse_resources(bytes) {
        Ok(asked) => asked,
        Err(error) => return assert_eq!(error.kind(), ErrorKind::InvalidConfig, "{error:?}"),
    };
    for in_force in [
        InForce::default(),
        InForce {
            memory: Some(64 << 20),
            quota: Some(5000),
            period: Some(100_000),
            idle: true,
        },
    ] {
        let Some(kept) = change(None, &asked, in_force) else {
            continue;
        };
        if let Some(again) = change(Some(&kept), &asked, in_force) {
            assert_eq!(again, kept);
        }
    }
}

/// What is kept in the configuration after an update.
fn change(before: Option<&Value>, asked: &LinuxResources, in_force: InForce) -> Option<Value> {
    let merged = match merge(before, asked, in_force) {
        Ok(merged) => merged,
        Err(error) => {
            assert!(error.origin().is_some(), "{error:?}");
            return None;
        }
    };
    let kept = typed(merged.kept.clone()).expect("what is kept can be read");
    for (cgroup, layout) in cgroup::fuzzing::cgroups() {
        let asked = Asked {
            resources: &merged.written,
            kept: &kept,
            devices: &[],
            in_force,
        };
        match cgroup::compile_update(&cgroup, &layout, &asked) {
            Ok(update) => assert!(!format!("{update:?}").is_empty()),
            Err(error) => assert!(error.pointer().starts_with("/linux/"), "{error:?}"),
        }
    }
    Some(merged.kept)
}
