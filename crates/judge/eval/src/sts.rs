//! Sentence pairs with a similarity that people gave: the layout of the STS benchmark, and plain three-column files.

use std::path::Path;

use crate::{
    error::{Error, Result},
    lines::{self, Lines},
};

/// Two sentences and how similar people found them.
#[derive(Debug, Clone, PartialEq)]
pub struct StsPair {
    /// The similarity, in STS from 0 to 5.
    pub score: f64,
    /// One sentence.
    pub first: String,
    /// The other.
    pub second: String,
}

/// Reads pairs from a TSV file (never quoted, as STS is) or a CSV file (quoted where needed), compressed or not. With a header, the columns
/// `score`, `sentence1` and `sentence2` are taken wherever they are; without, the three columns are score, first and second.
///
/// # Errors
/// A file that can't be read, a line without these columns, a score that is no finite number.
pub fn read_sts(path: &Path) -> Result<Vec<StsPair>> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    let mut pairs = Pairs {
        path,
        columns: None,
        pairs: Vec::new(),
    };
    if name.trim_end_matches(".gz").ends_with(".csv") {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(lines::open(path)?);
        for record in reader.records() {
            let record = record.map_err(|error| {
                let line = error.position().map_or(0, csv::Position::line);
                Error::line(path, line, "CSV", error.to_string())
            })?;
            let line = record.position().map_or(0, csv::Position::line);
            pairs.add(line, &record.iter().collect::<Vec<_>>())?;
        }
    } else {
        let mut lines = Lines::open(path)?;
        while let Some((number, line)) = lines.next()? {
            pairs.add(number, &line.split('\t').collect::<Vec<_>>())?;
        }
    }
    Ok(pairs.pairs)
}

struct Pairs<'a> {
    path: &'a Path,
    /// Where score, first and second are.
    columns: Option<[usize; 3]>,
    pairs: Vec<StsPair>,
}

impl Pairs<'_> {
    fn add(&mut self, line: u64, fields: &[&str]) -> Result<()> {
        let expected = "score, sentence1 and sentence2";
        let columns = match self.columns {
            Some(columns) => columns,
            None => {
                let named = |name: &str| {
                    fields
                        .iter()
                        .position(|field| field.trim().eq_ignore_ascii_case(name))
                };
                if let (Some(score), Some(first), Some(second)) =
                    (named("score"), named("sentence1"), named("sentence2"))
                {
                    self.columns = Some([score, first, second]);
                    return Ok(());
                }
                if fields.len() != 3 {
                    return Err(Error::line(
                        self.path,
                        line,
                        format!("{expected}, or a header that names them"),
                        fields.join("\t"),
                    ));
                }
                *self.columns.insert([0, 1, 2])
            }
        };
        let [Some(score), Some(first), Some(second)] = columns.map(|column| fields.get(column)) else {
            return Err(Error::line(self.path, line, expected, fields.join("\t")));
        };
        match score.trim().parse::<f64>() {
            Ok(parsed) if parsed.is_finite() => self.pairs.push(StsPair {
                score: parsed,
                first: (*first).to_owned(),
                second: (*second).to_owned(),
            }),
            _ => return Err(Error::line(self.path, line, "a number as score", score)),
        }
        Ok(())
    }
}
