//! A file system's own options, as fsconfig(2) takes them.

use std::ffi::CString;

use crate::error::Result;
use crate::plan::c_string;

/// Options whose value may be in quotes, for the commas in it (mount(8), `context=`). The quotes are the list's and not
/// the value's.
const LABELS: &[&str] = &["context", "fscontext", "defcontext", "rootcontext"];

/// One option each. What is given is a part of the comma-separated list that mount(2) takes, so there may be several in
/// one; a comma in a value is written `\,` or lies between quotes.
pub(super) fn split(pointer: &str, given: &[(usize, String)]) -> Result<Vec<CString>> {
    let mut options = Vec::with_capacity(given.len());
    for (number, text) in given {
        for part in parts(text).into_iter().filter(|part| !part.is_empty()) {
            options.push(c_string(
                &format!("{pointer}/options/{number}"),
                unquoted(part),
            )?);
        }
    }
    Ok(options)
}

fn parts(text: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (place, character) in text.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => {
                parts.extend(text.get(start..place));
                start = place + 1;
            }
            _ => {}
        }
    }
    parts.extend(text.get(start..));
    parts
}

fn unquoted(option: &str) -> String {
    let value = option
        .split_once('=')
        .filter(|(name, _)| LABELS.contains(name))
        .and_then(|(name, value)| Some((name, value.strip_prefix('"')?.strip_suffix('"')?)));
    match value {
        Some((name, value)) => format!("{name}={value}"),
        None => option.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split_one(text: &str) -> Vec<String> {
        let options = split("/mounts/0", &[(0, text.to_owned())]).unwrap();
        options
            .into_iter()
            .map(|option| option.into_string().unwrap())
            .collect()
    }

    #[test]
    fn a_comma_parts_options_unless_it_is_escaped_or_quoted() {
        assert_eq!(split_one("size=1m,mode=700"), ["size=1m", "mode=700"]);
        assert_eq!(split_one(r"lowerdir=/a\,b:/c"), [r"lowerdir=/a\,b:/c"]);
        assert_eq!(split_one(r"a=\\,b"), [r"a=\\", "b"]);
        assert_eq!(split_one("a,,b,"), ["a", "b"]);
    }

    #[test]
    fn a_label_loses_the_quotes_that_kept_its_commas_together() {
        let option = r#"context="u:object_r:t:s0:c1,c2",size=1m"#;
        assert_eq!(
            split_one(option),
            ["context=u:object_r:t:s0:c1,c2", "size=1m"]
        );
        assert_eq!(split_one(r#"name="x""#), [r#"name="x""#]);
    }
}
