//! `annotations`: config.md, "Annotations". They are kept for whoever asks for the state; none changes a container.

use oci_spec::runtime::Spec;

use crate::error::{Error, Result};

/// "Keys MUST NOT be an empty string."
pub(crate) fn check(spec: &Spec) -> Result<()> {
    let annotations = spec.annotations().iter().flatten();
    if annotations.into_iter().any(|(key, _)| key.is_empty()) {
        return Err(Error::config("/annotations", "a key is empty"));
    }
    Ok(())
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
