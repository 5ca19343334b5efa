//! What changes a resctrl file system.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

pub(super) use std::fs::{create_dir, remove_dir};

/// Writes to a file that is there, at once.
pub(super) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.write_all(text.as_bytes())
}
