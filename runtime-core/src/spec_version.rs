//! `ociVersion`: which configurations this runtime understands.

use oci_spec::runtime::Spec;

use crate::error::{Error, Result};

/// The version of the specification that the library implements.
pub const SPEC_VERSION: &str = "1.3.0";

/// Any 1.x is understood: within a major version the specification only adds (spec.md, semantic versioning).
pub(crate) fn check(spec: &Spec) -> Result<()> {
    let version = spec.version();
    let numbers = version.split(['-', '+']).next().unwrap_or_default();
    let parts: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some([1, _, _]) => Ok(()),
        Some([_, _, _]) => Err(Error::config(
            "/ociVersion",
            format!("version {version} of the specification is not supported: 1.x is"),
        )),
        _ => Err(Error::config(
            "/ociVersion",
            format!("{version:?} is not a version (SemVer 2.0.0)"),
        )),
    }
}
