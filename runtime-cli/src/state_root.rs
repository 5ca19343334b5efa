//! Where the state of containers is kept when `--root` does not say.

use std::env;
use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Result};

const SYSTEM_ROOT: &str = "/run/bareboat";

/// The state root: `--root` made absolute, `$XDG_RUNTIME_DIR/bareboat` for whoever is not the system's root, or
/// `/run/bareboat`.
pub(crate) fn resolve(option: Option<&Path>) -> Result<PathBuf> {
    match option {
        Some(path) => explicit(path),
        None => match user_runtime_directory() {
            Some(directory) => private(directory.join("bareboat")),
            None if !nix::unistd::geteuid().is_root() => Err(Failure::new(
                "XDG_RUNTIME_DIR is not set, and only root may keep containers in /run/bareboat: set it to a directory of \
                 your own, or give one with --root",
            )),
            None => Ok(PathBuf::from(SYSTEM_ROOT)),
        },
    }
}

fn explicit(path: &Path) -> Result<PathBuf> {
    let refused = || {
        Failure::new(format!(
            "--root {:?} is not a directory for state",
            path.display()
        ))
    };
    let absolute = std::path::absolute(path).map_err(|_| refused())?;
    let names_a_directory = clean(&absolute).components().count() > 1;
    if names_a_directory {
        Ok(clean(&absolute))
    } else {
        Err(refused())
    }
}

/// The path without `.` and `..`, as written: no symbolic link is looked at.
fn clean(path: &Path) -> PathBuf {
    path.components()
        .fold(PathBuf::new(), |mut clean, component| {
            match component {
                std::path::Component::ParentDir => {
                    clean.pop();
                }
                other => clean.push(other),
            }
            clean
        })
}

fn user_runtime_directory() -> Option<PathBuf> {
    let directory = env::var_os("XDG_RUNTIME_DIR").filter(|directory| !directory.is_empty())?;
    acts_for_a_user().then(|| PathBuf::from(directory))
}

/// Root of the initial user namespace uses the system's directory; root of another one acts for the user who made it,
/// unless it calls itself root.
fn acts_for_a_user() -> bool {
    if !nix::unistd::geteuid().is_root() {
        return true;
    }
    in_user_namespace() && env::var_os("USER").is_none_or(|user| user != "root")
}

fn in_user_namespace() -> bool {
    fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !maps_everything(&map))
}

/// The map of the initial user namespace: all ids, each to itself.
fn maps_everything(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
}

/// A directory for its owner alone. The sticky bit keeps it from being pruned (XDG Base Directory Specification).
fn private(directory: PathBuf) -> Result<PathBuf> {
    let made = DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&directory);
    made.and_then(|()| fs::set_permissions(&directory, Permissions::from_mode(0o1700)))
        .map_err(|cause| {
            Failure::io(
                format_args!("$XDG_RUNTIME_DIR: {}", directory.display()),
                cause,
            )
        })?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_the_file_system_is_no_state_root() {
        for path in ["", "/", "/run/..", "/../.."] {
            assert!(explicit(Path::new(path)).is_err(), "{path:?}");
        }
        assert_eq!(
            explicit(Path::new("/run/x/../y/.")).unwrap(),
            Path::new("/run/y")
        );
    }

    #[test]
    fn only_the_initial_user_namespace_maps_every_id_to_itself() {
        assert!(maps_everything("         0          0 4294967295\n"));
        assert!(!maps_everything("         0       1000          1\n"));
    }
}
