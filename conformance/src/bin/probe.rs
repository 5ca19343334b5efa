//! Runs inside a container, alone in its root file system, and prints what it sees as JSON: [`conformance::Report`].
//!
//! `probe syscall NUMBER [ARGUMENT…]` tries a system call instead, and prints its result or the name of its error.
//! `probe swap ONE OTHER` exchanges two names until it is killed, for [races](conformance::swap).
//! `probe notify TEXT` tells a service manager TEXT, and `probe barrier` waits until it has read what it was told.
//! `probe scan CANARY STOP PROGRAM NEEDLE…` attacks what appears beside it, until there is a file STOP: [`conformance::scan`].
//! `probe signal SIGNAL STOP` sends one to what appears beside it: [`conformance::signaller`].
//! `probe overwrite STOP` overwrites the program of what appears beside it: [`conformance::overwrite`].
//! `probe devices CGROUP`, on the host, joins that cgroup and prints what it may do with [devices](device_probe).
//! Needs nothing but /proc; it is linked statically.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use conformance::report::{Node, Report};
use conformance::{
    device_probe, mountinfo, overwrite, scan, service_manager, signaller, swap, sys,
};
use nix::errno::Errno;
use nix::sys::stat::{major, minor};

const FILES: [&str; 14] = [
    "/proc/self/cgroup",
    "/proc/self/uid_map",
    "/proc/self/gid_map",
    "/proc/self/oom_score_adj",
    "/proc/self/timens_offsets",
    "/proc/self/personality",
    "/proc/self/stat",
    "/proc/self/attr/current",
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/shmmax",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/self/comm",
    "/proc/net/dev",
];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("syscall") => try_syscall(arguments.get(2..).unwrap_or_default()),
        Some("notify") => Ok(service_manager::send(
            arguments.get(2).ok_or("usage: probe notify TEXT")?,
        )?),
        Some("swap") => match arguments.get(2..) {
            Some([one, other]) => Ok(swap::forever(Path::new(one), Path::new(other))?),
            _ => Err("usage: probe swap ONE OTHER".into()),
        },
        Some("barrier") => Ok(service_manager::barrier()?),
        Some("devices") => {
            let cgroup = arguments.get(2).ok_or("usage: probe devices CGROUP")?;
            let verdicts = device_probe::try_all(Path::new(cgroup))?;
            println!("{}", serde_json::to_string(&verdicts)?);
            Ok(())
        }
        Some("overwrite") => {
            let stop = arguments.get(2).ok_or("usage: probe overwrite STOP")?;
            println!(
                "{}",
                serde_json::to_string(&overwrite::run(Path::new(stop))?)?
            );
            Ok(())
        }
        Some("signal") => {
            let usage = "usage: probe signal SIGNAL STOP";
            let signal = format!("SIG{}", arguments.get(2).ok_or(usage)?);
            let stop = arguments.get(3).ok_or(usage)?;
            Ok(signaller::run(signal.parse()?, Path::new(stop))?)
        }
        Some("scan") => {
            let scanner = scan::Scanner::of(arguments.get(2..).unwrap_or_default());
            let scan = scanner
                .ok_or("usage: probe scan CANARY STOP PROGRAM NEEDLE…")?
                .run()?;
            println!("{}", serde_json::to_string(&scan)?);
            Ok(())
        }
        _ => {
            println!("{}", serde_json::to_string(&report())?);
            Ok(())
        }
    }
}

fn try_syscall(words: &[String]) -> Result<(), Box<dyn Error>> {
    let numbers = words
        .iter()
        .map(|word| word.parse())
        .collect::<Result<Vec<i64>, _>>()?;
    let (number, rest) = numbers
        .split_first()
        .ok_or("usage: probe syscall NUMBER [ARGUMENT…]")?;
    let mut arguments = [0; 6];
    for (place, argument) in arguments.iter_mut().zip(rest) {
        *place = *argument;
    }
    match sys::syscall(*number, arguments) {
        Ok(result) => println!("{result}"),
        Err(error) => println!("{:?}", Errno::from_raw(error.raw_os_error().unwrap_or(0))),
    }
    Ok(())
}

fn report() -> Report {
    Report {
        // First: what is opened later is not the caller's.
        descriptors: descriptors(),
        args: env::args().collect(),
        env: env::vars_os()
            .map(|(name, value)| format!("{}={}", name.display(), value.display()))
            .collect(),
        cwd: env::current_dir()
            .map(|path| path.display().to_string())
            .unwrap_or_default(),
        pid: std::process::id(),
        status: status(),
        limits: limits(),
        mounts: mountinfo::read("/proc/self/mountinfo"),
        namespaces: links("/proc/self/ns"),
        files: FILES
            .iter()
            .map(|path| ((*path).to_owned(), text(path).trim_end().to_owned()))
            .collect(),
        devices: devices(),
        window: sys::window_size(std::io::stdin().as_fd()).ok(),
    }
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn status() -> BTreeMap<String, String> {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let lines = text("/proc/self/status");
    lines
        .lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), words(value)))
        .collect()
}

/// Columns of fixed width: name, soft limit, hard limit, units.
fn limits() -> BTreeMap<String, (String, String)> {
    let lines = text("/proc/self/limits");
    let row = |line: &str| {
        let (name, values) = line.split_at_checked(26)?;
        let mut values = values.split_whitespace().map(str::to_owned);
        Some((name.trim().to_owned(), (values.next()?, values.next()?)))
    };
    lines.lines().skip(1).filter_map(row).collect()
}

fn links(directory: &str) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let link = |entry: fs::DirEntry| {
        let target = fs::read_link(entry.path()).ok()?;
        Some((
            entry.file_name().into_string().ok()?,
            target.display().to_string(),
        ))
    };
    entries.filter_map(link).collect()
}

/// All but the one by which the directory itself is read: it is closed when its link is read again.
fn descriptors() -> BTreeMap<i32, String> {
    let numbers: Vec<i32> = fs::read_dir("/proc/self/fd")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    let link = |number: i32| {
        Some((
            number,
            fs::read_link(format!("/proc/self/fd/{number}")).ok()?,
        ))
    };
    numbers
        .into_iter()
        .filter_map(link)
        .map(|(number, target)| (number, target.display().to_string()))
        .collect()
}

fn devices() -> BTreeMap<String, Node> {
    let entries = fs::read_dir("/dev").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, node(&entry.path())?)))
        .collect()
}

fn node(path: &Path) -> Option<Node> {
    let metadata = fs::symlink_metadata(path).ok()?;
    let kind = metadata.file_type();
    let kinds = [
        (kind.is_char_device(), 'c'),
        (kind.is_block_device(), 'b'),
        (kind.is_fifo(), 'p'),
        (kind.is_dir(), 'd'),
        (kind.is_symlink(), 'l'),
    ];
    Some(Node {
        kind: kinds
            .iter()
            .find(|(is, _)| *is)
            .map_or('f', |(_, letter)| *letter),
        device: (major(metadata.rdev()), minor(metadata.rdev())),
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        link: fs::read_link(path)
            .ok()
            .map(|target| target.display().to_string()),
    })
}
