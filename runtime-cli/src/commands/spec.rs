//! `bareboat spec`

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{launch, output};
use crate::failure::{Failure, Result};

/// Arguments of `spec`.
#[derive(Debug, Args)]
pub(crate) struct Spec {
    /// The bundle: the directory to write config.json into
    #[arg(short, long, value_name = "DIR", default_value = ".")]
    bundle: PathBuf,
    /// Write one for a container that is run without privileges
    #[arg(long)]
    pub(crate) rootless: bool,
}

impl Spec {
    pub(crate) fn execute(self) -> Result<()> {
        let spec = if self.rootless {
            let (uid, gid) = (nix::unistd::geteuid(), nix::unistd::getegid());
            runtime_core::default_spec_rootless(uid.as_raw(), gid.as_raw())
        } else {
            runtime_core::default_spec()
        };
        write_new(
            &launch::directory_or_current(&self.bundle).join("config.json"),
            &text(&spec)?,
        )
    }
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = file.map_err(|cause| match cause.kind() {
        ErrorKind::AlreadyExists => Failure::new("File config.json exists. Remove it first"),
        _ => Failure::io(format_args!("create {}", path.display()), cause),
    })?;
    file.write_all(text.as_bytes()).map_err(|cause| {
        // Half of one would be in the way of the next attempt.
        let _ = fs::remove_file(path);
        Failure::io(format_args!("write {}", path.display()), cause)
    })
}

/// The same text every time, with what people change first at the top.
fn text(spec: &impl Serialize) -> Result<String> {
    let mut value = serde_json::to_value(spec).map_err(|cause| Failure::new(cause.to_string()))?;
    sort_capabilities(&mut value);
    let lines = match &value {
        Value::Object(fields) => output::indented(&Ordered(fields), "\t")?,
        other => output::indented(other, "\t")?,
    };
    Ok(format!("{lines}\n"))
}

/// A capability set has no order, and comes in another one every time.
fn sort_capabilities(spec: &mut Value) {
    let sets = spec
        .pointer_mut("/process/capabilities")
        .and_then(Value::as_object_mut);
    for set in sets
        .into_iter()
        .flat_map(Map::values_mut)
        .filter_map(Value::as_array_mut)
    {
        set.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
    }
}

/// The fields of a config.json in the order of `runc spec`.
struct Ordered<'a>(&'a Map<String, Value>);

impl Serialize for Ordered<'_> {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        const FIRST: [&str; 6] = [
            "ociVersion",
            "process",
            "root",
            "hostname",
            "mounts",
            "linux",
        ];
        let first = FIRST.iter().filter_map(|&name| self.0.get_key_value(name));
        let rest = self
            .0
            .iter()
            .filter(|(name, _)| !FIRST.contains(&name.as_str()));
        serializer.collect_map(first.chain(rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_in_runcs_order_and_capabilities_in_that_of_the_alphabet() {
        let spec = serde_json::json!({
            "linux": {}, "annotations": {}, "ociVersion": "1.3.0",
            "process": {"capabilities": {"bounding": ["CAP_KILL", "CAP_AUDIT_WRITE"]}},
        });
        let text: String = text(&spec).unwrap().split_whitespace().collect();
        assert_eq!(
            text,
            r#"{"ociVersion":"1.3.0","process":{"capabilities":{"bounding":["CAP_AUDIT_WRITE","CAP_KILL"]}},"linux":{},"annotations":{}}"#
        );
    }
}
