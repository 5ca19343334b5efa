//! What can go wrong with cgroups.

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why a cgroup could not be planned, made or removed.
#[derive(Debug)]
pub struct CgroupError {
    origin: String,
    message: String,
    cause: Option<Errno>,
    /// The host is at fault, without an errno.
    host: bool,
}

impl CgroupError {
    /// The configuration asks for what cannot be done.
    pub(super) fn refused(origin: impl Into<String>, message: impl Into<String>) -> Self {
        CgroupError {
            origin: origin.into(),
            message: message.into(),
            cause: None,
            host: false,
        }
    }

    /// The host, or its systemd, cannot do what is asked for.
    pub(super) fn host(origin: impl Into<String>, message: impl Into<String>) -> Self {
        CgroupError {
            host: true,
            ..CgroupError::refused(origin, message)
        }
    }

    /// The kernel refused an operation on a file or directory.
    pub(super) fn failed(
        origin: impl Into<String>,
        operation: fmt::Arguments<'_>,
        cause: Errno,
    ) -> Self {
        CgroupError {
            origin: origin.into(),
            message: operation.to_string(),
            cause: Some(cause),
            host: true,
        }
    }

    /// The JSON pointer in `config.json` that asked for it.
    pub fn pointer(&self) -> &str {
        &self.origin
    }

    /// Whether `config.json` is at fault, rather than the host.
    pub fn is_config(&self) -> bool {
        !self.host
    }

    /// What the kernel said.
    pub fn errno(&self) -> Option<i32> {
        self.cause.map(Errno::raw_os_error)
    }

    pub(super) fn explained(mut self, why: &str) -> Self {
        self.message = format!("{} ({why})", self.message);
        self
    }
}

impl fmt::Display for CgroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Some(cause) => write!(f, "{}: {}", self.message, std::io::Error::from(cause)),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for CgroupError {}

/// A file or directory, for messages.
pub(super) fn shown(directory: &Path, file: &str) -> String {
    let path: PathBuf = if file.is_empty() {
        directory.into()
    } else {
        directory.join(file)
    };
    path.display().to_string()
}
