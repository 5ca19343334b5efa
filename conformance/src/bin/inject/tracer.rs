//! Follows a command and the processes that it makes from system call to system call: ptrace(2).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use conformance::fault::{Act, Fault, Role, Trace};
use conformance::sys::{CallStop, call_stop};
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use syscalls::Sysno;

pub(crate) struct Tracer {
    root: Pid,
    fault: Option<Fault>,
    processes: BTreeMap<Pid, Process>,
    /// Those that were made and have not stopped for the first time.
    newborn: BTreeSet<Pid>,
    /// How many calls like the fault's there were.
    like: usize,
    pub(crate) trace: Trace,
}

struct Process {
    role: Role,
    /// The call that it is in fails.
    failing: Option<Failing>,
}

enum Failing {
    /// It is not made, and said to have this error.
    With(i32),
    /// brk(2) gives no error, but the break as it was, which is what it gives when it is asked for 0. What was asked for has
    /// to be in its register again afterwards: the C library compares the two.
    Brk(u64),
}

impl Tracer {
    /// Of a command that waits to be traced after its execve.
    pub(crate) fn new(root: Pid, fault: Option<Fault>) -> nix::Result<Self> {
        waitpid(root, Some(WaitPidFlag::__WALL))?;
        ptrace::setoptions(root, options())?;
        ptrace::syscall(root, None)?;
        let mut tracer = Self {
            root,
            fault,
            processes: BTreeMap::new(),
            newborn: BTreeSet::new(),
            like: 0,
            trace: Trace::default(),
        };
        tracer.know(root);
        Ok(tracer)
    }

    /// Traces this process, too.
    pub(crate) fn attach(&mut self, pid: Pid) -> nix::Result<()> {
        ptrace::seize(pid, options())?;
        ptrace::interrupt(pid)?;
        self.know(pid);
        Ok(())
    }

