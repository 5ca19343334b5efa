//! Borrowed strings and lists, as the kernel wants them: NUL-terminated, no allocation to read them.

use core::ffi::CStr;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A NUL-terminated string; the terminator is part of the encoding.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(pub &'a CStr);

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.to_bytes().escape_ascii())
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&self.0.to_bytes().escape_ascii())
        } else {
            serializer.serialize_bytes(self.0.to_bytes_with_nul())
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        CStr::from_bytes_with_nul(bytes)
            .map(Text)
            .map_err(|_| de::Error::custom("not one NUL-terminated string"))
    }
}

/// Several NUL-terminated strings, one after the other.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TextList<'a>(&'a [u8]);

impl<'a> TextList<'a> {
    /// The list whose strings lie end to end in `bytes`, each with its terminator; what follows the last NUL is not part of it.
    pub fn new(bytes: &'a [u8]) -> Self {
        TextList(bytes)
    }

    /// The strings, in order.
    pub fn iter(&self) -> impl Iterator<Item = &'a CStr> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let text = CStr::from_bytes_until_nul(rest).ok()?;
            rest = rest.get(text.count_bytes().wrapping_add(1)..)?;
            Some(text)
        })
    }
}

impl fmt::Debug for TextList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(Text)).finish()
    }
}

impl Serialize for TextList<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_seq(self.iter().map(Text))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for TextList<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(TextList)
    }
}

/// Bytes that only the kernel interprets, such as a BPF program.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Bytes<'a>(pub &'a [u8]);

impl fmt::Debug for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(&format_args!("{} bytes", self.0.len()))
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Bytes<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Bytes)
    }
}

/// A list of 32-bit numbers, encoded in the machine's byte order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Numbers<'a>(&'a [u8]);

impl<'a> Numbers<'a> {
    /// The list whose numbers lie end to end in `bytes`; up to three bytes at the end that make no number are not part of it.
    pub fn new(bytes: &'a [u8]) -> Self {
        Numbers(bytes)
    }

    /// How many numbers the list holds.
    pub fn len(&self) -> usize {
        self.0.len() / 4
    }

    /// Whether the list holds no number.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The numbers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.0
            .chunks_exact(4)
            .filter_map(|chunk| chunk.try_into().ok().map(u32::from_ne_bytes))
    }

    /// The numbers as the kernel reads them.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Numbers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl Serialize for Numbers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_seq(self.iter())
        } else {
            serializer.serialize_bytes(self.0)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Numbers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&[u8]>::deserialize(deserializer).map(Numbers)
    }
}
