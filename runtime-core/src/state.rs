//! What is kept of a container between two commands: a directory under the state root, named after it.
//!
//! - `state.json`: the [`Record`], a line of JSON for each time that it was written; the last one counts.
//! - `config.json`: the configuration that the container was created with, and what `update` made of its resources; the
//!   bundle's may change afterwards.
//! - `start.sock`: where a created container waits for `start`; gone once it was started.
//! - `notify/`: what the container has at `/run/notify`, when its caller is told of its readiness.
//!
//! A command that changes the container holds a lock (flock(2)) on the directory meanwhile.

mod reading;

use std::collections::HashMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::{Access, AtFlags, CWD, FlockOperation, Mode, OFlags, accessat, flock};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cgroup::Cgroup;
use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::intel_rdt;
use crate::mounts::on_host::MountId;
use crate::notify_socket;
use crate::process_id::ProcessId;
use crate::seccomp::Listener;

pub(crate) use reading::{read, read_locked, read_now};

use reading::{await_record, damaged};

const RECORD: &str = "state.json";
const CONFIG: &str = "config.json";
const SOCKET: &str = "start.sock";
/// What becomes the first, with its first line in it, and what is to take the place of the second.
const NEW_RECORD: &str = "state.json.new";
const NEW_CONFIG: &str = "config.json.new";

/// What the runtime knows of a container.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record {
    pub(crate) oci_version: String,
    pub(crate) id: String,
    pub(crate) bundle: PathBuf,
    pub(crate) rootfs: PathBuf,
    /// Nanoseconds since the epoch.
    pub(crate) created: u64,
    pub(crate) owner: u32,
    pub(crate) annotations: HashMap<String, String>,
    /// Whether the configuration has a process.
    pub(crate) startable: bool,
    /// Whether there are hooks that run after `create`: only then need the configuration be read again.
    pub(crate) later_hooks: bool,
    /// The container's first process; none until `create` is done.
    pub(crate) init: Option<ProcessId>,
    /// The init goes on to the program as soon as it is ready: [`Record::init`] comes in a moment, and whoever finds none waits
    /// for it. There are no hooks that could be who asks.
    #[serde(default)]
    pub(crate) is_let_go: bool,
    pub(crate) cgroup: Option<Cgroup>,
    /// The cgroup that is about to be made. Nothing of the container's is in it, so it is removed and nobody in it killed.
    pub(crate) intended_cgroup: Option<Cgroup>,
    /// Where its processes are in a resctrl file system.
    pub(crate) intel_rdt: Option<intel_rdt::Group>,
    /// The root, when it is mounted on the host.
    pub(crate) root_mount: Option<MountId>,
    /// Who is told of the filter that `start` puts in force.
    pub(crate) seccomp_listener: Option<Listener>,
    /// CLONE_NEW flags of the namespaces that are not the runtime's own.
    pub(crate) namespaces: u32,
    /// What the plan was compiled with beside the configuration.
    #[serde(default)]
    pub(crate) rootless_cgroups: Option<bool>,
    pub(crate) no_pivot: bool,
    pub(crate) no_new_keyring: bool,
    pub(crate) extra_environment: Vec<String>,
    #[serde(default)]
    pub(crate) notify: bool,
    pub(crate) home: Option<String>,
    /// As in the plan's options.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) file_sources: Vec<PathBuf>,
}

/// A container's directory, locked.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// Holds the lock.
    handle: File,
}

/// Whether the ID is one, by runc's rule: letters, digits, `_`, `+`, `-` and `.`, and not `.` or `..`.
pub(crate) fn check_id(id: &str) -> Result<()> {
    if id.is_empty() {
        return Err(Error::new(
            ErrorKind::InvalidId,
            "container id cannot be empty",
        ));
    }
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'+' | b'-' | b'.');
    if matches!(id, "." | "..") || !id.bytes().all(allowed) {
        return Err(Error::new(
            ErrorKind::InvalidId,
            format!("invalid container ID format: {id:?}"),
        ));
    }
    Ok(())
}

/// There is no such container, or none any more.
pub(crate) fn not_found(id: &str) -> Error {
    Error::new(
        ErrorKind::NotFound,
        format!("container {id}: container does not exist"),
    )
}

impl Directory {
    /// Makes the directory: whoever does has the ID.
    pub(crate) fn create(root: &Path, id: &str) -> Result<Directory> {
        check_id(id)?;
        loop {
            match Directory::make(root, id) {
                // A forced delete came in before the lock was taken, and found nothing but a directory.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                answer => return answer,
            }
        }
    }

