//! Points in time as RFC 3339 writes them, in UTC.

use std::time::{SystemTime, UNIX_EPOCH};

/// With seconds, as in log lines: `2026-11-21T09:37:07Z`.
pub(crate) fn seconds(time: SystemTime) -> String {
    let (seconds, _) = since_epoch(time);
    format!("{}Z", date_and_time(seconds))
}

/// With as many digits of the second as are needed, as in `list` and `state`: `2026-11-21T09:37:07.25Z`.
pub(crate) fn nanoseconds(time: SystemTime) -> String {
    let (seconds, nanoseconds) = since_epoch(time);
    if nanoseconds == 0 {
        return format!("{}Z", date_and_time(seconds));
    }
    let fraction = format!("{nanoseconds:09}");
    format!(
        "{}.{}Z",
        date_and_time(seconds),
        fraction.trim_end_matches('0')
    )
}

fn since_epoch(time: SystemTime) -> (u64, u32) {
    let elapsed = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (elapsed.as_secs(), elapsed.subsec_nanos())
}

fn date_and_time(seconds: u64) -> String {
    let (year, month, day) = civil_date(seconds / 86_400);
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// The Gregorian date of a day counted from 1970-01-01. Counts in years that begin in March, so that the leap day is
/// a year's last one, and in eras of 400 years, each of 146 097 days.
fn civil_date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64, nanoseconds: u32) -> SystemTime {
        UNIX_EPOCH + Duration::new(seconds, nanoseconds)
    }

    #[test]
    fn leap_days_and_ends_of_years_come_out_right() {
        assert_eq!(seconds(at(0, 0)), "1970-01-01T00:00:00Z");
        assert_eq!(seconds(at(951_782_400, 0)), "2000-02-29T00:00:00Z");
        assert_eq!(seconds(at(1_709_251_199, 0)), "2024-02-29T23:59:59Z");
        assert_eq!(seconds(at(4_107_542_400, 0)), "2100-03-01T00:00:00Z");
        assert_eq!(seconds(at(1_767_225_599, 0)), "2025-12-31T23:59:59Z");
    }

    #[test]
    fn a_fraction_has_no_trailing_zeros() {
        assert_eq!(nanoseconds(at(0, 250_000_000)), "1970-01-01T00:00:00.25Z");
        assert_eq!(nanoseconds(at(0, 1)), "1970-01-01T00:00:00.000000001Z");
        assert_eq!(nanoseconds(at(1, 0)), "1970-01-01T00:00:01Z");
    }
}
