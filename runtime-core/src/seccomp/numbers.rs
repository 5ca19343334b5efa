//! The rules of a profile by the numbers that their names have in each ABI.

use super::abi::Abi;
use super::profile::{Profile, Rule};
use super::tables::Syscall;

/// A rule as it concerns one number.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) number: u32,
    pub(super) rule: &'a Rule<'a>,
    /// The first argument that a multiplexing call must have to be the one that the rule names.
    pub(super) operation: Option<u64>,
}

/// The rules of one ABI.
#[derive(Debug)]
pub(super) struct Numbered<'a> {
    /// Ascending by number; those with the same number are in the profile's order.
    pub(super) entries: Vec<Entry<'a>>,
    /// The largest number that the profile names.
    pub(super) largest: Option<u32>,
}

/// Looks every name up once, for all ABIs; they are of one family.
pub(super) fn number<'a>(profile: &'a Profile<'a>, abis: &[Abi]) -> Vec<Numbered<'a>> {
    let Some(family) = abis.first().map(|abi| abi.family()) else {
        return Vec::new();
    };
    let names = profile.rules.iter().map(|rule| rule.names.len()).sum();
    let mut numbered: Vec<_> = abis
        .iter()
        .map(|_| Numbered {
            entries: Vec::with_capacity(names),
            largest: None,
        })
        .collect();
    for rule in &profile.rules {
        // Names that no kernel of this family knows are ignored: profiles serve many kernels.
        let calls = rule.names.iter().filter_map(|name| {
            let known = Syscall::named(family, name);
            if known.is_none() {
                tracing::debug!("unknown seccomp syscall {name:?} ignored");
            }
            known
        });
        for call in calls {
            for (abi, numbered) in abis.iter().zip(&mut numbered) {
                numbered.push(rule, call, *abi);
            }
        }
    }
    for numbered in &mut numbered {
        numbered.entries.sort_by_key(|entry| entry.number);
    }
    numbered
}

impl<'a> Numbered<'a> {
    fn push(&mut self, rule: &'a Rule<'a>, call: Syscall, abi: Abi) {
        let direct = call.number(abi);
        let multiplexed = call.multiplexed(abi);
        if multiplexed.is_none() {
            // A call with two ways does not count: libseccomp gives runc a negative number for it.
            self.largest = self.largest.max(direct);
        }
        if rule.redundant {
            return;
        }
        self.entries.extend(multiplexed.map(|multiplexed| Entry {
            number: multiplexed.number,
            rule,
            operation: Some(multiplexed.operation),
        }));
        self.entries.extend(direct.map(|number| Entry {
            number,
            rule,
            operation: None,
        }));
    }
}