    fn make(root: &Path, id: &str) -> Result<Directory> {
        let path = root.join(id);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        let made = match builder.create(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new()
                    .mode(0o700)
                    .recursive(true)
                    .create(root)
                    .host(|| format!("make the state root {}", root.display()))?;
                builder.create(&path)
            }
            answer => answer,
        };
        match made {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!("container {id}: container with given ID already exists"),
                ));
            }
            answer => answer.host(|| format!("make the state directory {}", path.display()))?,
        }
        Directory::lock(path, id)
    }

    /// Waits for the lock of a directory that is there.
    pub(crate) fn open(root: &Path, id: &str) -> Result<Directory> {
        check_id(id)?;
        Directory::lock(root.join(id), id)
    }

    /// The same, for what is done to a container that was created. One that is being created is not waited for: its hooks
    /// may be who asks, and `create` waits for these.
    pub(crate) fn open_created(root: &Path, id: &str, what: &str) -> Result<Directory> {
        check_id(id)?;
        let refused = |problem: String| {
            Err(Error::new(
                ErrorKind::InvalidState,
                format!("container {id}: {problem}"),
            ))
        };
        loop {
            let handle = Directory::handle(&root.join(id), id)?;
            let is_held = flock(&handle, FlockOperation::NonBlockingLockExclusive)
                == Err(rustix::io::Errno::WOULDBLOCK);
            if is_held && read_now(root, id)?.is_some_and(|record| record.init.is_none()) {
                return refused(format!("cannot {what} a container that is being created"));
            }
            let directory = Directory::lock_handle(root.join(id), handle, id)?;
            match read_locked(root, id)? {
                Some(record) if record.init.is_none() => {
                    return refused(format!(
                        "cannot {what} it: its create was ended before it was done; delete --force removes what is left"
                    ));
                }
                Some(_) => return Ok(directory),
                // It has only begun, unless it is lost.
                None => drop(directory),
            }
            await_record(root, id)?;
        }
    }

    fn lock(path: PathBuf, id: &str) -> Result<Directory> {
        let handle = Directory::handle(&path, id)?;
        Directory::lock_handle(path, handle, id)
    }

    fn handle(path: &Path, id: &str) -> Result<File> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::open(path, flags, Mode::empty()) {
            Err(rustix::io::Errno::NOENT) => Err(not_found(id)),
            answer => answer
                .map(File::from)
                .host(|| format!("open the state directory {}", path.display())),
        }
    }

    fn lock_handle(path: PathBuf, handle: File, id: &str) -> Result<Directory> {
        loop {
            match flock(&handle, FlockOperation::LockExclusive) {
                Err(rustix::io::Errno::INTR) => {}
                answer => {
                    break answer
                        .host(|| format!("lock the state directory {}", path.display()))?;
                }
            }
        }
        // Whoever held the lock may have deleted the container, and another may have its ID by now.
        let attempt = || format!("look at the state directory {}", path.display());
        let held = handle.metadata().host(attempt)?;
        let there = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(not_found(id)),
            answer => answer.host(attempt)?,
        };
        match (there.dev(), there.ino()) == (held.dev(), held.ino()) {
            true => Ok(Directory { path, handle }),
            false => Err(not_found(id)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends the record. A reader sees the one before or this, or for a moment a part of this.
    pub(crate) fn write(&self, record: &Record) -> Result<()> {
        let path = self.path.join(RECORD);
        let written = serde_json::to_vec(record)
            .map_err(io::Error::other)
            .and_then(|mut line| {
                line.push(b'\n');
                match append(&path, &line) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.write_first(&path, &line)
                    }
                    answer => answer,
                }
            });
        written.host(|| format!("write {}", path.display()))
    }

    /// The file appears with its first line in it.
    fn write_first(&self, path: &Path, line: &[u8]) -> io::Result<()> {
        let new = self.path.join(NEW_RECORD);
        fs::write(&new, line).and_then(|()| fs::rename(&new, path))
    }

    pub(crate) fn write_config(&self, text: &[u8]) -> Result<()> {
        let path = self.path.join(CONFIG);
        fs::write(&path, text).host(|| format!("write {}", path.display()))
    }

    /// The configuration as JSON, with what the parser leaves out.
    pub(crate) fn read_config_json(&self) -> Result<Value> {
        let path = self.path.join(CONFIG);
        let text = fs::read(&path).host(|| format!("read {}", path.display()))?;
        let json = serde_json::from_slice(&text).map_err(|error| damaged(&path, &error))?;
        match json {
            Value::Object(_) => Ok(json),
            _ => Err(damaged(&path, &"it is no object")),
        }
    }

    /// Writes a configuration beside the one that there is.
    pub(crate) fn prepare_config(&self, config: &Value) -> Result<NewConfig> {
        let new = NewConfig {
            written: self.path.join(NEW_CONFIG),
            path: self.path.join(CONFIG),
        };
        fs::write(&new.written, config.to_string())
            .host(|| format!("write {}", new.written.display()))?;
        Ok(new)
    }

    /// The socket on which the container waits for `start`.
    pub(crate) fn listen(&self) -> Result<OwnedFd> {
        let attempt = || format!("listen on {}", self.path.join(SOCKET).display());
        let socket = socket().host(attempt)?;
        bind(&socket, &self.socket_address().host(attempt)?).host(attempt)?;
        listen(&socket, 1).host(attempt)?;
        Ok(socket)
    }

    /// Connects to the container that waits for `start`.
    pub(crate) fn connect(&self) -> Result<OwnedFd> {
        let attempt = || format!("connect to {}", self.path.join(SOCKET).display());
        let socket = socket().host(attempt)?;
        connect(&socket, &self.socket_address().host(attempt)?).host(attempt)?;
        Ok(socket)
    }

    /// A state root may have a longer path than an address holds, 108 bytes; the directory's descriptor makes it short.
    fn socket_address(&self) -> io::Result<SocketAddrUnix> {
        let path = format!("/proc/self/fd/{}/{SOCKET}", self.handle.as_fd().as_raw_fd());
        Ok(SocketAddrUnix::new(path)?)
    }

    /// The container was started.
    pub(crate) fn forget_start(&self) {
        let _ = fs::remove_file(self.path.join(SOCKET));
    }

    /// Removes the directory: the ID is free again.
    pub(crate) fn remove(&self) -> Result<()> {
        // Most have these two, and the socket when they were not started. That nothing else is there the kernel tells, without
        // a look at the directory.
        self.remove_files(&[CONFIG, RECORD]);
        let remove_unstarted = || {
            self.remove_files(&[SOCKET]);
            fs::remove_dir(&self.path)
        };
        let removed = fs::remove_dir(&self.path).or_else(|_| remove_unstarted());
        match removed.or_else(|_| fs::remove_dir_all(&self.path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // Who has no descriptor left to read the directory with knows what is in it.
            Err(error) if error.raw_os_error() == Some(libc::EMFILE) => {
                self.remove_files(&[NEW_RECORD, NEW_CONFIG]);
                let _ = fs::remove_dir(notify_socket::directory(&self.path));
                fs::remove_dir(&self.path)
            }
            answer => answer,
        }
        .host(|| format!("remove the state directory {}", self.path.display()))
    }

    fn remove_files(&self, names: &[&str]) {
        for name in names {
            let _ = fs::remove_file(self.path.join(name));
        }
    }
}

