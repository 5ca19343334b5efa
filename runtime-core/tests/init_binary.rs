//! What the embedded init is: a static program that starts at an address of its own, and holds nothing that could
//! panic.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "init_binary/elf.rs"]
#[allow(dead_code, reason = "conformance/tests/binary.rs uses the rest")]
mod elf;

use std::fs;
use std::path::{Path, PathBuf};

use elf::{CAN_EXECUTE, DYNAMIC, EXECUTABLE, Elf, INTERPRETER, LOAD, Segment};

/// It is copied into a memfd or mapped at every start: tens of kilobytes, by design.
const LIMIT: usize = 96 * 1024;

/// The init that the build script left: its path is in the environment of the library's build alone, so it is found by
/// where cargo puts what a build script makes. Of several builds the newest one counts.
fn init() -> Elf {
    let test = std::env::current_exe().unwrap();
    let mut candidates: Vec<PathBuf> = test
        .ancestors()
        .flat_map(|directory| built_in(&directory.join("build")))
        .collect();
    let modified = |path: &PathBuf| {
        fs::metadata(path)
            .and_then(|status| status.modified())
            .unwrap()
    };
    candidates.sort_by_key(modified);
    let newest = candidates.pop();
    Elf(fs::read(newest.expect("no init was built beside this test")).unwrap())
}

/// `runtime-core-HASH/out/init/TARGET/init/runtime-init`, in cargo's directory for build scripts.
fn built_in(build: &Path) -> Vec<PathBuf> {
    let subdirectories = |path: PathBuf| -> Vec<PathBuf> {
        let entries = fs::read_dir(path).into_iter().flatten();
        entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect()
    };
    let own = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("runtime-core-")
    };
    let targets = subdirectories(build.to_owned())
        .into_iter()
        .filter(own)
        .flat_map(|script| subdirectories(script.join("out/init")));
    targets
        .map(|target| target.join("init/runtime-init"))
        .filter(|program| program.is_file())
        .collect()
}

#[test]
fn the_init_is_a_64_bit_program_at_a_fixed_address() {
    let init = init();
    assert_eq!(init.bytes(0), *b"\x7fELF");
    assert_eq!(init.bytes(4), [2_u8], "it is not of 64 bits");
    assert_eq!(init.u16(16), EXECUTABLE, "it is not at a fixed address");
}

#[test]
fn the_init_needs_no_loader_and_no_library() {
    let init = init();
    for segment in init.segments() {
        assert_ne!(segment.kind, INTERPRETER, "it asks for a loader");
        assert_ne!(segment.kind, DYNAMIC, "it is linked dynamically");
    }
    assert_eq!((init.libraries(), init.undefined_symbols()), (0, 0));
}

#[test]
fn no_memory_of_the_init_is_both_writable_and_executable() {
    elf::assert_nothing_is_writable_and_executable(&init());
}

#[test]
fn nothing_in_the_init_is_relocated_when_it_starts() {
    assert_eq!(init().relocations(), 0);
}

#[test]
fn the_init_does_not_tell_where_it_was_built() {
    elf::assert_tells_no_path_of_the_builder(&init());
}

#[test]
fn the_init_starts_in_code_of_its_own() {
    let init = init();
    let entry = init.entry_point();
    let in_code = |segment: &Segment| {
        let range = segment.address..segment.address + segment.size;
        segment.kind == LOAD && segment.flags & CAN_EXECUTE != 0 && range.contains(&entry)
    };
    assert!(
        entry != 0 && init.segments().iter().any(in_code),
        "{entry:#x}"
    );
}

#[test]
fn the_init_is_small() {
    let size = init().0.len();
    assert!(size < LIMIT, "it has {size} bytes");
}

#[test]
fn the_init_has_no_message_of_a_panic() {
    let init = init();
    for message in [
        "panicked at",
        "index out of bounds",
        "called `Option::unwrap()`",
        "called `Result::unwrap()`",
        "attempt to add with overflow",
        "range end index",
        "range start index",
        "copy_from_slice",
        "RUST_BACKTRACE",
        "core::panicking",
        "/mod.rs",
        "/lib.rs",
    ] {
        assert!(!init.contains(message), "it can say {message:?}");
    }
}
