//! `ociVersion`: which configurations this runtime understands.

use oci_spec::runtime::Spec;

use crate::error::{Error, Result};

/// The version of the specification that the library implements.
pub const SPEC_VERSION: &str = "1.3.0";

/// The first version that it understands.
pub(crate) const OLDEST_SPEC_VERSION: &str = "1.0.0";

const POINTER: &str = "/ociVersion";

/// Any 1.x is understood: within a major version the specification only adds (spec.md, semantic versioning), and a
/// property that this runtime does not know is to be ignored (config.md, "Extensibility"). Engines send development
/// versions, such as 1.0.2-dev.
pub(crate) fn check(spec: &Spec) -> Result<()> {
    let version = spec.version();
    match major(version) {
        Some("1") => Ok(()),
        Some(_) => Err(Error::config(
            POINTER,
            format!("version {version} of the specification is not supported: 1.x is"),
        )),
        None => Err(Error::config(
            POINTER,
            format!("{version:?} is not a version (SemVer 2.0.0)"),
        )),
    }
}

/// The major version of what is one.
fn major(version: &str) -> Option<&str> {
    let (version, build) = split(version, '+');
    let (numbers, pre_release) = split(version, '-');
    let identifiers = |list: Option<&str>, check: fn(&str) -> bool| {
        list.is_none_or(|list| list.split('.').all(check))
    };
    let parts: Vec<&str> = numbers.split('.').collect();
    match parts.as_slice() {
        [major, minor, patch]
            if [major, minor, patch]
                .into_iter()
                .all(|part| is_number(part))
                && identifiers(build, is_identifier)
                && identifiers(pre_release, |part| {
                    is_identifier(part) && (is_number(part) || !is_digits(part))
                }) =>
        {
            Some(major)
        }
        _ => None,
    }
}

fn split(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator)
        .map_or((text, None), |(front, back)| (front, Some(back)))
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number has no leading zeros.
fn is_number(text: &str) -> bool {
    is_digits(text) && (text == "0" || !text.starts_with('0'))
}

fn is_identifier(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    !text.is_empty() && text.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_version_is_what_semver_says() {
        for (version, expected) in [
            ("1.0.0", Some("1")),
            ("1.0.2-dev", Some("1")),
            ("1.1.0-rc.2", Some("1")),
            ("1.2.1+dev", Some("1")),
            ("1.3.0-rc.1+build.01", Some("1")),
            ("1.0.0--", Some("1")),
            ("0.9.0", Some("0")),
            ("10.0.0", Some("10")),
            ("", None),
            ("1", None),
            ("1.0", None),
            ("1.0.0.0", None),
            ("v1.0.0", None),
            ("1.0.x", None),
            ("1.0.-1", None),
            ("01.0.0", None),
            ("1.00.0", None),
            ("1.0.0-", None),
            ("1.0.0+", None),
            ("1.0.0-rc..1", None),
            ("1.0.0-01", None),
            ("1.0.0-rc_1", None),
            (" 1.0.0", None),
        ] {
            assert_eq!(major(version), expected, "{version:?}");
        }
    }
}
