//! Signals by name and number.

use nix::sys::signal::Signal;

use crate::failure::{Failure, Result};

/// The highest signal number of Linux, `_NSIG`.
const LAST_SIGNAL: i32 = 64;

/// A signal's number from `9`, `KILL`, `SIGKILL` or `kill`; 0 asks only whether there is a process to signal.
pub(crate) fn parse(text: &str) -> Result<i32> {
    let unknown = || Failure::new(format!("unknown signal {text:?}"));
    if let Ok(number) = text.parse::<i32>() {
        return if (0..=LAST_SIGNAL).contains(&number) {
            Ok(number)
        } else {
            Err(unknown())
        };
    }
    let upper = text.to_ascii_uppercase();
    let name = if upper.starts_with("SIG") {
        upper
    } else {
        format!("SIG{upper}")
    };
    name.parse::<Signal>()
        .map(|signal| signal as i32)
        .map_err(|_| unknown())
}

/// A signal's name for the log.
pub(crate) fn name(number: i32) -> String {
    Signal::try_from(number).map_or_else(
        |_| format!("signal {number}"),
        |signal| signal.as_str().to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_prefix_and_numbers_mean_the_same_signal() {
        for text in ["9", "KILL", "SIGKILL", "kill", "sigkill"] {
            assert_eq!(parse(text).unwrap(), 9, "{text}");
        }
        assert_eq!(parse("0").unwrap(), 0);
        assert_eq!(parse("64").unwrap(), 64);
    }

    #[test]
    fn what_is_no_signal_is_refused_by_name() {
        for text in ["", "NOSUCH", "-1", "65", "SIG"] {
            assert_eq!(
                parse(text).unwrap_err().to_string(),
                format!("unknown signal {text:?}")
            );
        }
    }
}
