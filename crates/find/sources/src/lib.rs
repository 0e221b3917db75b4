//! Documents from files: folders of text, Markdown, HTML and source code, JSON Lines, JSON arrays, CSV, TSV, Parquet, BEIR folders, lists of
//! papers, stdin; all but Parquet also gzipped or zstd-packed.
//!
//! [`Source::open`] looks at the paths and decides what every field means ([`Detected`]), [`Source::documents`] streams the documents in
//! bounded memory, and [`Source::report`] tells what could not be read.

pub mod document;

mod dates;
mod detect;
mod detected;
mod error;
mod formats;
mod hash;
mod infer;
mod input;
mod lines;
mod options;
pub mod passages;
mod plan;
mod record;
mod report;
mod rows;
mod sentences;
mod source;
pub mod vectors;
mod walk;

pub use detected::{Detected, DetectedField, Input, Role};
pub use document::{Attribute, Document, Field, Kind, Origin, Schema};
pub use error::{Error, Result, RowError};
pub use formats::Format;
pub use hash::content_hash;
pub use options::{OnError, SourceOptions, StdinMode};
pub use passages::{PassageSize, passages};
pub use report::Report;
pub use rows::{Row, Rows, rows};
pub use sentences::sentences;
pub use source::{Documents, Source};
