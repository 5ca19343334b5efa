//! A container's process in the foreground: its signals, its terminal, its end.
//!
//! One thread waits for all of it. Signals are blocked before the process starts and read from a signalfd(2), so none is
//! lost in between and none interrupts anything.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use runtime_core::ExitStatus;

use crate::failure::{Failure, Result};
use crate::terminal::{self, Output, Terminal};
use crate::{signals, sys};

/// How long to wait before a terminal that nobody has open is looked at again, and how long output that is still under
/// way may take once its writer has ended: milliseconds.
const HANG_UP: u16 = 100;

/// Signals that reach this process from here on wait for the container's process to exist.
pub(crate) struct Foreground {
    signals: SignalFd,
}

impl Foreground {
    /// Starts to hold signals back. Those that stop a background process for using its terminal stay as they are.
    pub(crate) fn prepare() -> Result<Self> {
        let mut held = SigSet::all();
        held.remove(Signal::SIGTTIN);
        held.remove(Signal::SIGTTOU);
        let signals = held
            .thread_block()
            .and_then(|()| {
                SignalFd::with_flags(&held, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
            })
            .map_err(|errno| Failure::io("receive signals", errno))?;
        Ok(Foreground { signals })
    }

    /// Passes signals and terminal traffic on until the process has ended; it is left for the caller to wait for. Of one
    /// that has ended before, only its output is left.
    pub(crate) fn supervise(
        self,
        process: Option<&OwnedFd>,
        terminal: Option<Terminal>,
    ) -> Result<()> {
        let mut traffic = Traffic {
            stdin: io::stdin(),
            stdout: match &terminal {
                Some(_) => terminal::output(),
                None => io::stdout().into(),
            },
            terminal,
        };
        if let Some(process) = process {
            let session = Session {
                signals: &self.signals,
                process: process.as_fd(),
            };
            while session.wait(&mut traffic)? {}
        }
        traffic.finish(&self.signals);
        Ok(())
    }
}

/// The exit code of this process for the end of that one.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    u8::try_from(status.code()).unwrap_or(u8::MAX)
}

/// The container's process, and the signals that reach this one.
struct Session<'a> {
    signals: &'a SignalFd,
    process: BorrowedFd<'a>,
}

impl Session<'_> {
    /// Handles what has happened, once. False when the process has ended.
    fn wait(&self, traffic: &mut Traffic) -> Result<bool> {
        let ready = self.poll(traffic)?;
        if ready.signal {
            self.handle_signals(traffic)?;
        }
        traffic.step(&ready);
        Ok(!ready.ended)
    }

    fn poll(&self, traffic: &Traffic) -> Result<Ready> {
        let [input, output] = traffic.interests();
        let (has_input, has_output) = (input.is_some(), output.is_some());
        let mut fds = vec![
            PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.process, PollFlags::POLLIN),
        ];
        fds.extend(input.into_iter().chain(output));
        match poll(&mut fds, traffic.timeout()) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(errno) => return Err(Failure::io("wait for the container", errno)),
        }
        let mut ready = fds
            .iter()
            .map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
        let mut next = || ready.next().unwrap_or(false);
        Ok(Ready {
            signal: next(),
            ended: next(),
            input: has_input && next(),
            output: has_output && next(),
        })
    }

    fn handle_signals(&self, traffic: &Traffic) -> Result<()> {
        while let Some(info) = self
            .signals
            .read_signal()
            .map_err(|errno| Failure::io("read a signal", errno))?
        {
            let signal = i32::try_from(info.ssi_signo).unwrap_or_default();
            match signal {
                libc::SIGCHLD => self.reap(),
                libc::SIGWINCH => traffic.resize(),
                // These are about this process: nobody reads its output, or a socket of its has urgent data.
                libc::SIGPIPE | libc::SIGURG => {}
                libc::SIGCONT => {
                    traffic.resume();
                    self.forward(signal);
                }
                _ => self.forward(signal),
            }
        }
        Ok(())
    }

    fn forward(&self, signal: i32) {
        let name = signals::name(signal);
        match sys::send_signal(self.process, signal) {
            Ok(()) => tracing::debug!("forwarded {name} to the container"),
            // It has just ended.
            Err(cause) if cause.raw_os_error() == Some(libc::ESRCH) => {}
            Err(cause) => tracing::error!("forward {name} to the container: {cause}"),
        }
    }

    /// Takes leave of processes that came here when their parent ended (prctl(2), PR_SET_CHILD_SUBREAPER), and leaves the
    /// container's own process for who waits for it: while that has not ended, no ended child can be it.
    fn reap(&self) {
        let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let ended = || waitid(Id::All, look).ok().and_then(|status| status.pid());
        while let Some(pid) = ended() {
            if !matches!(
                waitid(Id::PIDFd(self.process), look),
                Ok(WaitStatus::StillAlive)
            ) {
                return;
            }
            let status = waitpid(pid, Some(WaitPidFlag::WNOHANG));
            tracing::debug!("reaped an orphan: {status:?}");
        }
    }
}

/// What poll(2) found.
struct Ready {
    signal: bool,
    ended: bool,
    input: bool,
    output: bool,
}

/// The terminal, where there is one, and the streams that it is tied to.
struct Traffic {
    terminal: Option<Terminal>,
    stdin: io::Stdin,
    stdout: Output,
}

impl Traffic {
    fn interests(&self) -> [Option<PollFd<'_>>; 2] {
        let terminal = self.terminal.as_ref();
        [
            terminal.and_then(|terminal| terminal.input_interest(self.stdin.as_fd())),
            terminal.and_then(|terminal| terminal.output_interest(self.stdout.as_fd())),
        ]
    }

    fn timeout(&self) -> PollTimeout {
        let hung_up = self.terminal.as_ref().is_some_and(Terminal::hung_up);
        if hung_up {
            PollTimeout::from(HANG_UP)
        } else {
            PollTimeout::NONE
        }
    }

    fn resize(&self) {
        self.terminal.iter().for_each(Terminal::resize);
    }

    fn resume(&self) {
        self.terminal.iter().for_each(Terminal::resume);
    }

    fn step(&mut self, ready: &Ready) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        terminal.retry();
        if ready.input {
            terminal.move_input(self.stdin.as_fd());
        }
        if ready.output {
            terminal.move_output(self.stdout.as_fd());
        }
    }

    /// Moves on what the process wrote before it ended. Others may still have its terminal open; they are not waited for.
    /// Who reads the output is, however long that takes, unless a signal asks this process to end.
    fn finish(mut self, signals: &SignalFd) {
        let Some(terminal) = &mut self.terminal else {
            return;
        };
        terminal.retry();
        // Those were for the process that has ended.
        while let Ok(Some(_)) = signals.read_signal() {}
        while let Some(output) = terminal.output_interest(self.stdout.as_fd()) {
            let limit = if terminal.awaits_reader() {
                PollTimeout::NONE
            } else {
                PollTimeout::from(HANG_UP)
            };
            let mut fds = [output, PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            let answer = poll(&mut fds, limit);
            let moves = fds[0].any().unwrap_or(false);
            match answer {
                Ok(0) => return,
                Ok(_) if asked_to_end(signals) => return,
                Ok(_) if moves => terminal.move_output(self.stdout.as_fd()),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// Whether a signal has come whose sender wants this process gone.
fn asked_to_end(signals: &SignalFd) -> bool {
    let ends = [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];
    while let Ok(Some(info)) = signals.read_signal() {
        if i32::try_from(info.ssi_signo).is_ok_and(|signal| ends.contains(&signal)) {
            return true;
        }
    }
    false
}
