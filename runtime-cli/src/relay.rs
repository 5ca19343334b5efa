//! One direction of a terminal's traffic: what was read from one descriptor and is not yet written to the other.

use std::os::fd::BorrowedFd;

use nix::errno::Errno;
use nix::unistd;

/// As much as a pipe takes without blocking once poll(2) calls it writable: PIPE_BUF.
const CAPACITY: usize = 4096;

/// A buffer between a source and a sink.
pub(crate) struct Relay {
    buffer: [u8; CAPACITY],
    /// What lies in `buffer` and waits for the sink.
    pending: std::ops::Range<usize>,
    source: Source,
    sink_gone: bool,
}

/// What is known of where the data comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Open,
    /// A pseudoterminal that no process has open at the moment: reading fails with EIO until one opens it again.
    HungUp,
    Ended,
}

/// What a relay waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interest {
    Read,
    Write,
    Nothing,
}

impl Relay {
    pub(crate) fn new() -> Self {
        Relay {
            buffer: [0; CAPACITY],
            pending: 0..0,
            source: Source::Open,
            sink_gone: false,
        }
    }

    pub(crate) fn interest(&self) -> Interest {
        match self.source {
            _ if !self.pending.is_empty() => Interest::Write,
            Source::Open => Interest::Read,
            Source::HungUp | Source::Ended => Interest::Nothing,
        }
    }

    pub(crate) fn source(&self) -> Source {
        self.source
    }

    /// Reading is tried again after a hang-up.
    pub(crate) fn retry(&mut self) {
        if self.source == Source::HungUp {
            self.source = Source::Open;
        }
    }

    /// Reads once. Nothing is pending when this is called.
    pub(crate) fn read(&mut self, source: BorrowedFd<'_>) {
        match unistd::read(source, &mut self.buffer) {
            Ok(0) => self.source = Source::Ended,
            // Where nobody takes the data it is dropped, so that its writer goes on.
            Ok(count) if !self.sink_gone => self.pending = 0..count,
            Ok(_) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(Errno::EIO) => self.source = Source::HungUp,
            Err(_) => self.source = Source::Ended,
        }
    }

    /// Writes once what is pending.
    pub(crate) fn write(&mut self, sink: BorrowedFd<'_>) {
        match unistd::write(sink, &self.buffer[self.pending.clone()]) {
            Ok(count) => self.pending.start += count,
            Err(Errno::EAGAIN | Errno::EINTR) => {}
            Err(_) => {
                self.sink_gone = true;
                self.pending = 0..0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn what_is_read_is_written_before_more_is_read() {
        let (from, to) = (unistd::pipe().unwrap(), unistd::pipe().unwrap());
        let mut relay = Relay::new();
        assert_eq!(relay.interest(), Interest::Read);
        unistd::write(&from.1, b"hello").unwrap();
        relay.read(from.0.as_fd());
        assert_eq!(relay.interest(), Interest::Write);
        relay.write(to.1.as_fd());
        let mut buffer = [0; 16];
        assert_eq!(unistd::read(&to.0, &mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"hello");
        drop(from.1);
        relay.read(from.0.as_fd());
        assert_eq!(
            (relay.interest(), relay.source()),
            (Interest::Nothing, Source::Ended)
        );
    }

    #[test]
    fn a_reader_that_went_away_does_not_stop_the_writer() {
        let (from, to) = (unistd::pipe().unwrap(), unistd::pipe().unwrap());
        let mut relay = Relay::new();
        drop(to.0);
        for _ in 0..2 {
            unistd::write(&from.1, b"hello").unwrap();
            relay.read(from.0.as_fd());
            if relay.interest() == Interest::Write {
                relay.write(to.1.as_fd());
            }
            assert_eq!(relay.interest(), Interest::Read);
        }
    }
}
