//! One format, one file: each turns an opened file into records.

use std::io::BufRead;

use crate::error::RowError;
use crate::record::Record;

pub(crate) mod delimited;
pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod jsonl;
pub(crate) mod markdown;
pub(crate) mod paper_list;
pub(crate) mod parquet;
pub(crate) mod text;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Plain text: the file is one document.
    Text,
    /// Markdown: one document; front matter becomes attributes.
    Markdown,
    /// HTML: one document.
    Html,
    /// Source code: the file is one document, titled by its path.
    Code,
    /// A plain-text list of papers: titles and abstracts in turn.
    PaperList,
    /// One document a line.
    Lines,
    /// One JSON object a line.
    Jsonl,
    /// A JSON array of objects.
    Json,
    /// Comma-separated (or `;`, `|`) with a header.
    Csv,
    /// Tab-separated with a header.
    Tsv,
    /// Parquet.
    Parquet,
}

impl Format {
    /// Every format, in the order of the documentation.
    pub const ALL: [Self; 11] = [
        Self::Text,
        Self::Markdown,
        Self::Html,
        Self::Code,
        Self::PaperList,
        Self::Lines,
        Self::Jsonl,
        Self::Json,
        Self::Csv,
        Self::Tsv,
        Self::Parquet,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Markdown => "markdown",
            Self::Html => "html",
            Self::Code => "code",
            Self::PaperList => "paper-list",
            Self::Lines => "lines",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
        }
    }

    /// What a file of this format is called in a sentence.
    pub fn describe(self) -> &'static str {
        match self {
            Self::Text => "plain text",
            Self::Markdown => "Markdown",
            Self::Html => "HTML",
            Self::Code => "source code",
            Self::PaperList => "papers as text (title and abstract in turn; other short lines are dropped)",
            Self::Lines => "text, a document a line",
            Self::Jsonl => "JSON Lines",
            Self::Json => "JSON (an array of objects)",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Parquet => "Parquet",
        }
    }

    /// Whether a file is held in memory as a whole, and so must not be larger than `max_file_bytes`.
    pub fn is_read_whole(self) -> bool {
        matches!(
            self,
            Self::Text | Self::Markdown | Self::Html | Self::Code | Self::PaperList
        )
    }

    /// Whether files may have attributes of their own, so that sampling them tells something.
    pub(crate) fn has_attributes(self) -> bool {
        self.is_table() || matches!(self, Self::Markdown | Self::PaperList)
    }

    /// Whether rows have named fields that the user may assign; otherwise the format itself knows id, title and text.
    pub fn is_table(self) -> bool {
        matches!(
            self,
            Self::Jsonl | Self::Json | Self::Csv | Self::Tsv | Self::Parquet
        )
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| {
                let names: Vec<_> = Self::ALL.iter().map(|format| format.name()).collect();
                format!("expected a format ({}), found {name:?}", names.join(", "))
            })
    }
}

/// Why a record can't be had. The place is filled in by the caller.
#[derive(Debug)]
pub(crate) struct Problem {
    /// From 1; 0: the file as a whole.
    pub line: u64,
    pub what: String,
    /// Whether nothing more can be read from this file.
    pub ends_file: bool,
}

impl Problem {
    pub(crate) fn row(line: u64, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
            ends_file: false,
        }
    }

    pub(crate) fn file(line: u64, what: impl Into<String>) -> Self {
        Self {
            line,
            what: what.into(),
            ends_file: true,
        }
    }

    /// At its place.
    pub(crate) fn at(self, path: &str, fatal: bool) -> RowError {
        RowError {
            origin: crate::document::Origin {
                path: path.into(),
                line: self.line,
            },
            problem: self.what,
            fatal,
        }
    }
}

/// A format's reader of one file.
pub(crate) trait Reader: Send {
    /// The next record, or `None` at the end. After a problem that ends the file there is nothing more.
    fn next(&mut self) -> Option<Result<Record, Problem>>;

    /// Invalid UTF-8 sequences that were replaced so far.
    fn replaced(&self) -> u64 {
        0
    }
}

/// What every reader may need to know.
pub(crate) struct Context<'a> {
    /// As shown and as the id of a file that is one document.
    pub name: &'a str,
    pub packing: crate::input::Packing,
    pub options: &'a crate::SourceOptions,
}

/// The reader of `format`, which must be one that can be read from a stream: all but Parquet.
pub(crate) fn reader(
    format: Format,
    input: Box<dyn BufRead + Send>,
    context: &Context<'_>,
) -> Result<Box<dyn Reader>, Problem> {
    Ok(match format {
        Format::Text => Box::new(text::Whole::new(input, context, false)),
        Format::Code => Box::new(text::Whole::new(input, context, true)),
        Format::Markdown => Box::new(markdown::Markdown::new(input, context)),
        Format::Html => Box::new(html::Html::new(input, context)),
        Format::PaperList => Box::new(paper_list::PaperList::new(input, context)),
        Format::Lines => Box::new(text::PerLine::new(input, context)),
        Format::Jsonl => Box::new(jsonl::Jsonl::new(input, context)),
        Format::Json => Box::new(json::Array::new(input, context)),
        Format::Csv => Box::new(delimited::Delimited::new(input, context, false)),
        Format::Tsv => Box::new(delimited::Delimited::new(input, context, true)),
        Format::Parquet => {
            return Err(Problem::file(
                0,
                "expected a stream of text, found Parquet, which is read from files that are not packed (unpack it first)",
            ));
        }
    })
}
