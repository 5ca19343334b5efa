//! The verdict of every system call number: a profile turned into a step function.

use super::abi::{Abi, X32_BIT};
use super::conditions::{self, Refusal, Tree};
use super::numbers::{Entry, Numbered, number};
use super::profile::{Comparison, Operator, Profile, Rule};
use super::{SeccompError, action};

/// What happens to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Return(u32),
    /// The arguments decide: an index into [`Verdicts::trees`].
    Arguments(usize),
}

/// Numbers from `start` up to the next range's share a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) start: u32,
    pub(super) verdict: Verdict,
}

/// The verdicts of the ABIs that share a value of seccomp_data.arch.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) audit_arch: u32,
    /// Ascending, the first one from 0; neighbours differ.
    pub(super) ranges: Vec<Range>,
}

/// The verdicts of a profile.
#[derive(Debug)]
pub(super) struct Verdicts {
    pub(super) sections: Vec<Section>,
    pub(super) trees: Vec<Tree>,
}

impl Verdicts {
    /// The verdicts of the profile; `abis` begins with the native one and has no duplicates.
    pub(super) fn of(profile: &Profile<'_>, abis: &[Abi]) -> Result<Self, SeccompError> {
        let mut verdicts = Self {
            sections: Vec::new(),
            trees: Vec::new(),
        };
        let mut numbered = number(profile, abis);
        // x32 is a part of x86_64's section.
        let x32 = abis.iter().position(|abi| *abi == Abi::X32);
        let x32 = x32.map(|at| numbered.remove(at));
        let others = abis.iter().filter(|abi| **abi != Abi::X32);
        for (abi, numbered) in others.zip(numbered) {
            let x32 = x32.as_ref().filter(|_| *abi == Abi::X86_64);
            let ranges = verdicts.ranges(profile, *abi, &numbered, x32)?;
            verdicts.sections.push(Section {
                audit_arch: abi.audit_arch(),
                ranges,
            });
        }
        Ok(verdicts)
    }

    fn ranges(
        &mut self,
        profile: &Profile<'_>,
        abi: Abi,
        numbered: &Numbered<'_>,
        x32: Option<&Numbered<'_>>,
    ) -> Result<Vec<Range>, SeccompError> {
        let mut points = self.points(numbered, abi)?;
        if let Some(x32) = x32 {
            // All beyond the native ones: the bit is set.
            points.extend(self.points(x32, Abi::X32)?);
        }
        let mut ranges = step_function(&points, profile.default);
        if abi == Abi::X86_64 && x32.is_none() {
            refuse_x32(&mut ranges, profile.default);
        }
        if profile.hide_newer {
            hide_newer(
                &mut ranges,
                abi,
                numbered.largest,
                x32.and_then(|x32| x32.largest),
            );
        }
        ranges.dedup_by_key(|range| range.verdict);
        Ok(ranges)
    }

    /// The verdicts of the numbers that rules of one ABI name, ascending.
    fn points(
        &mut self,
        numbered: &Numbered<'_>,
        abi: Abi,
    ) -> Result<Vec<(u32, Verdict)>, SeccompError> {
        let groups = numbered.entries.chunk_by(|a, b| a.number == b.number);
        groups
            .filter_map(|entries| Some((entries.first()?.number, entries)))
            .map(|(number, entries)| Ok((number, self.verdict(entries, abi)?)))
            .collect()
    }

