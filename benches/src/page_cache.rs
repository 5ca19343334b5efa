//! Files that leave the page cache, as on a machine that starts a container for the first time.

use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Context, Error, Result};
use crate::sys::page_cache;

/// What a start reads from the disk.
#[derive(Debug)]
pub(crate) struct Files {
    program: PathBuf,
    all: Vec<PathBuf>,
}

impl Files {
    /// A program with its shared libraries, and other files, all of them written to the disk.
    pub(crate) fn of(program: &Path, others: impl Iterator<Item = PathBuf>) -> Result<Self> {
        let mut all = vec![program.to_owned()];
        all.extend(others);
        for path in &all {
            let file = File::open(path).context(path.display())?;
            file.sync_all().context(path.display())?;
        }
        all.extend(libraries(program)?);
        Ok(Self {
            program: program.to_owned(),
            all,
        })
    }

    /// Drops their pages. Those that another process has mapped, such as the C library's, stay.
    pub(crate) fn leave_the_cache(&self) -> Result<()> {
        for path in &self.all {
            let file = File::open(path).context(path.display())?;
            page_cache::drop_pages(file.as_fd()).context(path.display())?;
        }
        Ok(())
    }

    /// On a tmpfs, for example, they do not.
    pub(crate) fn check_that_they_leave(&self) -> Result<()> {
        self.leave_the_cache()?;
        let file = File::open(&self.program).context(self.program.display())?;
        match page_cache::read_without_waiting(file.as_fd()) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context(self.program.display()),
            Ok(()) => Err(Error::new(format!(
                "{}: its pages do not leave the cache",
                self.program.display()
            ))),
        }
    }
}

/// The dynamic linker lists them where there is one (ld.so(8)); a static program is left alone.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    if !crate::bundle::is_dynamic(&std::fs::read(program).context(program.display())?) {
        return Ok(Vec::new());
    }
    let mut command = Command::new(program);
    let output = command.env("LD_TRACE_LOADED_OBJECTS", "1").output();
    let output = output.context(program.display())?;
    Ok(listed(&String::from_utf8_lossy(&output.stdout)))
}

/// `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f…)`.
fn listed(text: &str) -> Vec<PathBuf> {
    let paths = text.lines().filter_map(|line| line.split("=> ").nth(1));
    paths
        .filter_map(|path| path.split(" (").next())
        .filter(|path| path.starts_with('/'))
        .map(PathBuf::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_those_with_a_path() {
        let text = "\tlinux-vdso.so.1 (0x00007ffe)\n\tlibc.so.6 => /lib/libc.so.6 (0x00007f4a)\n\t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        assert_eq!(listed(text), [PathBuf::from("/lib/libc.so.6")]);
    }
}
