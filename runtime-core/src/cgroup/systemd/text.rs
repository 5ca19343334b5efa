//! GVariant's text format, as far as D-Bus has the types: how annotations write the values of properties.
//!
//! <https://docs.gtk.org/glib/gvariant-text-format.html>. A number without a type is an `int32`, a string is a string, and
//! the elements of an array have the type that one of them says.

use std::iter::Peekable;
use std::str::Chars;

use zbus::wire::Signature;

use super::value::Value;

/// The depth to which values may hold values; D-Bus ends at 64.
const DEPTH: usize = 32;

type Result<T> = std::result::Result<T, String>;

/// The value that a text is.
///
/// # Errors
///
/// What is wrong with it, in words.
pub(super) fn parse(text: &str) -> Result<Value> {
    let mut reader = Reader {
        rest: text.chars().peekable(),
    };
    let node = reader.node(DEPTH)?;
    match reader.next_significant() {
        None => node.value(None),
        Some(extra) => Err(format!("{extra:?} after the end of the value")),
    }
}

/// What is written, before its type is known.
#[derive(Debug)]
enum Node {
    Number(String),
    Text(String),
    Bool(bool),
    Bytes(Vec<u8>),
    Variant(Box<Node>),
    Array(Vec<Node>),
    Dict(Vec<(Node, Node)>),
    Tuple(Vec<Node>),
    Typed(Signature, Box<Node>),
}

struct Reader<'a> {
    rest: Peekable<Chars<'a>>,
}

