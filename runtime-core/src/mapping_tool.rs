//! newuidmap(1) and newgidmap(1), which write maps of the ids that /etc/subuid and /etc/subgid give to a user.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::error::{Attempt, Error, ErrorKind, Result};
use crate::id_mappings::Range;

/// Has the tool write a map for the user namespace of the process, which is a child of the caller's. It is looked for in
/// the caller's PATH, and has nothing else of the caller's environment.
pub(crate) fn run(tool: &str, pid: i32, ranges: &[Range]) -> Result<()> {
    let path = env::var_os("PATH").unwrap_or_default();
    let Some(program) = find(tool, env::split_paths(&path)) else {
        let problem = format!(
            "a map of other ids than the caller's own needs {tool}(1), which is not in PATH: install the package uidmap, or map \
             one id, the caller's own"
        );
        return Err(Error::new(ErrorKind::Setup, problem));
    };
    let numbers = ranges
        .iter()
        .flat_map(|range| [range.container, range.host, range.size]);
    let output = Command::new(&program)
        .arg(pid.to_string())
        .args(numbers.map(|number| number.to_string()))
        .env_clear()
        .stdin(Stdio::null())
        .output()
        .host(|| format!("execute {}", program.display()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let problem = format!(
        "{} refuses ({}): {}; the ids have to be the caller's in /etc/subuid and /etc/subgid, see subuid(5)",
        program.display(),
        output.status,
        said.trim()
    );
    Err(Error::new(ErrorKind::Setup, problem))
}

/// The first executable file of that name. A directory that depends on where the caller is does not count.
fn find(name: &str, directories: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let is_program = |path: &Path| {
        path.is_file() && accessat(CWD, path, Access::EXEC_OK, AtFlags::EACCESS).is_ok()
    };
    directories
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|path| is_program(path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_tool_is_the_first_executable_file_of_an_absolute_path() {
        let place = tempfile::tempdir().unwrap();
        let directories = ["plain", "directory", "good"].map(|name| place.path().join(name));
        for directory in &directories {
            fs::create_dir(directory).unwrap();
        }
        fs::write(directories[0].join("tool"), "").unwrap();
        fs::create_dir(directories[1].join("tool")).unwrap();
        let good = directories[2].join("tool");
        fs::write(&good, "").unwrap();
        fs::set_permissions(&good, Permissions::from_mode(0o755)).unwrap();
        let all = [PathBuf::from("."), PathBuf::new()];
        let all = || all.iter().chain(&directories).cloned();
        assert_eq!(find("tool", all()), Some(good));
        assert_eq!(find("other", all()), None);
    }
}
