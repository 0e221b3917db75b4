//! How sources are read: which fields play which part, and what to do about bad rows.

use crate::document::{Kind, Schema};
use crate::error::{Error, Result};
use crate::formats::Format;

/// What to do about a row that can't be read or a value that doesn't fit its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnError {
    /// Leave it out, count it, go on.
    #[default]
    Skip,
    /// Stop there.
    Fail,
}

/// What stdin (`-`) holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StdinMode {
    /// JSONL if the first line that is not blank is a JSON object, one document a line otherwise.
    #[default]
    Auto,
    /// One JSON object a line.
    Jsonl,
    /// One document a line; blank lines are left out.
    Lines,
    /// All of it is one document.
    Whole,
}

/// Options of [`crate::Source::open`]. The default is sensible for most data.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// The field that holds the id; else the first of `_id`, `id`, `doc_id`, ... that is there, else file and line.
    pub id: Option<String>,
    /// The field that holds the title; else the first of `title`, `name`, `headline`, `subject` that is there.
    pub title: Option<String>,
    /// The fields whose texts, joined by a blank line, are the text. A leading `title` is the title if [`Self::title`] is not given.
    /// Empty: the first of `text`, `abstract`, `body`, `content`, `description`, ... that is there, else the field with the longest texts.
    pub text: Vec<String>,
    /// The fields that become attributes, as `year`, or with a type: `year:integer`, `created:date`, `authors:keyword[]`
    /// (a list), `categories:keyword[ ]` (a string split at white space), `tags:keyword[,]` (split at commas).
    /// `None`: every field left over whose values are numbers, strings, truth values or lists of them.
    pub attributes: Option<Vec<String>>,
    /// Attributes that documents go to have already: one whose type is not given has the type it has there, whatever these rows look like.
    pub known: Schema,
    /// What to do about bad rows and values.
    pub on_error: OnError,
    /// Longest line of JSONL, CSV or lines of text in bytes; a longer one is a bad row.
    pub max_line_bytes: usize,
    /// Largest file that is read whole (text, Markdown, HTML, code, a JSON array); a larger one is skipped with a notice.
    pub max_file_bytes: u64,
    /// What stdin holds.
    pub stdin: StdinMode,
    /// Read files of plain text as one document a line, as stdin is read.
    pub lines: bool,
    /// Keep blank lines of [`crate::Format::Lines`] as empty documents, so that document numbers are line numbers.
    pub keep_blank_lines: bool,
    /// Read every file as this format instead of looking at its name and first bytes.
    pub format: Option<Format>,
    /// How many rows are looked at to find fields and types, spread over the files.
    pub sample_rows: usize,
    /// Read hidden files and what `.gitignore` leaves out, too.
    pub hidden: bool,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            id: None,
            title: None,
            text: Vec::new(),
            attributes: None,
            known: Schema::default(),
            on_error: OnError::Skip,
            max_line_bytes: 32 << 20,
            max_file_bytes: 64 << 20,
            stdin: StdinMode::Auto,
            lines: false,
            keep_blank_lines: false,
            format: None,
            sample_rows: 4000,
            hidden: false,
        }
    }
}

/// How one string becomes several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    /// At white space: `cs.CL cs.IR`.
    Space,
    /// At commas or semicolons: `red, green`.
    Comma,
}

/// One entry of [`SourceOptions::attributes`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttributeOption {
    pub name: String,
    /// `None`: inferred.
    pub kind: Option<Kind>,
    /// `None`: inferred.
    pub list: Option<bool>,
    pub split: Option<Split>,
}

impl AttributeOption {
    /// Reads `name`, `name:kind`, `name:kind[]`, `name:kind[ ]` or `name:kind[,]`.
    pub(crate) fn parse(option: &str) -> Result<Self> {
        let wrong = || {
            Error::Attribute {
            expected: "name, name:type, name:type[] (a list), name:type[ ] or name:type[,] (a string that is split), \
                       where type is keyword, text, integer, float, date or bool"
                .into(),
            found: option.into(),
        }
        };
        let (name, kind) = match option.rsplit_once(':') {
            None => (option.trim(), None),
            Some((name, kind)) => (name.trim(), Some(kind)),
        };
        if name.is_empty() {
            return Err(wrong());
        }
        let Some(kind) = kind else {
            return Ok(Self {
                name: name.into(),
                kind: None,
                list: None,
                split: None,
            });
        };
        let (kind, list, split) = if let Some(kind) = kind.strip_suffix("[]") {
            (kind, true, None)
        } else if let Some(kind) = kind.strip_suffix("[ ]") {
            (kind, true, Some(Split::Space))
        } else if let Some(kind) = kind.strip_suffix("[,]") {
            (kind, true, Some(Split::Comma))
        } else {
            (kind, false, None)
        };
        let kind = match kind.trim().to_ascii_lowercase().as_str() {
            "keyword" | "string" => Kind::Keyword,
            "text" => Kind::Text,
            "integer" | "int" => Kind::Integer,
            "float" | "number" => Kind::Float,
            "date" | "datetime" => Kind::Date,
            "bool" | "boolean" => Kind::Bool,
            _ => return Err(wrong()),
        };
        Ok(Self {
            name: name.into(),
            kind: Some(kind),
            list: Some(list),
            split,
        })
    }
}
