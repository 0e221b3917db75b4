//! Training data: every text once, rows as numbers of texts; then the texts as token ids.

use std::collections::HashMap;

use kokeshi_encode::{Model, Options, WordIds};
use kokeshi_sources::{Origin, rows};

use crate::error::{Error, Result};
use crate::pool::Pool;
use crate::recipe::{Data, DataKind, Recipe};

/// All data of a recipe.
pub(crate) struct Examples {
    /// Token ids of every text.
    pub texts: Vec<Vec<u32>>,
    /// The texts themselves, for guides.
    pub strings: Vec<String>,
    pub sets: Vec<Set>,
    /// Rows that could not be read: file, line and problem.
    pub skipped: Vec<String>,
}

/// Rows with as many columns each, for one loss.
pub(crate) struct Set {
    /// Which of the recipe's data it is.
    pub data: usize,
    /// Numbers of texts by column, row after row.
    pub columns: usize,
    pub rows: Vec<u32>,
    /// A label for each row; empty if there are none.
    pub labels: Vec<f32>,
    /// Where each row stands: the number of a file, and a line.
    origins: Vec<(u32, u32)>,
    files: Vec<String>,
}

impl Set {
    pub fn len(&self) -> usize {
        self.rows.len() / self.columns
    }

    pub fn row(&self, row: usize) -> &[u32] {
        &self.rows[row * self.columns..][..self.columns]
    }

    /// File and line of a row.
    pub fn origin(&self, row: usize) -> String {
        let (file, line) = self.origins[row];
        format!("{}:{line}", self.files[file as usize])
    }

    fn new(data: usize, columns: usize) -> Self {
        Self {
            data,
            columns,
            rows: Vec::new(),
            labels: Vec::new(),
            origins: Vec::new(),
            files: Vec::new(),
        }
    }

    fn push(&mut self, texts: &[u32], origin: &Origin) {
        self.rows.extend_from_slice(texts);
        if self.files.last() != Some(&origin.path) {
            self.files.push(origin.path.clone());
        }
        self.origins
            .push((self.files.len() as u32 - 1, origin.line as u32));
    }
}

/// Reads all data of a recipe; the texts get their token ids by [`Examples::tokenize`].
///
/// # Errors
/// A row that can't be read, with file and line, if there are more of them than the recipe allows; a data set without rows.
pub(crate) fn read(recipe: &Recipe) -> Result<Examples> {
    let (mut pool, mut sets, mut skipped) = (Pool::default(), Vec::new(), Vec::new());
    for (number, data) in recipe.data.iter().enumerate() {
        let before: usize = sets.iter().map(Set::len).sum();
        one(number, data, &mut pool, &mut sets, &mut skipped)?;
        if sets.iter().map(Set::len).sum::<usize>() == before {
            let problem = format!("no rows of {:?} in {}", data.kind, data.paths[0].display());
            return Err(recipe.wrong("path", problem));
        }
    }
    sets.retain(|set| set.len() > 1);
    Ok(Examples {
        texts: Vec::new(),
        strings: pool.into_texts(),
        sets,
        skipped,
    })
}

impl Examples {
    /// Makes the texts' token ids, cut as the recipe says; a model that reads words has them in `words`.
    ///
    /// # Errors
    /// A model that is no transformer.
    pub fn tokenize(&mut self, recipe: &Recipe, model: &Model, words: &mut WordIds) -> Result<()> {
        self.texts = model.ids_with_words(&self.strings, &Options::default(), words)?;
        if let Some(most) = recipe.train.max_tokens {
            for ids in self.texts.iter_mut().filter(|ids| ids.len() > most) {
                // The last token is a special one, as it was.
                let last = ids[ids.len() - 1];
                ids.truncate(most);
                ids[most - 1] = last;
            }
        }
        Ok(())
    }
}

/// One row, checked.
struct Checked {
    texts: Vec<u32>,
    label: f32,
    class: Class,
    origin: Origin,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Positive,
    Negative,
    Neither,
}

