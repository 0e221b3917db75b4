//! JSON Lines: one object a line; blank lines are left out.

use std::borrow::Cow;
use std::io::BufRead;
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Context, Problem, Reader};
use crate::input::Packing;
use crate::lines::{Line, Lines};
use crate::record::{Record, Value, shorten};

pub(crate) struct Jsonl {
    lines: Lines,
    packing: Packing,
    longest: usize,
    /// Names of the last row, by position: rows of one file mostly have the same.
    names: Vec<Arc<str>>,
    ended: bool,
}

impl Jsonl {
    pub(crate) fn new(input: Box<dyn BufRead + Send>, context: &Context<'_>) -> Self {
        Self {
            lines: Lines::new(input, context.options.max_line_bytes),
            packing: context.packing,
            longest: context.options.max_line_bytes,
            names: Vec::new(),
            ended: false,
        }
    }
}

impl Reader for Jsonl {
    fn next(&mut self) -> Option<Result<Record, Problem>> {
        while !self.ended {
            let line = match self.lines.next() {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => {
                    self.ended = true;
                    let what = crate::input::explain(&error, self.packing);
                    return Some(Err(Problem::file(self.lines.number() + 1, what)));
                }
            };
            let bytes = match line {
                Line::Whole(bytes) => bytes,
                Line::TooLong(bytes) => {
                    let what = too_long(bytes, self.longest);
                    return Some(Err(Problem::row(self.lines.number(), what)));
                }
            };
            if bytes.trim_ascii().is_empty() {
                continue;
            }
            let fields = object(bytes, &mut self.names);
            let line = self.lines.number();
            return Some(match fields {
                Ok(fields) => Ok(Record { fields, line }),
                Err(what) => Err(Problem::row(line, what)),
            });
        }
        None
    }
}

/// What is wrong with a line that is too long.
pub(crate) fn too_long(found: u64, limit: usize) -> String {
    format!("expected a line of at most {limit} bytes, found {found} bytes (make several documents of it)")
}

/// The fields of the object that `bytes` are. Values of repeated names: the last wins, as in every JSON library.
pub(crate) fn object(bytes: &[u8], names: &mut Vec<Arc<str>>) -> Result<Vec<(Arc<str>, Value)>, String> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(format!(
            "expected UTF-8, found the byte 0x{:02X} at byte {} of the line (convert the file with iconv)",
            bytes.get(error.valid_up_to()).copied().unwrap_or_default(),
            error.valid_up_to() + 1
        ));
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    Fields { names }
        .deserialize(&mut json)
        .and_then(|fields| json.end().map(|()| fields))
        .map_err(|error| explain(&error, bytes))
}

/// A JSON error in words, with what stands there.
pub(crate) fn explain(error: &serde_json::Error, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start = text.trim_start();
    if error.line() <= 1 && !start.starts_with('{') {
        return format!("expected a JSON object, found {:?}", shorten(start, 40));
    }
    let column = error.column();
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let before = bytes.get(..column.min(bytes.len())).unwrap_or_default();
    let around = String::from_utf8_lossy(bytes.get(column.saturating_sub(1)..).unwrap_or_default());
    let hint = if ["NaN", "Infinity", "-Infinity", "-NaN"]
        .iter()
        .any(|word| around.starts_with(word))
        || before.ends_with(b"-I")
        || before.ends_with(b"-N")
    {
        "; JSON has no NaN or Infinity: write null"
    } else if message.contains("recursion limit") {
        "; at most 127 levels of nesting are read"
    } else if message.contains("EOF") {
        "; the line ends in the middle of the object: one object must stand on one line"
    } else if message.contains("number out of range") {
        "; numbers must fit 64-bit floats"
    } else {
        ""
    };
    format!("expected a JSON object, found {message} at column {column}{hint}")
}

struct Fields<'n> {
    names: &'n mut Vec<Arc<str>>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<(Arc<str>, Value)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<(Arc<str>, Value)>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut fields: Vec<(Arc<str>, Value)> = Vec::with_capacity(self.names.len());
        while let Some(Name(name)) = map.next_key_seed(NameSeed)? {
            let at = fields.len();
            let name = match self.names.get(at) {
                Some(known) if **known == *name => Arc::clone(known),
                _ => {
                    let name: Arc<str> = name.into();
                    self.names.truncate(at);
                    self.names.push(Arc::clone(&name));
                    name
                }
            };
            fields.push((name, map.next_value_seed(ValueSeed { inside_list: false })?));
            // A row with so many names is not a row; the bound keeps `fields` in proportion.
            if fields.len() > 10_000 {
                return Err(M::Error::custom("more than 10000 fields"));
            }
        }
        Ok(fields)
    }
}

/// A key, borrowed from the line where it has no escapes.
struct Name<'de>(Cow<'de, str>);

struct NameSeed;

impl<'de> DeserializeSeed<'de> for NameSeed {
    type Value = Name<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for NameSeed {
    type Value = Name<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Borrowed(name)))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Name(Cow::Owned(name.into())))
    }
}

/// One value; objects, and lists in lists, are passed over without keeping them.
pub(crate) struct ValueSeed {
    inside_list: bool,
}

impl<'de> DeserializeSeed<'de> for ValueSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for ValueSeed {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        // Beyond i64 it is kept exactly, as the string of its digits (such as ids).
        Ok(i64::try_from(value).map_or_else(|_| Value::Text(value.to_string()), Value::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::Text(text.into()))
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(Value::Text(text))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Value, S::Error> {
        if self.inside_list {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Nested("a list in a list"));
        }
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(ValueSeed { inside_list: true })? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Value, M::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Nested("an object"))
    }
}
