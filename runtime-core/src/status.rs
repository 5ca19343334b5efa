//! The state of a container, as callers and hooks see it (runtime.md, "State").

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};
use crate::state::Record;

/// The state of a container as the specification defines it (runtime.md, "State").
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct State {
    /// The version of the specification that the container's configuration is written for.
    pub oci_version: String,
    /// Its ID.
    pub id: String,
    /// What it is doing.
    pub status: Status,
    /// The host's pid of its first process, 0 when it has stopped.
    pub pid: i32,
    /// The bundle that it was created from.
    pub bundle: PathBuf,
    /// Annotations of its configuration.
    #[serde(skip_serializing_if = "HashMap::is_empty")]
    pub annotations: HashMap<String, String>,
}

/// What a container is doing (runtime.md, "State").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// `create` is not done.
    Creating,
    /// It waits for `start`.
    Created,
    /// The user's program runs.
    Running,
    /// Its processes are frozen.
    Paused,
    /// Its first process has ended.
    Stopped,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Creating => "creating",
            Status::Created => "created",
            Status::Running => "running",
            Status::Paused => "paused",
            Status::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

pub(crate) fn state(record: &Record, status: Status, pid: Option<i32>) -> State {
    State {
        oci_version: record.oci_version.clone(),
        id: record.id.clone(),
        status,
        pid: pid.unwrap_or(0),
        bundle: record.bundle.clone(),
        annotations: record.annotations.clone(),
    }
}

/// The state as hooks read it.
pub(crate) fn state_json(record: &Record, status: Status, pid: Option<i32>) -> Result<Vec<u8>> {
    let problem = |error| Error::new(ErrorKind::Host, format!("describe the state: {error}"));
    serde_json::to_vec(&state(record, status, pid)).map_err(problem)
}
