//! A row as a format gives it, before anyone decided what its fields mean.

use std::sync::Arc;

/// One row or file: named values in the order in which they stand.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Record {
    pub fields: Vec<(Arc<str>, Value)>,
    /// From 1; 0 if the whole file is the record.
    pub line: u64,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Absent, `null`, or an empty cell.
    Null,
    Bool(bool),
    Integer(i64),
    /// May be NaN or infinite where the format allows it (Parquet).
    Float(f64),
    /// A string of a format that has types.
    Text(String),
    /// A cell of a format without types (CSV, front matter): may be meant as a number.
    Raw(String),
    /// A point in time, as microseconds since 1970 (Parquet dates and timestamps).
    Instant(i64),
    List(Vec<Value>),
    /// An object or something else that can't be an attribute; the word says what.
    Nested(&'static str),
}

impl Value {
    /// What it is, for error messages.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Null => "nothing".into(),
            Self::Bool(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(text) | Self::Raw(text) => format!("{:?}", shorten(text, 60)),
            Self::Instant(micros) => crate::dates::from_micros(*micros),
            Self::List(values) => format!("a list of {}", values.len()),
            Self::Nested(what) => (*what).into(),
        }
    }

    /// The value as a string where it has an obvious one; `None` for nothing, lists and objects.
    pub(crate) fn into_string(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Raw(text) => Some(text),
            Self::Integer(value) => Some(value.to_string()),
            Self::Float(value) => Some(value.to_string()),
            Self::Bool(value) => Some(value.to_string()),
            Self::Instant(micros) => Some(crate::dates::from_micros(micros)),
            Self::Null | Self::List(_) | Self::Nested(_) => None,
        }
    }

    /// Nothing, an empty or blank string, or a list without values.
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) | Self::Raw(text) => text.trim().is_empty(),
            Self::List(values) => values.is_empty(),
            _ => false,
        }
    }
}

/// The first `limit` characters of `text`, on one line, with `…` if there is more.
pub(crate) fn shorten(text: &str, limit: usize) -> String {
    let mut characters = text.chars();
    let mut short: String = characters
        .by_ref()
        .take(limit)
        .map(|character| if character.is_control() { ' ' } else { character })
        .collect();
    if characters.next().is_some() {
        short.push('…');
    }
    short
}
