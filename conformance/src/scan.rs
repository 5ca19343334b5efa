//! A hostile process in a container: stops whatever appears in its PID namespace, and looks for traces of the host in it.
//!
//! The [probe](crate::report) runs this as `probe scan`. It guesses the number of the next process, stops it the moment it is
//! there, and takes its time: links in /proc, descriptors (taken by pidfd_getfd(2), too), memory, ptrace(2), and whether
//! anything of all this leads to a canary on the host.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::uio::{RemoteIoVec, process_vm_readv};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::process::Running;
use crate::sys;

/// What the scanner prints once it watches.
pub const READY: &str = "watching\n";

/// How many numbers after the last one the next process may have.
const WINDOW: i32 = 4;
/// So many processes are looked at in every way, and the others at their links and rights.
const THOROUGH: u64 = 150;
/// Memory is searched in so many processes, and up to so many bytes of each mapping.
const SEARCHED: u64 = 40;
const MAPPING: usize = 1 << 20;

/// What was found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Scan {
    /// Processes that were seen.
    pub appeared: u64,
    /// Those among them that were stopped before they ran the user's program.
    pub caught: u64,
    /// What was seen of these, by kind: `exe`, `fd`, `environ`, `status`, `escape`, and so on.
    pub seen: BTreeMap<String, BTreeSet<String>>,
}

impl Scan {
    /// Everything of a kind.
    pub fn of(&self, kind: &str) -> impl Iterator<Item = &str> {
        self.seen
            .get(kind)
            .into_iter()
            .flatten()
            .map(String::as_str)
    }

    /// Waits until the scanner, which a container has as its program, watches.
    pub fn await_start(scanner: &Running) {
        crate::process::until("the scanner", || {
            (scanner.printed().starts_with(READY)).then_some(())
        });
    }

    /// Tells the scanner to end, and reads what it has found.
    #[must_use]
    pub fn finish(scanner: Running, stop: &Path) -> Self {
        fs::write(stop, "").unwrap();
        let finished = scanner.wait().ok();
        let text = finished.stdout.strip_prefix(READY).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
    }

    fn note(&mut self, kind: &str, what: impl Display) {
        let kind = self.seen.entry(kind.to_owned()).or_default();
        kind.insert(what.to_string());
    }

