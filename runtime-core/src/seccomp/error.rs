//! Why a profile cannot become a filter.

use std::fmt;

/// A profile that no filter can express, or that the specification forbids.
///
/// Prints as `/syscalls/3/args/0: argument index 6 is out of range: a system call has six`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeccompError {
    pointer: String,
    message: String,
}

impl SeccompError {
    pub(super) fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            message: message.into(),
        }
    }

    /// The JSON pointer of the offending value, relative to `/linux/seccomp` of config.json.
    pub fn pointer(&self) -> &str {
        &self.pointer
    }

    /// What is wrong with it: a fragment in lower case.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for SeccompError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.pointer, self.message)
    }
}

impl std::error::Error for SeccompError {}
