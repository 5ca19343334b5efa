//! The caller's terminal and the container's pseudoterminal, tied together.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::libc;
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
        self.set_raw(&original)?;
        self.original = Some(original);
        Ok(())
    }

    fn set_raw(&self, original: &Termios) -> io::Result<()> {
        let mut raw = original.clone();
        raw.make_raw();
        raw.output_modes.insert(OutputModes::OPOST);
        Ok(termios::tcsetattr(
            &self.device,
            OptionalActions::Now,
            &raw,
        )?)
    }

    /// Whoever had the terminal while this process was stopped has set it up for itself. In the background it still has,
    /// and a change would stop this process again.
    fn make_raw_again(&self) {
        let own = rustix::process::getpgrp();
        let in_front = termios::tcgetpgrp(&self.device).is_ok_and(|group| group == own);
        if let Some(original) = self.original.as_ref().filter(|_| in_front) {
            // It may be gone by now.
            let _ = self.set_raw(original);
        }
    }
}

impl Drop for HostConsole {
    fn drop(&mut self) {
        if let Some(original) = &self.original {
            // Not once all is written: nobody may be reading any more. And the terminal may be gone, which is how a hang-up
            // looks from here.
            let _ = termios::tcsetattr(&self.device, OptionalActions::Now, original);
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

    /// This process was stopped, and goes on.
    pub(crate) fn resume(&self) {
        self.host.iter().for_each(HostConsole::make_raw_again);
        self.resize();
    }

    /// Whether output waits for whoever reads it.
    pub(crate) fn awaits_reader(&self) -> bool {
        self.output.interest() == Interest::Write
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

/// Where output goes.
pub(crate) enum Output {
    Stdout(io::Stdout),
    /// Standard output, opened once more.
    Terminal(File),
}

impl From<io::Stdout> for Output {
    fn from(stdout: io::Stdout) -> Self {
        Output::Stdout(stdout)
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Output::Stdout(stdout) => stdout.as_fd(),
            Output::Terminal(file) => file.as_fd(),
        }
    }
}

/// Where the output of a container's terminal goes. When that is a terminal, too, it must not block: poll(2) calls one
/// writable that has room for a byte, and a write of more waits for whoever reads, and signals with it. A pipe has room
/// for all that is written at once. The flags of standard output are others' as well, so it is opened once more.
pub(crate) fn output() -> Output {
    let (stdout, path) = (io::stdout(), "/proc/self/fd/1");
    // Opening that makes a new terminal.
    let is_multiplexer = || fs::read_link(path).is_ok_and(|device| device.ends_with("ptmx"));
    if !termios::isatty(&stdout) || is_multiplexer() {
        return stdout.into();
    }
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let own = File::options().write(true).custom_flags(flags).open(path);
    own.map_or_else(|_| stdout.into(), Output::Terminal)
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
