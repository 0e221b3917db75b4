//! Which field plays which part, decided once from a sample and the options; and a row made into a document by it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::dates;
use crate::document::{Attribute, Document, Field, Kind, Origin, Schema};
use crate::error::{Error, Result};
use crate::infer::{Sample, name_says_date, parse_bool};
use crate::options::{AttributeOption, SourceOptions, Split};
use crate::record::{Record, Value, shorten};

/// How one attribute is made.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub field: Field,
    pub split: Option<Split>,
}

/// The parts that one field plays; ranks order the fields of one part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Parts {
    pub id: Option<usize>,
    pub title: Option<usize>,
    pub text: Option<usize>,
    pub attribute: Option<Rule>,
}

/// The parts of all fields.
#[derive(Debug, Clone, Default)]
pub(crate) struct Plan {
    pub parts: HashMap<Arc<str>, Parts>,
    /// Whether the id was asked for by name, so that a row without it is wrong.
    pub id_is_required: bool,
}

/// A value that didn't fit, which was left out.
pub(crate) struct Misfit {
    pub field: Arc<str>,
    pub problem: String,
}

impl Plan {
    /// For rows with named fields.
    pub(crate) fn for_table(sample: &Sample, options: &SourceOptions) -> Result<Self> {
        let mut plan = Self {
            id_is_required: options.id.is_some(),
            ..Self::default()
        };
        let named = |role, field: &str| -> Result<Arc<str>> {
            // Without rows there is nothing to check against.
            match sample.order.iter().find(|name| &***name == field) {
                None if sample.rows > 0 => Err(Error::UnknownField {
                    role,
                    field: field.into(),
                    available: sample
                        .order
                        .iter()
                        .map(|name| &**name)
                        .collect::<Vec<_>>()
                        .join(", "),
                }),
                _ => Ok(field.into()),
            }
        };
        let ids = match &options.id {
            Some(id) => vec![named("--id", id)?],
            None => sample.ids(),
        };
        let mut titles = match &options.title {
            Some(title) => vec![named("--title", title)?],
            None if options.text.is_empty() => sample.titles(),
            None => Vec::new(),
        };
        let texts = if options.text.is_empty() {
            sample
                .texts()
                .into_iter()
                .filter(|name| !titles.contains(name))
                .collect()
        } else {
            let mut texts = Vec::new();
            for (at, name) in options.text.iter().enumerate() {
                let name = named("--text", name)?;
                if at == 0
                    && options.title.is_none()
                    && options.text.len() > 1
                    && name.eq_ignore_ascii_case("title")
                {
                    titles.push(name);
                } else {
                    texts.push(name);
                }
            }
            texts
        };
        for (rank, name) in ids.into_iter().enumerate() {
            plan.parts.entry(name).or_default().id = Some(rank);
        }
        for (rank, name) in titles.into_iter().enumerate() {
            plan.parts.entry(name).or_default().title = Some(rank);
        }
        for (rank, name) in texts.into_iter().enumerate() {
            plan.parts.entry(name).or_default().text = Some(rank);
        }
        plan.add_attributes(sample, options, true)?;
        Ok(plan)
    }

    /// For files that are one document each, whose id, title and text the format knows.
    pub(crate) fn for_whole(sample: &Sample, options: &SourceOptions) -> Result<Self> {
        let mut plan = Self::default();
        plan.parts.entry("id".into()).or_default().id = Some(0);
        plan.parts.entry("title".into()).or_default().title = Some(0);
        plan.parts.entry("text".into()).or_default().text = Some(0);
        plan.add_attributes(sample, options, false)?;
        Ok(plan)
    }

