//! Attributes of rows, read from JSON Lines: line i is about row i.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use kokeshi_core::{Error, Result};
use kokeshi_filtered::Labels;
use serde_json::Value;

/// The values of one field, a row each. A row without the field has no labels, and a number that is in no range.
#[derive(Debug, Clone)]
pub enum Column {
    /// One label a row: what is compared for equality.
    Category(Labels),
    /// Any number of labels a row.
    Set(Labels),
    /// A number a row. Texts become their place in the order of all texts, so that dates as ISO 8601 writes them are in order.
    Number(Vec<f64>),
}

/// What a field is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// [`Column::Category`].
    Category,
    /// [`Column::Set`].
    Set,
    /// [`Column::Number`].
    Number,
}

impl Column {
    /// How many rows it has.
    pub fn rows(&self) -> usize {
        match self {
            Self::Category(labels) | Self::Set(labels) => labels.rows(),
            Self::Number(numbers) => numbers.len(),
        }
    }

    /// The values of `rows`, in their order.
    pub fn gather(&self, rows: &[u32]) -> Self {
        let labels = |all: &Labels| Labels::new(rows.iter().map(|&row| all.of(row).iter().copied()));
        match self {
            Self::Category(all) => Self::Category(labels(all)),
            Self::Set(all) => Self::Set(labels(all)),
            Self::Number(all) => Self::Number(rows.iter().map(|&row| all[row as usize]).collect()),
        }
    }
}

/// Reads the fields of `wanted`, in their order.
///
/// # Errors
/// A file that can't be read; a line that is not an object or whose field has another kind; a field that no line has.
pub fn read(path: &Path, wanted: &[(&str, Kind)]) -> Result<Vec<Column>> {
    let file = std::fs::File::open(path).map_err(Error::io(path))?;
    let mut values: Vec<Vec<Value>> = vec![Vec::new(); wanted.len()];
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(Error::io(path))?;
        let at = || format!("{}, line {}", path.display(), number + 1);
        let mut object = match serde_json::from_str(&line) {
            Ok(Value::Object(object)) => object,
            Ok(other) => return Err(unexpected(at(), "an object", &other)),
            Err(error) => {
                return Err(Error::Parse {
                    what: at(),
                    expected: "an object as JSON".into(),
                    found: error.to_string(),
                });
            }
        };
        for ((name, kind), values) in wanted.iter().zip(&mut values) {
            let value = object.remove(*name).unwrap_or(Value::Null);
            if !fits(&value, *kind) {
                return Err(unexpected(format!("{}, {name}", at()), expected(*kind), &value));
            }
            values.push(value);
        }
    }
    wanted
        .iter()
        .zip(values)
        .map(|(&(name, kind), values)| {
            if values.iter().all(Value::is_null) {
                return Err(Error::Parse {
                    what: path.display().to_string(),
                    expected: format!("the field {name:?} in some line"),
                    found: "none".into(),
                });
            }
            Ok(column(&values, kind))
        })
        .collect()
}

fn unexpected(what: String, expected: &str, found: &Value) -> Error {
    let mut found = found.to_string();
    if let Some((end, _)) = found.char_indices().nth(60) {
        found.truncate(end);
    }
    Error::Parse {
        what,
        expected: expected.into(),
        found,
    }
}

fn expected(kind: Kind) -> &'static str {
    match kind {
        Kind::Category => "a text or a number",
        Kind::Set => "a list of texts",
        Kind::Number => "a number or a text that sorts, such as 2019-05-01",
    }
}

fn fits(value: &Value, kind: Kind) -> bool {
    match (kind, value) {
        (_, Value::Null) => true,
        (Kind::Set, Value::Array(parts)) => parts.iter().all(Value::is_string),
        (Kind::Set, _) => false,
        (_, value) => value.is_string() || value.is_number(),
    }
}

fn column(values: &[Value], kind: Kind) -> Column {
    match kind {
        Kind::Category => Column::Category(labels(values, |value| match value {
            Value::Null => Vec::new(),
            value => vec![value.to_string()],
        })),
        Kind::Set => Column::Set(labels(values, |value| {
            let parts = value.as_array().into_iter().flatten();
            parts.map(Value::to_string).collect()
        })),
        Kind::Number => Column::Number(numbers(values)),
    }
}

/// Labels by the order in which they come.
fn labels(values: &[Value], of: impl Fn(&Value) -> Vec<String>) -> Labels {
    let mut known: HashMap<String, u32> = HashMap::new();
    Labels::new(values.iter().map(|value| {
        let texts = of(value).into_iter();
        texts
            .map(|text| {
                let next = known.len() as u32;
                *known.entry(text).or_insert(next)
            })
            .collect::<Vec<_>>()
    }))
}

fn numbers(values: &[Value]) -> Vec<f64> {
    if values.iter().all(|value| value.is_null() || value.is_number()) {
        return values
            .iter()
            .map(|value| value.as_f64().unwrap_or(f64::NAN))
            .collect();
    }
    let mut texts: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
    texts.sort_unstable();
    texts.dedup();
    let place = |text| texts.binary_search(&text).map_or(f64::NAN, |place| place as f64);
    values
        .iter()
        .map(|value| value.as_str().map_or(f64::NAN, place))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::TempPath {
        use std::io::Write;
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.into_temp_path()
    }

    #[test]
    fn fields_become_labels_and_numbers() {
        let text = "{\"c\":\"x\",\"s\":[\"a\",\"b\"],\"d\":\"2019-05-01\",\"n\":3}\n{}\n{\"c\":\"y\",\"s\":[\"b\"],\"d\":\"2018\",\"n\":1.5}\n";
        let wanted = [
            ("c", Kind::Category),
            ("s", Kind::Set),
            ("d", Kind::Number),
            ("n", Kind::Number),
        ];
        let columns = read(&file(text), &wanted).unwrap();
        let [
            Column::Category(c),
            Column::Set(s),
            Column::Number(d),
            Column::Number(n),
        ] = &columns[..]
        else {
            panic!("{columns:?}");
        };
        assert_eq!((c.of(0), c.of(1), c.of(2)), (&[0][..], &[][..], &[1][..]));
        assert_eq!((s.of(0), s.of(2)), (&[0, 1][..], &[1][..]));
        assert!(d[0] == 1.0 && d[1].is_nan() && d[2] == 0.0);
        assert!(n[0] == 3.0 && n[1].is_nan() && n[2] == 1.5);
        assert_eq!(columns[0].gather(&[2]).rows(), 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_line() {
        for (text, kind, expected) in [
            (
                "{}\n[1]\n",
                Kind::Category,
                "line 2: expected an object, found \"[1]\"",
            ),
            (
                "{\"f\":1}\n{\"f\":\n",
                Kind::Number,
                "line 2: expected an object as JSON",
            ),
            (
                "{\"f\":\"a\"}\n",
                Kind::Set,
                "line 1, f: expected a list of texts, found \"\\\"a\\\"\"",
            ),
            (
                "{\"g\":1}\n",
                Kind::Set,
                "expected the field \"f\" in some line, found \"none\"",
            ),
        ] {
            let error = read(&file(text), &[("f", kind)]).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
