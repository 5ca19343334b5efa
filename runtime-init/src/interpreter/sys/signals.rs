//! Signals: as after boot for the user's program, and as requests to end before that.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{BorrowedFd, FromRawFd, OwnedFd};
use rustix::io::Errno;

use super::{exit, number, syscall};

const SIG_SETMASK: usize = 2;
const LAST_SIGNAL: usize = 64;
/// The size of the kernel's sigset_t in bytes.
const SIGSET_SIZE: usize = 8;
/// The same of its signalfd_siginfo; the signal's number comes first.
const SIGINFO_SIZE: usize = 128;
const SFD_CLOEXEC: usize = 0o2_000_000;

/// SIGHUP, SIGINT, SIGQUIT and SIGTERM (1, 2, 3 and 15), which ask a process to end, as a kernel's sigset_t.
static REQUESTS: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 14;

/// Default dispositions and no blocked signal, whatever the caller of the runtime had.
pub(crate) fn reset_signals() {
    /// The kernel's `struct sigaction`: handler, flags, restorer, mask.
    static DEFAULT: [usize; 4] = [0; 4];
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: a sigaction of zeros sets the default; SIGKILL and SIGSTOP are refused, and have it anyway.
        let _ = unsafe {
            syscall(
                number::RT_SIGACTION,
                [signal, DEFAULT.as_ptr() as usize, 0, SIGSET_SIZE, 0],
            )
        };
    }
    block(&0);
}

fn block(signals: &u64) {
    let set = core::ptr::from_ref(signals) as usize;
    // SAFETY: a set of the size that is given.
    let _ = unsafe {
        syscall(
            number::RT_SIGPROCMASK,
            [SIG_SETMASK, set, 0, SIGSET_SIZE, 0],
        )
    };
}

/// Signals that are requests to end, as long as this lives. The first process of a PID namespace would not hear of them: it
/// has no handlers, and the kernel drops what it has none for (pid_namespaces(7)), but not while it is blocked.
pub(crate) struct EndRequests(OwnedFd);

impl EndRequests {
    /// None where there is no descriptor to be had: the process may have few.
    pub(crate) fn new() -> Option<Self> {
        block(&REQUESTS);
        let set = (&raw const REQUESTS) as usize;
        // SAFETY: a set of the size that is given.
        let opened = unsafe {
            syscall(
                number::SIGNALFD4,
                [usize::MAX, set, SIGSET_SIZE, SFD_CLOEXEC, 0],
            )
        };
        match opened {
            // SAFETY: the kernel made the descriptor just now.
            Ok(number) => Some(Self(unsafe { OwnedFd::from_raw_fd(number as i32) })),
            Err(_) => {
                block(&0);
                None
            }
        }
    }

    /// Waits for a connection. A process that is asked to end meanwhile ends, as one that the signal killed would for a
    /// shell.
    pub(crate) fn or_connection(&self, listener: BorrowedFd<'_>) -> Result<(), Errno> {
        let mut waiting = [
            PollFd::new(&listener, PollFlags::IN),
            PollFd::new(&self.0, PollFlags::IN),
        ];
        match poll(&mut waiting, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let [_, requests] = &waiting;
        if requests.revents().contains(PollFlags::IN) {
            let mut information = [0u8; SIGINFO_SIZE];
            if rustix::io::read(&self.0, &mut information).is_ok() {
                let [signal, ..] = information;
                exit(128 + usize::from(signal));
            }
        }
        Ok(())
    }
}

impl Drop for EndRequests {
    fn drop(&mut self) {
        block(&0);
    }
}
