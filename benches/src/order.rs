//! In which order subjects are measured.

/// A new order in each round: what a start leaves behind, such as a network namespace to be torn down in the
/// background, must not always fall upon the same successor. The sequence is the same in each run of the bench.
pub(crate) struct Order {
    indices: Vec<usize>,
    state: u64,
}

impl Order {
    pub(crate) fn new(length: usize) -> Self {
        Self {
            indices: (0..length).collect(),
            state: 0x9e37_79b9_7f4a_7c15,
        }
    }

    pub(crate) fn shuffle(&mut self) -> &[usize] {
        for last in (1..self.indices.len()).rev() {
            let other = self.random() % (last + 1);
            self.indices.swap(last, other);
        }
        &self.indices
    }

    /// Marsaglia's xorshift64.
    fn random(&mut self) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 33) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_has_each_subject_once_and_orders_differ() {
        let mut order = Order::new(4);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..200 {
            let mut round = order.shuffle().to_vec();
            seen.insert(round.clone());
            round.sort_unstable();
            assert_eq!(round, [0, 1, 2, 3]);
        }
        assert_eq!(seen.len(), 24);
    }
}
