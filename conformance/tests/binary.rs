//! What the released `bareboat` is: one static file that has nothing to do at each start but to run, without a page that is
//! writable and executable, and without a word of where it was built.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../runtime-core/tests/init_binary/elf.rs"]
#[allow(dead_code, reason = "the init's tests use the rest")]
mod elf;

use std::fs;

use conformance::runtime::runtime;
use elf::{CAN_WRITE, Elf, INTERPRETER, RELRO, SYMBOLS};

/// Of an ELF file that lies where it was linked to (ET_EXEC): thousands of relocations would be a fifth of a short command.
const FIXED: u16 = 2;

/// None when another runtime is put to the test, or a build for developers.
fn released() -> Option<Elf> {
    let elf = Elf(fs::read(&runtime().path).unwrap());
    let has_symbols = elf.sections().iter().any(|section| section.kind == SYMBOLS);
    if !runtime().is_bareboat() || has_symbols {
        eprintln!(
            "skipped: {} is no release of bareboat",
            runtime().path.display()
        );
        return None;
    }
    Some(elf)
}

#[test]
fn the_binary_needs_no_loader_and_no_library() {
    let Some(elf) = released() else { return };
    assert!(
        elf.segments()
            .iter()
            .all(|segment| segment.kind != INTERPRETER)
    );
    assert_eq!((elf.libraries(), elf.undefined_symbols()), (0, 0));
    assert_eq!(elf.u16(16), FIXED, "it relocates itself at each start");
}

#[test]
fn no_memory_of_the_binary_is_both_writable_and_executable_and_its_tables_are_read_only() {
    let Some(elf) = released() else { return };
    elf::assert_nothing_is_writable_and_executable(&elf);
    let segments = elf.segments();
    let relro = segments.iter().find(|segment| segment.kind == RELRO);
    let relro = relro.expect("its tables of addresses stay writable");
    assert_eq!(relro.flags & CAN_WRITE, 0);
}

#[test]
fn the_binary_does_not_tell_where_it_was_built() {
    let Some(elf) = released() else { return };
    elf::assert_tells_no_path_of_the_builder(&elf);
}
