//! Lists of CPUs and memory nodes: `0-3,7` (cpuset(7), "List format").

/// The highest number that a list may have. No kernel has as many CPUs or nodes; it keeps a mask small.
const MAX: usize = 65_535;

/// The mask of a list, as the kernel takes one: 64 bits a word, the lowest number first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask(Vec<u64>);

impl Mask {
    /// The mask of the list, or what is wrong with it. An empty list is an empty mask.
    pub(crate) fn parse(list: &str) -> Result<Mask, String> {
        let mut words = Vec::new();
        if list.is_empty() {
            return Ok(Mask(words));
        }
        for range in list.split(',') {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return Err(format!("invalid range {range:?}: it ends before it begins"));
            }
            for number in first..=last {
                set(&mut words, number);
            }
        }
        Ok(Mask(words))
    }

    /// How many numbers are in it.
    pub(crate) fn count(&self) -> u32 {
        self.0.iter().map(|word| word.count_ones()).sum()
    }

    /// The mask as the kernel reads it.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }
}

fn number(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number {
        return Err(format!("{text:?} is not a number"));
    }
    match text.parse() {
        Ok(number @ ..=MAX) => Ok(number),
        _ => Err(format!("{text} is more than {MAX}")),
    }
}

fn set(words: &mut Vec<u64>, number: usize) {
    let index = number / 64;
    if words.len() <= index {
        words.resize(index + 1, 0);
    }
    if let Some(word) = words.get_mut(index) {
        *word |= 1 << (number % 64);
    }
}

/// The list of a mask, for printing.
pub(crate) fn describe(mask: &[u8]) -> String {
    let bits = mask.iter().enumerate().flat_map(|(index, byte)| {
        (0..8)
            .filter(move |bit| byte & (1 << bit) != 0)
            .map(move |bit| index * 8 + bit)
    });
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in bits {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let texts: Vec<String> = ranges
        .iter()
        .map(|(first, last)| match first == last {
            true => first.to_string(),
            false => format!("{first}-{last}"),
        })
        .collect();
    texts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_numbers_and_ranges() {
        for (list, count, same) in [
            ("0", 1, "0"),
            ("0-3,7", 5, "0-3,7"),
            ("7,0-3", 5, "0-3,7"),
            ("1,2,3", 3, "1-3"),
            ("63-64", 2, "63-64"),
            ("0, 2", 2, "0,2"),
            ("", 0, ""),
            ("65535", 1, "65535"),
        ] {
            let mask = Mask::parse(list).unwrap();
            assert_eq!(mask.count(), count, "{list}");
            assert_eq!(describe(&mask.to_bytes()), same, "{list}");
            assert_eq!(mask.to_bytes().len() % 8, 0, "{list}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for list in [
            ",",
            "a",
            "-1",
            "1-",
            "3-1",
            "1--2",
            "0x1",
            "+1",
            "65536",
            "0-9876543210",
            "99999999999999999999999",
        ] {
            assert!(Mask::parse(list).is_err(), "{list:?}");
        }
    }
}
