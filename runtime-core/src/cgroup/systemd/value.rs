//! Values of properties, typed as D-Bus types them.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};
use zbus::wire::{Array, Dict, ObjectPath, Signature, StructureBuilder, Variant};

/// A value of a D-Bus type. `Display` is GVariant's text format, which `busctl` and `gdbus` show too.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Byte(u8),
    Bool(bool),
    Int16(i16),
    Uint16(u16),
    Int32(i32),
    Uint32(u32),
    Int64(i64),
    Uint64(u64),
    Double(f64),
    Text(String),
    ObjectPath(String),
    Signature(Signature),
    Variant(Box<Value>),
    /// Of elements that have this type.
    Array(Signature, Vec<Value>),
    /// Of keys and values that have these types.
    Dict(Signature, Signature, Vec<(Value, Value)>),
    Tuple(Vec<Value>),
}

impl Value {
    pub(super) fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }

    /// A string of bytes, `ay`.
    pub(super) fn bytes(bytes: impl IntoIterator<Item = u8>) -> Value {
        Value::Array(Signature::U8, bytes.into_iter().map(Value::Byte).collect())
    }

    /// An array of pairs of strings, `a(ss)`.
    pub(super) fn pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Value {
        let pair = Signature::structure([Signature::Str, Signature::Str]);
        let tuple = |(first, second)| Value::Tuple(vec![Value::Text(first), Value::Text(second)]);
        Value::Array(pair, pairs.into_iter().map(tuple).collect())
    }

    /// The value as it is sent.
    ///
    /// # Errors
    ///
    /// When an element is not of the type that it should have, or D-Bus has no such value.
    pub(super) fn to_wire(&self) -> zbus::Result<Variant<'static>> {
        Ok(match self {
            Value::Byte(value) => Variant::U8(*value),
            Value::Bool(value) => Variant::Bool(*value),
            Value::Int16(value) => Variant::I16(*value),
            Value::Uint16(value) => Variant::U16(*value),
            Value::Int32(value) => Variant::I32(*value),
            Value::Uint32(value) => Variant::U32(*value),
            Value::Int64(value) => Variant::I64(*value),
            Value::Uint64(value) => Variant::U64(*value),
            Value::Double(value) => Variant::F64(*value),
            Value::Text(text) => Variant::Str(text.clone().into()),
            Value::ObjectPath(path) => Variant::ObjectPath(ObjectPath::try_from(path.clone())?),
            Value::Signature(signature) => Variant::Signature(signature.clone()),
            Value::Variant(value) => Variant::Variant(Box::new(value.to_wire()?)),
            Value::Array(element, values) => {
                let mut array = Array::new(element);
                for value in values {
                    array.append(value.to_wire()?)?;
                }
                Variant::Array(array)
            }
            Value::Dict(key, value, entries) => {
                let mut dict = Dict::new(key, value);
                for (key, value) in entries {
                    dict.append(key.to_wire()?, value.to_wire()?)?;
                }
                Variant::Dict(dict)
            }
            Value::Tuple(fields) => {
                let mut structure = StructureBuilder::new();
                for field in fields {
                    structure = structure.append_field(field.to_wire()?);
                }
                Variant::Structure(structure.build()?)
            }
        })
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Byte(value) => write!(f, "byte {value:#04x}"),
            Value::Bool(value) => write!(f, "{value}"),
            Value::Int16(value) => write!(f, "int16 {value}"),
            Value::Uint16(value) => write!(f, "uint16 {value}"),
            Value::Int32(value) => write!(f, "{value}"),
            Value::Uint32(value) => write!(f, "uint32 {value}"),
            Value::Int64(value) => write!(f, "int64 {value}"),
            Value::Uint64(value) => write!(f, "uint64 {value}"),
            Value::Double(value) => write!(f, "{value:?}"),
            Value::Text(text) => quoted(f, text),
            Value::ObjectPath(path) => {
                f.write_str("objectpath ")?;
                quoted(f, path)
            }
            Value::Signature(signature) => write!(f, "signature \"{signature}\""),
            Value::Variant(value) => write!(f, "<{value}>"),
            Value::Array(element, values) if values.is_empty() => write!(f, "@a{element} []"),
            Value::Array(_, values) => list(f, '[', values, ']'),
            Value::Dict(key, value, entries) if entries.is_empty() => {
                write!(f, "@a{{{key}{value}}} {{}}")
            }
            Value::Dict(_, _, entries) => {
                for (number, (key, value)) in entries.iter().enumerate() {
                    write!(f, "{}{key}: {value}", if number == 0 { "{" } else { ", " })?;
                }
                f.write_str("}")
            }
            Value::Tuple(fields) => list(f, '(', fields, ')'),
        }
    }
}

/// A string with the escapes that GVariant has, which are not Rust's.
fn quoted(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            c if c.is_control() => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

fn list(f: &mut fmt::Formatter<'_>, open: char, values: &[Value], close: char) -> fmt::Result {
    write!(f, "{open}")?;
    for (number, value) in values.iter().enumerate() {
        let comma = if number == 0 { "" } else { ", " };
        write!(f, "{comma}{value}")?;
    }
    // A tuple of one is told from a value in parentheses.
    let comma = if open == '(' && values.len() == 1 {
        ","
    } else {
        ""
    };
    write!(f, "{comma}{close}")
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sent_with_their_types_and_shown_as_busctl_does() {
        let values = [
            (Value::Bool(true), "b", "true"),
            (Value::text("\\ü\n\u{7f}"), "s", "\"\\\\ü\\n\\u007f\""),
            (Value::Uint64(u64::MAX), "t", "uint64 18446744073709551615"),
            (Value::text("a \"b\""), "s", "\"a \\\"b\\\"\""),
            (Value::bytes([1, 255]), "ay", "[byte 0x01, byte 0xff]"),
            (Value::pairs([]), "a(ss)", "@a(ss) []"),
            (
                Value::pairs([("/dev/char/1:3".to_owned(), "rwm".to_owned())]),
                "a(ss)",
                "[(\"/dev/char/1:3\", \"rwm\")]",
            ),
            (Value::Tuple(vec![Value::Int32(-1)]), "(i)", "(-1,)"),
            (Value::Variant(Box::new(Value::Double(2.0))), "v", "<2.0>"),
            (
                Value::Dict(
                    Signature::Str,
                    Signature::U16,
                    vec![(Value::text("a"), Value::Uint16(1))],
                ),
                "a{sq}",
                "{\"a\": uint16 1}",
            ),
        ];
        for (value, signature, text) in values {
            assert_eq!(value.to_string(), text);
            let sent = value.to_wire().unwrap();
            assert_eq!(sent.value_signature().to_string(), signature);
        }
    }

    #[test]
    fn what_d_bus_has_no_value_for_is_an_error() {
        assert!(Value::ObjectPath("no path".to_owned()).to_wire().is_err());
        assert!(Value::Tuple(vec![]).to_wire().is_err());
    }
}