fn one(
    number: usize,
    data: &Data,
    pool: &mut Pool,
    sets: &mut Vec<Set>,
    skipped: &mut Vec<String>,
) -> Result<()> {
    let columns: Vec<&str> = data.columns.iter().map(String::as_str).collect();
    let mut checked = Vec::new();
    let mut bad = 0;
    for row in rows(&data.paths, &columns)? {
        if data.limit.is_some_and(|limit| checked.len() >= limit) {
            break;
        }
        let row = row.and_then(|row| {
            check(data, &row.values, pool)
                .map(|(texts, label, class)| Checked {
                    texts,
                    label,
                    class,
                    origin: row.origin.clone(),
                })
                .map_err(|problem| kokeshi_sources::RowError {
                    origin: row.origin,
                    problem,
                    fatal: false,
                })
        });
        match row {
            Ok(row) => checked.push(row),
            Err(error) => {
                bad += 1;
                if bad > data.most_bad {
                    return Err(Error::Row(error));
                }
                skipped.push(error.to_string());
            }
        }
    }
    if data.kind == DataKind::Nli {
        return nli(number, &checked, sets);
    }
    let width = checked.first().map_or(1, |row| row.texts.len());
    let mut set = Set::new(number, width);
    for row in checked {
        set.push(&row.texts, &row.origin);
        if data.kind == DataKind::Scored {
            set.labels.push(row.label);
        }
    }
    sets.push(set);
    Ok(())
}

/// Entailments with a contradiction of the same premise as triplets, the others as pairs.
fn nli(number: usize, rows: &[Checked], sets: &mut Vec<Set>) -> Result<()> {
    let mut against: HashMap<u32, Vec<u32>> = HashMap::new();
    for row in rows.iter().filter(|row| row.class == Class::Negative) {
        against.entry(row.texts[0]).or_default().push(row.texts[1]);
    }
    let (mut triplets, mut pairs) = (Set::new(number, 3), Set::new(number, 2));
    let mut used: HashMap<u32, usize> = HashMap::new();
    for row in rows
        .iter()
        .filter(|row| row.class == Class::Positive && row.texts[0] != row.texts[1])
    {
        match against.get(&row.texts[0]) {
            Some(negatives) => {
                let turn = used.entry(row.texts[0]).or_default();
                let negative = negatives[*turn % negatives.len()];
                *turn += 1;
                triplets.push(&[row.texts[0], row.texts[1], negative], &row.origin);
            }
            None => pairs.push(&row.texts, &row.origin),
        }
    }
    sets.extend([triplets, pairs]);
    Ok(())
}

fn check(data: &Data, values: &[Option<String>], pool: &mut Pool) -> Result<(Vec<u32>, f32, Class), String> {
    let cell = |at: usize| {
        let value = values[at]
            .as_deref()
            .map(str::trim)
            .filter(|text| !text.is_empty());
        value.ok_or_else(|| format!("expected a text in {}, found nothing", data.columns[at]))
    };
    let texts = match data.kind {
        DataKind::Pairs | DataKind::Triplets => values.len(),
        DataKind::Scored | DataKind::Nli => 2,
        DataKind::Texts => 1,
    };
    let found: Vec<&str> = (0..texts).map(cell).collect::<Result<_, _>>()?;
    let (mut label, mut class) = (0.0, Class::Neither);
    match data.kind {
        DataKind::Scored => {
            let text = cell(2)?;
            let number = text.parse::<f32>().ok().filter(|number| number.is_finite());
            let number =
                number.ok_or_else(|| format!("{}: expected a number, found {text:?}", data.columns[2]))?;
            label = number / data.scale;
        }
        DataKind::Nli => {
            class = match cell(2)?.to_ascii_lowercase().as_str() {
                "entailment" | "entailed" => Class::Positive,
                "contradiction" => Class::Negative,
                "neutral" | "-" | "not_entailment" => Class::Neither,
                other => {
                    let expected = "entailment, neutral or contradiction";
                    return Err(format!(
                        "{}: expected {expected}, found {other:?}",
                        data.columns[2]
                    ));
                }
            };
        }
        _ => {}
    }
    Ok((
        found.into_iter().map(|text| pool.number(text)).collect(),
        label,
        class,
    ))
}