impl Reader<'_> {
    fn skip_space(&mut self) {
        while self.rest.next_if(|c| c.is_whitespace()).is_some() {}
    }

    fn next_significant(&mut self) -> Option<char> {
        self.skip_space();
        self.rest.next()
    }

    /// Takes the character when it is next.
    fn takes(&mut self, expected: char) -> bool {
        self.skip_space();
        self.rest.next_if_eq(&expected).is_some()
    }

    fn expect(&mut self, expected: char) -> Result<()> {
        match self.next_significant() {
            Some(found) if found == expected => Ok(()),
            Some(found) => Err(format!("{found:?} where {expected:?} should be")),
            None => Err(format!("it ends where {expected:?} should be")),
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node> {
        let Some(depth) = depth.checked_sub(1) else {
            return Err("values in values, too deep".to_owned());
        };
        self.skip_space();
        let Some(&first) = self.rest.peek() else {
            return Err("it ends where a value should be".to_owned());
        };
        match first {
            '[' => self
                .list('[', ']', |reader| reader.node(depth))
                .map(Node::Array),
            '(' => self
                .list('(', ')', |reader| reader.node(depth))
                .map(Node::Tuple),
            '{' => self
                .list('{', '}', |reader| {
                    let key = reader.node(depth)?;
                    reader.expect(':')?;
                    Ok((key, reader.node(depth)?))
                })
                .map(Node::Dict),
            '<' => {
                self.rest.next();
                let node = self.node(depth)?;
                self.expect('>')?;
                Ok(Node::Variant(Box::new(node)))
            }
            '\'' | '"' => self.quoted().map(Node::Text),
            '@' => {
                self.rest.next();
                let signature = self.word(|c| !c.is_whitespace());
                let signature = match signature.parse() {
                    Ok(Signature::Unit) | Err(_) => {
                        return Err(format!("{signature:?} is not a type of D-Bus"));
                    }
                    Ok(signature) => signature,
                };
                Ok(Node::Typed(signature, Box::new(self.node(depth)?)))
            }
            '+' | '-' | '.' | '0'..='9' => {
                let is_number = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
                Ok(Node::Number(self.word(is_number)))
            }
            _ => self.keyword(depth),
        }
    }

    fn keyword(&mut self, depth: usize) -> Result<Node> {
        let word = self.word(|c| c.is_ascii_alphanumeric());
        let signature = match word.as_str() {
            "true" => return Ok(Node::Bool(true)),
            "false" => return Ok(Node::Bool(false)),
            "b" if matches!(self.rest.peek(), Some('\'' | '"')) => return self.byte_string(),
            "boolean" => Signature::Bool,
            "byte" => Signature::U8,
            "int16" => Signature::I16,
            "uint16" => Signature::U16,
            "int32" => Signature::I32,
            "uint32" => Signature::U32,
            "int64" => Signature::I64,
            "uint64" => Signature::U64,
            "double" => Signature::F64,
            "string" => Signature::Str,
            "objectpath" => Signature::ObjectPath,
            "signature" => Signature::Signature,
            "" => {
                let found = self.rest.next().unwrap_or_default();
                return Err(format!("{found:?} where a value should be"));
            }
            _ => {
                return Err(format!(
                    "{word:?} is neither a value nor a type (strings have quotes)"
                ));
            }
        };
        Ok(Node::Typed(signature, Box::new(self.node(depth)?)))
    }

    fn word(&mut self, belongs: impl Fn(char) -> bool) -> String {
        std::iter::from_fn(|| self.rest.next_if(|c| belongs(*c))).collect()
    }

    fn list<T>(
        &mut self,
        open: char,
        close: char,
        element: impl Fn(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        self.expect(open)?;
        let mut elements = Vec::new();
        while !self.takes(close) {
            elements.push(element(self)?);
            if !self.takes(',') {
                self.expect(close)?;
                break;
            }
        }
        Ok(elements)
    }

    fn quoted(&mut self) -> Result<String> {
        let quote = self.rest.next();
        let mut text = String::new();
        loop {
            match self.next_quoted()? {
                c if Some(c) == quote => return Ok(text),
                '\\' => match self.next_quoted()? {
                    'u' => text.push(self.unicode(4)?),
                    'U' => text.push(self.unicode(8)?),
                    '\n' => {}
                    c => text.push(control(c).unwrap_or(c)),
                },
                c => text.push(c),
            }
        }
    }

    fn next_quoted(&mut self) -> Result<char> {
        self.rest
            .next()
            .ok_or_else(|| "a string without an end".to_owned())
    }

    fn unicode(&mut self, digits: usize) -> Result<char> {
        let code: String = self.rest.by_ref().take(digits).collect();
        let number = u32::from_str_radix(&code, 16).ok();
        number
            .filter(|_| code.len() == digits)
            .and_then(char::from_u32)
            .ok_or_else(|| format!("{code:?} is no character's number"))
    }

    /// `b'…'`, which ends with a NUL that is not written.
    fn byte_string(&mut self) -> Result<Node> {
        let quote = self.rest.next();
        let mut bytes = Vec::new();
        loop {
            match self.next_quoted()? {
                c if Some(c) == quote => break,
                '\\' => match self.next_quoted()? {
                    c @ '0'..='7' => bytes.push(self.octal(c)?),
                    c => push(&mut bytes, control(c).unwrap_or(c)),
                },
                c => push(&mut bytes, c),
            }
        }
        bytes.push(0);
        Ok(Node::Bytes(bytes))
    }

    fn octal(&mut self, first: char) -> Result<u8> {
        let mut digits = String::from(first);
        while let Some(digit) = self.rest.next_if(|c| digits.len() < 3 && c.is_digit(8)) {
            digits.push(digit);
        }
        u8::from_str_radix(&digits, 8).map_err(|_| format!("\\{digits} is no byte"))
    }
}

fn control(letter: char) -> Option<char> {
    Some(match letter {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        _ => return None,
    })
}

fn push(bytes: &mut Vec<u8>, c: char) {
    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

impl Node {
    /// The type that is written; none where the surroundings decide.
    fn definite(&self) -> Option<Signature> {
        Some(match self {
            Node::Number(text) if is_fraction(text) => Signature::F64,
            Node::Number(_) | Node::Text(_) => return None,
            Node::Bool(_) => Signature::Bool,
            Node::Bytes(_) => Signature::array(Signature::U8),
            Node::Variant(_) => Signature::Variant,
            Node::Array(elements) => Signature::array(elements.iter().find_map(Node::definite)?),
            Node::Dict(entries) => Signature::dict(
                entries.iter().find_map(|(key, _)| key.definite())?,
                entries.iter().find_map(|(_, value)| value.definite())?,
            ),
            Node::Tuple(fields) => {
                let fields: Option<Vec<_>> = fields.iter().map(Node::definite).collect();
                Signature::structure(fields?)
            }
            Node::Typed(signature, _) => signature.clone(),
        })
    }

    /// The type that it has where nothing else says one.
    fn default(&self) -> Option<Signature> {
        self.definite().or_else(|| {
            Some(match self {
                Node::Number(_) => Signature::I32,
                Node::Array(elements) => Signature::array(common(elements.iter())?),
                Node::Dict(entries) => Signature::dict(
                    common(entries.iter().map(|(key, _)| key))?,
                    common(entries.iter().map(|(_, value)| value))?,
                ),
                Node::Tuple(fields) => {
                    let fields: Option<Vec<_>> = fields.iter().map(Node::default).collect();
                    Signature::structure(fields?)
                }
                _ => Signature::Str,
            })
        })
    }

    /// The value, of this type if there is one.
    fn value(&self, wanted: Option<&Signature>) -> Result<Value> {
        let signature = match wanted.cloned().or_else(|| self.default()) {
            Some(signature) => signature,
            None => {
                return Err("the type of an empty list has to be said, such as @as []".to_owned());
            }
        };
        let mismatch = || {
            Err(format!(
                "it is not of type {signature:?}",
                signature = signature.to_string()
            ))
        };
        Ok(match (self, &signature) {
            (Node::Typed(said, node), _) => {
                if *said != signature {
                    return mismatch();
                }
                node.value(Some(said))?
            }
            (Node::Number(text), _) => number(text, &signature)?,
            (Node::Text(text), Signature::Str) => Value::Text(text.clone()),
            (Node::Text(text), Signature::ObjectPath) => Value::ObjectPath(text.clone()),
            (Node::Text(text), Signature::Signature) => match text.parse() {
                Ok(signature) => Value::Signature(signature),
                Err(_) => return Err(format!("{text:?} is not a type of D-Bus")),
            },
            (Node::Bool(value), Signature::Bool) => Value::Bool(*value),
            (Node::Bytes(bytes), Signature::Array(element)) if **element == Signature::U8 => {
                Value::bytes(bytes.iter().copied())
            }
            (Node::Variant(node), Signature::Variant) => {
                Value::Variant(Box::new(node.value(None)?))
            }
            (Node::Array(nodes), Signature::Array(element)) => {
                let element = element.signature();
                let values: Result<_> =
                    nodes.iter().map(|node| node.value(Some(element))).collect();
                Value::Array(element.clone(), values?)
            }
            (Node::Dict(nodes), Signature::Dict { key, value }) => {
                let (key, value) = (key.signature(), value.signature());
                let entry =
                    |(k, v): &(Node, Node)| Ok((k.value(Some(key))?, v.value(Some(value))?));
                let entries: Result<_> = nodes.iter().map(entry).collect();
                Value::Dict(key.clone(), value.clone(), entries?)
            }
            (Node::Tuple(nodes), Signature::Structure(fields))
                if nodes.len() == fields.iter().count() =>
            {
                let pairs = nodes.iter().zip(fields.iter());
                let values: Result<_> =
                    pairs.map(|(node, field)| node.value(Some(field))).collect();
                Value::Tuple(values?)
            }
            _ => return mismatch(),
        })
    }
}

/// The type that all have: one that is written, or else the default of the first.
fn common<'a>(mut nodes: impl Iterator<Item = &'a Node> + Clone) -> Option<Signature> {
    nodes
        .clone()
        .find_map(Node::definite)
        .or_else(|| nodes.find_map(Node::default))
}

fn is_fraction(number: &str) -> bool {
    !number.contains('x') && number.contains(['.', 'e', 'E'])
}

fn number(text: &str, signature: &Signature) -> Result<Value> {
    let wrong = || {
        format!(
            "{text:?} is not a number of type {:?}",
            signature.to_string()
        )
    };
    if *signature == Signature::F64 {
        let number: Option<f64> = text.parse().ok();
        let number = number.filter(|number| number.is_finite());
        return number.map(Value::Double).ok_or_else(wrong);
    }
    let number = integer(text).ok_or_else(wrong)?;
    let value = match signature {
        Signature::U8 => u8::try_from(number).map(Value::Byte),
        Signature::I16 => i16::try_from(number).map(Value::Int16),
        Signature::U16 => u16::try_from(number).map(Value::Uint16),
        Signature::I32 => i32::try_from(number).map(Value::Int32),
        Signature::U32 => u32::try_from(number).map(Value::Uint32),
        Signature::I64 => i64::try_from(number).map(Value::Int64),
        Signature::U64 => u64::try_from(number).map(Value::Uint64),
        _ => return Err(wrong()),
    };
    value.map_err(|_| wrong())
}

/// Decimal, or hexadecimal or octal by its beginning.
fn integer(text: &str) -> Option<i128> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (base, digits) = match (digits.strip_prefix("0x"), digits.strip_prefix('0')) {
        (Some(digits), _) => (16, digits),
        (None, Some(digits)) if !digits.is_empty() => (8, digits),
        _ => (10, digits),
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    let number = i128::from(u64::from_str_radix(digits, base).ok()?);
    Some(if negative { -number } else { number })
}