    fn add_attributes(&mut self, sample: &Sample, options: &SourceOptions, strict: bool) -> Result<()> {
        let wanted = match &options.attributes {
            Some(wanted) => wanted
                .iter()
                .map(|option| AttributeOption::parse(option))
                .collect::<Result<Vec<_>>>()?,
            None => sample
                .order
                .iter()
                .filter(|name| !self.parts.contains_key(*name))
                .filter(|name| sample.fields.get(*name).is_some_and(|stats| stats.is_usable()))
                .map(|name| AttributeOption {
                    name: name.to_string(),
                    kind: None,
                    list: None,
                    split: None,
                })
                .collect(),
        };
        for option in wanted {
            let stats = sample.fields.get(option.name.as_str());
            if stats.is_none() {
                if strict && sample.rows > 0 {
                    return Err(Error::UnknownField {
                        role: "--attr",
                        field: option.name,
                        available: sample
                            .order
                            .iter()
                            .map(|name| &**name)
                            .collect::<Vec<_>>()
                            .join(", "),
                    });
                }
                if option.kind.is_none() && strict {
                    continue;
                }
            }
            let name = self.free_name(&option.name);
            let known = options.known.field(&name).filter(|_| option.kind.is_none());
            let kind = option
                .kind
                .or(known.map(|known| known.kind))
                .or_else(|| stats.map(|stats| stats.kind(name_says_date(&option.name))))
                .unwrap_or(Kind::Keyword);
            let split = match option.kind {
                // What was one value in the documents that are there stays one.
                None if known.is_some_and(|known| !known.list) => None,
                None if kind == Kind::Keyword => stats.and_then(|stats| stats.split()),
                _ => option.split,
            };
            let list = option
                .list
                .unwrap_or_else(|| stats.is_some_and(|stats| stats.is_list()) || split.is_some());
            let field = Field { name, kind, list };
            self.parts.entry(option.name.into()).or_default().attribute = Some(Rule { field, split });
        }
        Ok(())
    }

    /// [`attribute_name`] of a field, with a number behind it if another field took it.
    fn free_name(&self, field: &str) -> String {
        let name = attribute_name(field);
        let taken = |name: &str| {
            self.parts.iter().any(|(other, part)| {
                &**other != field
                    && part
                        .attribute
                        .as_ref()
                        .is_some_and(|rule| rule.field.name == name)
            })
        };
        let more = (2..).map(|number| format!("{}-{number}", &name[..name.len().min(MOST_NAME - 8)]));
        let mut names = std::iter::once(name.clone()).chain(more);
        names.find(|name| !taken(name)).unwrap_or_default()
    }

    /// The attributes, in the order of the fields in `order`.
    pub(crate) fn schema(&self, order: &[Arc<str>]) -> Schema {
        let fields = order
            .iter()
            .filter_map(|name| Some(self.parts.get(name)?.attribute.as_ref()?.field.clone()))
            .collect();
        Schema { fields }
    }

    /// The document that `record` is. Values that don't fit go to `misfits`.
    ///
    /// # Errors
    /// What is wrong with the row as a whole.
    pub(crate) fn document(
        &self,
        record: Record,
        path: &str,
        misfits: &mut Vec<Misfit>,
    ) -> std::result::Result<(Document, bool), String> {
        let mut document = Document {
            origin: Origin {
                path: path.into(),
                line: record.line,
            },
            ..Document::default()
        };
        let mut id: Option<(usize, String)> = None;
        let mut title: Option<(usize, String)> = None;
        let mut texts: Vec<(usize, String)> = Vec::new();
        for (name, value) in record.fields {
            let Some(parts) = self.parts.get(&name) else {
                continue;
            };
            if let Some(rule) = &parts.attribute
                && !value.is_empty()
            {
                match rule.convert(&value, &mut |problem| {
                    misfits.push(Misfit {
                        field: Arc::clone(&name),
                        problem,
                    });
                }) {
                    Some(value) => {
                        document.attributes.insert(rule.field.name.clone(), value);
                    }
                    None => {
                        document.attributes.remove(&rule.field.name);
                    }
                }
            }
            if value.is_empty() || (parts.id, parts.title, parts.text) == (None, None, None) {
                continue;
            }
            let text = match value_text(value) {
                Ok(text) => text,
                Err(value) => {
                    let expected = if parts.id.is_some() {
                        "an id: a string or number"
                    } else {
                        "text"
                    };
                    let problem = format!("field {name:?}: expected {expected}, found {}", value.describe());
                    misfits.push(Misfit { field: name, problem });
                    continue;
                }
            };
            // Texts are long, and nearly always play one part: they are moved to the last one.
            let is_title = parts
                .title
                .filter(|rank| title.as_ref().is_none_or(|(other, _)| rank <= other));
            let is_id = parts
                .id
                .filter(|rank| id.as_ref().is_none_or(|(other, _)| rank <= other));
            if let Some(rank) = is_title {
                title = Some((rank, text.clone()));
            }
            if let Some(rank) = is_id {
                id = Some((rank, text.clone()));
            }
            if let Some(rank) = parts.text {
                // Of a repeated name the last wins.
                texts.retain(|(other, _)| *other != rank);
                texts.push((rank, text));
            }
        }
        texts.sort_by_key(|(rank, _)| *rank);
        let mut texts = texts.into_iter().map(|(_, text)| text);
        document.text = texts.next().unwrap_or_default();
        for text in texts {
            document.text.push_str("\n\n");
            document.text.push_str(&text);
        }
        document.title = title.map(|(_, title)| title).unwrap_or_default();
        let derived = id.is_none();
        document.id = match id {
            Some((_, id)) => id.trim().to_string(),
            None if self.id_is_required => {
                return Err("expected an id in the field that --id names, found nothing".into());
            }
            None => format!("{path}#{}", record.line),
        };
        if document.id.len() > MAX_ID_BYTES {
            return Err(format!(
                "expected an id of at most {MAX_ID_BYTES} bytes, found {} bytes starting with {:?} (choose another field with --id)",
                document.id.len(),
                shorten(&document.id, 40)
            ));
        }
        Ok((document, derived))
    }
}

