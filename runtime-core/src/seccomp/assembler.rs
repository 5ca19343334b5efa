//! Writes a classic BPF program from its end to its beginning.
//!
//! Classic BPF jumps forward only. Written backwards, every target is known when the jump to it is written,
//! and a target beyond the reach of a conditional jump gets a stepping stone in front of it.

use seccompiler::sock_filter;

// linux/bpf_common.h
pub(super) const LOAD_WORD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
pub(super) const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
pub(super) const RETURN: u16 = 0x06; // BPF_RET | BPF_K
pub(super) const JUMP: u16 = 0x05; // BPF_JMP | BPF_JA
pub(super) const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
pub(super) const JUMP_GREATER: u16 = 0x25; // BPF_JMP | BPF_JGT | BPF_K
pub(super) const JUMP_GREATER_OR_EQUAL: u16 = 0x35; // BPF_JMP | BPF_JGE | BPF_K

/// The kernel's BPF_MAXINSNS.
pub(super) const MAX_INSTRUCTIONS: usize = 4096;

/// How far a conditional jump reaches, less the stepping stone that the other branch may need.
const REACH: usize = 254;

/// A place in the program: an instruction's index, counted from the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label(usize);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Condition {
    Equal,
    Greater,
    GreaterOrEqual,
}

/// A program, last instruction first.
#[derive(Debug, Default)]
pub(super) struct Assembler {
    reversed: Vec<sock_filter>,
    /// Where each value was last returned.
    returns: Vec<(u32, Label)>,
    /// The last stepping stone to each target that has one.
    stones: Vec<(Label, Label)>,
}

impl Assembler {
    /// A return of this value, within reach of what is written next.
    pub(super) fn ret(&mut self, value: u32) -> Label {
        let known = self.returns.iter().position(|(known, _)| *known == value);
        if let Some((_, label)) = known.and_then(|at| self.returns.get(at))
            && self.distance(*label) <= REACH
        {
            return *label;
        }
        let label = self.push(RETURN, value);
        match known.and_then(|at| self.returns.get_mut(at)) {
            Some(entry) => entry.1 = label,
            None => self.returns.push((value, label)),
        }
        label
    }

    /// Compares the accumulator with `value`.
    pub(super) fn branch(
        &mut self,
        condition: Condition,
        value: u32,
        yes: Label,
        no: Label,
    ) -> Label {
        if yes == no {
            return yes;
        }
        let code = match condition {
            Condition::Equal => JUMP_EQUAL,
            Condition::Greater => JUMP_GREATER,
            Condition::GreaterOrEqual => JUMP_GREATER_OR_EQUAL,
        };
        let yes = self.within_reach(yes);
        let no = self.within_reach(no);
        let (jt, jf) = (self.offset(yes), self.offset(no));
        let label = self.push(code, value);
        if let Some(instruction) = self.reversed.last_mut() {
            (instruction.jt, instruction.jf) = (jt, jf);
        }
        label
    }

    /// Loads the word at `offset` of seccomp_data, masks it, and goes on at `then`.
    pub(super) fn load(&mut self, offset: u32, mask: u32, then: Label) -> Label {
        if self.distance(then) > 0 {
            self.jump(then);
        }
        if mask != u32::MAX {
            self.push(AND, mask);
        }
        self.push(LOAD_WORD, offset)
    }

    /// How many instructions there are.
    pub(super) fn len(&self) -> usize {
        self.reversed.len()
    }

    /// The program, which begins with what was written last.
    pub(super) fn finish(mut self) -> Vec<sock_filter> {
        self.reversed.reverse();
        self.reversed
    }

    fn push(&mut self, code: u16, k: u32) -> Label {
        self.reversed.push(sock_filter {
            code,
            jt: 0,
            jf: 0,
            k,
        });
        Label(self.reversed.len() - 1)
    }

    /// How many instructions lie between the next one to be written and the target: a jump's offset.
    fn distance(&self, target: Label) -> usize {
        self.reversed.len() - target.0 - 1
    }

    fn offset(&self, target: Label) -> u8 {
        // `within_reach` has seen to it that this fits.
        u8::try_from(self.distance(target)).unwrap_or(u8::MAX)
    }

    fn within_reach(&mut self, target: Label) -> Label {
        if self.distance(target) <= REACH {
            return target;
        }
        if let Some(instruction) = self.reversed.get(target.0)
            && instruction.code == RETURN
        {
            let value = instruction.k;
            return self.ret(value);
        }
        let known = self.stones.iter().position(|(known, _)| *known == target);
        if let Some((_, stone)) = known.and_then(|at| self.stones.get(at))
            && self.distance(*stone) <= REACH
        {
            return *stone;
        }
        let stone = self.jump(target);
        match known.and_then(|at| self.stones.get_mut(at)) {
            Some(entry) => entry.1 = stone,
            None => self.stones.push((target, stone)),
        }
        stone
    }

    fn jump(&mut self, target: Label) -> Label {
        let distance = u32::try_from(self.distance(target)).unwrap_or(u32::MAX);
        self.push(JUMP, distance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows a program that loads nothing, with this value in the accumulator.
    fn run(program: &[sock_filter], accumulator: u32) -> u32 {
        let mut at = 0;
        loop {
            let instruction = &program[at];
            at += 1 + match instruction.code {
                RETURN => return instruction.k,
                JUMP => instruction.k as usize,
                JUMP_EQUAL if accumulator == instruction.k => instruction.jt.into(),
                JUMP_EQUAL => instruction.jf.into(),
                code => panic!("unexpected instruction {code:#x}"),
            };
        }
    }

    #[test]
    fn a_chain_longer_than_a_jump_reaches_still_finds_its_ends() {
        let mut assembler = Assembler::default();
        let far = assembler.ret(7);
        let mut next = assembler.ret(8);
        let inner = assembler.branch(Condition::Equal, 4, far, next);
        for value in 0..2000 {
            // Both the return and the inner branch move out of reach on the way.
            let hit = if value % 2 == 0 { inner } else { far };
            next = assembler.branch(Condition::Equal, value, hit, next);
        }
        let program = assembler.finish();
        assert_eq!(run(&program, 1), 7);
        assert_eq!(run(&program, 1999), 7);
        assert_eq!(run(&program, 2), 8);
        assert_eq!(run(&program, 4), 7);
        assert_eq!(run(&program, 6000), 8);
        assert!(program.len() < 2100, "{} instructions", program.len());
    }

    #[test]
    fn a_branch_whose_ways_are_one_costs_nothing() {
        let mut assembler = Assembler::default();
        let end = assembler.ret(1);
        assert_eq!(assembler.branch(Condition::Greater, 3, end, end), end);
        assert_eq!(assembler.ret(1), end);
        assert_eq!(assembler.len(), 1);
    }
}
