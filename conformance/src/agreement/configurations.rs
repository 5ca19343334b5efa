//! The configurations: each value at its edges alone, and combinations.

use std::fs;

use serde_json::Value;

use super::combinations::{combine, combine_devices};
use super::edges::edges;
use super::random::Random;

pub(super) const MIB: i64 = 1 << 20;

/// One `linux.resources`.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// Its place in the list, by which `--only` finds it.
    pub number: usize,
    /// The object.
    pub resources: Value,
}

/// A block device of this machine that can be limited: a whole one.
#[must_use]
pub fn block_device() -> (u64, u64) {
    let numbers = |name: &str| {
        let text = fs::read_to_string(format!("/sys/block/{name}/dev")).ok()?;
        let (major, minor) = text.trim().split_once(':')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let known = ["vda", "sda", "nvme0n1", "xvda", "loop0"];
    known.into_iter().find_map(numbers).unwrap_or((7, 0))
}

/// So many configurations, the same for the same seed and machine: an even choice from those of one value each, and as
/// many combinations.
#[must_use]
pub fn generate(seed: u64, count: usize) -> Vec<Configuration> {
    let mut single = edges();
    // Fisher and Yates: a short run has some of everything.
    let mut random = Random::new(seed, u64::MAX);
    for place in (1..single.len()).rev() {
        single.swap(place, random.below(place + 1));
    }
    let combination = |number: usize| combine(&mut Random::new(seed, number as u64));
    let share = if count < single.len() {
        count.div_ceil(2)
    } else {
        single.len()
    };
    let all = single.into_iter().take(share).chain((0..).map(combination));
    all.take(count)
        .enumerate()
        .map(|(number, resources)| Configuration { number, resources })
        .collect()
}

/// A list of device rules, for the devices that are [tried](crate::device_probe::NODES).
#[must_use]
pub fn device_rules(seed: u64) -> Value {
    combine_devices(&mut Random::new(seed, 0))
}
