//! Messages between the init and the runtime.

use runtime_init::{Fault, GO, Operation, Report, ReportKind, STAMPS};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};

use crate::{During, Outcome, sys};

/// The socket to whoever waits for this process: the creator's, later that of `start`.
pub(crate) enum Control {
    Inherited(BorrowedFd<'static>),
    Accepted(OwnedFd),
}

pub(crate) const fn fault(operation: Operation, errno: Errno) -> Fault {
    Fault {
        operation,
        errno: errno.raw_os_error(),
    }
}

/// The kernel gives as many of a message's descriptors as there may be (unix(7), SCM_RIGHTS).
const NO_ROOM: Fault = fault(Operation::Control, Errno::MFILE);

impl Control {
    pub(crate) fn new(socket: BorrowedFd<'static>) -> Self {
        Control::Inherited(socket)
    }

    /// The last word. Who cannot say it is found to have ended.
    pub(crate) fn failed(&self, step: u32, fault: Fault) {
        let _ = self.send(Report {
            kind: ReportKind::Failed,
            step,
            operation: fault.operation,
            value: fault.errno,
        });
    }

    pub(crate) fn forked(&self, step: u32, pid: i32) -> Outcome {
        self.send(Report {
            kind: ReportKind::Forked,
            step,
            operation: Operation::Whole,
            value: pid,
        })
    }

    /// Reports that the step is reached and waits until the runtime lets it go on. When the runtime is gone, so is this
    /// process: nobody is left who could say what becomes of the container.
    pub(crate) fn wait(&self, step: u32) -> Outcome {
        self.send(Report {
            kind: ReportKind::Reached,
            step,
            operation: Operation::Whole,
            value: 0,
        })?;
        self.await_go()
    }

    fn await_go(&self) -> Outcome {
        match receive_go(self.as_fd()) {
            Ok(true) => Ok(()),
            Ok(false) => sys::exit(1),
            Err(errno) => Err(fault(Operation::Control, errno)),
        }
    }

    /// Asks the runtime for the tree of this step, and puts it, and those that come with it, at these descriptors' numbers.
    pub(crate) fn receive_trees(&self, step: u32, first: u32) -> Result<u32, Fault> {
        self.send(Report {
            kind: ReportKind::Wanted,
            step,
            operation: Operation::Whole,
            value: 0,
        })?;
        let mut number = first;
        receive(self.as_fd(), |tree| {
            sys::replace(number, &tree).during(Operation::Control)?;
            number = number.wrapping_add(1);
            Ok(())
        })
    }

    /// Moves this process into the cgroups whose `tasks` files the runtime sends.
    pub(crate) fn join_cgroups(&self, count: u16) -> Outcome {
        let joined = receive(self.as_fd(), |tasks| {
            let written = rustix::io::write(tasks, b"0");
            written.map(drop).during(Operation::Write)
        })?;
        if joined == u32::from(count) {
            Ok(())
        } else {
            Err(NO_ROOM)
        }
    }

    /// Sends a detached tree whose ids the runtime maps, and waits until it has.
    pub(crate) fn have_ids_mapped(&self, step: u32, tree: BorrowedFd<'_>) -> Outcome {
        let report = Report {
            kind: ReportKind::Tree,
            step,
            operation: Operation::Whole,
            value: 0,
        };
        sys::send_descriptor(self.as_fd(), &report.encode(), tree).during(Operation::Control)?;
        self.await_go()
    }

    /// Sends the pty's master.
    pub(crate) fn send_console(&self, step: u32, master: BorrowedFd<'_>) -> Outcome {
        let report = Report {
            kind: ReportKind::Console,
            step,
            operation: Operation::Whole,
            value: 0,
        };
        sys::send_descriptor(self.as_fd(), &report.encode(), master).during(Operation::SendPty)
    }

    fn send(&self, report: Report) -> Outcome {
        loop {
            match rustix::net::send(self.as_fd(), &report.encode(), SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                answer => return answer.map(drop).during(Operation::Control),
            }
        }
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Control::Inherited(socket) => *socket,
            Control::Accepted(socket) => socket.as_fd(),
        }
    }
}

/// Takes the descriptors of the next message. Where none comes, the runtime is gone, or has failed.
pub(crate) fn receive(
    socket: BorrowedFd<'_>,
    mut take: impl FnMut(OwnedFd) -> Outcome,
) -> Result<u32, Fault> {
    let mut outcome = Ok(());
    let received = sys::receive_descriptors(socket, |descriptor| {
        if outcome.is_ok() {
            outcome = take(descriptor);
        }
    });
    match received.during(Operation::Control)? {
        (None, _) => sys::exit(1),
        (Some(_), 0) => Err(NO_ROOM),
        (Some(_), count) => outcome.map(|()| count),
    }
}

/// Waits for a `start`; one that goes away before it has said so does not count. A container that is asked to end before
/// it was started ends.
///
/// What fails once there is a connection, whoever made it is told.
pub(crate) fn await_start(
    listener: BorrowedFd<'_>,
    stamps: &mut Option<sys::Stamps>,
) -> Result<(Control, Outcome), Fault> {
    let mut requests = sys::EndRequests::new();
    loop {
        if let Some(requests) = &requests {
            requests
                .or_connection(listener)
                .during(Operation::Control)?;
        }
        let connection = match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Err(Errno::INTR | Errno::CONNABORTED) => continue,
            // RLIMIT_NOFILE leaves one descriptor, and it is the connection that has to be.
            Err(Errno::MFILE) if requests.take().is_some() => continue,
            answer => answer.during(Operation::Control)?,
        };
        let word = match receive_word(connection.as_fd()) {
            Ok(Some(STAMPS)) => receive_stamps(connection.as_fd(), stamps),
            word => word.map(|word| word == Some(GO)),
        };
        if !matches!(word, Ok(false) | Err(Errno::CONNRESET)) {
            let outcome = word.map(drop).during(Operation::Control);
            return Ok((Control::Accepted(connection), outcome));
        }
    }
}

/// Whether the next message is the word to go on; false when the other end is closed.
fn receive_go(socket: BorrowedFd<'_>) -> Result<bool, Errno> {
    receive_word(socket).map(|word| word == Some(GO))
}

/// The next message, if it is of one byte.
fn receive_word(socket: BorrowedFd<'_>) -> Result<Option<u8>, Errno> {
    let mut byte = [0u8; 1];
    loop {
        match rustix::net::recv(socket, &mut byte, RecvFlags::empty()) {
            Ok((length, _)) => {
                let [word] = byte;
                return Ok((length == 1).then_some(word));
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// The same as [`receive_go`], with a file for the times of the steps. Without it the program starts all the same.
fn receive_stamps(socket: BorrowedFd<'_>, stamps: &mut Option<sys::Stamps>) -> Result<bool, Errno> {
    let mut file = None;
    let (word, _) = sys::receive_descriptors(socket, |received| file = Some(received))?;
    let goes_on = word == Some(GO);
    if goes_on {
        *stamps = file.and_then(|file| sys::Stamps::map(file.as_fd()).ok());
    }
    Ok(goes_on)
}
