//! A directory that stands in for a resctrl file system, as few machines have one: the kernel's part of making and removing
//! a directory in it. Files keep all that is written to them.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Its root, with the shares that a new class begins with.
pub(super) fn mount(root: &Path) {
    fill(root, true).unwrap();
    for directory in ["info", "info/MB"] {
        fs::create_dir(root.join(directory)).unwrap();
    }
    fs::write(root.join("info/MB/bandwidth_gran"), "10\n").unwrap();
    fs::write(root.join("info/last_cmd_status"), "ok\n").unwrap();
}

fn fill(directory: &Path, is_class: bool) -> io::Result<()> {
    fs::write(directory.join("tasks"), "")?;
    if is_class {
        fs::write(directory.join("schemata"), "    MB:0=100\n    L3:0=fff\n")?;
        fs::create_dir(directory.join("mon_groups"))?;
    }
    Ok(())
}

pub(super) fn create_dir(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    let in_groups = path
        .parent()
        .is_some_and(|parent| parent.ends_with("mon_groups"));
    fill(path, !in_groups)
}

pub(super) fn remove_dir(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    if path.ends_with("schemata") && !text.lines().all(|line| line.contains('=')) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    OpenOptions::new()
        .append(true)
        .open(path)?
        .write_all(text.as_bytes())
}
