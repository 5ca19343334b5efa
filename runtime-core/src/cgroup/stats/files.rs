//! Reading the files of one directory, with errors that name them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::io::Errno;

use super::parse::{self, Malformed};
use crate::cgroup::files::{file_names, open_directory, read_file};
use crate::cgroup::plan::Directory;

/// The files of a cgroup in one hierarchy.
pub(super) struct Files {
    directory: OwnedFd,
    path: PathBuf,
}

impl Files {
    /// None when the directory is gone.
    pub(super) fn of(directory: &Directory) -> io::Result<Option<Files>> {
        let path = directory.path.clone();
        match open_directory(&path) {
            Ok(directory) => Ok(Some(Files { directory, path })),
            Err(Errno::NOENT | Errno::NODEV) => Ok(None),
            Err(errno) => Err(failed("open", &path, errno)),
        }
    }

    /// What a file says. Nothing when there is no such file, the cgroup is gone, or the kernel has the file and not what
    /// it tells of (pressure without `psi=1`, EOPNOTSUPP).
    pub(super) fn read<T>(
        &self,
        file: &str,
        parse: impl FnOnce(&str) -> Result<T, Malformed>,
    ) -> io::Result<Option<T>> {
        match read_file(&self.directory, file) {
            Ok(text) => parse(&text).map(Some).map_err(|Malformed(problem)| {
                let path = self.path.join(file);
                let problem = format!("{}: {problem}", path.display());
                io::Error::new(io::ErrorKind::InvalidData, problem)
            }),
            Err(Errno::NOENT | Errno::NODEV | Errno::OPNOTSUPP) => Ok(None),
            Err(errno) => Err(failed("read", &self.path.join(file), errno)),
        }
    }

    /// A file with one number.
    pub(super) fn number(&self, file: &str) -> io::Result<Option<u64>> {
        self.read(file, parse::number)
    }

    /// A file with a name and a number in each line. Empty when there is none.
    pub(super) fn pairs(&self, file: &str) -> io::Result<BTreeMap<String, u64>> {
        Ok(self.read(file, parse::pairs)?.unwrap_or_default())
    }

    /// The names of all files.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        match file_names(&self.path) {
            Err(Errno::NOENT | Errno::NODEV) => Ok(Vec::new()),
            answer => answer.map_err(|errno| failed("list", &self.path, errno)),
        }
    }
}

fn failed(attempt: &str, path: &std::path::Path, errno: Errno) -> io::Error {
    let cause = io::Error::from(errno);
    io::Error::new(
        cause.kind(),
        format!("{attempt} {}: {cause}", path.display()),
    )
}