/// Longest name of an attribute that is made of a field's, in bytes.
const MOST_NAME: usize = 100;

/// Longest id: it is a term of the word index, which bounds terms.
const MAX_ID_BYTES: usize = 4096;

/// As a string; a list of scalars as its values on lines of their own; or the value back.
fn value_text(value: Value) -> std::result::Result<String, Value> {
    match value {
        Value::List(values) => {
            let lines: Option<Vec<_>> = values.iter().map(|value| value.clone().into_string()).collect();
            lines.map(|lines| lines.join("\n")).ok_or(Value::List(values))
        }
        Value::Nested(what) => Err(Value::Nested(what)),
        value => value.into_string().ok_or(Value::Null),
    }
}

/// What the attribute of a field is called: collections know ASCII letters, digits, `_` and `-`, a letter first, and have an id, title and text
/// of their own. Other letters become `u` and their number, so that few names in another script become one.
pub(crate) fn attribute_name(name: &str) -> String {
    let mut clean = String::new();
    for character in name.trim().chars() {
        match character {
            '_' | '-' => clean.push(character),
            _ if character.is_ascii_alphanumeric() => clean.push(character),
            _ if character.is_alphanumeric() => clean.push_str(&format!("u{:x}", u32::from(character))),
            _ => clean.push('_'),
        }
    }
    let mut clean = clean.trim_start_matches(['_', '-']).to_string();
    let taken = matches!(clean.as_str(), "" | "id" | "title" | "text");
    if taken || clean.starts_with(|first: char| first.is_ascii_digit()) {
        clean.insert_str(0, "field-");
    }
    clean.truncate(MOST_NAME);
    clean
}

impl Rule {
    /// The attribute that `value` is, or `None` if nothing of it fits.
    fn convert(&self, value: &Value, wrong: &mut impl FnMut(String)) -> Option<Attribute> {
        let mut element = |value: &Value| match convert(value, self.field.kind) {
            Ok(value) => value,
            Err(expected) => {
                wrong(format!(
                    "field {:?}: expected {expected}, found {}",
                    self.field.name,
                    value.describe()
                ));
                None
            }
        };
        match (value, self.split, self.field.list) {
            (Value::List(values), _, true) => list(values.iter().filter_map(element).collect()),
            (Value::List(values), _, false) => match &values[..] {
                [one] => element(one),
                _ => {
                    wrong(format!(
                        "field {:?}: expected one value, found a list of {} (give it as {}:{}[])",
                        self.field.name,
                        values.len(),
                        self.field.name,
                        kind_name(self.field.kind)
                    ));
                    None
                }
            },
            (Value::Text(text) | Value::Raw(text), Some(split), _) => {
                let parts: Vec<&str> = match split {
                    Split::Space => text.split_whitespace().collect(),
                    Split::Comma => text
                        .split([',', ';'])
                        .map(str::trim)
                        .filter(|part| !part.is_empty())
                        .collect(),
                };
                list(
                    parts
                        .into_iter()
                        .filter_map(|part| element(&Value::Raw(part.into())))
                        .collect(),
                )
            }
            (value, _, true) => list(element(value).into_iter().collect()),
            (value, _, false) => element(value),
        }
    }
}

