//! Descriptors that the caller hands through to the container's process: `$LISTEN_FDS` and `--preserve-fds`.

use std::env;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};

use rustix::io::fcntl_getfd;
use rustix::stdio::{stderr, stdin, stdout};

use crate::cli::Command;
use crate::commands::exec;
use crate::failure::{Failure, Result};

/// The first number after the standard streams: sd_listen_fds(3), SD_LISTEN_FDS_START.
const FIRST: u32 = 3;

/// Opens /dev/null as the standard streams that are closed: what is opened later would get their numbers, and what is meant
/// for the streams.
///
/// # Errors
///
/// That of opening it.
pub(crate) fn open_missing_streams() -> io::Result<()> {
    let streams = [stdin(), stdout(), stderr()];
    while !streams.iter().all(|stream| fcntl_getfd(stream).is_ok()) {
        let null = File::options().read(true).write(true).open("/dev/null")?;
        // The lowest number that is free, so it is one of theirs.
        let _ = null.into_raw_fd();
    }
    Ok(())
}

/// What the container's process inherits beside its standard streams: descriptors 3 and on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Inherited {
    /// Sockets of socket activation, which come first: sd_listen_fds(3).
    pub(crate) listening: u32,
    /// Those that `--preserve-fds` names, after them.
    pub(crate) preserved: u32,
}

impl Inherited {
    /// Sockets are for the container's first process, whose number is known; a process that joins has none.
    pub(crate) fn of_new_container(preserved: u32) -> Self {
        Inherited {
            listening: listening(),
            preserved,
        }
    }

    pub(crate) fn count(self) -> u32 {
        self.listening.saturating_add(self.preserved)
    }

    /// The variables that tell the container's process of its sockets, with the names that they have here. Its init is
    /// process 1.
    pub(crate) fn environment(self, names: Option<&str>) -> Vec<String> {
        if self.listening == 0 {
            return Vec::new();
        }
        let count = format!("LISTEN_FDS={}", self.listening);
        let names = names.map(|names| format!("LISTEN_FDNAMES={names}"));
        [count, "LISTEN_PID=1".to_owned()]
            .into_iter()
            .chain(names)
            .collect()
    }

    /// Whether all of them are open, where `first_free` is the first number that is not.
    fn check(self, first_free: u32) -> Result<()> {
        let (listening, preserved) = (self.listening, self.preserved);
        let open = first_free.saturating_sub(FIRST);
        if open < listening {
            return Err(Failure::new(format!(
                "$LISTEN_FDS says {listening}, and descriptor {first_free} is not open"
            )));
        }
        match open - listening {
            open if open < preserved => Err(Failure::new(format!(
                "unable to stat preserved-fd {open} (of {preserved}): descriptor {first_free} is not open: no such file or \
                 directory"
            ))),
            _ => Ok(()),
        }
    }
}

/// Whether the descriptors that a command hands through are the caller's. To be asked before this process opens any of its
/// own: those would take the numbers of missing ones, and end up in the container.
pub(crate) fn check(command: &Command) -> Result<()> {
    let inherited = match command {
        Command::Create(create) => Inherited::of_new_container(create.launch.preserve_fds),
        Command::Run(run) => Inherited::of_new_container(run.launch.preserve_fds),
        Command::Exec(exec) => Inherited {
            listening: 0,
            preserved: exec.preserve_fds,
        },
        _ => Inherited::default(),
    };
    if inherited == Inherited::default() {
        return Ok(());
    }
    // A copy has the lowest number that is free, from 3 on.
    let copy = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(|cause| Failure::io("look for the first free descriptor", cause))?;
    let checked = inherited.check(copy.as_raw_fd().unsigned_abs());
    match command {
        Command::Exec(_) => checked.map_err(|failure| failure.with_code(exec::FAILED)),
        _ => checked,
    }
}

/// The names of the sockets, `:` between them.
pub(crate) fn names() -> Option<String> {
    env::var("LISTEN_FDNAMES")
        .ok()
        .filter(|names| !names.is_empty())
}

/// How many sockets the service manager passed to this process.
fn listening() -> u32 {
    listening_for(
        std::process::id(),
        env::var("LISTEN_PID").ok().as_deref(),
        env::var("LISTEN_FDS").ok().as_deref(),
    )
}

pub(crate) fn listening_for(own_pid: u32, pid: Option<&str>, count: Option<&str>) -> u32 {
    match (pid.map(str::parse::<u32>), count.map(str::parse::<u32>)) {
        (Some(Ok(pid)), Some(Ok(count))) if pid == own_pid => count,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_meant_for_another_process_are_left_alone() {
        assert_eq!(listening_for(7, Some("7"), Some("2")), 2);
        assert_eq!(listening_for(7, Some("8"), Some("2")), 0);
        assert_eq!(listening_for(7, None, Some("2")), 0);
        assert_eq!(listening_for(7, Some("7"), Some("-2")), 0);
    }

    #[test]
    fn the_container_hears_of_its_sockets_and_of_nothing_else() {
        let inherited = Inherited {
            listening: 2,
            preserved: 1,
        };
        assert_eq!(inherited.count(), 3);
        let [count, pid, names] = ["LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=a:b"];
        assert_eq!(inherited.environment(None), [count, pid]);
        assert_eq!(inherited.environment(Some("a:b")), [count, pid, names]);
        let none = Inherited {
            listening: 0,
            preserved: 1,
        };
        assert_eq!(none.environment(Some("a:b")), Vec::<String>::new());
    }

    #[test]
    fn a_descriptor_that_is_not_open_is_named() {
        let inherited = Inherited {
            listening: 2,
            preserved: 3,
        };
        assert!(inherited.check(8).is_ok() && inherited.check(100).is_ok());
        for (first_free, begin) in [
            (4, "$LISTEN_FDS says 2, and descriptor 4 is not open"),
            (5, "unable to stat preserved-fd 0 (of 3): descriptor 5"),
            (7, "unable to stat preserved-fd 2 (of 3): descriptor 7"),
        ] {
            let error = inherited.check(first_free).unwrap_err().to_string();
            assert!(error.starts_with(begin), "{error}");
        }
    }
}
