//! Verdicts as a BPF program: a dispatch on the ABI, a search tree over the numbers, the argument tests.

use seccompiler::sock_filter;

use super::assembler::{Assembler, Condition, Label, MAX_INSTRUCTIONS};
use super::conditions::{Edge, Node, Relation, Tree};
use super::ranges::{Range, Verdict, Verdicts};
use super::{SeccompError, action};

// Offsets in struct seccomp_data.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// Turns verdicts into a program; calls of other ABIs kill the thread.
///
/// Nothing but the number and the architecture is read before the return for a call whose arguments do not
/// matter, so the kernel can remember that it is always allowed (kernel commit 8e01b51a31a1).
pub(super) fn assemble(
    verdicts: &Verdicts,
    default: u32,
) -> Result<Vec<sock_filter>, SeccompError> {
    let mut writer = Writer {
        assembler: Assembler::default(),
        trees: vec![None; verdicts.trees.len()],
        verdicts,
        default,
    };
    let mut dispatch = writer.assembler.ret(action::KILL_THREAD);
    for section in verdicts.sections.iter().rev() {
        let search = writer.search(&section.ranges, u32::MAX)?;
        let search = writer.assembler.load(NUMBER, u32::MAX, search);
        dispatch = writer
            .assembler
            .branch(Condition::Equal, section.audit_arch, search, dispatch);
    }
    writer.assembler.load(ARCH, u32::MAX, dispatch);
    writer.check_length()?;
    Ok(writer.assembler.finish())
}

/// The word that the accumulator holds: its offset and mask.
type Loaded = Option<(u32, u32)>;

struct Writer<'a> {
    assembler: Assembler,
    /// Where the code of each tree begins, once it is written.
    trees: Vec<Option<Label>>,
    verdicts: &'a Verdicts,
    default: u32,
}

/// The numbers of calls end about here, whatever the architecture.
const CALLS: u32 = 512;

/// What a range weighs beside the calls in it, each of which weighs as much.
const RANGE: u32 = 1;

/// Where a search among ranges begins: with about as much weight below as above. A profile that refuses a call here and there
/// has long ranges of allowed ones between, which are most of what programs call: these are found soon.
fn middle(ranges: &[Range], end: u32) -> usize {
    let starts = ranges.iter().map(|range| range.start);
    let ends = starts.clone().skip(1).chain([end]);
    let weights = starts
        .zip(ends)
        .map(|(start, end)| RANGE + end.min(CALLS) - start.min(CALLS));
    let total: u32 = weights.clone().sum();
    let mut below = 0;
    let lighter = weights.take_while(|weight| {
        below += weight;
        // More of it below than above: what lies across the middle goes to the lighter side.
        below - weight / 2 <= total / 2
    });
    lighter.count().clamp(1, ranges.len() - 1)
}

impl Writer<'_> {
    /// A search for the number in the accumulator among ranges that end before `end`.
    fn search(&mut self, ranges: &[Range], end: u32) -> Result<Label, SeccompError> {
        self.check_length()?;
        match ranges {
            [] => Ok(self.assembler.ret(self.default)),
            [one] => self.verdict(one.verdict),
            // One number that is an exception in its neighbourhood.
            [before, one, after]
                if before.verdict == after.verdict
                    && one.start.checked_add(1) == Some(after.start) =>
            {
                let exception = self.verdict(one.verdict)?;
                let rule = self.verdict(before.verdict)?;
                Ok(self
                    .assembler
                    .branch(Condition::Equal, one.start, exception, rule))
            }
            _ => {
                let (below, above) = ranges.split_at(middle(ranges, end));
                let start = above.first().map_or(0, |range| range.start);
                let above = self.search(above, end)?;
                let below = self.search(below, start)?;
                Ok(self
                    .assembler
                    .branch(Condition::GreaterOrEqual, start, above, below))
            }
        }
    }

    fn verdict(&mut self, verdict: Verdict) -> Result<Label, SeccompError> {
        let index = match verdict {
            Verdict::Return(value) => return Ok(self.assembler.ret(value)),
            Verdict::Arguments(index) => index,
        };
        if let Some(label) = self.trees.get(index).copied().flatten() {
            return Ok(label);
        }
        let end = self.assembler.ret(self.default);
        let verdicts = self.verdicts;
        let label = match verdicts.trees.get(index) {
            Some(tree) => self.tree(tree, end, None)?,
            None => end,
        };
        if let Some(known) = self.trees.get_mut(index) {
            *known = Some(label);
        }
        Ok(label)
    }

    /// The nodes of a list one after the other, then `end`.
    fn tree(&mut self, tree: &Tree, end: Label, loaded: Loaded) -> Result<Label, SeccompError> {
        let mut next = end;
        for (at, node) in tree.iter().enumerate().rev() {
            let loaded = match at.checked_sub(1).and_then(|before| tree.get(before)) {
                None => loaded,
                Some(before) if before.is_leaf() => Some(before.test.word()),
                // Deeper nodes may have loaded another one.
                Some(_) => None,
            };
            next = self.node(node, next, loaded)?;
        }
        Ok(next)
    }

    fn node(&mut self, node: &Node, next: Label, loaded: Loaded) -> Result<Label, SeccompError> {
        self.check_length()?;
        let test = node.test;
        if test.always_holds() {
            return self.edge(&node.yes, next, loaded);
        }
        let word = Some(test.word());
        let no = self.edge(&node.no, next, word)?;
        let yes = self.edge(&node.yes, next, word)?;
        let condition = match test.relation {
            Relation::Equal | Relation::MaskedEqual => Condition::Equal,
            Relation::Greater => Condition::Greater,
            Relation::GreaterOrEqual => Condition::GreaterOrEqual,
        };
        let branch = self.assembler.branch(condition, test.value, yes, no);
        if loaded == word {
            return Ok(branch);
        }
        Ok(self.assembler.load(test.offset, test.mask, branch))
    }

    fn edge(&mut self, edge: &Edge, next: Label, loaded: Loaded) -> Result<Label, SeccompError> {
        match edge.action {
            Some(action) => Ok(self.assembler.ret(action)),
            None => self.tree(&edge.next, next, loaded),
        }
    }

    fn check_length(&self) -> Result<(), SeccompError> {
        if self.assembler.len() <= MAX_INSTRUCTIONS {
            return Ok(());
        }
        Err(SeccompError::new(
            "/syscalls",
            format!(
                "the filter is too long: it needs more than the {MAX_INSTRUCTIONS} instructions the kernel takes"
            ),
        ))
    }
}