fn list(values: Vec<Attribute>) -> Option<Attribute> {
    (!values.is_empty()).then_some(Attribute::List(values))
}

/// A type's name in options and messages.
pub(crate) fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Keyword => "keyword",
        Kind::Text => "text",
        Kind::Integer => "integer",
        Kind::Float => "float",
        Kind::Date => "date",
        Kind::Bool => "bool",
    }
}

/// `value` as `kind`: nothing for nothing, or what was expected.
fn convert(value: &Value, kind: Kind) -> std::result::Result<Option<Attribute>, &'static str> {
    if matches!(value, Value::Null) {
        return Ok(None);
    }
    let text = match value {
        Value::Text(text) | Value::Raw(text) => Some(text.trim()),
        _ => None,
    };
    if text == Some("") {
        return Ok(None);
    }
    match kind {
        Kind::Keyword | Kind::Text => match value {
            Value::Text(text) | Value::Raw(text) => Some(Attribute::Text(text.trim().into())),
            Value::Float(value) if !value.is_finite() => None,
            Value::List(_) | Value::Nested(_) => None,
            other => other.clone().into_string().map(Attribute::Text),
        }
        .map(Some)
        .ok_or("a string"),
        Kind::Integer => {
            let integer = match (value, text) {
                (Value::Integer(value), _) => Some(*value),
                // Beyond 2^53 a float no longer says which whole number was meant.
                (Value::Float(value), _)
                    if value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0 =>
                {
                    Some(*value as i64)
                }
                (_, Some(text)) => text.parse().ok(),
                _ => None,
            };
            integer
                .map(|value| Some(Attribute::Integer(value)))
                .ok_or("a whole number")
        }
        Kind::Float => {
            let float = match (value, text) {
                (Value::Float(value), _) => Some(*value),
                (Value::Integer(value), _) => Some(*value as f64),
                (_, Some(text)) => text.parse().ok(),
                _ => None,
            };
            float
                .filter(|value| value.is_finite())
                .map(|value| Some(Attribute::Float(value)))
                .ok_or("a finite number")
        }
        Kind::Date => {
            let micros = match (value, text) {
                (Value::Instant(micros), _) => Some(*micros),
                (Value::Integer(year), _) if (1000..=9999).contains(year) => dates::parse(&year.to_string()),
                (_, Some(text)) => dates::parse(text),
                _ => None,
            };
            // Years beyond four digits have no RFC 3339 form.
            micros
                .filter(|micros| dates::parse(&dates::from_micros(*micros)).is_some())
                .map(|micros| Some(Attribute::Text(dates::from_micros(micros))))
                .ok_or("a date (2019, 2019-05, 2019-05-01 or RFC 3339)")
        }
        Kind::Bool => {
            let truth = match (value, text) {
                (Value::Bool(value), _) => Some(*value),
                (Value::Integer(0), _) | (_, Some("0")) => Some(false),
                (Value::Integer(1), _) | (_, Some("1")) => Some(true),
                (_, Some(text)) => parse_bool(text),
                _ => None,
            };
            truth
                .map(|value| Some(Attribute::Bool(value)))
                .ok_or("true or false")
        }
    }
}

/// Counts of values that were left out, by field, each with the first one's message.
pub(crate) type Dropped = BTreeMap<String, (u64, String)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_has_a_name_that_collections_take() {
        for (field, name) in [
            ("year", "year"),
            (" My Field ", "My_Field"),
            ("_x", "x"),
            ("1st", "field-1st"),
            ("", "field-"),
            ("title", "field-title"),
            ("id", "field-id"),
            ("_id", "field-id"),
            ("titles", "titles"),
            ("yıl", "yu131l"),
            ("作者", "u4f5cu8005"),
        ] {
            assert_eq!(attribute_name(field), name, "{field}");
        }
        assert_eq!(attribute_name(&"字".repeat(80)).len(), 100);
    }
}