    /// Something was had, or refused with an errno.
    fn note_result<T>(&mut self, kind: &str, result: &io::Result<T>, had: impl Display) {
        match result {
            Ok(_) => self.note(kind, had),
            Err(error) => self.note(kind, format_args!("refused: {}", errno(error))),
        }
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

/// What to look for.
#[derive(Debug)]
pub struct Scanner {
    /// A file of the host's, by its path there.
    canary: String,
    /// The end of the scan: this file is there.
    stop: PathBuf,
    /// The user's program, as /proc/PID/exe has it: a process that runs this is not looked at.
    program: PathBuf,
    /// What must not be in any process's memory.
    needles: Vec<String>,
    scan: Scan,
}

impl Scanner {
    /// `CANARY STOP PROGRAM NEEDLE…`.
    #[must_use]
    pub fn of(arguments: &[String]) -> Option<Self> {
        let [canary, stop, program, needles @ ..] = arguments else {
            return None;
        };
        Some(Self {
            canary: canary.clone(),
            stop: stop.into(),
            program: program.into(),
            needles: needles.to_vec(),
            scan: Scan::default(),
        })
    }

    /// Watches until it is told to stop.
    pub fn run(mut self) -> io::Result<Scan> {
        let mut next = last_pid() + 1;
        print!("{READY}");
        io::stdout().flush()?;
        for round in 0u32.. {
            if round % 128 == 0 {
                if self.stop.exists() {
                    break;
                }
                // Some were there and gone again between two looks.
                next = next.max(last_pid());
            }
            for pid in next..next + WINDOW {
                if kill(Pid::from_raw(pid), Signal::SIGSTOP) != Err(Errno::ESRCH) {
                    self.examine(pid);
                    // All of them: what was stopped by the number of a thread may have that thread no more.
                    let _ = kill(Pid::from_raw(-1), Signal::SIGCONT);
                    next = pid + 1;
                    break;
                }
            }
        }
        Ok(self.scan)
    }

    fn examine(&mut self, pid: i32) {
        if is_thread(pid) || !has_stopped(pid) {
            return;
        }
        self.scan.appeared += 1;
        let exe = self.link(pid, "exe");
        if exe.as_ref().is_ok_and(|exe| *exe == self.program) {
            return;
        }
        self.scan.caught += 1;
        for (kind, link) in [
            ("exe", exe),
            ("cwd", self.link(pid, "cwd")),
            ("root", self.link(pid, "root")),
        ] {
            let had = link
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default();
            self.scan.note_result(kind, &link, had);
        }
        self.links(pid, "fd");
        self.text(pid, "environ");
        self.text(pid, "status");
        if self.scan.caught > THOROUGH {
            return;
        }
        self.links(pid, "map_files");
        for file in ["cmdline", "maps", "comm"] {
            self.text(pid, file);
        }
        self.paths(pid);
        self.ptrace(pid);
        self.take_descriptors(pid);
        if self.scan.caught <= SEARCHED {
            self.memory(pid);
        }
    }

    fn link(&self, pid: i32, name: &str) -> io::Result<PathBuf> {
        fs::read_link(format!("/proc/{pid}/{name}"))
    }

    fn links(&mut self, pid: i32, directory: &str) {
        let entries = fs::read_dir(format!("/proc/{pid}/{directory}"));
        for entry in entries.into_iter().flatten().flatten() {
            if let Ok(link) = fs::read_link(entry.path()) {
                self.scan
                    .note(directory, numberless(&link.display().to_string()));
            }
        }
    }

    fn text(&mut self, pid: i32, name: &str) {
        let content = fs::read(format!("/proc/{pid}/{name}"));
        let Ok(content) = &content else {
            self.scan.note_result(name, &content, "");
            return;
        };
        let content = String::from_utf8_lossy(content);
        let rights = [
            "CapInh",
            "CapPrm",
            "CapBnd",
            "CapAmb",
            "NoNewPrivs",
            "Seccomp",
        ];
        for line in content.split(['\0', '\n']).filter(|line| !line.is_empty()) {
            match name {
                "maps" => self.scan.note(name, line.get(73..).unwrap_or_default()),
                "status" => {
                    if let Some((field, value)) = line
                        .split_once(':')
                        .filter(|(field, _)| rights.contains(field))
                    {
                        self.scan.note(field, value.trim());
                    }
                }
                _ => self.scan.note(name, line),
            }
        }
    }

    /// Whether a path through the process leads to the canary.
    fn paths(&mut self, pid: i32) {
        let mut places = vec!["root".to_owned(), "cwd".to_owned()];
        places.extend((0..32).map(|number| format!("fd/{number}")));
        for place in places {
            let path = format!("/proc/{pid}/{place}");
            let open = |ways: &[&str]| {
                let opened = ways
                    .iter()
                    .find_map(|way| File::open(format!("{path}{way}{}", self.canary)).ok());
                opened.is_some()
            };
            if open(&WAYS) {
                self.scan.note("escape", format_args!("/proc/PID/{place}"));
            }
        }
    }

    fn ptrace(&mut self, pid: i32) {
        let process = Pid::from_raw(pid);
        let seized = ptrace::seize(process, ptrace::Options::empty());
        if seized.is_ok() {
            // It has stopped, and says so to its new tracer: only then can it be let go.
            let _ = waitpid(process, Some(WaitPidFlag::__WALL));
            let _ = ptrace::detach(process, None);
        }
        let seized = seized.map_err(io::Error::from);
        self.scan.note_result("ptrace", &seized, "seized");
    }

    fn take_descriptors(&mut self, pid: i32) {
        let Ok(process) = descriptor(libc::SYS_pidfd_open, [pid.into(), 0, 0]) else {
            return;
        };
        for number in 0..32 {
            let arguments = [process.as_raw_fd().into(), number, 0];
            let taken = descriptor(libc::SYS_pidfd_getfd, arguments);
            match taken {
                Ok(taken) => self.taken(&taken),
                Err(error) if errno(&error) == Errno::EBADF => {}
                error => self.scan.note_result("pidfd_getfd", &error, ""),
            }
        }
    }

    fn taken(&mut self, taken: &OwnedFd) {
        let path = format!("/proc/self/fd/{}", taken.as_raw_fd());
        let link = fs::read_link(&path).unwrap_or_default();
        self.scan
            .note("pidfd_getfd", numberless(&link.display().to_string()));
        if WAYS
            .iter()
            .any(|way| File::open(format!("{path}{way}{}", self.canary)).is_ok())
        {
            self.scan
                .note("escape", format_args!("a descriptor of {}", link.display()));
        }
    }

    fn memory(&mut self, pid: i32) {
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        let memory = File::open(format!("/proc/{pid}/mem"));
        self.scan.note_result("mem", &memory, "opened");
        let ranges = maps.lines().filter_map(|line| {
            let (start, end) = line.split_once(' ')?.0.split_once('-')?;
            Some((
                u64::from_str_radix(start, 16).ok()?,
                u64::from_str_radix(end, 16).ok()?,
            ))
        });
        for (start, end) in ranges {
            let mut bytes = vec![0; usize::try_from(end - start).unwrap_or(MAPPING).min(MAPPING)];
            if let Ok(memory) = &memory
                && memory.read_exact_at(&mut bytes, start).is_ok()
            {
                self.search(&bytes, "mem");
            }
            let remote = [RemoteIoVec {
                base: start as usize,
                len: bytes.len(),
            }];
            let mut local = [io::IoSliceMut::new(&mut bytes)];
            let read = process_vm_readv(Pid::from_raw(pid), &mut local, &remote);
            self.scan
                .note_result("process_vm_readv", &read.map_err(io::Error::from), "read");
            if read.is_ok() {
                self.search(&bytes, "process_vm_readv");
            }
        }
    }

    fn search(&mut self, bytes: &[u8], how: &str) {
        for needle in &self.needles {
            if bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
            {
                let found = self.scan.seen.entry("memory".to_owned()).or_default();
                found.insert(format!("{needle} by {how}"));
            }
        }
    }
}

/// From a directory to the host's root: as it is, from below it, and by a procfs.
const WAYS: [&str; 4] = ["", "/../../../../../../..", "/1/root", "/self/root"];

fn descriptor(call: i64, [a, b, c]: [i64; 3]) -> io::Result<OwnedFd> {
    let number = sys::syscall(call, [a, b, c, 0, 0, 0])?;
    Ok(sys::own(i32::try_from(number).map_err(io::Error::other)?))
}

/// `socket:[123]` is one thing, whatever its number.
fn numberless(link: &str) -> &str {
    link.split_once(":[").map_or(link, |(kind, _)| kind)
}

/// The last process of this namespace that was made (proc_loadavg(5)).
pub(crate) fn last_pid() -> i32 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split_whitespace()
        .last()
        .and_then(|last| last.parse().ok())
        .unwrap_or(0)
}

/// Whether the number is that of a further thread, which was stopped with its process.
fn is_thread(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    group.and_then(|group| group.trim().parse().ok()) != Some(pid)
}

/// Waits until the process has stopped; false when it is gone instead.
fn has_stopped(pid: i32) -> bool {
    for _ in 0..10_000 {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        match stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.chars().next())
        {
            Some('T' | 't') => return true,
            None | Some('Z' | 'X') => return false,
            Some(_) => thread::yield_now(),
        }
    }
    true
}
