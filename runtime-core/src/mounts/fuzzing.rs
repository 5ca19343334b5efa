//! What holds of mount options whatever bytes come in: see [`crate::fuzzing`].
#![allow(
    clippy::expect_used,
    reason = "a panic is how a target says that something does not hold"
)]

use oci_spec::runtime::{Mount, MountBuilder};

use super::data;
use super::options::{self, ATIME};
use super::parsed::Parsed;
use crate::error::ErrorKind;
use crate::plan::Attributes;

const POINTER: &str = "/mounts/0";

/// A type of file system and a mount's options, a line each: each option is one of the table or the file system's own, and
/// giving them twice, or by the names of what came of them, changes nothing.
pub fn mount_options(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split('\n').map(str::to_owned);
    let fstype = lines.next().unwrap_or_default();
    let options: Vec<String> = lines.collect();
    let parsed = match Parsed::of(POINTER, &mount(&fstype, &options)) {
        Ok(parsed) => parsed,
        Err(error) => {
            let kind = error.kind();
            let expected = matches!(kind, ErrorKind::InvalidConfig | ErrorKind::Unsupported);
            return assert!(expected && error.origin().is_some(), "{error:?}");
        }
    };
    let own: Vec<_> = options
        .iter()
        .enumerate()
        .filter(|(_, option)| !option.is_empty() && options::effect(option).is_none())
        .map(|(number, option)| (number, option.clone()))
        .collect();
    assert_eq!(parsed.data, own);
    assert_splits(&own);
    assert_consistent(&parsed.attributes);
    assert_consistent(&parsed.bind_attributes(false));
    let twice = [options.clone(), options].concat();
    let twice = Parsed::of(POINTER, &mount(&fstype, &twice)).expect("it was taken once");
    assert_eq!(twice.attributes, parsed.attributes);
    assert_eq!(
        (twice.kind, twice.id_map, twice.copy_up, twice.propagation()),
        (
            parsed.kind,
            parsed.id_map,
            parsed.copy_up,
            parsed.propagation()
        )
    );
    let names = options::attribute_names(&parsed.attributes);
    let again = Parsed::of(POINTER, &mount("tmpfs", &names)).expect("they are names of options");
    assert_eq!(again.attributes, parsed.attributes, "{names:?}");
}

fn mount(fstype: &str, options: &[String]) -> Mount {
    MountBuilder::default()
        .destination("/srv")
        .typ(fstype)
        .source("/srv")
        .options(options)
        .build()
        .expect("all that is required is there")
}

/// Nothing is set and cleared at once, but for the field of the access time, which is cleared to be set.
fn assert_consistent(attributes: &Attributes) {
    let Attributes {
        set,
        clear,
        recursive_set,
        recursive_clear,
        ..
    } = attributes;
    for (set, clear) in [(set, clear), (recursive_set, recursive_clear)] {
        assert_eq!(set & clear & !ATIME, 0, "{attributes:?}");
        assert!(set & ATIME == 0 || clear & ATIME == ATIME, "{attributes:?}");
    }
}

/// What the file system gets is what was given, without the commas between options and a label's quotes.
fn assert_splits(own: &[(usize, String)]) {
    let Ok(split) = data::split(POINTER, own) else {
        return assert!(own.iter().any(|(_, option)| option.contains('\0')));
    };
    assert!(split.iter().all(|option| !option.is_empty()));
    let plain = |option: &str| !option.contains(['\\', '"']);
    if own.iter().all(|(_, option)| plain(option)) {
        let parts = own.iter().flat_map(|(_, option)| option.split(','));
        let parts = parts.filter(|part| !part.is_empty()).map(str::as_bytes);
        assert!(split.iter().map(|option| option.to_bytes()).eq(parts));
    }
}
