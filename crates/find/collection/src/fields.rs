//! The fields of the word index: one tantivy document is one passage.
//!
//! | field | what | how |
//! |---|---|---|
//! | `id` | the document's id | raw term, fast (order by id), stored |
//! | `title` | its title | stored |
//! | `text` | the passage | stored |
//! | `_words` | title and passage, which is what BM25 searches | terms with positions and lengths |
//! | `_document` | XXH3 of the id: groups passages without reading strings | fast |
//! | `_hash` | content hash of the document: an unchanged one is skipped | fast |
//! | `_row` | the row of its vector | fast |
//! | `_passage`, `_passages` | its number in the document, and how many there are | fast |
//! | `_start` | byte offset of the passage in the document's text | fast |
//! | `_attributes` | the attributes as JSON, to give them back exactly | stored |
//! | one for each attribute | under its own name, so that filters read naturally | terms and fast |
//!
//! Attributes are repeated on every passage: a filter then is one tantivy query without a join, and a document has few passages.

use kokeshi_sources::{Attribute, Document, Field, Kind, Schema};
use tantivy::schema::{
    DateOptions, DateTimePrecision, FAST, Field as Column, INDEXED, IndexRecordOption, NumericOptions,
    STORED, Schema as Columns, SchemaBuilder, TextFieldIndexing, TextOptions, Value,
};
use tantivy::{DateTime, TantivyDocument};

use crate::words::ANALYZER;
use crate::{Error, Result, dates};

/// Names that attributes can't have, since documents use them themselves.
const RESERVED: [&str; 3] = ["id", "title", "text"];

/// The columns of every collection, then those of its attributes.
#[derive(Debug, Clone)]
pub struct Fields {
    /// tantivy's view.
    pub columns: Columns,
    /// The attributes with their columns.
    pub attributes: Vec<(Field, Column)>,
    pub id: Column,
    pub title: Column,
    pub text: Column,
    pub words: Column,
    pub document: Column,
    pub hash: Column,
    pub row: Column,
    pub passage: Column,
    pub passages: Column,
    pub start: Column,
    pub stored: Column,
}

/// Where a passage belongs, beside its document.
#[derive(Debug, Clone, Copy)]
pub struct Place {
    pub document: u64,
    pub hash: u64,
    pub row: u64,
    pub passage: u64,
    pub passages: u64,
    pub start: u64,
}

fn keyword() -> TextOptions {
    let raw = TextFieldIndexing::default()
        .set_tokenizer("raw")
        .set_fieldnorms(false)
        .set_index_option(IndexRecordOption::Basic);
    TextOptions::default().set_indexing_options(raw).set_fast("raw")
}

fn words(lengths: bool) -> TextOptions {
    let indexing = TextFieldIndexing::default()
        .set_tokenizer(ANALYZER)
        .set_fieldnorms(lengths)
        .set_index_option(IndexRecordOption::WithFreqsAndPositions);
    TextOptions::default().set_indexing_options(indexing)
}

impl Fields {
    /// The columns for `schema`; attributes come last, in order, so that more can be added behind them.
    ///
    /// # Errors
    /// [`Error::Schema`] for a name that is taken, double or unusable.
    pub fn new(schema: &Schema) -> Result<Self> {
        let mut builder = SchemaBuilder::new();
        let number = || NumericOptions::default() | FAST;
        let id = builder.add_text_field("id", keyword() | STORED);
        let title = builder.add_text_field("title", STORED);
        let text = builder.add_text_field("text", STORED);
        let column = Self {
            id,
            title,
            text,
            words: builder.add_text_field("_words", words(true)),
            document: builder.add_u64_field("_document", number()),
            hash: builder.add_u64_field("_hash", number()),
            row: builder.add_u64_field("_row", number()),
            passage: builder.add_u64_field("_passage", number()),
            passages: builder.add_u64_field("_passages", number()),
            start: builder.add_u64_field("_start", number()),
            stored: builder.add_text_field("_attributes", STORED),
            columns: SchemaBuilder::new().build(),
            attributes: Vec::new(),
        };
        let mut attributes: Vec<(Field, Column)> = Vec::with_capacity(schema.fields.len());
        for field in &schema.fields {
            check_name(&field.name)?;
            if attributes.iter().any(|(other, _)| other.name == field.name) {
                return Err(Error::Schema(format!(
                    "attribute `{}` is there twice",
                    field.name
                )));
            }
            let at = match field.kind {
                Kind::Keyword => builder.add_text_field(&field.name, keyword()),
                Kind::Text => builder.add_text_field(&field.name, words(false)),
                Kind::Integer => builder.add_i64_field(&field.name, number() | INDEXED),
                Kind::Float => builder.add_f64_field(&field.name, number() | INDEXED),
                Kind::Bool => builder.add_bool_field(&field.name, number() | INDEXED),
                Kind::Date => {
                    let options = DateOptions::from(INDEXED)
                        .set_fast()
                        .set_precision(DateTimePrecision::Microseconds);
                    builder.add_date_field(&field.name, options)
                }
            };
            attributes.push((field.clone(), at));
        }
        Ok(Self {
            columns: builder.build(),
            attributes,
            ..column
        })
    }

    /// The attribute `name` and its column.
    pub fn attribute(&self, name: &str) -> Option<(&Field, Column)> {
        let found = self.attributes.iter().find(|(field, _)| field.name == name)?;
        Some((&found.0, found.1))
    }

    /// `year (integer), category (keyword)`, for error messages.
    pub fn known(&self) -> String {
        if self.attributes.is_empty() {
            return "none".into();
        }
        let names: Vec<String> = self
            .attributes
            .iter()
            .map(|(field, _)| format!("{} ({})", field.name, kind_name(field.kind)))
            .collect();
        names.join(", ")
    }

