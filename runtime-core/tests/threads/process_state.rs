//! What a library could change of its process, and this one must not.

use std::env;
use std::fs;
use std::path::PathBuf;

/// Everything that belongs to the process as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProcessState {
    working_directory: PathBuf,
    environment: usize,
    /// Lines of /proc/self/status: umask, signals, capabilities.
    status: Vec<String>,
    blocked: String,
    /// What each descriptor is, by number. Sockets, pipes and memfds differ by their inodes.
    descriptors: Vec<(i32, PathBuf)>,
    /// The root and the namespaces that the calling thread is in.
    place: Vec<PathBuf>,
    children: Vec<String>,
}

impl ProcessState {
    pub(crate) fn now() -> ProcessState {
        ProcessState {
            working_directory: env::current_dir().unwrap(),
            environment: env::vars_os().count(),
            status: status(
                "self",
                &[
                    "Umask",
                    "ShdPnd",
                    "SigIgn",
                    "SigCgt",
                    "CapEff",
                    "NoNewPrivs",
                ],
            ),
            blocked: blocked_signals(),
            descriptors: descriptors(),
            place: place(),
            children: children(),
        }
    }
}

/// The signals that the calling thread blocks.
pub(crate) fn blocked_signals() -> String {
    status("thread-self", &["SigBlk"]).concat()
}

fn status(task: &str, names: &[&str]) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{task}/status")).unwrap();
    let named = |line: &&str| {
        let name = line.split(':').next().unwrap_or_default();
        names.contains(&name)
    };
    text.lines().filter(named).map(str::to_owned).collect()
}

fn descriptors() -> Vec<(i32, PathBuf)> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    let mut descriptors: Vec<_> = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let number = path.file_name()?.to_str()?.parse().ok()?;
            // The descriptor of this very listing is gone by the time that it is looked at, or leads to it.
            let what = fs::read_link(&path).ok()?;
            let listing = what.to_string_lossy().ends_with("/fd");
            (!listing).then_some((number, what))
        })
        .collect();
    descriptors.sort();
    descriptors
}

fn place() -> Vec<PathBuf> {
    let names = [
        "root",
        "ns/mnt",
        "ns/pid",
        "ns/net",
        "ns/uts",
        "ns/ipc",
        "ns/cgroup",
    ];
    let link = |name| fs::read_link(format!("/proc/thread-self/{name}")).unwrap();
    names.into_iter().map(link).collect()
}

/// Children of any thread that nobody waited for.
fn children() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").unwrap();
    let lists =
        tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("children")).ok());
    lists.filter(|list| !list.is_empty()).collect()
}
