//! Values in text.

use proptest::prelude::*;

use super::text::parse;
use super::value::Value;

/// The value as it is shown, after its type.
fn parsed(text: &str) -> String {
    let value = parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"));
    format!("{} {value}", value.to_wire().unwrap().value_signature())
}

#[test]
fn values_have_the_types_that_are_written_or_the_usual_ones() {
    let cases = [
        ("true", "b true"),
        (" 12 ", "i 12"),
        ("-0x10", "i -16"),
        ("017", "i 15"),
        (
            "uint64 18446744073709551615",
            "t uint64 18446744073709551615",
        ),
        ("@t 5", "t uint64 5"),
        ("byte 0xff", "y byte 0xff"),
        ("int16 -3", "n int16 -3"),
        ("1.5", "d 1.5"),
        ("2e3", "d 2000.0"),
        ("double 1", "d 1.0"),
        ("'it\\'s'", "s \"it's\""),
        ("\"a\\u00e9\\n\"", "s \"aé\\n\""),
        ("objectpath '/a/b'", "o objectpath \"/a/b\""),
        ("@g 'a{sv}'", "g signature \"a{sv}\""),
        ("['a', 'b']", "as [\"a\", \"b\"]"),
        ("[1, uint64 2]", "at [uint64 1, uint64 2]"),
        ("[1, 2.5]", "ad [1.0, 2.5]"),
        ("@as []", "as @as []"),
        ("[[], ['x']]", "aas [@as [], [\"x\"]]"),
        (
            "b'a\\101\\n'",
            "ay [byte 0x61, byte 0x41, byte 0x0a, byte 0x00]",
        ),
        ("<'x'>", "v <\"x\">"),
        (
            "{'a': <1>, 'b': <true>}",
            "a{sv} {\"a\": <1>, \"b\": <true>}",
        ),
        ("@a{su} {}", "a{su} @a{su} {}"),
        ("[('/dev/null', 'rw')]", "a(ss) [(\"/dev/null\", \"rw\")]"),
        ("(1,)", "(i) (1,)"),
    ];
    for (text, expected) in cases {
        assert_eq!(parsed(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_value_is_refused_with_a_reason() {
    let cases = [
        ("", "it ends where a value should be"),
        ("yes", "\"yes\" is neither a value nor a type"),
        ("1 2", "'2' after the end"),
        ("[]", "the type of an empty list has to be said"),
        ("['a', 1]", "not a number of type \"s\""),
        ("byte 256", "not a number of type \"y\""),
        ("uint32 -1", "not a number of type \"u\""),
        ("0x", "not a number"),
        ("--1", "not a number"),
        ("1e999", "not a number of type \"d\""),
        ("double +inf", "not a number of type \"d\""),
        ("'a", "a string without an end"),
        ("[1", "it ends where ']' should be"),
        ("{'a' 1}", "'1' where ':' should be"),
        ("<1", "it ends where '>' should be"),
        ("@zz 1", "\"zz\" is not a type"),
        ("@s 1", "not a number of type \"s\""),
        ("@as ['a', true]", "it is not of type \"s\""),
        ("'\\ud800'", "is no character's number"),
        ("b'\\777'", "is no byte"),
        ("ü", "'ü' where a value should be"),
        ("@ 1", "\"\" is not a type"),
    ];
    for (text, expected) in cases {
        let problem = parse(text).expect_err(text);
        assert!(problem.contains(expected), "{text}: {problem}");
    }
    assert!(parse(&"[".repeat(1000)).unwrap_err().contains("too deep"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "\\PC*") {
        let _ = parse(&text);
    }

    #[test]
    fn nothing_made_of_its_own_signs_makes_it_panic_and_what_is_a_value_can_be_sent(
        text in "([\\[\\](){}<>,:@'\"\\\\b1-9.aesuvtny-]|uint64 |true|int16 |\\PC){0,24}"
    ) {
        if let Ok(value) = parse(&text) {
            let _ = value.to_wire();
        }
    }

    #[test]
    fn what_is_shown_is_read_as_the_same(number in any::<u64>(), text in "[ -~]*") {
        for value in [
            Value::Uint64(number),
            Value::Text(text),
            Value::Tuple(vec![Value::Bool(true), Value::bytes(number.to_le_bytes())]),
        ] {
            prop_assert_eq!(parse(&value.to_string()).unwrap(), value);
        }
    }
}
