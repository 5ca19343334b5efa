//! `annotations` that change what the runtime does. All others are handed on with the state, and mean nothing here
//! (config.md, "Annotations": "MUST NOT generate an error" for unknown ones).

use oci_spec::runtime::Spec;

use crate::error::{Error, Result};

/// crun's: the process keeps the supplementary groups of the runtime's caller, and `additionalGids` is left aside.
/// Podman sends it for `--group-add keep-groups`.
pub(crate) const KEEP_ORIGINAL_GROUPS: &str = "run.oci.keep_original_groups";

/// runc's: all that begin so are properties of the container's systemd unit.
pub(crate) const SYSTEMD_PROPERTY: &str = "org.systemd.property.";

/// Those that are honoured, for `features`; one with a dot at its end stands for all that begin so.
pub(crate) const HONOURED: [&str; 2] = [KEEP_ORIGINAL_GROUPS, SYSTEMD_PROPERTY];

/// "Keys MUST NOT be an empty string."
pub(crate) fn check(spec: &Spec) -> Result<()> {
    let annotations = spec.annotations().iter().flatten();
    if annotations.into_iter().any(|(key, _)| key.is_empty()) {
        return Err(Error::config("/annotations", "a key is empty"));
    }
    Ok(())
}

/// Whether the annotation is there; as with crun, any value but `0` will do.
pub(crate) fn is_set(spec: &Spec, name: &str) -> bool {
    let annotations = spec.annotations().as_ref();
    annotations
        .and_then(|annotations| annotations.get(name))
        .is_some_and(|value| value != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(key: &str) -> Result<()> {
        let mut spec = Spec::default();
        let annotations = [(key.to_owned(), String::new())].into_iter().collect();
        spec.set_annotations(Some(annotations));
        check(&spec)
    }

    #[test]
    fn a_value_may_be_empty_and_a_key_may_not() {
        assert!(checked("com.example.key").is_ok());
        assert!(checked("").is_err());
    }
}
