//! Lengths of time as Go writes them: `300ms`, `1.5h`, `2h45m`.

use std::time::Duration;

/// Reads what Go's time.ParseDuration reads. Less than nothing is nothing.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is no duration such as 500ms or 1m30s");
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if unsigned == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut total, mut rest) = (Duration::ZERO, unsigned);
    loop {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, tail) = rest
            .split_at_checked(end.unwrap_or(rest.len()))
            .ok_or_else(invalid)?;
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail
            .split_at_checked(end.unwrap_or(tail.len()))
            .ok_or_else(invalid)?;
        let part = part(number, unit).ok_or_else(invalid)?;
        total = total.checked_add(part).ok_or_else(invalid)?;
        if tail.is_empty() {
            break;
        }
        rest = tail;
    }
    Ok(match negative {
        true => Duration::ZERO,
        false => total,
    })
}

/// A number and its unit; the number has digits before or after a point.
fn part(number: &str, unit: &str) -> Option<Duration> {
    let nanoseconds: u64 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let number = number.strip_suffix('.').unwrap_or(number);
    if number.is_empty() {
        return None;
    }
    let seconds = number.parse::<f64>().ok()? * nanoseconds as f64 / 1e9;
    // As far as Go's go, 292 years: nobody waits longer.
    if seconds > 9.2e9 {
        return None;
    }
    Duration::try_from_secs_f64(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, milliseconds) in [
            ("5s", 5000),
            ("100ms", 100),
            ("1m30s", 90_000),
            ("1h", 3_600_000),
            ("1.5s", 1500),
            (".5s", 500),
            ("1.s", 1000),
            ("+2s", 2000),
            ("0", 0),
            ("0s", 0),
            ("-1s", 0),
            ("2000us", 2),
            ("2000µs", 2),
            ("3000000ns", 3),
        ] {
            let expected = Duration::from_millis(milliseconds);
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in [
            "",
            "5",
            "s",
            "5 s",
            "1d",
            ".s",
            "1..2s",
            "5s5",
            "--1s",
            "é",
            "1é",
            "NaNs",
            "infs",
            "99999999999h",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
