//! Files and directories of the cgroup filesystems.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, RawDir, openat};
use rustix::io::{Errno, read, write};
use rustix::path::Arg;

pub(super) fn open_directory(path: &Path) -> rustix::io::Result<OwnedFd> {
    openat(
        CWD,
        path,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

pub(super) fn open_to_write(directory: impl AsFd, file: impl Arg) -> rustix::io::Result<OwnedFd> {
    openat(
        directory,
        file,
        OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )
}

/// One write: the kernel takes a value whole or not at all.
pub(super) fn put(file: impl AsFd, value: &str) -> rustix::io::Result<()> {
    loop {
        match write(&file, value.as_bytes()) {
            Err(Errno::INTR) => {}
            result => return result.map(|_| ()),
        }
    }
}

pub(super) fn write_file(directory: impl AsFd, file: &str, value: &str) -> rustix::io::Result<()> {
    put(open_to_write(directory, file)?, value)
}

pub(super) fn read_file(directory: impl AsFd, file: &str) -> rustix::io::Result<String> {
    let file = openat(
        directory,
        file,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    let (mut content, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        match read(&file, &mut buffer) {
            Ok(0) => return String::from_utf8(content).map_err(|_| Errno::ILSEQ),
            Ok(length) => content.extend_from_slice(&buffer[..length]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A file that the kernel shows at once: a value, or a short list.
pub(super) fn read_value(directory: impl AsFd, file: impl Arg) -> rustix::io::Result<String> {
    let file = openat(
        directory,
        file,
        OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW,
        Mode::empty(),
    )?;
    let mut buffer = [0; 4096];
    let length = loop {
        match read(&file, &mut buffer) {
            Err(Errno::INTR) => {}
            result => break result?,
        }
    };
    str::from_utf8(&buffer[..length])
        .map(str::to_owned)
        .map_err(|_| Errno::ILSEQ)
}

/// A cgroup and all below it, children before their parents. Nothing when it is not there.
pub(super) fn tree(path: &Path) -> rustix::io::Result<Vec<PathBuf>> {
    let mut found = vec![path.to_owned()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        match children(&directory) {
            Ok(children) => found.extend(children),
            // Removed meanwhile.
            Err(Errno::NOENT | Errno::NODEV) if next > 0 => {}
            Err(Errno::NOENT | Errno::NODEV) => return Ok(vec![]),
            Err(errno) => return Err(errno),
        }
        next += 1;
    }
    found.reverse();
    Ok(found)
}

fn children(path: &Path) -> rustix::io::Result<Vec<PathBuf>> {
    let mut children = Vec::new();
    for_each_entry(path, |name, is_directory| {
        if is_directory {
            children.push(path.join(name));
        }
    })?;
    Ok(children)
}

/// The names of the files in a directory.
pub(super) fn file_names(path: &Path) -> rustix::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for_each_entry(path, |name, is_directory| {
        if !is_directory {
            names.push(name.to_owned());
        }
    })?;
    Ok(names)
}

fn for_each_entry(path: &Path, mut take: impl FnMut(&str, bool)) -> rustix::io::Result<()> {
    let directory = openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(directory, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_str().map_err(|_| Errno::ILSEQ)?;
        if name != "." && name != ".." {
            take(name, entry.file_type() == FileType::Directory);
        }
    }
    Ok(())
}

/// The processes of a cgroup and of all below it.
pub(super) fn processes(path: &Path) -> io::Result<Vec<i32>> {
    let mut pids = Vec::new();
    for directory in tree(path)? {
        pids.extend(own_processes(&directory)?);
    }
    pids.sort_unstable();
    pids.dedup();
    Ok(pids)
}

/// The processes of a cgroup itself.
pub(super) fn own_processes(path: &Path) -> io::Result<Vec<i32>> {
    match open_directory(path).and_then(|directory| read_file(directory, "cgroup.procs")) {
        // A process of another pid namespace is 0 here.
        Ok(content) => Ok(content
            .lines()
            .filter_map(|line| line.parse::<i32>().ok())
            .filter(|&pid| pid > 0)
            .collect()),
        // Removed meanwhile; or threaded, and its processes are those of its domain (cgroups(7)).
        Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Ok(Vec::new()),
        Err(errno) => Err(errno.into()),
    }
}
