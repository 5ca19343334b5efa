//! What was measured.

use std::time::Duration;

use crate::runtime::Subject;

/// What values are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Such as `create`.
    pub(crate) operation: &'static str,
    /// Under which circumstances: `hot`, say.
    pub(crate) regime: String,
    pub(crate) unit: &'static str,
}

impl Key {
    pub(crate) fn new(
        operation: &'static str,
        regime: impl Into<String>,
        unit: &'static str,
    ) -> Self {
        Self {
            operation,
            regime: regime.into(),
            unit,
        }
    }
}

/// The values of one key.
#[derive(Debug)]
pub(crate) struct Samples {
    pub(crate) key: Key,
    /// By subject.
    pub(crate) series: Vec<(String, Vec<f64>)>,
}

/// All of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Collected(Vec<Samples>);

impl Collected {
    pub(crate) fn record(&mut self, key: &Key, subject: &str, value: f64) {
        let known = self.0.iter().position(|samples| samples.key == *key);
        let index = known.unwrap_or_else(|| {
            self.0.push(Samples {
                key: key.clone(),
                series: Vec::new(),
            });
            self.0.len() - 1
        });
        let series = &mut self.0[index].series;
        match series.iter_mut().find(|(name, _)| name == subject) {
            Some((_, values)) => values.push(value),
            None => series.push((subject.to_owned(), vec![value])),
        }
    }

    /// The samples, each with its subjects in their order.
    pub(crate) fn sorted(mut self, subjects: &[Subject]) -> Vec<Samples> {
        for Samples { series, .. } in &mut self.0 {
            series
                .sort_by_key(|(name, _)| subjects.iter().position(|subject| subject.name == *name));
        }
        self.0
    }
}

pub(crate) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_same_key_and_subject_stay_together() {
        let mut collected = Collected::default();
        let key = |operation| Key::new(operation, "hot", "ms");
        collected.record(&key("a"), "x", 1.0);
        collected.record(&key("b"), "x", 2.0);
        collected.record(&key("a"), "y", 3.0);
        collected.record(&key("a"), "x", 4.0);
        let samples = collected.sorted(&[]);
        assert_eq!(samples.len(), 2);
        let series = [
            ("x".to_owned(), vec![1.0, 4.0]),
            ("y".to_owned(), vec![3.0]),
        ];
        assert_eq!(samples[0].series, series);
    }
}