/// A line more, at once.
///
/// A file for each record that is renamed to the old one would cost several times as much: ext4 looks through all inodes that
/// were freed in the last minute before it gives one (fs/ext4/ialloc.c, `recently_deleted`), and writes a file to the disk
/// before it replaces another by it (ext4(5), auto_da_alloc).
fn append(path: &Path, line: &[u8]) -> io::Result<()> {
    let mut file = File::options().append(true).open(path)?;
    file.write_all(line)
}

/// A configuration that is to take the place of the container's; it goes when it does not.
#[derive(Debug)]
pub(crate) struct NewConfig {
    written: PathBuf,
    path: PathBuf,
}

impl NewConfig {
    /// From now on it is the container's: a reader sees the old one or this.
    pub(crate) fn commit(self) -> Result<()> {
        fs::rename(&self.written, &self.path).host(|| format!("replace {}", self.path.display()))
    }
}

impl Drop for NewConfig {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.written);
    }
}

fn socket() -> io::Result<OwnedFd> {
    Ok(socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?)
}

/// Whether the container in this directory waits for `start`.
pub(crate) fn awaits_start(directory: &Path) -> Result<bool> {
    let socket = directory.join(SOCKET);
    // Half of what it costs to learn more of the file.
    match accessat(CWD, &socket, Access::EXISTS, AtFlags::EACCESS) {
        Err(rustix::io::Errno::NOENT) => Ok(false),
        found => found
            .map(|()| true)
            .host(|| format!("look for {}", socket.display())),
    }
}

/// The configuration that a container was created with.
pub(crate) fn read_config(directory: &Path) -> Result<Spec> {
    let path = directory.join(CONFIG);
    let text = fs::read(&path).host(|| format!("read {}", path.display()))?;
    crate::bundle::parse(&text).map_err(|error| error.context(path.display()))
}

/// The IDs under a state root.
pub(crate) fn ids(root: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        answer => answer.host(|| format!("read the state root {}", root.display()))?,
    };
    let is_directory = |entry: &fs::DirEntry| match entry.file_type() {
        // The directory itself says so, mostly.
        Ok(kind) if !kind.is_symlink() => kind.is_dir(),
        _ => entry.path().is_dir(),
    };
    let directories = entries.flatten().filter(is_directory);
    let mut ids: Vec<String> = directories
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| check_id(name).is_ok())
        .collect();
    ids.sort();
    Ok(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_letters_digits_and_four_signs() {
        for good in ["a", "A-1_b+c.d", "0", "...", "-"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "ä", "a\n", "../x"] {
            assert_eq!(
                check_id(bad).unwrap_err().kind(),
                ErrorKind::InvalidId,
                "{bad}"
            );
        }
    }

    #[test]
    fn a_second_container_of_the_same_id_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let first = Directory::create(root.path(), "twin").unwrap();
        drop(first);
        let error = Directory::create(root.path(), "twin").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn an_id_that_a_forced_delete_takes_away_at_once_is_taken_again() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let root = tempfile::tempdir().unwrap();
        let done = AtomicBool::new(false);
        let refused = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let _ = Directory::open(root.path(), "id").and_then(|held| held.remove());
                }
            });
            let make = |_| Directory::create(root.path(), "id").and_then(|own| own.remove());
            let refused = (0..2000).map(make).find_map(Result::err);
            done.store(true, Ordering::Relaxed);
            refused
        });
        assert!(refused.is_none(), "{refused:?}");
    }
}
