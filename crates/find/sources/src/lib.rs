//! Documents from files: folders of text, Markdown, HTML and source code, JSONL, CSV/TSV, Parquet, BEIR directories, paper lists, stdin.

pub mod document;

pub use document::{Attribute, Document, Field, Kind, Origin, Schema};
