//! Tries devices from inside a cgroup: what its device rules let a process do, as the kernel sees them.
//!
//! A device's nodes are made before the process joins the cgroup, in a file system of its own, so that only the use is
//! judged. Nothing is read or written: a device that nobody drives answers with another error than a forbidden one.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::process;

/// Devices that are tried: those that every container may use, and others, most of which nothing drives.
pub const NODES: [(char, u64, u64); 12] = [
    ('c', 1, 3),
    ('c', 1, 5),
    ('c', 1, 98),
    ('c', 1, 99),
    ('c', 5, 0),
    ('c', 5, 1),
    ('c', 10, 200),
    ('c', 10, 237),
    ('b', 7, 0),
    ('b', 7, 1),
    ('b', 8, 0),
    ('b', 8, 5),
];

/// Ways to use a device: to make a node, to open it for reading, for writing, for both.
const WAYS: [(char, OFlag); 3] = [
    ('r', OFlag::O_RDONLY),
    ('w', OFlag::O_WRONLY),
    ('+', OFlag::O_RDWR),
];

/// What a process of the cgroup may do, by device (`c 1:3`): a letter for each of `m`, `r`, `w`, and `+` for reading and
/// writing at once.
pub type Verdicts = BTreeMap<String, String>;

/// Asks for the verdicts in the cgroup with this directory.
///
/// # Panics
///
/// If the probe cannot do its work.
#[must_use]
pub fn ask(probe: &Path, cgroup: &Path) -> Verdicts {
    let printed = process::run(Command::new(probe).arg("devices").arg(cgroup))
        .ok()
        .stdout;
    serde_json::from_str(&printed).expect("the probe prints JSON")
}

/// The probe's part: joins the cgroup and tries. The calling process cannot leave it.
///
/// # Errors
///
/// When there is no place to make nodes, or the cgroup cannot be joined.
pub fn try_all(cgroup: &Path) -> Result<Verdicts, Box<dyn std::error::Error>> {
    let place = place()?;
    let existing =
        |node: &(char, u64, u64)| place.join(format!("{}-{}-{}", node.0, node.1, node.2));
    for node in &NODES {
        make(&existing(node), node)?;
    }
    fs::write(cgroup.join("cgroup.procs"), "0")?;
    let mut verdicts = Verdicts::new();
    for node in &NODES {
        let mut letters = String::new();
        if make(&place.join("new"), node) != Err(Errno::EPERM) {
            letters.push('m');
            fs::remove_file(place.join("new"))?;
        }
        for (letter, flags) in WAYS {
            let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
            if open(&existing(node), flags, Mode::empty()).err() != Some(Errno::EPERM) {
                letters.push(letter);
            }
        }
        verdicts.insert(format!("{} {}:{}", node.0, node.1, node.2), letters);
    }
    Ok(verdicts)
}

/// A file system whose nodes can be opened, seen by this process alone.
fn place() -> nix::Result<PathBuf> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_PRIVATE | MsFlags::MS_REC, none)?;
    mount(Some("probe"), "/mnt", Some("tmpfs"), MsFlags::empty(), none)?;
    Ok("/mnt".into())
}

fn make(path: &Path, (kind, major, minor): &(char, u64, u64)) -> nix::Result<()> {
    let kind = if *kind == 'b' {
        SFlag::S_IFBLK
    } else {
        SFlag::S_IFCHR
    };
    mknod(
        path,
        kind,
        Mode::from_bits_truncate(0o600),
        makedev(*major, *minor),
    )
}
