//! Writing results to standard output.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::failure::{Failure, Result};

/// Writes all of `text`, or says why that failed: a full disk or a closed pipe must not look like success.
pub(crate) fn text(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|cause| Failure::io("write to standard output", cause))
}

/// JSON on one line.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    let mut line = serde_json::to_string(value).map_err(|cause| Failure::new(cause.to_string()))?;
    line.push('\n');
    text(&line)
}

/// JSON for people, each level indented by `indent`.
pub(crate) fn json_indented(value: &impl Serialize, indent: &str) -> Result<()> {
    let mut lines = indented(value, indent)?;
    lines.push('\n');
    text(&lines)
}

/// `value` as JSON over several lines.
pub(crate) fn indented(value: &impl Serialize, indent: &str) -> Result<String> {
    let mut bytes = Vec::new();
    let mut serializer =
        Serializer::with_formatter(&mut bytes, PrettyFormatter::with_indent(indent.as_bytes()));
    value
        .serialize(&mut serializer)
        .map_err(|cause| Failure::new(cause.to_string()))?;
    String::from_utf8(bytes).map_err(|cause| Failure::new(cause.to_string()))
}
