//! Sizes as people write them, read as runc does: RAMInBytes of docker/go-units.

/// Bytes, from `64M`, `1.5 GiB`, `1g`, `512kb` or `4096`; each unit is 1024 of the one before.
pub(crate) fn parse(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let end = text.rfind(|c: char| c.is_ascii_digit() || matches!(c, '.' | ' '));
    let (number, suffix) = text.split_at(end.ok_or_else(invalid)? + 1);
    let number = number.strip_suffix(' ').unwrap_or(number);
    let factor = factor(&suffix.to_ascii_lowercase())
        .ok_or_else(|| format!("invalid suffix: '{}'", suffix.to_ascii_lowercase()))?;
    // A whole number of bytes is not rounded.
    if let Ok(whole) = number.parse::<i64>() {
        let bytes = whole.checked_mul(factor).filter(|bytes| *bytes >= 0);
        return bytes.ok_or_else(invalid);
    }
    let bytes = number.parse::<f64>().map_err(|_| invalid())? * factor as f64;
    if (0.0..i64::MAX as f64).contains(&bytes) {
        Ok(bytes as i64)
    } else {
        Err(invalid())
    }
}

/// A unit may be followed by `b` or `ib`.
fn factor(suffix: &str) -> Option<i64> {
    let unit = match suffix {
        "" | "b" => return Some(1),
        unit if unit.len() == 1 => unit,
        longer => longer.strip_suffix("ib").or(longer.strip_suffix('b'))?,
    };
    let power = ["k", "m", "g", "t", "p"]
        .iter()
        .position(|name| *name == unit)?;
    Some(1 << (10 * (power + 1)))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn sizes_are_read_as_runc_reads_them() {
        for (text, bytes) in [
            ("0", 0),
            ("32", 32),
            ("32b", 32),
            ("32B", 32),
            ("32k", 32 << 10),
            ("32K", 32 << 10),
            ("32kb", 32 << 10),
            ("32Kb", 32 << 10),
            ("32KiB", 32 << 10),
            ("64M", 64 << 20),
            ("1g", 1 << 30),
            ("32Tb", 32 << 40),
            ("32Pb", 32 << 50),
            ("32.5kB", 33_280),
            ("32.5 kB", 33_280),
            ("32 b", 32),
            ("0.3 K", 307),
            (".3kB", 307),
            ("1.5g", 3 << 29),
            ("9223372036854771712", 9_223_372_036_854_771_712),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for text in [
            "",
            "hello",
            ".",
            ". ",
            " ",
            "  ",
            "-32",
            " 32",
            "32  m",
            "32bm",
            "32mm",
            "32xb",
            "32 kibb",
            "32ib",
            "-1",
            "32m b",
            "99999999P",
            "1e30",
            "NaN",
            "inf",
        ] {
            assert!(parse(text).is_err(), "{text:?} is {:?}", parse(text));
        }
    }
}
