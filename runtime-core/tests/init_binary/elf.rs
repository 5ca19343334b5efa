//! The few fields of an ELF file that matter here, read by hand (elf(5)): they need no crate.

pub(crate) const EXECUTABLE: u16 = 2;
pub(crate) const LOAD: u32 = 1;
pub(crate) const DYNAMIC: u32 = 2;
pub(crate) const INTERPRETER: u32 = 3;
pub(crate) const STACK: u32 = 0x6474_e551;
pub(crate) const RELRO: u32 = 0x6474_e552;
pub(crate) const CAN_EXECUTE: u32 = 1;
pub(crate) const CAN_WRITE: u32 = 2;

/// Kinds of sections: symbols, and relocations with and without addends.
pub(crate) const SYMBOLS: u32 = 2;
pub(crate) const DYNAMIC_SYMBOLS: u32 = 11;
pub(crate) const RELOCATIONS: [u32; 2] = [4, 9];

/// Tags of the dynamic section.
const NEEDED: u64 = 1;

/// An ELF file of the machine's own byte order and width.
pub(crate) struct Elf(pub(crate) Vec<u8>);

pub(crate) struct Segment {
    pub(crate) kind: u32,
    pub(crate) flags: u32,
    pub(crate) offset: usize,
    pub(crate) address: u64,
    pub(crate) size: u64,
}

pub(crate) struct Section {
    pub(crate) kind: u32,
    offset: usize,
    size: usize,
    entry_size: usize,
}

impl Elf {
    pub(crate) fn bytes<const N: usize>(&self, offset: usize) -> [u8; N] {
        self.0[offset..offset + N].try_into().unwrap()
    }

    pub(crate) fn u16(&self, offset: usize) -> u16 {
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

    pub(crate) fn entry_point(&self) -> u64 {
        self.u64(24)
    }

    pub(crate) fn segments(&self) -> Vec<Segment> {
        let segment = |at| Segment {
            kind: self.u32(at),
            flags: self.u32(at + 4),
            offset: self.index(at + 8),
            address: self.u64(at + 16),
            size: self.u64(at + 40),
        };
        self.table(32, 54, 56).map(segment).collect()
    }

    pub(crate) fn sections(&self) -> Vec<Section> {
        let section = |at| Section {
            kind: self.u32(at + 4),
            offset: self.index(at + 24),
            size: self.index(at + 32),
            entry_size: self.index(at + 56),
        };
        self.table(40, 58, 60).map(section).collect()
    }

    /// How many symbols are named and defined nowhere. A stripped file has no symbols at all.
    pub(crate) fn undefined_symbols(&self) -> usize {
        let tables = self.sections();
        let tables = tables.iter().filter(|section| {
            [SYMBOLS, DYNAMIC_SYMBOLS].contains(&section.kind) && section.entry_size > 0
        });
        let symbols = tables.flat_map(|table| {
            (0..table.size)
                .step_by(table.entry_size)
                .map(|at| table.offset + at)
        });
        symbols
            .filter(|&at| self.u32(at) != 0 && self.u16(at + 6) == 0)
            .count()
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    }

    /// How many relocations a loader, or the program itself at its start, would make.
    pub(crate) fn relocations(&self) -> usize {
        let sections = self.sections();
        let tables = sections
            .iter()
            .filter(|section| RELOCATIONS.contains(&section.kind) && section.entry_size > 0);
        tables.map(|table| table.size / table.entry_size).sum()
    }

    /// How many libraries a loader would look for.
    pub(crate) fn libraries(&self) -> usize {
        let segments = self.segments();
        let dynamic = segments.iter().filter(|segment| segment.kind == DYNAMIC);
        let entries = dynamic.flat_map(|segment| {
            let size = usize::try_from(segment.size).unwrap();
            (0..size).step_by(16).map(|at| segment.offset + at)
        });
        entries.filter(|&at| self.u64(at) == NEEDED).count()
    }
}

/// No memory is both writable and executable, the stack included.
pub(crate) fn assert_nothing_is_writable_and_executable(elf: &Elf) {
    let both = CAN_WRITE | CAN_EXECUTE;
    let segments = elf.segments();
    assert!(segments.iter().all(|segment| segment.flags & both != both));
    let stack = segments.iter().find(|segment| segment.kind == STACK);
    let stack = stack.expect("without PT_GNU_STACK the kernel makes the stack executable");
    assert_eq!(stack.flags & CAN_EXECUTE, 0, "its stack is executable");
}

/// Nothing tells where it was built: neither the directory of the crates, nor that of this workspace, nor a home.
pub(crate) fn assert_tells_no_path_of_the_builder(elf: &Elf) {
    let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap();
    let workspace = workspace.to_str().unwrap();
    for path in [workspace, "/.cargo/", "registry/src", "/root/.", "/home/"] {
        assert!(!elf.contains(path), "it has {path:?} in it");
    }
}
