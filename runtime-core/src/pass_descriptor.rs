//! A descriptor on its way to another process, with a text that says what it is (unix(7), `SCM_RIGHTS`).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};

use rustix::io::{Errno, IoSlice};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

/// Sends both. The descriptor goes with the first part of the text; a long one may take several on a stream.
pub(crate) fn send(socket: impl AsFd, text: &[u8], descriptor: BorrowedFd<'_>) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [descriptor];
    control.push(SendAncillaryMessage::ScmRights(&descriptors));
    let mut rest = text;
    while !rest.is_empty() {
        let parts = [IoSlice::new(rest)];
        match sendmsg(&socket, &parts, &mut control, SendFlags::NOSIGNAL) {
            Err(Errno::INTR) => continue,
            sent => rest = rest.get(sent?..).unwrap_or_default(),
        }
        control.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn the_text_comes_with_the_descriptor() {
        let (mut here, there) = UnixStream::pair().unwrap();
        send(&there, b"setns", there.as_fd()).unwrap();
        let mut text = [0; 5];
        here.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"setns");
    }
}
