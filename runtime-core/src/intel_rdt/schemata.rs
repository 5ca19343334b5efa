//! Whether a class of service has the shares that a configuration asks for.

use std::collections::BTreeMap;

/// A line of a `schemata` file: a resource, and a value for each of its domains.
#[derive(Debug, PartialEq, Eq)]
struct Line<'a> {
    resource: &'a str,
    values: BTreeMap<u32, u64>,
}

impl<'a> Line<'a> {
    /// Reads `L3:0=7ff;1=1f` or `MB:0=20;1=70`, with whatever spaces and leading zeros the kernel prints.
    fn parse(line: &'a str) -> Option<Line<'a>> {
        let (resource, values) = line.split_once(':')?;
        let resource = resource.trim();
        let radix = if is_bandwidth(resource) { 10 } else { 16 };
        let value = |entry: &str| {
            let (domain, value) = entry.split_once('=')?;
            let value = value.trim();
            let digits = value.strip_prefix("0x").unwrap_or(value);
            let value = u64::from_str_radix(digits, radix).ok()?;
            Some((domain.trim().parse().ok()?, value))
        };
        let values = values.trim().trim_end_matches(';').split(';').map(value);
        Some(Line {
            resource,
            values: values.collect::<Option<_>>()?,
        })
    }
}

/// Memory bandwidth, of which AMD has a slow kind too, is in per cent or MB/s; the others are masks of bits.
fn is_bandwidth(resource: &str) -> bool {
    matches!(resource, "MB" | "SMBA")
}

/// Whether a `schemata` file has all of these lines. What they leave out may be anything, as writing them would leave it.
/// The kernel rounds bandwidths up to a multiple of `granularity`.
pub(crate) fn has(file: &str, asked: &str, granularity: u64) -> bool {
    asked.lines().all(|line| match Line::parse(line) {
        Some(asked) => file
            .lines()
            .filter_map(Line::parse)
            .any(|there| agrees(&there, &asked, granularity)),
        // Not of the form that is known here: as text, then.
        None => file.lines().any(|there| there.trim() == line.trim()),
    })
}

fn agrees(there: &Line<'_>, asked: &Line<'_>, granularity: u64) -> bool {
    let rounds = is_bandwidth(asked.resource);
    let same = |value: u64, asked: u64| {
        value == asked || rounds && Some(value) == asked.checked_next_multiple_of(granularity)
    };
    there.resource == asked.resource
        && asked.values.iter().all(|(domain, asked)| {
            let value = there.values.get(domain);
            value.is_some_and(|value| same(*value, *asked))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "    MB:0= 30;1= 100\n    L3:0=007f0;1=0001f\nL3CODE:0=f\n";

    #[test]
    fn a_value_is_compared_as_a_number_and_not_as_text() {
        for asked in [
            "L3:0=7f0;1=1f",
            "L3: 1=1F; 0=0x7f0",
            "L3:0=7f0;",
            "L3:1=1f",
            "MB:0=30;1=100",
            "L3:0=7f0\nL3CODE:0=f",
        ] {
            assert!(has(FILE, asked, 1), "{asked}");
        }
        for asked in [
            "L3:0=7f1",
            "L3:0=7f0;2=f",
            "L2:0=7f0",
            "MB:0=1e",
            "L3:0=7f0\nL3CODE:0=e",
            "nonsense",
            "L3:",
        ] {
            assert!(!has(FILE, asked, 1), "{asked}");
        }
    }

    #[test]
    fn a_bandwidth_may_be_rounded_up_by_the_kernel_and_a_mask_may_not() {
        assert!(has(FILE, "MB:0=25", 10));
        assert!(!has(FILE, "MB:0=31", 10));
        assert!(!has(FILE, "MB:0=19", 10));
        assert!(!has(FILE, "MB:0=25", 0), "a granularity of 0 is none");
        assert!(!has("L3:0=10", "L3:0=f", 16));
    }

    #[test]
    fn what_is_not_understood_is_compared_as_text() {
        assert!(has("  NEW:a\n", "NEW:a", 1));
        assert!(!has("  NEW:a\n", "NEW:b", 1));
    }
}
