//! A socket to which a descriptor of the new process is sent: `--pidfd-socket` of runc.

use std::os::fd::BorrowedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::error::{Attempt, Result};
use crate::pass_descriptor;

/// The text of the message that has the descriptor of a container's first process, as runc's has it.
pub(crate) const FIRST_PROCESS: &[u8] = b"standard";

/// The same of a process that joins.
pub(crate) const TENANT: &[u8] = b"setns";

/// A connection to whoever wants the pidfd. It is made while there is no process yet, so that nothing has happened when
/// nobody listens.
#[derive(Debug)]
pub(crate) struct PidfdSocket<'a> {
    path: &'a Path,
    socket: UnixStream,
}

impl<'a> PidfdSocket<'a> {
    pub(crate) fn connect(path: &'a Path) -> Result<PidfdSocket<'a>> {
        let socket = UnixStream::connect(path)
            .host(|| format!("connect to the pidfd socket {}", path.display()))?;
        Ok(PidfdSocket { path, socket })
    }

    pub(crate) fn send(&self, name: &[u8], pidfd: BorrowedFd<'_>) -> Result<()> {
        pass_descriptor::send(&self.socket, name, pidfd)
            .host(|| format!("send the pidfd to {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn a_socket_that_nobody_listens_on_is_named_with_the_cause() {
        let error = PidfdSocket::connect(Path::new("/no/such.sock")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Host);
        let text = error.to_string();
        assert!(
            text.contains("pidfd socket /no/such.sock: No such file"),
            "{text}"
        );
    }
}
