//! The targets over the seeds that they start from, and over what is like them.

use std::fs;
use std::path::PathBuf;

use super::TARGETS;

/// How many of each seed. `MUTANTS=100000 cargo test --release fuzzing` looks for longer.
fn mutants() -> usize {
    let number = std::env::var("MUTANTS").ok();
    number.and_then(|number| number.parse().ok()).unwrap_or(100)
}

fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let entries = fs::read_dir(directory.join(target)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        (path, bytes)
    };
    paths.into_iter().map(read).collect()
}

#[test]
fn what_holds_for_any_bytes_holds_for_the_seeds() {
    for (name, target) in TARGETS {
        let seeds = seeds(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for (path, bytes) in seeds {
            println!("{}", path.display());
            target(&bytes);
        }
    }
}

#[test]
fn it_holds_for_what_is_like_the_seeds() {
    for (name, target) in TARGETS {
        for (path, bytes) in seeds(name) {
            let mut random = Random(7);
            for number in 0..mutants() {
                println!("{}, mutant {number}", path.display());
                target(&random.mutant(&bytes));
            }
        }
    }
}

/// xorshift64 (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }

    /// With a few bytes changed, some left out, or a part of it put in elsewhere.
    fn mutant(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut mutant = bytes.to_vec();
        for _ in 0..=self.below(4) {
            let (from, place) = (self.below(mutant.len()), self.below(mutant.len()));
            let end = mutant.len().min(from + self.below(16));
            match self.below(4) {
                0 => drop(mutant.drain(from..end)),
                1 => {
                    let part = mutant[from..end].to_vec();
                    mutant.splice(place..place, part);
                }
                2 => mutant.insert(place, self.below(256) as u8),
                _ if mutant.is_empty() => {}
                _ => mutant[place] ^= 1 << self.below(8),
            }
        }
        mutant
    }
}
