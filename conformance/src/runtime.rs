//! Finds the runtime that is put to the test, and says which one it is.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

use crate::process;

/// The program under test.
#[derive(Debug)]
pub struct Runtime {
    /// Where its binary is.
    pub path: PathBuf,
    /// The first word that `--version` prints: `bareboat`, `runc`, `crun`, `youki`.
    pub name: String,
    /// The version's first three numbers.
    pub version: [u32; 3],
    /// The version of the specification that it implements: of its `features` the greatest, or what `--version` says.
    pub specification: [u32; 3],
    /// What `features` prints, if it has that command.
    pub features: Option<Value>,
}

static RUNTIME: OnceLock<Runtime> = OnceLock::new();

/// The runtime that `RUNTIME` names, or the workspace's own. There is always one: a suite without it must not pass.
pub fn runtime() -> &'static Runtime {
    RUNTIME.get_or_init(|| identify(find(env::var_os("RUNTIME"))))
}

/// Puts this program to the test, whatever `RUNTIME` says. To be called before anything asks for the [`runtime`].
pub fn choose(program: OsString) -> &'static Runtime {
    RUNTIME.get_or_init(|| identify(find(Some(program))))
}

impl Runtime {
    /// A program beside the one that is put to the test.
    #[must_use]
    pub fn named(program: OsString) -> Self {
        identify(find(Some(program)))
    }

    /// Whether it is the workspace's own.
    #[must_use]
    pub fn is_bareboat(&self) -> bool {
        self.name == "bareboat"
    }

    /// Whether this is the named runtime before the given version, which does not know `feature`; prints that the case
    /// is skipped for it.
    #[must_use]
    pub fn predates(&self, name: &str, version: [u32; 3], feature: &str) -> bool {
        let predates = self.name == name && self.version < version;
        if predates {
            eprintln!(
                "skipped: {name} {:?} does not know {feature} (since {version:?})",
                self.version
            );
        }
        predates
    }

    /// Whether this runtime departs from the specification here; prints that the case is skipped for it, and why.
    #[must_use]
    pub fn departs(&self, name: &str, how: &str) -> bool {
        if self.name == name {
            eprintln!("skipped: {name} {how}");
        }
        self.name == name
    }
}

/// The first two numbers of the kernel's version.
#[must_use]
pub fn kernel() -> (u32, u32) {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").expect("Linux has a version");
    let mut numbers = release
        .split(|other: char| !other.is_ascii_digit())
        .map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

fn identify(path: PathBuf) -> Runtime {
    let version = process::run(Command::new(&path).arg("--version")).ok();
    let mut words = version.stdout.split_whitespace();
    let name = words
        .next()
        .expect("--version prints the runtime's name")
        .to_owned();
    let number = words
        .clone()
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .unwrap_or("0");
    let spec = words.skip_while(|word| *word != "spec:").nth(1);
    let features = features(&path);
    let greatest = features
        .as_ref()
        .and_then(|all| all["ociVersionMax"].as_str());
    Runtime {
        name,
        version: numbers(number),
        specification: greatest.or(spec).map_or([1, 0, 0], numbers),
        features,
        path,
    }
}

fn features(path: &Path) -> Option<Value> {
    let finished = process::run(Command::new(path).arg("features"));
    serde_json::from_str(&finished.stdout)
        .ok()
        .filter(Value::is_object)
}

/// The first three numbers of a version.
#[must_use]
pub fn numbers(version: &str) -> [u32; 3] {
    let mut numbers = version
        .split(|other: char| !other.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}

fn find(named: Option<OsString>) -> PathBuf {
    let Some(named) = named.filter(|named| !named.is_empty()) else {
        return own();
    };
    let search = env::var_os("PATH").unwrap_or_default();
    let candidates: Vec<_> = if Path::new(&named).components().count() > 1 {
        vec![PathBuf::from(&named)]
    } else {
        env::split_paths(&search)
            .map(|directory| directory.join(&named))
            .collect()
    };
    candidates
        .iter()
        .find_map(|candidate| candidate.canonicalize().ok())
        .unwrap_or_else(|| panic!("{}: there is no such program", named.display()))
}

/// The newer of the workspace's release and debug builds; builds one, with the profile of the tests, if there is none.
fn own() -> PathBuf {
    let profile = profile_directory();
    let target = profile
        .parent()
        .expect("a profile lies in the target directory");
    newest(target).unwrap_or_else(|| {
        build(&profile);
        newest(target).expect("cargo build makes bareboat")
    })
}

fn newest(target: &Path) -> Option<PathBuf> {
    ["release", "debug"]
        .iter()
        .map(|profile| target.join(profile).join("bareboat"))
        .filter_map(|path| Some((path.metadata().ok()?.modified().ok()?, path)))
        .max()
        .map(|(_, path)| path)
}

fn build(profile: &Path) {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--locked", "-p", "runtime-cli"]);
    cargo.current_dir(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("conformance lies in the workspace"),
    );
    cargo.env(
        "CARGO_TARGET_DIR",
        profile
            .parent()
            .expect("a profile lies in the target directory"),
    );
    if profile.ends_with("release") {
        cargo.arg("--release");
    }
    let status = cargo.status().expect("cargo can be run");
    assert!(status.success(), "{cargo:?}: {status}");
}

/// A program of this package, which cargo builds before the tests.
#[must_use]
pub fn beside(name: &str) -> PathBuf {
    profile_directory().join(name)
}

/// `target/PROFILE`, of which `deps/` holds this test and which itself holds the probe.
fn profile_directory() -> PathBuf {
    let test = env::current_exe().expect("a process knows its program");
    let directory = test.parent().expect("a program lies in a directory");
    let directory = if directory.ends_with("deps") {
        directory.parent().expect("deps lies in it")
    } else {
        directory
    };
    directory.to_owned()
}