    /// The tantivy document of a passage. `attributes` is what [`Self::check`] gave for its document.
    pub fn passage(
        &self,
        document: &Document,
        text: &str,
        place: Place,
        attributes: &Checked,
    ) -> TantivyDocument {
        let mut entry = TantivyDocument::with_capacity(text.len() * 2 + 512);
        entry.add_text(self.id, &document.id);
        if !document.title.is_empty() {
            entry.add_text(self.title, &document.title);
            entry.add_text(self.words, &document.title);
        }
        entry.add_text(self.text, text);
        entry.add_text(self.words, text);
        entry.add_u64(self.document, place.document);
        entry.add_u64(self.hash, place.hash);
        entry.add_u64(self.row, place.row);
        entry.add_u64(self.passage, place.passage);
        entry.add_u64(self.passages, place.passages);
        entry.add_u64(self.start, place.start);
        if let Some(json) = &attributes.json {
            entry.add_text(self.stored, json);
        }
        for (column, value) in &attributes.values {
            match value {
                Typed::Text(value) => entry.add_text(*column, value),
                Typed::Integer(value) => entry.add_i64(*column, *value),
                Typed::Float(value) => entry.add_f64(*column, *value),
                Typed::Bool(value) => entry.add_bool(*column, *value),
                Typed::Date(micros) => {
                    entry.add_date(*column, DateTime::from_timestamp_micros(*micros));
                }
            }
        }
        entry
    }

    /// Checks the attributes of a document against the schema.
    ///
    /// # Errors
    /// [`Error::Document`] for an attribute that isn't in the schema or has the wrong type.
    pub fn check(&self, document: &Document) -> Result<Checked> {
        let wrong = |problem: String| Error::Document {
            id: document.id.clone(),
            origin: document.origin.to_string(),
            problem,
        };
        let mut checked = Checked::default();
        for (name, value) in &document.attributes {
            let (field, column) = self.attribute(name).ok_or_else(|| {
                wrong(format!(
                    "attribute `{name}` is not in the schema; known: {}",
                    self.known()
                ))
            })?;
            let values = match value {
                Attribute::List(values) => &values[..],
                one => std::slice::from_ref(one),
            };
            if values.len() > 1 && !field.list {
                return Err(wrong(format!(
                    "attribute `{name}`: expected one value, found {}; declare it as a list",
                    values.len()
                )));
            }
            for value in values {
                let typed = Typed::new(value, field.kind).ok_or_else(|| {
                    wrong(format!(
                        "attribute `{name}`: expected {}, found {}",
                        expected(field.kind),
                        shown(value)
                    ))
                })?;
                checked.values.push((column, typed));
            }
        }
        if !document.attributes.is_empty() {
            let json =
                serde_json::to_string(&document.attributes).map_err(|error| wrong(error.to_string()))?;
            checked.json = Some(json);
        }
        Ok(checked)
    }

    /// The stored text of a column.
    pub fn stored_text<'a>(&self, entry: &'a TantivyDocument, column: Column) -> &'a str {
        entry
            .get_first(column)
            .and_then(|value| value.as_str())
            .unwrap_or_default()
    }
}

/// The attributes of a document, typed as the schema says.
#[derive(Debug, Clone, Default)]
pub struct Checked {
    values: Vec<(Column, Typed)>,
    json: Option<String>,
}

#[derive(Debug, Clone)]
enum Typed {
    Text(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Date(i64),
}

impl Typed {
    fn new(value: &Attribute, kind: Kind) -> Option<Self> {
        Some(match (kind, value) {
            (Kind::Keyword | Kind::Text, Attribute::Text(text)) => Self::Text(text.clone()),
            (Kind::Keyword, Attribute::Integer(number)) => Self::Text(number.to_string()),
            (Kind::Keyword, Attribute::Bool(truth)) => Self::Text(truth.to_string()),
            (Kind::Integer, Attribute::Integer(number)) => Self::Integer(*number),
            // Whole numbers that a JSON writer made floats of; beyond 2^53 they would not be exact.
            (Kind::Integer, Attribute::Float(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
                Self::Integer(*number as i64)
            }
            (Kind::Float, Attribute::Float(number)) if number.is_finite() => Self::Float(*number),
            (Kind::Float, Attribute::Integer(number)) => Self::Float(*number as f64),
            (Kind::Bool, Attribute::Bool(truth)) => Self::Bool(*truth),
            (Kind::Date, Attribute::Text(text)) => Self::Date(dates::span(text)?.0),
            (Kind::Date, Attribute::Integer(year)) => Self::Date(dates::span(&format!("{year:04}"))?.0),
            _ => return None,
        })
    }
}

/// The name of a type as users write it.
pub fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Keyword => "keyword",
        Kind::Text => "text",
        Kind::Integer => "integer",
        Kind::Float => "float",
        Kind::Date => "date",
        Kind::Bool => "bool",
    }
}

/// What a value of a type looks like, for error messages.
pub fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Keyword => "a keyword",
        Kind::Text => "a text",
        Kind::Integer => "an integer",
        Kind::Float => "a finite number",
        Kind::Date => "a date such as 2019, 2019-05 or 2019-05-31T12:00:00Z",
        Kind::Bool => "true or false",
    }
}

fn shown(value: &Attribute) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

fn check_name(name: &str) -> Result<()> {
    let letters = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if RESERVED.contains(&name) {
        return Err(Error::Schema(format!(
            "attribute name `{name}` is taken by the document itself; choose another"
        )));
    }
    if !letters || !name.starts_with(|first: char| first.is_ascii_alphabetic()) || name.len() > 100 {
        return Err(Error::Schema(format!(
            "attribute name `{name}`: expected at most 100 letters, digits, `_` or `-`, starting with a letter"
        )));
    }
    Ok(())
}
