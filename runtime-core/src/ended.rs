//! Says of a failure that the container had ended meanwhile: what fails then fails at whatever step it has come to.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::container::Container;
use crate::error::{Error, ErrorKind};
use crate::state;

/// How long after a process that joined it the container's first may be killed, when both are killed together.
const PATIENCE: Duration = Duration::from_millis(500);

impl Container {
    /// The end of the container, if that is why something failed in it, or else that failure.
    pub(crate) fn or_its_end(&self, error: Error) -> Error {
        if !matches!(error.kind(), ErrorKind::Host | ErrorKind::Setup) {
            return error;
        }
        let is_silent = error.is_silent_end();
        let deadline = Instant::now() + if is_silent { PATIENCE } else { Duration::ZERO };
        while !self.has_ended() {
            if Instant::now() >= deadline {
                return error;
            }
            sleep(Duration::from_millis(1));
        }
        if !self.directory().is_dir() {
            return state::not_found(self.id());
        }
        let problem = match is_silent {
            true => "the container has stopped meanwhile".to_owned(),
            false => format!("the container has stopped meanwhile: {error}"),
        };
        Error::new(ErrorKind::NotRunning, problem)
    }

    /// Whether its first process is gone, or about to be: the kernel kills the others of a PID namespace before that is over.
    pub(crate) fn has_ended(&self) -> bool {
        let found = self.record().init.map(|init| init.look());
        match found {
            Some(Ok(Some(process))) => process.is_exiting(),
            Some(Ok(None)) => true,
            Some(Err(_)) | None => false,
        }
    }
}
