//! What went wrong: a lower-case fragment that says what was attempted, on what, and why it failed.

use std::fmt::{self, Display};

/// An error of the bench.
#[derive(Debug)]
pub(crate) struct Error(String);

/// A result of the bench.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Says what was attempted.
pub(crate) trait Context<T> {
    fn context(self, what: impl Display) -> Result<T>;
}

impl<T, E: Display> Context<T> for std::result::Result<T, E> {
    fn context(self, what: impl Display) -> Result<T> {
        self.map_err(|cause| Error(format!("{what}: {cause}")))
    }
}
