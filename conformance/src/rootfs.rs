//! A root file system of two programs: a static busybox with its applets, and the probe.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::process;
use crate::runtime::beside;

const DIRECTORIES: [&str; 8] = ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"];
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:alice:/home/alice:/bin/sh\n";
const GROUP: &str = "root:x:0:\nalice:x:1000:\nextra:x:2000:alice\n";

/// Fills the directory. `/probe` and `/bin/sh` can be run in it.
pub fn fill(root: &Path) {
    for directory in DIRECTORIES {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    fs::set_permissions(root.join("tmp"), PermissionsExt::from_mode(0o1777)).unwrap();
    fs::write(root.join("etc/passwd"), PASSWD).unwrap();
    fs::write(root.join("etc/group"), GROUP).unwrap();
    fs::copy("/bin/busybox", root.join("bin/busybox")).expect("busybox-static is installed");
    for applet in applets() {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    fs::copy(probe(), root.join("probe")).unwrap();
}

fn applets() -> &'static [String] {
    static APPLETS: OnceLock<Vec<String>> = OnceLock::new();
    APPLETS.get_or_init(|| {
        let list = process::run(Command::new("/bin/busybox").arg("--list"))
            .ok()
            .stdout;
        list.lines()
            .filter(|applet| *applet != "busybox")
            .map(str::to_owned)
            .collect()
    })
}

/// Cargo builds the probe before the tests of this package, statically because `.cargo/rustc` says so.
pub(crate) fn probe() -> &'static Path {
    static PROBE: OnceLock<PathBuf> = OnceLock::new();
    PROBE.get_or_init(|| {
        let path = beside("probe");
        let mut start = [0; 1024];
        let length = fs::File::open(&path).and_then(|mut file| file.read(&mut start));
        let length = length.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let interpreter = start[..length]
            .windows(4)
            .any(|window| window == b"/ld-" || window == b"/ld6");
        assert!(
            !interpreter,
            "{} is not static: is .cargo/config.toml in effect?",
            path.display()
        );
        path
    })
}
