//! What the embedded init is: a static program that starts at an address of its own, and holds nothing that could
//! panic. Its ELF file is read by hand (elf(5)): the few fields that matter need no crate.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

/// It is copied into a memfd or mapped at every start: tens of kilobytes, by design.
const LIMIT: usize = 96 * 1024;

const EXECUTABLE: u16 = 2;
const LOAD: u32 = 1;
const DYNAMIC: u32 = 2;
const INTERPRETER: u32 = 3;
const STACK: u32 = 0x6474_e551;
const CAN_EXECUTE: u32 = 1;
const CAN_WRITE: u32 = 2;

/// An ELF file of the machine's own byte order and width.
struct Elf(Vec<u8>);

struct Segment {
    kind: u32,
    flags: u32,
    address: u64,
    size: u64,
}

struct Section {
    kind: u32,
    offset: usize,
    size: usize,
    entry_size: usize,
}

impl Elf {
    fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0[offset..offset + N].try_into().unwrap()
    }

    fn u16(&self, offset: usize) -> u16 {
        u16::from_ne_bytes(self.bytes(offset))
    }

    fn u32(&self, offset: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(offset))
    }

    fn u64(&self, offset: usize) -> u64 {
        u64::from_ne_bytes(self.bytes(offset))
    }

    fn index(&self, offset: usize) -> usize {
        self.u64(offset).try_into().unwrap()
    }

    /// The entries of a table: where it is, how large an entry is, how many there are.
    fn table(&self, offset: usize, entry: usize, count: usize) -> impl Iterator<Item = usize> {
        let (start, size) = (self.index(offset), usize::from(self.u16(entry)));
        (0..usize::from(self.u16(count))).map(move |number| start + number * size)
    }

    fn entry_point(&self) -> u64 {
        self.u64(24)
    }

    fn segments(&self) -> Vec<Segment> {
        let segment = |at| Segment {
            kind: self.u32(at),
            flags: self.u32(at + 4),
            address: self.u64(at + 16),
            size: self.u64(at + 40),
        };
        self.table(32, 54, 56).map(segment).collect()
    }

    fn sections(&self) -> Vec<Section> {
        let section = |at| Section {
            kind: self.u32(at + 4),
            offset: self.index(at + 24),
            size: self.index(at + 32),
            entry_size: self.index(at + 56),
        };
        self.table(40, 58, 60).map(section).collect()
    }

    /// How many symbols are named and defined nowhere. A stripped file has no symbols at all.
    fn undefined_symbols(&self) -> usize {
        const SYMBOLS: [u32; 2] = [2, 11];
        let tables = self.sections();
        let tables = tables
            .iter()
            .filter(|section| SYMBOLS.contains(&section.kind) && section.entry_size > 0);
        let symbols = tables.flat_map(|table| {
            (0..table.size)
                .step_by(table.entry_size)
                .map(|at| table.offset + at)
        });
        symbols
            .filter(|&at| self.u32(at) != 0 && self.u16(at + 6) == 0)
            .count()
    }

    fn contains(&self, text: &str) -> bool {
        self.0
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    }
}

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
    assert_eq!(init.undefined_symbols(), 0);
}

#[test]
fn no_memory_of_the_init_is_both_writable_and_executable() {
    let both = CAN_WRITE | CAN_EXECUTE;
    let segments = init().segments();
    assert!(segments.iter().all(|segment| segment.flags & both != both));
    let stack = segments.iter().find(|segment| segment.kind == STACK);
    let stack = stack.expect("without PT_GNU_STACK the kernel makes the stack executable");
    assert_eq!(stack.flags & CAN_EXECUTE, 0, "its stack is executable");
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
    ] {
        assert!(!init.contains(message), "it can say {message:?}");
    }
}