    /// Goes on until the command has ended. Who is still traced then goes on without.
    pub(crate) fn follow(&mut self) -> nix::Result<WaitStatus> {
        loop {
            let status = match waitpid(None, Some(WaitPidFlag::__WALL)) {
                Err(Errno::EINTR) => continue,
                status => status?,
            };
            let Some(pid) = status.pid() else { continue };
            if let WaitStatus::Exited(..) | WaitStatus::Signaled(..) = status {
                if pid == self.root {
                    self.release_newborn();
                    return Ok(status);
                }
                self.processes.remove(&pid);
                continue;
            }
            match self.stopped(pid, status) {
                // Killed meanwhile; its end is still to come.
                Ok(()) | Err(Errno::ESRCH) => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A process that is traced from its beginning begins with a SIGSTOP, from which nobody else would wake it.
    fn release_newborn(&self) {
        for child in &self.newborn {
            let stopped = waitpid(*child, Some(WaitPidFlag::__WALL));
            if matches!(stopped, Ok(WaitStatus::Stopped(..))) {
                // Killed meanwhile, it needs no release.
                let _ = ptrace::detach(*child, None);
            }
        }
    }

    fn stopped(&mut self, pid: Pid, status: WaitStatus) -> nix::Result<()> {
        self.newborn.remove(&pid);
        match status {
            WaitStatus::PtraceEvent(
                _,
                _,
                libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK,
            ) => {
                let child = Pid::from_raw(ptrace::getevent(pid)? as i32);
                // Its first stop may come before this one's.
                if !self.processes.contains_key(&child) {
                    self.newborn.insert(child);
                }
            }
            WaitStatus::PtraceSyscall(_) => self.call(pid)?,
            WaitStatus::PtraceEvent(_, _, libc::PTRACE_EVENT_EXEC) if self.is_another(pid) => {
                self.processes.remove(&pid);
                return ptrace::detach(pid, None);
            }
            WaitStatus::Stopped(_, signal) => {
                let is_first = !self.processes.contains_key(&pid);
                self.know(pid);
                // A process that is traced from its beginning begins with a stop of the tracer's.
                let signal = (!is_first || signal != Signal::SIGSTOP).then_some(signal);
                return ptrace::syscall(pid, signal);
            }
            _ => {}
        }
        ptrace::syscall(pid, None)
    }

    fn know(&mut self, pid: Pid) {
        let role = match thread_group(pid) == Some(self.root) {
            true => Role::Runtime,
            false => Role::Init,
        };
        let process = Process {
            role,
            failing: None,
        };
        self.processes.entry(pid).or_insert(process);
    }

    /// Whether it has become a program that is not the runtime's: its init has no name in the file system.
    fn is_another(&self, pid: Pid) -> bool {
        let program = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let program = program.to_string_lossy();
        pid != self.root && !program.starts_with("/memfd:") && !program.ends_with(" (deleted)")
    }

    fn call(&mut self, pid: Pid) -> nix::Result<()> {
        match call_stop(pid)? {
            Some(CallStop::Entry(number)) => self.entry(pid, number),
            Some(CallStop::Exit) => self.exit(pid),
            None => Ok(()),
        }
    }

    fn entry(&mut self, pid: Pid, number: u64) -> nix::Result<()> {
        let Some(process) = self.processes.get_mut(&pid) else {
            return Ok(());
        };
        let call = usize::try_from(number).ok().and_then(Sysno::new);
        let call = call.map_or_else(|| number.to_string(), |call| call.name().to_owned());
        self.trace.calls.push((process.role, call.clone()));
        let Some(Fault { point, act }) = &self.fault else {
            return Ok(());
        };
        if (point.role, &point.call) != (process.role, &call) {
            return Ok(());
        }
        self.like += 1;
        if self.like != point.count {
            return Ok(());
        }
        self.trace.injected = true;
        match *act {
            Act::Fail(_) if call == "brk" => {
                process.failing = Some(Failing::Brk(set_first_argument(pid, 0)?));
                Ok(())
            }
            Act::Fail(errno) => {
                process.failing = Some(Failing::With(errno));
                skip(pid)
            }
            Act::Kill(role) => {
                self.trace.killed = self.kill(role);
                Ok(())
            }
        }
    }

    fn exit(&mut self, pid: Pid) -> nix::Result<()> {
        let process = self.processes.get_mut(&pid);
        match process.and_then(|process| process.failing.take()) {
            Some(Failing::With(errno)) => set_result(pid, -i64::from(errno)),
            Some(Failing::Brk(asked)) => set_first_argument(pid, asked).map(drop),
            None => Ok(()),
        }
    }

    /// How many there were.
    fn kill(&self, role: Role) -> usize {
        let in_role = self
            .processes
            .iter()
            .filter(|(_, process)| process.role == role);
        in_role
            .filter(|(pid, _)| kill(**pid, Signal::SIGKILL).is_ok())
            .count()
    }
}

fn options() -> Options {
    Options::PTRACE_O_TRACESYSGOOD
        | Options::PTRACE_O_TRACECLONE
        | Options::PTRACE_O_TRACEFORK
        | Options::PTRACE_O_TRACEVFORK
        | Options::PTRACE_O_TRACEEXEC
}

fn thread_group(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok().map(Pid::from_raw)
}

/// Has the kernel make no call: there is none with this number.
#[cfg(target_arch = "x86_64")]
fn skip(pid: Pid) -> nix::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    registers.orig_rax = u64::MAX;
    ptrace::setregs(pid, registers)
}

/// Gives the one that was there.
#[cfg(target_arch = "x86_64")]
fn set_first_argument(pid: Pid, argument: u64) -> nix::Result<u64> {
    let mut registers = ptrace::getregs(pid)?;
    let before = std::mem::replace(&mut registers.rdi, argument);
    ptrace::setregs(pid, registers)?;
    Ok(before)
}

#[cfg(target_arch = "x86_64")]
fn set_result(pid: Pid, result: i64) -> nix::Result<()> {
    let mut registers = ptrace::getregs(pid)?;
    registers.rax = result.cast_unsigned();
    ptrace::setregs(pid, registers)
}

#[cfg(not(target_arch = "x86_64"))]
fn skip(_: Pid) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}

#[cfg(not(target_arch = "x86_64"))]
fn set_first_argument(_: Pid, _: u64) -> nix::Result<u64> {
    Err(Errno::ENOSYS)
}

#[cfg(not(target_arch = "x86_64"))]
fn set_result(_: Pid, _: i64) -> nix::Result<()> {
    Err(Errno::ENOSYS)
}
