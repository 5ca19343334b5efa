//! How much memory a start may take: the list by which the binary is laid out still says what a start runs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod results;

use conformance::runtime::runtime;

/// In KiB. From 2,300 to 3,400 in a binary that is laid out, as the kernel maps whole folios of the page cache, small or large;
/// 5,200 and more in another one. Where this is exceeded, `make functions` helps, unless the linker found
/// none of the functions: it needs nm, and the names of symbols that .cargo/remap asks for.
const BOUND: u64 = 4096;

/// Whether `.cargo/linker` had a linker that orders functions, in a release build.
fn is_laid_out(program: &[u8]) -> bool {
    let has = |text: &[u8]| program.windows(text.len()).any(|window| window == text);
    has(b"Linker: LLD") && !has(b".symtab")
}

#[test]
fn a_run_maps_little_but_the_functions_that_it_runs() {
    let program = std::fs::read(&runtime().path).unwrap();
    if !runtime().is_bareboat() || !is_laid_out(&program) {
        return eprintln!("skipped: not a release binary of bareboat that LLD has linked");
    }
    let least = results::least("memory");
    let key = ("peak memory of run", "largest process");
    let peak = least[&(key.0.to_owned(), key.1.to_owned())];
    assert!(peak <= BOUND, "{peak} KiB");
}
