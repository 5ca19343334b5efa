//! What the init says: reports, and the descriptors that come with them.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use runtime_init::Report;
use rustix::io::Errno;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::error::{Error, ErrorKind, Result};

/// A report, and the descriptor that came with it.
pub(crate) struct Message {
    pub(crate) report: Report,
    pub(crate) descriptor: Option<OwnedFd>,
}

impl Message {
    /// The listener that the message carries.
    pub(crate) fn listener(self) -> Result<OwnedFd> {
        self.descriptor
            .ok_or_else(|| Error::new(ErrorKind::Host, "the init sent no listener"))
    }
}

/// The next message from an init; nothing once the other end is closed.
pub(crate) fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<Message>> {
    let mut bytes = [0u8; Report::SIZE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let length = loop {
        match recvmsg(
            socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        ) {
            // The init died with words of ours unread; its own last word is still to come, and then the end.
            Err(Errno::INTR | Errno::CONNRESET) => {}
            answer => break answer?.bytes,
        }
    };
    if length == 0 {
        return Ok(None);
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    let report = bytes.get(..length).and_then(Report::decode);
    let report = report.ok_or_else(|| io::Error::other("a message that is not the init's"))?;
    Ok(Some(Message { report, descriptor }))
}
