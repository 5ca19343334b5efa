//! What is said of a series of measurements.

/// Median, minimum and 90th percentile.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) p90: f64,
}

impl Summary {
    /// Nothing for an empty series.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
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

/// A part of the sorted values: 0 is the smallest, 1 the largest, and what lies between two of them is interpolated.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let place = part.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    let (low, high) = (sorted.get(low)?, sorted.get(high)?);
    Some(low + (high - low) * place.fract())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        let summary = Summary::of(&[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert!((summary.median - 2.5).abs() < 1e-9);
        assert!((summary.min - 1.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_is_said_of_no_measurements() {
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn a_quantile_lies_between_its_neighbours() {
        let sorted = [1.0, 2.0, 4.0];
        assert_eq!(quantile(&sorted, 0.0), Some(1.0));
        assert_eq!(quantile(&sorted, 0.75), Some(3.0));
        assert_eq!(quantile(&sorted, 1.0), Some(4.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
