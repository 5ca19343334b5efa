//! The caller's terminal and the container's pseudoterminal, tied together.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags};
use runtime_core::oci_spec::runtime::{Box as ConsoleSize, BoxBuilder};
use rustix::termios::{self, OptionalActions, OutputModes, Termios, Winsize};

use crate::failure::{Failure, Result};
use crate::relay::{Interest, Relay, Source};

/// The terminal that this process was started from.
pub(crate) struct HostConsole {
    device: OwnedFd,
    /// The modes to return to, once they were changed.
    original: Option<Termios>,
}

impl HostConsole {
    /// Any of the standard streams may be redirected; where all are, the controlling terminal is left. A caller without
    /// any terminal has no window whose size could be followed, and no modes to change.
    pub(crate) fn find() -> Option<Self> {
        let (stderr, stdout, stdin) = (io::stderr(), io::stdout(), io::stdin());
        let streams = [stderr.as_fd(), stdout.as_fd(), stdin.as_fd()];
        let stream = streams.into_iter().find(|stream| termios::isatty(stream));
        let device = match stream {
            Some(stream) => stream.try_clone_to_owned().ok()?,
            None => File::options()
                .read(true)
                .write(true)
                .open("/dev/tty")
                .ok()?
                .into(),
        };
        Some(HostConsole {
            device,
            original: None,
        })
    }

    /// The window's size as config.json gives it.
    pub(crate) fn size(&self) -> Option<ConsoleSize> {
        let window = self.window()?;
        BoxBuilder::default()
            .height(u64::from(window.ws_row))
            .width(u64::from(window.ws_col))
            .build()
            .ok()
    }

    fn window(&self) -> Option<Winsize> {
        termios::tcgetwinsize(&self.device).ok()
    }

    /// Every key goes to the container. Output is still processed: the container's side leaves that to this one.
    fn make_raw(&mut self) -> io::Result<()> {
        let original = termios::tcgetattr(&self.device)?;
        let mut raw = original.clone();
        raw.make_raw();
        raw.output_modes.insert(OutputModes::OPOST);
        termios::tcsetattr(&self.device, OptionalActions::Now, &raw)?;
        self.original = Some(original);
        Ok(())
    }
}

impl Drop for HostConsole {
    fn drop(&mut self) {
        if let Some(original) = &self.original {
            // The terminal may be gone: that is how a hang-up looks from here.
            let _ = termios::tcsetattr(&self.device, OptionalActions::Drain, original);
        }
    }
}

/// A container's pseudoterminal, relayed to and from the standard streams.
pub(crate) struct Terminal {
    master: OwnedFd,
    host: Option<HostConsole>,
    input: Relay,
    output: Relay,
}

impl Terminal {
    /// Takes over the terminal until this value is dropped.
    pub(crate) fn new(master: OwnedFd, mut host: Option<HostConsole>) -> Result<Self> {
        let set_up = |cause: io::Error| Failure::io("set up the container's terminal", cause);
        // A program that does not read its input must not keep this one from its signals.
        fcntl(&master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
            .map_err(|errno| set_up(errno.into()))?;
        if let Some(host) = &mut host {
            host.make_raw()
                .map_err(|cause| Failure::io("set the terminal to raw mode", cause))?;
        }
        let terminal = Terminal {
            master,
            host,
            input: Relay::new(),
            output: Relay::new(),
        };
        terminal.resize();
        Ok(terminal)
    }

    /// Gives the container the size of the caller's window. A failure means that one of the two is gone, which shows
    /// elsewhere.
    pub(crate) fn resize(&self) {
        if let Some(window) = self.host.as_ref().and_then(HostConsole::window) {
            let _ = termios::tcsetwinsize(&self.master, window);
        }
    }

    /// Whether no process has the terminal open at the moment, so that poll(2) has nothing to wait for.
    pub(crate) fn hung_up(&self) -> bool {
        self.output.source() == Source::HungUp
    }

    pub(crate) fn retry(&mut self) {
        self.output.retry();
    }

    /// What input waits for: data from the caller, or room in the container's terminal while somebody has it open.
    pub(crate) fn input_interest<'a>(&'a self, stdin: BorrowedFd<'a>) -> Option<PollFd<'a>> {
        let interest = if self.hung_up() {
            Interest::Nothing
        } else {
            self.input.interest()
        };
        poll_fd(interest, stdin, self.master.as_fd())
    }

    /// What output waits for: data from the container, or room where it goes.
    pub(crate) fn output_interest<'a>(&'a self, stdout: BorrowedFd<'a>) -> Option<PollFd<'a>> {
        poll_fd(self.output.interest(), self.master.as_fd(), stdout)
    }

    /// Moves input that is ready.
    pub(crate) fn move_input(&mut self, stdin: BorrowedFd<'_>) {
        step(&mut self.input, stdin, self.master.as_fd());
    }

    /// Moves output that is ready.
    pub(crate) fn move_output(&mut self, stdout: BorrowedFd<'_>) {
        step(&mut self.output, self.master.as_fd(), stdout);
    }
}

fn poll_fd<'a>(
    interest: Interest,
    source: BorrowedFd<'a>,
    sink: BorrowedFd<'a>,
) -> Option<PollFd<'a>> {
    match interest {
        Interest::Read => Some(PollFd::new(source, PollFlags::POLLIN)),
        Interest::Write => Some(PollFd::new(sink, PollFlags::POLLOUT)),
        Interest::Nothing => None,
    }
}

fn step(relay: &mut Relay, source: BorrowedFd<'_>, sink: BorrowedFd<'_>) {
    match relay.interest() {
        Interest::Read => relay.read(source),
        Interest::Write => relay.write(sink),
        Interest::Nothing => {}
    }
}
