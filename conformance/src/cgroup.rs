//! Cgroup directories of the host, on v1, v2 and hybrid machines: cgroups(7).

use std::fs;
use std::path::{Path, PathBuf};

use crate::mountinfo;

/// The mounted hierarchies: controllers (or `name=`…; of v2 `unified`), and where.
#[must_use]
pub fn hierarchies() -> Vec<(Vec<String>, PathBuf)> {
    mountinfo::read("/proc/self/mountinfo")
        .into_iter()
        .filter(|mount| mount.target.starts_with("/sys/fs/cgroup"))
        .filter_map(|mount| match mount.kind.as_str() {
            "cgroup" => Some((mount.super_options, PathBuf::from(mount.target))),
            "cgroup2" => Some((vec!["unified".to_owned()], PathBuf::from(mount.target))),
            _ => None,
        })
        .collect()
}

/// The directory of a v1 controller (or the one v2 hierarchy, where there is no such controller) for a cgroup path.
#[must_use]
pub fn directory(controller: &str, path: &str) -> PathBuf {
    let hierarchies = hierarchies();
    let holds = |wanted: &str| {
        hierarchies
            .iter()
            .find(|(names, _)| names.iter().any(|name| name == wanted))
    };
    let (_, mount) = holds(controller)
        .or_else(|| holds("unified"))
        .expect("a cgroup hierarchy is mounted");
    mount.join(path.trim_start_matches('/'))
}

/// Whether the controller has a hierarchy of v1.
#[must_use]
pub fn is_v1(controller: &str) -> bool {
    hierarchies()
        .iter()
        .any(|(names, _)| names.iter().any(|name| name == controller))
}

/// The text of the controller's file, by its name in v1 or in v2.
#[must_use]
pub fn read(path: &str, controller: &str, v1: &str, v2: &str) -> String {
    let file = directory(controller, path).join(if is_v1(controller) { v1 } else { v2 });
    let text =
        fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    text.trim().to_owned()
}

/// The directory of a v1 controller, or the one v2 hierarchy where there is no such controller, that a process is in.
#[must_use]
pub fn of_process(pid: i32, controller: &str) -> PathBuf {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("the process is there");
    let path = |is_it: &dyn Fn(&str) -> bool| {
        text.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            is_it(controllers).then(|| path.to_owned())
        })
    };
    let path = path(&|controllers| controllers.split(',').any(|name| name == controller))
        .or_else(|| path(&str::is_empty))
        .expect("a process is in a cgroup");
    directory(controller, &path)
}

/// Stops the processes of a cgroup in its freezer, as an administrator might, or lets them go on. The directory is that of
/// the freezer of v1, or of v2.
pub fn freeze(directory: &Path, frozen: bool) {
    let (file, value) = match (directory.join("freezer.state").exists(), frozen) {
        (true, true) => ("freezer.state", "FROZEN"),
        (true, false) => ("freezer.state", "THAWED"),
        (false, true) => ("cgroup.freeze", "1"),
        (false, false) => ("cgroup.freeze", "0"),
    };
    fs::write(directory.join(file), value).unwrap();
}

/// The directories that exist for the path, in any hierarchy.
#[must_use]
pub fn existing(path: &str) -> Vec<PathBuf> {
    let of = |mount: &Path| mount.join(path.trim_start_matches('/'));
    hierarchies()
        .iter()
        .map(|(_, mount)| of(mount))
        .filter(|directory| directory.exists())
        .collect()
}

/// Removes the path's directories, innermost first; for cleaning up, so it reports nothing.
pub fn remove(path: &str) {
    for directory in existing(path) {
        remove_tree(&directory);
    }
}

fn remove_tree(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_tree(&entry.path());
        }
    }
    drop(fs::remove_dir(directory));
}
