//! What is said of a series of measurements.

use std::time::Duration;

/// Median, minimum and 90th percentile, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) p90: f64,
}

impl Summary {
    /// Nothing for an empty series.
    pub(crate) fn of(durations: &[Duration]) -> Option<Self> {
        let mut sorted = milliseconds(durations);
        sorted.sort_by(f64::total_cmp);
        let last = sorted.len().checked_sub(1)?;
        let middle = (sorted[last / 2] + sorted[last.div_ceil(2)]) / 2.0;
        Some(Self {
            median: middle,
            min: sorted[0],
            // The nearest rank: the smallest value that nine in ten do not exceed.
            p90: sorted[(sorted.len() * 9).div_ceil(10) - 1],
        })
    }
}

pub(crate) fn milliseconds(durations: &[Duration]) -> Vec<f64> {
    durations
        .iter()
        .map(|duration| duration.as_secs_f64() * 1000.0)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let durations = [4, 1, 3, 2].map(Duration::from_millis);
        let summary = Summary::of(&durations).unwrap();
        assert!((summary.median - 2.5).abs() < 1e-9);
        assert!((summary.min - 1.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_of_no_measurements() {
        assert_eq!(Summary::of(&[]), None);
    }
}
