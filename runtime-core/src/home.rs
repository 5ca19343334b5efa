//! The user's home directory, from the image's passwd(5): what runc sets HOME to when the configuration does not.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::path::Path;

use oci_spec::runtime::Process;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};

use crate::error::{Attempt, Result};

/// No passwd that is honest is larger.
const MAX_SIZE: u64 = 1 << 20;

/// The home of the process's user, `/` when the image does not know it, or has no passwd that can be read; nothing when the
/// configuration sets HOME to something.
///
/// # Errors
///
/// [`ErrorKind::Host`](crate::ErrorKind::Host) when it is not for the image that its passwd cannot be read.
pub(crate) fn of(process: &Process, root: &Path) -> Result<Option<String>> {
    let variables = process.env().as_deref().unwrap_or_default();
    let last = variables
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("HOME="));
    if last.is_some_and(|home| !home.is_empty()) {
        return Ok(None);
    }
    let passwd = match read_passwd(root) {
        Err(error) if is_the_hosts(&error) => {
            return Err(error).host(|| format!("read etc/passwd in {}", root.display()));
        }
        text => text.unwrap_or_default(),
    };
    let home = find(&passwd, process.user().uid()).unwrap_or("/");
    Ok(Some(home.to_owned()))
}

fn is_the_hosts(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EIO | libc::EPERM)
    )
}

/// The image decides what is at that path: it is resolved inside the root, and nothing but a regular file is opened, for
/// devices there are that act on it.
fn read_passwd(root: &Path) -> io::Result<String> {
    let location = OFlags::PATH | OFlags::CLOEXEC;
    let root = openat(CWD, root, location | OFlags::DIRECTORY, Mode::empty())?;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let found = openat2(&root, "etc/passwd", location, Mode::empty(), inside)?;
    let mut bytes = Vec::new();
    if FileType::from_raw_mode(fstat(&found)?.st_mode).is_file() {
        let again = format!("/proc/self/fd/{}", found.as_raw_fd());
        File::open(again)?.take(MAX_SIZE).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The sixth field of the first line whose third is the user, unless it is empty.
pub(crate) fn find(passwd: &str, uid: u32) -> Option<&str> {
    let own = passwd.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let is_own = fields.next()?.parse::<u32>().ok()? == uid;
        is_own.then_some(fields)
    });
    own?.nth(2).filter(|home| !home.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_whose_name_is_a_number_is_not_looked_up_by_it() {
        let passwd = "1000:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n";
        assert_eq!(find(passwd, 1000), Some("/home/user"));
        assert_eq!(find(passwd, 0), Some("/root"));
        assert_eq!(find("broken\n::::\n", 0), None);
    }

    #[test]
    fn the_first_line_of_a_user_has_the_word_even_without_a_home() {
        let other = "other:x:5:5::/home/other:\n";
        for own in ["web:x:5:5:::\n", "web:x:5\n"] {
            assert_eq!(find(&format!("{own}{other}"), 5), None, "{own}");
        }
    }
}
