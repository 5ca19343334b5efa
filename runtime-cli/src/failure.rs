//! How a command ends when it cannot do what it was asked.

use std::fmt;
use std::io;

/// The result of a command.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// A message for the user and the exit code of the process.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    code: u8,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Failure {
            message: message.into(),
            code: 1,
        }
    }

    /// A failed system call, with what was attempted.
    pub(crate) fn io(attempt: impl fmt::Display, cause: impl Into<io::Error>) -> Self {
        Failure::new(format!("{attempt}: {}", cause.into()))
    }

    /// The same failure with another exit code.
    pub(crate) fn with_code(self, code: u8) -> Self {
        Failure { code, ..self }
    }

    pub(crate) fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<runtime_core::Error> for Failure {
    fn from(error: runtime_core::Error) -> Self {
        Failure::new(error.to_string())
    }
}
