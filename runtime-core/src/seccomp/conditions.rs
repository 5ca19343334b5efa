//! The conditional rules of one system call as a decision tree over its arguments.
//!
//! A tree is a list of nodes that are tried in order. A node tests one 32-bit word of seccomp_data, the most
//! that classic BPF can compare, and either edge of it may end in an action, lead to a list of further nodes,
//! or be open. What runs out of nodes goes on behind the node it came from, and gets the default at the end.
//!
//! Where rules with different actions overlap, the order of the nodes decides. It is libseccomp's, because
//! profiles are written and tested against that: arguments with a higher index first, then equality before
//! "less" before "greater", then the value. Rules that share a test share the node; two rules that differ in
//! nothing but the action are refused, as libseccomp refuses them.

use super::abi::Width;
use super::profile::{Comparison, Operator};

/// More nodes than the kernel takes instructions (BPF_MAXINSNS) are too many.
const MAX_NODES: usize = 4096;

/// Nodes in the order in which they are tried.
pub(super) type Tree = Vec<Node>;

/// A test of one word, with what follows from either outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) test: Test,
    pub(super) yes: Edge,
    pub(super) no: Edge,
    rank: Rank,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Test {
    /// Where the word lies in seccomp_data.
    pub(super) offset: u32,
    pub(super) mask: u32,
    pub(super) relation: Relation,
    pub(super) value: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    /// Tests alike, but shares no node with `Equal`.
    MaskedEqual,
    Greater,
    GreaterOrEqual,
}

/// What follows from an outcome of a test; open if there is neither an action nor a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Edge {
    pub(super) action: Option<u32>,
    pub(super) next: Tree,
    /// The whole value that the rule behind the action compares with.
    value: u64,
}

/// Nodes of a list are sorted by this, the greatest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    argument: u8,
    high: bool,
    kind: Kind,
    /// The value, or its complement if smaller ones come first.
    value: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Greater,
    Less,
    Equal,
}

/// Why a rule cannot join a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// An earlier rule has the same condition, or a narrower one, and another action.
    Conflict,
    /// No program could hold that many tests.
    TooLarge,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Half {
    Low,
    High,
}

/// Adds a rule to a tree: the action for calls of which all comparisons hold.
///
/// `comparisons` are ordered by argument, and not all of them are [`always_true`].
pub(super) fn add(
    tree: &mut Tree,
    comparisons: &[Comparison],
    action: u32,
    width: Width,
) -> Result<(), Refusal> {
    let needed: Vec<_> = comparisons
        .iter()
        .copied()
        .filter(|comparison| !always_true(comparison, width))
        .collect();
    merge_all(tree, conjunction(&needed, action, width).next)?;
    if size(tree) > MAX_NODES {
        return Err(Refusal::TooLarge);
    }
    Ok(())
}

/// Whether a comparison looks at no bit that an ABI of this width passes.
pub(super) fn always_true(comparison: &Comparison, width: Width) -> bool {
    match width {
        Width::Full64 => comparison.mask == 0,
        Width::Low32 => low(comparison.mask) == 0,
    }
}

/// The edge that leads through all comparisons to the action.
fn conjunction(comparisons: &[Comparison], action: u32, width: Width) -> Edge {
    let Some((first, rest)) = comparisons.split_first() else {
        return Edge {
            action: Some(action),
            ..Edge::default()
        };
    };
    let success = conjunction(rest, action, width);
    Edge::to(match width {
        Width::Low32 => test_low(first, success),
        Width::Full64 => test_both(first, success),
    })
}

/// A 64-bit comparison out of 32-bit ones: the high halves decide unless they are equal.
fn test_both(comparison: &Comparison, success: Edge) -> Node {
    let high = |relation, yes, no| Node::new(comparison, Half::High, relation, yes, no);
    let low = Edge::to(test_low(comparison, success.clone()));
    match comparison.operator {
        Operator::Equal => high(Relation::Equal, low, Edge::default()),
        Operator::MaskedEqual => high(Relation::MaskedEqual, low, Edge::default()),
        Operator::NotEqual => high(Relation::Equal, low, success),
        Operator::Greater | Operator::GreaterOrEqual => {
            let equal = high(Relation::Equal, low, Edge::default());
            high(Relation::Greater, success, Edge::to(equal))
        }
        Operator::Less | Operator::LessOrEqual => {
            let equal = high(Relation::Equal, low, success);
            high(Relation::Greater, Edge::default(), Edge::to(equal))
        }
    }
}

fn test_low(comparison: &Comparison, success: Edge) -> Node {
    let (relation, holds) = match comparison.operator {
        Operator::Equal => (Relation::Equal, true),
        Operator::MaskedEqual => (Relation::MaskedEqual, true),
        Operator::NotEqual => (Relation::Equal, false),
        Operator::Greater => (Relation::Greater, true),
        Operator::LessOrEqual => (Relation::Greater, false),
        Operator::GreaterOrEqual => (Relation::GreaterOrEqual, true),
        Operator::Less => (Relation::GreaterOrEqual, false),
    };
    let (yes, no) = if holds {
        (success, Edge::default())
    } else {
        (Edge::default(), success)
    };
    Node::new(comparison, Half::Low, relation, yes, no)
}

