//! What a source turned out to be, for the user to see before anything is indexed.

use crate::document::{Field, Schema};
use crate::formats::Format;
use crate::plan::kind_name;

/// What was found in the paths.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Detected {
    /// Files by format.
    pub inputs: Vec<Input>,
    /// Rows that were looked at to find the types.
    pub sampled: u64,
    /// Fields in the order in which they stand.
    pub fields: Vec<DetectedField>,
    /// The attributes that documents will have.
    pub schema: Schema,
    /// What was skipped or left out, and why.
    pub notices: Vec<String>,
}

/// The files of one format.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Input {
    /// What they hold.
    pub format: Format,
    /// How many there are.
    pub files: u64,
    /// Their size on disk; 0 for a stream.
    pub bytes: u64,
}

impl Input {
    pub(crate) fn count(inputs: &mut Vec<Self>, format: Format, bytes: u64) {
        match inputs.iter_mut().find(|input| input.format == format) {
            Some(input) => {
                input.files += 1;
                input.bytes += bytes;
            }
            None => inputs.push(Self {
                format,
                files: 1,
                bytes,
            }),
        }
    }
}

/// One field of the rows.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DetectedField {
    /// As the file names it.
    pub name: String,
    /// What it is used for.
    pub role: Role,
    /// The attribute that it becomes, if it does.
    pub attribute: Option<Field>,
    /// Whether one string becomes several values.
    pub split: bool,
    /// The first value.
    pub example: String,
    /// Share of the sampled rows that have a value, in [0, 1].
    pub filled: f64,
}

/// What a field is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The document's id.
    Id,
    /// Its title.
    Title,
    /// Its text, or a part of it.
    Text,
    /// Both.
    TitleAndText,
    /// An attribute.
    Attribute,
    /// Nothing.
    LeftOut,
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Id => "id",
            Self::Title => "title",
            Self::Text => "text",
            Self::TitleAndText => "title, text",
            Self::Attribute => "attribute",
            Self::LeftOut => "left out",
        })
    }
}

impl DetectedField {
    /// The type as options write it: `integer`, `keyword[]`, `keyword[ ]`.
    pub fn kind(&self) -> String {
        match &self.attribute {
            None => String::new(),
            Some(field) => {
                let list = match (field.list, self.split) {
                    (false, _) => "",
                    (true, false) => "[]",
                    (true, true) => "[ ]",
                };
                format!("{}{list}", kind_name(field.kind))
            }
        }
    }
}

impl std::fmt::Display for Detected {
    /// The inputs in a line, then a table of the fields, then the notices.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for input in &self.inputs {
            let files = if input.files == 1 { "file" } else { "files" };
            write!(f, "{} {files} of {}", input.files, input.format.describe())?;
            if input.bytes > 0 {
                write!(f, ", {:.1} MB", input.bytes as f64 / 1e6)?;
            }
            writeln!(f)?;
        }
        let rows: Vec<[String; 5]> = self
            .fields
            .iter()
            .map(|field| {
                [
                    field.name.clone(),
                    field.role.to_string(),
                    field.kind(),
                    format!("{:.0} %", field.filled * 100.0),
                    field.example.clone(),
                ]
            })
            .collect();
        if !rows.is_empty() {
            let head = ["field", "role", "type", "filled", "example"].map(String::from);
            let widths: Vec<usize> = (0..5)
                .map(|column| {
                    rows.iter()
                        .chain([&head])
                        .map(|row| row[column].chars().count())
                        .max()
                        .unwrap_or(0)
                })
                .collect();
            for row in [&head].into_iter().chain(&rows) {
                let line = format!(
                    "  {:<a$}  {:<b$}  {:<c$}  {:>d$}  {}",
                    row[0],
                    row[1],
                    row[2],
                    row[3],
                    row[4],
                    a = widths[0],
                    b = widths[1],
                    c = widths[2],
                    d = widths[3]
                );
                writeln!(f, "{}", line.trim_end())?;
            }
        }
        for notice in &self.notices {
            writeln!(f, "note: {notice}")?;
        }
        Ok(())
    }
}