    /// The verdict of one call: the first unconditional rule prevails over all conditional ones.
    fn verdict(&mut self, entries: &[Entry<'_>], abi: Abi) -> Result<Verdict, SeccompError> {
        if let Some(entry) = entries.iter().find(|entry| is_unconditional(entry, abi)) {
            return Ok(Verdict::Return(entry.rule.action));
        }
        let mut tree = Tree::new();
        for entry in entries {
            add(&mut tree, entry, abi).map_err(|refusal| refused(refusal, entry.rule))?;
        }
        let known = self.trees.iter().position(|other| *other == tree);
        Ok(Verdict::Arguments(known.unwrap_or_else(|| {
            self.trees.push(tree);
            self.trees.len() - 1
        })))
    }
}

fn is_unconditional(entry: &Entry<'_>, abi: Abi) -> bool {
    let covers_all = |all: &Vec<Comparison>| {
        all.iter()
            .all(|comparison| conditions::always_true(comparison, abi.width()))
    };
    let alternatives = &entry.rule.alternatives;
    entry.operation.is_none() && (alternatives.is_empty() || alternatives.iter().any(covers_all))
}

fn add(tree: &mut Tree, entry: &Entry<'_>, abi: Abi) -> Result<(), Refusal> {
    let (action, width) = (entry.rule.action, abi.width());
    let alternatives = &entry.rule.alternatives;
    let Some(operation) = entry.operation else {
        return alternatives
            .iter()
            .try_for_each(|all| conditions::add(tree, all, action, width));
    };
    let operation = Comparison {
        argument: 0,
        operator: Operator::Equal,
        value: operation,
        mask: u64::MAX,
    };
    if alternatives.is_empty() {
        return conditions::add(tree, &[operation], action, width);
    }
    // The arguments proper of a multiplexed call lie in memory, where no filter can read. As in libseccomp,
    // the operation takes the place of the first argument's comparison, and the others stay.
    alternatives.iter().try_for_each(|all| {
        let others = all.iter().filter(|comparison| comparison.argument != 0);
        let all: Vec<_> = std::iter::once(operation).chain(others.copied()).collect();
        conditions::add(tree, &all, action, width)
    })
}

fn refused(refusal: Refusal, rule: &Rule<'_>) -> SeccompError {
    let message = match refusal {
        Refusal::Conflict => {
            "the rule contradicts an earlier one: the same calls would get another action"
        }
        Refusal::TooLarge => {
            "too many conditions for one system call: a filter has at most 4096 instructions"
        }
    };
    SeccompError::new(format!("/syscalls/{}", rule.index), message)
}

/// The default between the points.
fn step_function(points: &[(u32, Verdict)], default: u32) -> Vec<Range> {
    let default = Verdict::Return(default);
    let mut ranges = Vec::with_capacity(2 * points.len() + 8);
    let mut next = Some(0);
    for (number, verdict) in points.iter().copied() {
        if let Some(start) = next.filter(|start| *start < number) {
            ranges.push(Range {
                start,
                verdict: default,
            });
        }
        ranges.push(Range {
            start: number,
            verdict,
        });
        next = number.checked_add(1);
    }
    ranges.extend(next.map(|start| Range {
        start,
        verdict: default,
    }));
    ranges.dedup_by_key(|range| range.verdict);
    ranges
}

/// Where x32 is not listed, its calls are of a foreign ABI. Not so -1: a tracer skips a call with it
/// (seccomp(2), SECCOMP_RET_TRACE), and the filter runs once more.
fn refuse_x32(ranges: &mut Vec<Range>, default: u32) {
    overlay(ranges, X32_BIT, u32::MAX - 1, action::KILL_THREAD);
    overlay(ranges, u32::MAX, u32::MAX, default);
}

/// Calls beyond the largest one that the profile names did not exist when it was written. The C library
/// falls back to older calls on ENOSYS only, so that is the answer, as runc gives it.
fn hide_newer(ranges: &mut Vec<Range>, abi: Abi, largest: Option<u32>, x32: Option<u32>) {
    // A largest number of 0 counts as none in runc.
    let newer = |number: Option<u32>| number.filter(|number| *number != 0)?.checked_add(1);
    if abi != Abi::X86_64 {
        if let Some(first) = newer(largest) {
            overlay(ranges, first, u32::MAX, action::ENOSYS);
        }
        return;
    }
    // The bit alone makes it an x32 call, whatever the others say.
    if let Some(first) = newer(largest) {
        overlay(ranges, first, X32_BIT - 1, action::ENOSYS);
        overlay(ranges, 2 * X32_BIT, 3 * X32_BIT - 1, action::ENOSYS);
    }
    if let Some(first) = newer(x32) {
        overlay(ranges, first, 2 * X32_BIT - 1, action::ENOSYS);
        overlay(ranges, 3 * X32_BIT, u32::MAX, action::ENOSYS);
    }
}

/// Gives the numbers from `first` to `last`, both included, another verdict.
fn overlay(ranges: &mut Vec<Range>, first: u32, last: u32, value: u32) {
    if first > last {
        return;
    }
    let from = ranges.partition_point(|range| range.start < first);
    let behind = ranges.partition_point(|range| range.start <= last);
    let interrupted = behind.checked_sub(1).and_then(|at| ranges.get(at)).copied();
    let next = last
        .checked_add(1)
        .filter(|next| ranges.get(behind).is_none_or(|range| range.start != *next));
    let resumed = interrupted.zip(next).map(|(range, start)| Range {
        start,
        verdict: range.verdict,
    });
    let new = Range {
        start: first,
        verdict: Verdict::Return(value),
    };
    ranges.splice(from..behind, std::iter::once(new).chain(resumed));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn returns(ranges: &[(u32, u32)]) -> Vec<Range> {
        let range = |(start, value): &(u32, u32)| Range {
            start: *start,
            verdict: Verdict::Return(*value),
        };
        ranges.iter().map(range).collect()
    }

    #[test]
    fn numbers_between_the_points_have_the_default() {
        let point = |number, value| (number, Verdict::Return(value));
        let ranges = step_function(&[point(0, 7), point(1, 7), point(5, 8), point(6, 9)], 1);
        assert_eq!(ranges, returns(&[(0, 7), (2, 1), (5, 8), (6, 9), (7, 1)]));
        assert_eq!(
            step_function(&[point(u32::MAX, 7)], 1),
            returns(&[(0, 1), (u32::MAX, 7)])
        );
        assert_eq!(step_function(&[], 1), returns(&[(0, 1)]));
    }

    #[test]
    fn an_overlay_changes_its_own_numbers_alone() {
        let base = returns(&[(0, 1), (10, 2), (20, 3)]);
        for (first, last, expected) in [
            (
                12,
                14,
                returns(&[(0, 1), (10, 2), (12, 9), (15, 2), (20, 3)]),
            ),
            (5, 25, returns(&[(0, 1), (5, 9), (26, 3)])),
            (10, 19, returns(&[(0, 1), (10, 9), (20, 3)])),
            (0, u32::MAX, returns(&[(0, 9)])),
            (
                u32::MAX,
                u32::MAX,
                returns(&[(0, 1), (10, 2), (20, 3), (u32::MAX, 9)]),
            ),
            (8, 7, base.clone()),
        ] {
            let mut ranges = base.clone();
            overlay(&mut ranges, first, last, 9);
            assert_eq!(ranges, expected, "{first}..={last}");
        }
    }
}
