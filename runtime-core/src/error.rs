//! The one error type of the library.

use std::fmt;
use std::io;

/// The result of this library's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What kind of failure an [`Error`] is, for callers that decide by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// `config.json` cannot be read, is not JSON, or asks for what cannot be; [`Error::origin`] is its JSON pointer.
    InvalidConfig,
    /// The container's ID has characters that an ID may not have.
    InvalidId,
    /// An argument of the call, not the configuration, is wrong.
    InvalidArgument,
    /// No container has this ID under the state root.
    NotFound,
    /// A container has this ID already.
    AlreadyExists,
    /// The container is not in a state that allows this, such as `start` of a running one.
    InvalidState,
    /// The container has no process any more.
    NotRunning,
    /// The kernel, or how the host is set up, lacks what the configuration asks for.
    Unsupported,
    /// The user's program is not there, not executable, or the kernel cannot execute it.
    Program,
    /// A hook failed or took too long.
    Hook,
    /// A step of the container's set-up was refused; [`Error::origin`] says what asked for it.
    Setup,
    /// The host refused what the runtime itself needs: its state directory, a cgroup, a socket.
    Host,
}

/// Why an operation failed.
///
/// Its display is one line: what was attempted, on what, and the cause. [`Error::kind`] is for programs,
/// [`Error::origin`] says which part of the configuration asked for what failed.
///
/// ```
/// use runtime_core::{Container, ErrorKind};
///
/// let root = std::env::temp_dir();
/// let error = Container::load(&root, "no-such-container").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    origin: Option<String>,
    message: String,
    errno: Option<i32>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
    /// Of an init that said nothing: what is known besides may explain it.
    is_silent_end: bool,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            kind,
            origin: None,
            message: message.into(),
            errno: None,
            source: None,
            is_silent_end: false,
        }))
    }

    /// A configuration that cannot be honoured.
    pub(crate) fn config(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Error::new(ErrorKind::InvalidConfig, message).at(pointer)
    }

    /// A failed system call, or what stands for one.
    pub(crate) fn io(
        kind: ErrorKind,
        attempt: impl Into<String>,
        cause: impl Into<io::Error>,
    ) -> Self {
        let cause = cause.into();
        let mut error = Error::new(kind, attempt);
        error.0.errno = cause.raw_os_error();
        error.0.source = Some(Box::new(cause));
        error
    }

    /// An init neither came to its program nor gave a reason.
    pub(crate) fn ended_silently() -> Self {
        let mut error = Error::new(ErrorKind::Setup, "the init ended without a word");
        error.0.is_silent_end = true;
        error
    }

    /// Whether it says no more than that.
    pub(crate) fn is_silent_end(&self) -> bool {
        self.0.is_silent_end
    }

    /// The same error with the part of the configuration that asked for it.
    pub(crate) fn at(mut self, origin: impl Into<String>) -> Self {
        self.0.origin = Some(origin.into());
        self
    }

    /// The same error of another kind.
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// The same error with what was attempted in front.
    pub(crate) fn context(mut self, attempt: impl fmt::Display) -> Self {
        self.0.message = format!("{attempt}: {}", self.0.full_message());
        self
    }

    /// Whether the caller has too little for the attempt, which says nothing of what was attempted.
    pub(crate) fn is_for_want_of_resources(&self) -> bool {
        let errnos = [libc::EMFILE, libc::ENFILE, libc::ENOMEM];
        self.0.errno.is_some_and(|errno| errnos.contains(&errno))
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The JSON pointer into `config.json` that asked for what failed, or the name of the default that did.
    pub fn origin(&self) -> Option<&str> {
        self.0.origin.as_deref()
    }

    /// The kernel's errno, where a system call failed.
    pub fn errno(&self) -> Option<i32> {
        self.0.errno
    }
}

impl Inner {
    /// The message with its origin in front, once.
    fn full_message(&self) -> String {
        match &self.origin {
            Some(origin) if !self.message.contains(origin.as_str()) => {
                format!("{origin}: {}", self.message)
            }
            _ => self.message.clone(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.full_message())?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("origin", &self.0.origin)
            .field("message", &self.to_string())
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

/// Adds to a failed system call what was attempted.
pub(crate) trait Attempt<T> {
    /// The host refused what the runtime needs.
    fn host(self, attempt: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<io::Error>> Attempt<T> for std::result::Result<T, E> {
    fn host(self, attempt: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|cause| Error::io(ErrorKind::Host, attempt(), cause))
    }
}
