//! Reads what is recorded of a container, damaged, lost or not written yet as it may be.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use super::{Directory, RECORD, Record, check_id, not_found};
use crate::error::{Attempt, Error, ErrorKind, Result};

/// No record is that large: its annotations and variables come from a command line and a configuration.
const LARGEST_RECORD: u64 = 64 << 20;

/// How long a `create` may take from the directory to the record in it, on a machine with more to do than it can.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long from the directory to its lock, or from a line's first byte to its last.
const MOMENT: Duration = Duration::from_millis(500);

/// Reads the record of a container.
pub(crate) fn read(root: &Path, id: &str) -> Result<Record> {
    match read_now(root, id)? {
        Some(record) => Ok(record),
        None => await_record(root, id),
    }
}

/// The same, and nothing where the directory is there without a record.
pub(crate) fn read_now(root: &Path, id: &str) -> Result<Option<Record>> {
    read_while(root, id, is_locked)
}

/// The same for who has the lock: nobody else writes.
pub(crate) fn read_locked(root: &Path, id: &str) -> Result<Option<Record>> {
    read_while(root, id, |_, _| Ok(false))
}

/// Reads until the record is whole, or nobody writes any more.
fn read_while(
    root: &Path,
    id: &str,
    is_written: impl Fn(&Path, &str) -> Result<bool>,
) -> Result<Option<Record>> {
    check_id(id)?;
    let path = root.join(id).join(RECORD);
    let begin = Instant::now();
    let mut left = None;
    let record = loop {
        let text = match read_record(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return match root.join(id).is_dir() {
                    true => Ok(None),
                    false => Err(not_found(id)),
                };
            }
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                return Err(damaged(&path, &error));
            }
            answer => answer.host(|| format!("read {}", path.display()))?,
        };
        let parsed: serde_json::Result<Record> = serde_json::from_slice(last_line(&text));
        let is_whole = match &parsed {
            Ok(record) => record.init.is_some() || !record.is_let_go,
            Err(_) => text.ends_with(b"\n"),
        };
        // Half of a line, as it is written, or with another to follow at once. Who wrote it may be done by now, so nobody's is
        // read until it stays the same.
        if !is_whole && begin.elapsed() < MOMENT {
            let is_written = is_written(&root.join(id), id)?;
            if is_written || left != Some(text.len()) {
                left = (!is_written).then_some(text.len());
                sleep(Duration::from_micros(200));
                continue;
            }
        }
        break parsed.map_err(|error| damaged(&path, &error))?;
    };
    match record.init {
        _ if record.id != id => Err(damaged(&path, &"it is of another container")),
        Some(init) if init.pid <= 0 => Err(damaged(&path, &"its pid is none")),
        _ => Ok(Some(record)),
    }
}

/// The last line, whole or not.
fn last_line(text: &[u8]) -> &[u8] {
    let text = text.strip_suffix(b"\n").unwrap_or(text);
    text.rsplit(|&byte| byte == b'\n').next().unwrap_or(text)
}

/// The record of a container whose directory is there without one for a moment: `create` is about to write it, or `delete`
/// has just removed it. Both hold the lock, but for the moment in which `create` has only made the directory.
pub(super) fn await_record(root: &Path, id: &str) -> Result<Record> {
    let directory = root.join(id);
    let (begin, mut free_since) = (Instant::now(), None);
    loop {
        if is_locked(&directory, id)? {
            free_since = None;
        } else {
            let _ = free_since.get_or_insert_with(Instant::now);
        }
        if let Some(record) = read_now(root, id)? {
            return Ok(record);
        }
        let is_lost = free_since.is_some_and(|since| since.elapsed() > MOMENT);
        if is_lost || begin.elapsed() > PATIENCE {
            let problem = format!(
                "container {id}: {} is not there: its create was ended before it was done, or the file was lost; delete --force \
                 removes what is left",
                directory.join(RECORD).display()
            );
            return Err(Error::new(ErrorKind::Host, problem));
        }
        sleep(Duration::from_millis(1));
    }
}

/// Whether somebody changes the container.
fn is_locked(directory: &Path, id: &str) -> Result<bool> {
    let handle = Directory::handle(directory, id)?;
    Ok(flock(&handle, FlockOperation::NonBlockingLockShared).is_err())
}

fn read_record(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // Most are shorter.
    let mut text = Vec::with_capacity(8192);
    let length = file.take(LARGEST_RECORD).read_to_end(&mut text)?;
    if length as u64 == LARGEST_RECORD {
        let problem = format!("it is larger than {} MiB", LARGEST_RECORD >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, problem));
    }
    Ok(text)
}

/// A file of the state directory that is not what was written there.
pub(super) fn damaged(path: &Path, problem: &dyn fmt::Display) -> Error {
    let problem = format!(
        "{} is damaged ({problem}); delete --force removes the container",
        path.display()
    );
    Error::new(ErrorKind::Host, problem)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::thread;

    use serde_json::{Value, json};

    use super::*;

    fn line(is_let_go: bool, init: Option<i32>) -> String {
        let init = init.map(|pid| json!({"pid": pid, "startTime": 1}));
        let record: Value = json!({
            "ociVersion": "1.3.0", "id": "web", "bundle": "/b", "rootfs": "/b/r", "created": 1, "owner": 0,
            "annotations": {}, "startable": true, "laterHooks": false, "init": init, "isLetGo": is_let_go,
            "namespaces": 0, "noPivot": false, "noNewKeyring": false, "extraEnvironment": [],
        });
        format!("{record}\n")
    }

    #[test]
    fn a_record_that_is_to_follow_at_once_is_waited_for_while_there_is_who_writes_it() {
        let root = tempfile::tempdir().unwrap();
        let directory = Directory::create(root.path(), "web").unwrap();
        let path = directory.path().join(RECORD);
        let found = || read_now(root.path(), "web").unwrap().unwrap().init;
        fs::write(&path, line(false, None)).unwrap();
        assert_eq!(found(), None, "its hooks may be who asks");
        for begun in [line(true, None), line(true, Some(7))[..99].to_owned()] {
            fs::write(&path, &begun).unwrap();
            thread::scope(|scope| {
                let reader = scope.spawn(found);
                sleep(Duration::from_millis(20));
                assert!(!reader.is_finished());
                fs::write(&path, begun.clone() + "\n" + &line(true, Some(7))).unwrap();
                assert_eq!(reader.join().unwrap().map(|init| init.pid), Some(7));
            });
        }
        fs::write(&path, line(true, None)).unwrap();
        drop(directory);
        assert_eq!(found(), None);
    }

    #[test]
    fn a_record_that_is_completed_before_anybody_asks_who_writes_it_is_read_again() {
        let root = tempfile::tempdir().unwrap();
        let path = Directory::create(root.path(), "web").unwrap();
        let path = path.path().join(RECORD);
        let whole = line(true, Some(7));
        fs::write(&path, &whole[..99]).unwrap();
        let completed = read_while(root.path(), "web", |_, _| {
            fs::write(&path, &whole).unwrap();
            Ok(false)
        });
        assert_eq!(
            completed.unwrap().unwrap().init.map(|init| init.pid),
            Some(7)
        );
    }

    #[test]
    fn of_a_file_of_lines_the_last_one_counts() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"", b""),
            (b"{}", b"{}"),
            (b"{}\n", b"{}"),
            (b"{1}\n{2}\n", b"{2}"),
            (b"{1}\n{2", b"{2"),
            (b"{1}\n\n", b""),
        ];
        for (text, last) in cases {
            assert_eq!(last_line(text), last, "{text:?}");
        }
    }
}
