//! The user's home directory, from the image's passwd(5): what runc sets HOME to when the configuration does not.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use oci_spec::runtime::Process;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};

/// No passwd that is honest is larger.
const MAX_SIZE: u64 = 1 << 20;

/// The home of the process's user, `/` when the image does not know it; nothing when the configuration sets HOME to
/// something.
pub(crate) fn of(process: &Process, root: &Path) -> Option<String> {
    let variables = process.env().as_deref().unwrap_or_default();
    let last = variables
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("HOME="));
    if last.is_some_and(|home| !home.is_empty()) {
        return None;
    }
    let passwd = read_passwd(root).unwrap_or_default();
    Some(
        find(&passwd, process.user().uid())
            .unwrap_or("/")
            .to_owned(),
    )
}

/// The image decides what is at that path: it is resolved inside the root, and nothing but a regular file is read.
fn read_passwd(root: &Path) -> std::io::Result<String> {
    let root = openat(
        CWD,
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let file = File::from(openat2(&root, "etc/passwd", flags, Mode::empty(), inside)?);
    let mut bytes = Vec::new();
    if file.metadata()?.is_file() {
        file.take(MAX_SIZE).read_to_end(&mut bytes)?;
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
