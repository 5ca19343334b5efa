//! Loading a seccomp filter, and passing on its listener (seccomp(2), seccomp_unotify(2)).
//!
//! Once a filter is in force it may hand any system call of this thread to a listener that nobody has yet, or refuse it:
//! the thread cannot send its own listener. So another thread, started before and under no filter, waits in memory that
//! both share for the number of the descriptor, and sends it; this one waits there as well until that is done, without a
//! system call. Taking the descriptor from outside (pidfd_getfd(2)) would need the right to ptrace the init, which
//! `start` may not have.

use core::hint::spin_loop;
use core::sync::atomic::{AtomicI32, AtomicU32, Ordering};

use runtime_init::{Fault, Operation, Report};
use rustix::fd::{AsRawFd, BorrowedFd};
use rustix::io::Errno;

use super::{inherited, number, send_descriptor, syscall, thread};
use crate::control::fault;
use crate::{During, Outcome};

const SECCOMP_SET_MODE_FILTER: usize = 1;

/// Nothing to say yet, as descriptor and as errno.
const PENDING: i32 = -1;

/// How often to look whether the listener is sent: some seconds. The other thread needs next to nothing of a processor,
/// but that much even where a real-time policy on a single one lets this thread keep it.
const PATIENCE: u32 = 1 << 27;

/// What the two threads tell each other.
struct Handover {
    socket: AtomicI32,
    step: AtomicU32,
    listener: AtomicI32,
    /// The errno of sending it, 0 for none.
    sent: AtomicI32,
}

static HANDOVER: Handover = Handover {
    socket: AtomicI32::new(PENDING),
    step: AtomicU32::new(0),
    listener: AtomicI32::new(PENDING),
    sent: AtomicI32::new(PENDING),
};

/// Loads a filter without a listener.
pub(crate) fn load(flags: u32, program: &[u8]) -> Outcome {
    set_filter(flags, program)
        .map(drop)
        .during(Operation::Whole)
}

/// Loads a filter with `SECCOMP_FILTER_FLAG_NEW_LISTENER`, and sends the listener over the socket as part of this step.
/// A plan loads one filter: there is no second time.
pub(crate) fn load_with_listener(
    flags: u32,
    program: &[u8],
    socket: BorrowedFd<'_>,
    step: u32,
) -> Outcome {
    HANDOVER.step.store(step, Ordering::Relaxed);
    HANDOVER.socket.store(socket.as_raw_fd(), Ordering::Release);
    // SAFETY: a plan loads one filter, so this is the only call.
    unsafe { thread::start(send_listener) }.during(Operation::StartSender)?;
    let listener = set_filter(flags, program).during(Operation::Whole)?;
    HANDOVER.listener.store(listener as i32, Ordering::Release);
    for _ in 0..PATIENCE {
        match HANDOVER.sent.load(Ordering::Acquire) {
            PENDING => spin_loop(),
            0 => return Ok(()),
            errno => return Err(unsent(Errno::from_raw_os_error(errno))),
        }
    }
    Err(unsent(Errno::TIMEDOUT))
}

const fn unsent(errno: Errno) -> Fault {
    fault(Operation::SendListener, errno)
}

/// The other thread.
extern "C" fn send_listener() -> ! {
    let listener = loop {
        match HANDOVER.listener.load(Ordering::Acquire) {
            PENDING => rustix::thread::sched_yield(),
            number => break number,
        }
    };
    let socket = HANDOVER.socket.load(Ordering::Acquire);
    let report = Report::listener(HANDOVER.step.load(Ordering::Relaxed));
    let sent = send_descriptor(
        inherited(socket.unsigned_abs()),
        &report.encode(),
        inherited(listener.unsigned_abs()),
    );
    let errno = sent.err().map_or(0, Errno::raw_os_error);
    HANDOVER.sent.store(errno, Ordering::Release);
    thread::exit()
}

/// seccomp(2): the listener's descriptor where the flags ask for one.
fn set_filter(flags: u32, program: &[u8]) -> Result<usize, Errno> {
    /// `struct sock_fprog`.
    #[repr(C)]
    struct Program {
        length: u16,
        filter: *const u8,
    }
    const INSTRUCTION_SIZE: usize = 8;
    let length = u16::try_from(program.len() / INSTRUCTION_SIZE).map_err(|_| Errno::TOOBIG)?;
    let program = Program {
        length,
        filter: program.as_ptr(),
    };
    let arguments = [
        SECCOMP_SET_MODE_FILTER,
        flags as usize,
        &raw const program as usize,
        0,
        0,
    ];
    // SAFETY: the program has as many instructions as it says; the kernel copies them.
    unsafe { syscall(number::SECCOMP, arguments) }
}
