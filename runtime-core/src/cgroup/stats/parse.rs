//! The forms that the files of a cgroup have.

use std::collections::BTreeMap;

/// What is wrong with a file's content.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

impl Malformed {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Malformed(what.into())
    }
}

/// A number, or `max`, which is the greatest one. Below 0, which some counters have been by mistakes of the kernel, is 0.
pub(super) fn number(text: &str) -> Result<u64, Malformed> {
    let text = text.trim();
    if text == "max" {
        return Ok(u64::MAX);
    }
    if let Some(digits) = text.strip_prefix('-')
        && !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
    {
        return Ok(0);
    }
    text.parse()
        .map_err(|_| Malformed::new(format!("{text:?} is not a number")))
}

/// Lines of a name, a space and a number.
pub(super) fn pairs(text: &str) -> Result<BTreeMap<String, u64>, Malformed> {
    let pair = |line: &str| {
        let malformed = || Malformed::new(format!("{line:?} is not a name and a number"));
        let (name, value) = line.split_once(' ').ok_or_else(malformed)?;
        if name.is_empty() {
            return Err(malformed());
        }
        Ok((name.to_owned(), number(value)?))
    };
    text.lines()
        .filter(|line| !line.is_empty())
        .map(pair)
        .collect()
}

/// Numbers with spaces between them.
pub(super) fn numbers(text: &str) -> Result<Vec<u64>, Malformed> {
    text.split_whitespace().map(number).collect()
}

/// A device's number as `8:16`.
pub(super) fn device(text: &str) -> Option<(u64, u64)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}
