//! Files of the host and of images.

use oci_spec::runtime::Spec;
use serde_json::json;

use crate::cgroup::Layout;
use crate::error::ErrorKind;
use crate::number_list::{self, Mask};
use crate::state::Record;
use crate::{cgroup, home, id_mappings, intel_rdt, notify_socket, spec_version};

/// A line of `state.json` is refused, or is written back as it was.
pub fn state(bytes: &[u8]) {
    let Ok(record) = serde_json::from_slice::<Record>(bytes) else {
        return;
    };
    let written = serde_json::to_vec(&record).expect("a record can be written");
    let again: Record = serde_json::from_slice(&written).expect("what was written can be read");
    let value = |record: &Record| serde_json::to_value(record).expect("a record can be written");
    assert_eq!(value(&record), value(&again));
}

/// The home of a user, whose number is in front of the image's passwd: what the first line of his says.
pub fn passwd(bytes: &[u8]) {
    let Some((uid, passwd)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let uid = u32::from_le_bytes(*uid);
    let passwd = String::from_utf8_lossy(passwd);
    let mut lines = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let own = lines.find(|fields| is_number(fields.get(2), uid));
    let home = own.as_ref().and_then(|fields| fields.get(5).copied());
    let home = home.filter(|home| !home.is_empty());
    assert_eq!(home::find(&passwd, uid), home);
}

/// Decimal, as Go's strconv.Atoi takes it.
fn is_number(field: Option<&&str>, number: u32) -> bool {
    let digits = field.map(|field| field.strip_prefix('+').unwrap_or(field));
    digits.is_some_and(|digits| {
        !digits.is_empty()
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && digits.trim_start_matches('0') == number.to_string().trim_start_matches('0')
    })
}

/// Files of the kernel's and of others on the host: whatever they say is read or refused.
pub fn host_files(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (first, second) = text.split_once("\n\n").unwrap_or((&text, &text));
    let layout = Layout::parse(first, second);
    assert!(!format!("{:?} {layout:?}", layout.mode()).is_empty());
    number_lists(&text);
    cgroup::fuzzing::files(&text);
    id_mappings::parse_map(&text);
    for granularity in [0, 1, 10, u64::MAX] {
        intel_rdt::has_schemata(first, second, granularity);
    }
    let is_ready = text.split('\n').any(|line| line == "READY=1");
    assert_eq!(notify_socket::is_ready(bytes), is_ready);
    version(first);
}

fn version(text: &str) {
    let Ok(spec) = serde_json::from_value::<Spec>(json!({"ociVersion": text})) else {
        return;
    };
    match spec_version::check(&spec) {
        Ok(()) => assert!(text.starts_with("1."), "{text:?} is a version"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::InvalidConfig),
    }
}

/// A list of CPUs is shown as one that means the same.
fn number_lists(text: &str) {
    for list in text.lines() {
        let Ok(mask) = Mask::parse(list) else {
            continue;
        };
        let shown = number_list::describe(&mask.to_bytes());
        let again = Mask::parse(&shown).expect("what is shown is a list");
        assert_eq!((again.count(), &again), (mask.count(), &mask), "{list:?}");
    }
}
