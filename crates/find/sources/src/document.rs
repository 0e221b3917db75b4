//! What every reader yields: a document with an id, a title, a text and typed attributes.

use std::collections::BTreeMap;

/// One document as it was read.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Document {
    /// Unique within a collection; a second document with the same id replaces the first.
    pub id: String,
    /// May be empty.
    #[serde(default)]
    pub title: String,
    /// What is searched, without the title.
    #[serde(default)]
    pub text: String,
    /// By field name. A missing attribute is absent, never null.
    #[serde(default)]
    pub attributes: BTreeMap<String, Attribute>,
    /// Where it was read, for error messages.
    #[serde(skip)]
    pub origin: Origin,
}

/// Where a document came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The file, or `<stdin>`, or empty for a document that came over HTTP or from code.
    pub path: String,
    /// Line or row in it from 1; 0 where the whole file is the document.
    pub line: u64,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.path),
            line => write!(f, "{}:{line}", self.path),
        }
    }
}

/// The value of an attribute; JSON in and out is untagged, dates are RFC 3339 strings in JSON.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(no_recursion))]
#[serde(
    untagged,
    expecting = "expected a string, a number, true, false or a list of them"
)]
pub enum Attribute {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A finite number.
    Float(f64),
    /// A keyword, matched whole; also the JSON form of a date.
    Text(String),
    /// Several values of one kind.
    List(Vec<Attribute>),
}

/// The type of an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An exact string: category, author, tag.
    Keyword,
    /// Words, searched like the document's text.
    Text,
    /// A whole number.
    Integer,
    /// A real number.
    Float,
    /// A day or an instant; `2019`, `2019-05`, `2019-05-01` and RFC 3339 are read.
    Date,
    /// True or false.
    Bool,
}

/// One attribute of a collection.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Field {
    /// Its name: letters, digits, `_`, `-`, not starting with a digit or `_`.
    pub name: String,
    /// Its type.
    pub kind: Kind,
    /// Whether a document may have several values.
    #[serde(default)]
    pub list: bool,
}

/// The attributes of a collection.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Schema {
    /// In the order in which they are shown.
    pub fields: Vec<Field>,
}

impl Schema {
    /// The field called `name`.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}