impl Node {
    fn new(comparison: &Comparison, half: Half, relation: Relation, yes: Edge, no: Edge) -> Self {
        // struct seccomp_data: nr, arch, instruction_pointer, then six arguments of 64 bits; both
        // architectures are little-endian.
        let argument = 16 + 8 * u32::from(comparison.argument);
        let (offset, mask, value) = match half {
            Half::Low => (argument, low(comparison.mask), low(comparison.value)),
            Half::High => (argument + 4, high(comparison.mask), high(comparison.value)),
        };
        let kind = match comparison.operator {
            Operator::Equal | Operator::MaskedEqual | Operator::NotEqual => Kind::Equal,
            Operator::Less | Operator::LessOrEqual => Kind::Less,
            Operator::Greater | Operator::GreaterOrEqual => Kind::Greater,
        };
        let deciding = |edge| Edge {
            value: comparison.value,
            ..edge
        };
        Self {
            test: Test {
                offset,
                mask,
                relation,
                value,
            },
            yes: deciding(yes),
            no: deciding(no),
            rank: Rank {
                argument: comparison.argument,
                high: half == Half::High,
                kind,
                value: if kind == Kind::Less { !value } else { value },
            },
        }
    }

    /// Whether no further node hangs on it.
    pub(super) fn is_leaf(&self) -> bool {
        self.yes.next.is_empty() && self.no.next.is_empty()
    }
}

impl Test {
    /// The offset and the mask of the word.
    pub(super) fn word(self) -> (u32, u32) {
        (self.offset, self.mask)
    }

    /// Whether every word passes: the half of a masked comparison that the mask leaves out.
    pub(super) fn always_holds(self) -> bool {
        self.mask == 0 && self.relation == Relation::MaskedEqual
    }
}

impl Edge {
    fn to(node: Node) -> Self {
        Self {
            next: vec![node],
            ..Self::default()
        }
    }
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "the low half is what is wanted"
)]
const fn low(value: u64) -> u32 {
    value as u32
}

const fn high(value: u64) -> u32 {
    low(value >> 32)
}

fn size(tree: &Tree) -> usize {
    tree.iter()
        .map(|node| 1 + size(&node.yes.next) + size(&node.no.next))
        .sum()
}

fn merge_all(tree: &mut Tree, additions: Tree) -> Result<(), Refusal> {
    additions.into_iter().try_for_each(|node| merge(tree, node))
}

/// Puts a node into its place in a list, or joins it with the one that has the same test.
fn merge(tree: &mut Tree, new: Node) -> Result<(), Refusal> {
    let same = |old: &Node| old.test == new.test;
    match tree.iter().position(|old| same(old) || old.rank < new.rank) {
        None => tree.push(new),
        Some(at) => match tree.get_mut(at) {
            Some(old) if same(old) => return join(old, new),
            _ => tree.insert(at, new),
        },
    }
    Ok(())
}

/// Which of two rules with different actions for the same outcome of a test prevails.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Precedence {
    Old,
    New,
    /// Neither: the rules are the same but for the action.
    Undecided,
}

/// Joins two nodes with the same test.
fn join(old: &mut Node, new: Node) -> Result<(), Refusal> {
    // Unequal high halves settle an inequality, so rules with the same high half meet there without being
    // the same. The one that comes first in the order has the word: the greater value where the argument is
    // above, the smaller one where it is below.
    let (yes, no) = if old.rank.high && !old.is_leaf() && !new.is_leaf() {
        let prevails = |new_prevails| {
            if new_prevails {
                Precedence::New
            } else {
                Precedence::Old
            }
        };
        (
            prevails(new.yes.value > old.yes.value),
            prevails(new.no.value < old.no.value),
        )
    } else {
        (Precedence::Undecided, Precedence::Undecided)
    };
    join_action(&mut old.yes, &new.yes, yes)?;
    join_action(&mut old.no, &new.no, no)?;
    join_next(&mut old.yes, new.yes.next)?;
    join_next(&mut old.no, new.no.next)
}

fn join_action(old: &mut Edge, new: &Edge, precedence: Precedence) -> Result<(), Refusal> {
    let Some(action) = new.action else {
        return Ok(());
    };
    let replaces = match old.action {
        // The new rule covers those that test further arguments.
        None if all_actions_are(&old.next, action) => true,
        None => return Err(Refusal::Conflict),
        Some(other) if other != action && precedence == Precedence::Undecided => {
            return Err(Refusal::Conflict);
        }
        Some(_) => precedence == Precedence::New,
    };
    if replaces {
        *old = Edge {
            action: Some(action),
            next: Tree::new(),
            value: new.value,
        };
    }
    Ok(())
}

