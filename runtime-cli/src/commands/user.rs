//! `--user UID[:GID]` of `exec`.

/// A user and, where it is given, a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    pub(super) uid: u32,
    pub(super) gid: Option<u32>,
}

/// `UID[:GID]`; what is wrong with it otherwise.
pub(crate) fn parse_user(text: &str) -> Result<Ids, String> {
    let (uid, gid) = match text.split_once(':') {
        Some((uid, gid)) => (uid, Some(gid)),
        None => (text, None),
    };
    Ok(Ids {
        uid: parse_id(uid).map_err(|cause| format!("bad uid: {cause}"))?,
        gid: gid
            .map(parse_id)
            .transpose()
            .map_err(|cause| format!("bad gid: {cause}"))?,
    })
}

/// Digits and nothing else: what is read in two ways may be root in one of them (CVE-2026-30892).
fn parse_id(text: &str) -> Result<u32, String> {
    if text.starts_with('+') {
        return Err("invalid digit found in string".to_owned());
    }
    text.parse().map_err(|cause| format!("{cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_a_uid_and_perhaps_a_gid() {
        assert_eq!(
            parse_user("1000:100"),
            Ok(Ids {
                uid: 1000,
                gid: Some(100)
            })
        );
        assert_eq!(parse_user("0"), Ok(Ids { uid: 0, gid: None }));
        for (text, word) in [
            ("root", "bad uid"),
            ("-1", "bad uid"),
            ("1:", "bad gid"),
            ("1:wheel", "bad gid"),
            ("", "bad uid"),
        ] {
            assert!(parse_user(text).unwrap_err().starts_with(word), "{text:?}");
        }
    }

    /// Every text of up to five of these characters.
    fn texts() -> Vec<String> {
        let mut texts = vec![String::new()];
        let mut longest = 0;
        for _ in 0..5 {
            let end = texts.len();
            for number in longest..end {
                for letter in ['0', '1', '9', ':', '+', '-', 'x', ' '] {
                    texts.push(format!("{}{letter}", texts[number]));
                }
            }
            longest = end;
        }
        texts
    }

    #[test]
    fn a_text_is_a_user_if_it_is_digits_with_perhaps_a_colon_and_digits_after_it() {
        let digits =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let value = |text: &str| {
            text.bytes()
                .fold(0, |value, byte| 10 * value + u32::from(byte - b'0'))
        };
        for text in texts() {
            let parts: Vec<_> = text.split(':').collect();
            let expected = match parts.as_slice() {
                [uid] if digits(uid) => Some(Ids {
                    uid: value(uid),
                    gid: None,
                }),
                [uid, gid] if digits(uid) && digits(gid) => Some(Ids {
                    uid: value(uid),
                    gid: Some(value(gid)),
                }),
                _ => None,
            };
            assert_eq!(parse_user(&text).ok(), expected, "{text:?}");
        }
        for text in [
            "4294967296",
            "1:4294967296",
            "18446744073709551616",
            "1\0",
            "\u{ff11}",
        ] {
            assert!(parse_user(text).is_err(), "{text:?}");
        }
    }
}
