//! `annotations` that change what the runtime does. All others are handed on with the state, and mean nothing here
//! (config.md, "Annotations": "MUST NOT generate an error" for unknown ones).

use oci_spec::runtime::Spec;

/// crun's: the process keeps the supplementary groups of the runtime's caller, and `additionalGids` is left aside.
/// Podman sends it for `--group-add keep-groups`.
pub(crate) const KEEP_ORIGINAL_GROUPS: &str = "run.oci.keep_original_groups";

/// Those that are honoured, for `features`.
pub(crate) const HONOURED: [&str; 1] = [KEEP_ORIGINAL_GROUPS];

/// Whether the annotation is there; as with crun, any value but `0` will do.
pub(crate) fn is_set(spec: &Spec, name: &str) -> bool {
    let annotations = spec.annotations().as_ref();
    annotations
        .and_then(|annotations| annotations.get(name))
        .is_some_and(|value| value != "0")
}