fn join_next(old: &mut Edge, next: Tree) -> Result<(), Refusal> {
    if old.action.is_some() {
        // An earlier rule that tests fewer arguments covers this one.
        return Ok(());
    }
    merge_all(&mut old.next, next)
}

fn all_actions_are(tree: &Tree, action: u32) -> bool {
    tree.iter()
        .flat_map(|node| [&node.yes, &node.no])
        .all(|edge| {
            edge.action.is_none_or(|other| other == action) && all_actions_are(&edge.next, action)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(argument: u8, operator: Operator, value: u64) -> Comparison {
        Comparison {
            argument,
            operator,
            value,
            mask: u64::MAX,
        }
    }

    /// Follows a tree with these arguments, as the program does.
    fn walk(tree: &Tree, arguments: [u64; 6]) -> Option<u32> {
        tree.iter().find_map(|node| {
            let (at, high) = ((node.test.offset - 16) / 8, node.test.offset % 8 == 4);
            let argument = arguments[at as usize];
            let word = (if high { argument >> 32 } else { argument }) as u32 & node.test.mask;
            let holds = match node.test.relation {
                Relation::Equal | Relation::MaskedEqual => word == node.test.value,
                Relation::Greater => word > node.test.value,
                Relation::GreaterOrEqual => word >= node.test.value,
            };
            let edge = if holds { &node.yes } else { &node.no };
            edge.action.or_else(|| walk(&edge.next, arguments))
        })
    }

    #[test]
    fn a_comparison_holds_for_the_same_arguments_as_in_64_bits() {
        let values = [
            0,
            1,
            7,
            u64::from(u32::MAX),
            1 << 32,
            (1 << 32) + 7,
            u64::MAX,
        ];
        for (operator, holds) in [
            (Operator::Equal, (|a, b| a == b) as fn(u64, u64) -> bool),
            (Operator::NotEqual, |a, b| a != b),
            (Operator::Less, |a, b| a < b),
            (Operator::LessOrEqual, |a, b| a <= b),
            (Operator::Greater, |a, b| a > b),
            (Operator::GreaterOrEqual, |a, b| a >= b),
        ] {
            for value in values {
                let rule = [comparison(2, operator, value)];
                let (mut full, mut low32) = (Tree::new(), Tree::new());
                add(&mut full, &rule, 9, Width::Full64).unwrap();
                add(&mut low32, &rule, 9, Width::Low32).unwrap();
                for argument in values {
                    let arguments = [0, 0, argument, 0, 0, 0];
                    assert_eq!(
                        walk(&full, arguments),
                        holds(argument, value).then_some(9),
                        "{argument:#x} {operator:?} {value:#x}"
                    );
                    assert_eq!(
                        walk(&low32, arguments),
                        holds(low(argument).into(), low(value).into()).then_some(9)
                    );
                }
            }
        }
    }

    #[test]
    fn a_rule_with_the_same_condition_and_another_action_is_refused() {
        let mut tree = Tree::new();
        let rule = [comparison(0, Operator::Equal, 1)];
        let narrow = [rule[0], comparison(1, Operator::Equal, 2)];
        add(&mut tree, &narrow, 1, Width::Full64).unwrap();
        assert_eq!(add(&mut tree.clone(), &narrow, 1, Width::Full64), Ok(()));
        assert_eq!(
            add(&mut tree.clone(), &narrow, 2, Width::Full64),
            Err(Refusal::Conflict)
        );
        assert_eq!(
            add(&mut tree.clone(), &rule, 2, Width::Full64),
            Err(Refusal::Conflict)
        );
        assert_eq!(add(&mut tree, &rule, 1, Width::Full64), Ok(()));
        assert_eq!(walk(&tree, [1, 0, 0, 0, 0, 0]), Some(1));
    }

    #[test]
    fn of_overlapping_rules_the_higher_argument_decides_whatever_their_order() {
        let first = [comparison(0, Operator::Equal, 1)];
        let second = [comparison(1, Operator::Equal, 1)];
        for rules in [[(first, 1), (second, 2)], [(second, 2), (first, 1)]] {
            let mut tree = Tree::new();
            for (rule, action) in rules {
                add(&mut tree, &rule, action, Width::Full64).unwrap();
            }
            assert_eq!(walk(&tree, [1, 1, 0, 0, 0, 0]), Some(2));
            assert_eq!(walk(&tree, [1, 0, 0, 0, 0, 0]), Some(1));
        }
    }

    #[test]
    fn more_tests_than_a_program_can_hold_are_refused() {
        let mut tree = Tree::new();
        let refusal = (0..10_000).find_map(|value| {
            add(
                &mut tree,
                &[comparison(0, Operator::Equal, value)],
                1,
                Width::Low32,
            )
            .err()
        });
        assert_eq!(refusal, Some(Refusal::TooLarge));
    }
}
