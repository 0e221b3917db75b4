//! Questions of each kind at each selectivity, from the attributes of rows that were kept aside.

use std::collections::BTreeMap;
use std::sync::Arc;

use kokeshi_core::{Embeddings, Result, Seed, distance};
use kokeshi_filtered::{Filter, Labels};
use serde::Serialize;

use crate::attributes::Column;
use crate::questions::Questions;

/// The selectivities that questions are made for.
pub const LEVELS: [f64; 10] = [0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0001];
/// A filter belongs to a level if its selectivity is within this factor of it.
const NEAR: f64 = 1.4;
/// Labels of a row of which subsets are tried, and the largest subset.
const MOST_LABELS: usize = 8;
const MOST_WANTED: usize = 3;

/// What a filter asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The category of the query's own row.
    Equality,
    /// Up to three labels of the query's own row, all of them.
    Set,
    /// Numbers between two bounds.
    Range,
    /// Numbers up to a bound.
    UpTo,
    /// The category of the query's own row and numbers between two bounds.
    Conjunction,
    /// The category of that size that is least like the query.
    AntiCorrelated,
}

impl Kind {
    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Equality => "equality",
            Self::Set => "set",
            Self::Range => "range",
            Self::UpTo => "up to",
            Self::Conjunction => "conjunction",
            Self::AntiCorrelated => "anti-correlated",
        }
    }
}

/// Questions of one kind over the same columns at one selectivity.
#[derive(Debug)]
pub struct Cell {
    /// The kind.
    pub kind: Kind,
    /// The columns that are asked about.
    pub columns: Vec<String>,
    /// One of [`LEVELS`].
    pub level: f64,
    /// The questions.
    pub questions: Questions,
}

/// The rows that are searched and those that ask, with their attributes.
pub struct Set {
    /// What is searched, of unit length.
    pub points: Arc<Embeddings>,
    /// What is asked.
    pub queries: Arc<Embeddings>,
    /// The columns of what is searched.
    pub columns: Vec<(String, Column)>,
    /// The same columns of what is asked.
    pub own: Vec<Column>,
}

type Asked = Vec<(u32, Arc<Filter>)>;

/// Makes the cells: at most `each` questions in one, and none of fewer than a tenth of that.
///
/// # Errors
/// Queries that don't fit the rows.
pub fn cells(set: &Set, each: usize, k: usize, mut seed: Seed) -> Result<Vec<Cell>> {
    let mut drafts: BTreeMap<(Kind, Vec<String>, usize), Asked> = BTreeMap::new();
    for ((name, column), own) in set.columns.iter().zip(&set.own) {
        let mut put = |kind, level, asked: (u32, Arc<Filter>)| {
            let cell = drafts.entry((kind, vec![name.clone()], level)).or_default();
            if cell.len() < each {
                cell.push(asked);
            }
        };
        match (column, own) {
            (Column::Category(labels), Column::Category(own)) => {
                equality(labels, own, &mut put);
                against(set, labels, own, &mut put);
            }
            (Column::Set(labels), Column::Set(own)) => sets(labels, own, each, &mut seed, &mut put),
            (Column::Number(numbers), _) => ranges(numbers, set.queries.rows(), each, &mut seed, &mut put),
            _ => {}
        }
    }
    let first = |wanted: fn(&Column) -> bool| set.columns.iter().position(|(_, column)| wanted(column));
    let category = first(|column| matches!(column, Column::Category(_)));
    let number = first(|column| matches!(column, Column::Number(_)));
    if let (Some(category), Some(number)) = (category, number)
        && let (Column::Category(labels), Column::Category(own)) =
            (&set.columns[category].1, &set.own[category])
        && let Column::Number(numbers) = &set.columns[number].1
    {
        let names = vec![set.columns[category].0.clone(), set.columns[number].0.clone()];
        conjunctions(labels, own, numbers, each, &mut seed, &mut |level, asked| {
            let cell = drafts
                .entry((Kind::Conjunction, names.clone(), level))
                .or_default();
            if cell.len() < each {
                cell.push(asked);
            }
        });
    }
    let mut cells = Vec::new();
    for ((kind, columns, level), asked) in drafts {
        let questions = Questions::new(&set.points, set.queries.clone(), asked, k)?;
        if questions.len() * 10 >= each.max(10) {
            cells.push(Cell {
                kind,
                columns,
                level: LEVELS[level],
                questions,
            });
        }
    }
    Ok(cells)
}

/// The level that `share` belongs to.
fn level(share: f64) -> Option<usize> {
    let near = |level: &f64| share <= level * NEAR && share >= level / NEAR;
    LEVELS.iter().position(near)
}

/// Filters by label, made once each.
struct ByLabel<'a> {
    labels: &'a Labels,
    members: Vec<Vec<u32>>,
    made: BTreeMap<u32, Arc<Filter>>,
}

impl<'a> ByLabel<'a> {
    fn new(labels: &'a Labels) -> Self {
        Self {
            labels,
            members: labels.members(),
            made: BTreeMap::new(),
        }
    }

    fn level(&self, label: u32) -> Option<usize> {
        let members = self.members.get(label as usize)?.len();
        level(members as f64 / self.labels.rows().max(1) as f64)
    }

    fn filter(&mut self, label: u32) -> Arc<Filter> {
        let make = || Arc::new(self.labels.containing(&[label]));
        self.made.entry(label).or_insert_with(make).clone()
    }
}

fn equality(labels: &Labels, own: &Labels, put: &mut impl FnMut(Kind, usize, (u32, Arc<Filter>))) {
    let mut by = ByLabel::new(labels);
    for query in 0..own.rows() as u32 {
        for &label in own.of(query) {
            if let Some(level) = by.level(label) {
                put(Kind::Equality, level, (query, by.filter(label)));
            }
        }
    }
}

/// For each query and level the label whose members' mean is the farthest from the query.
fn against(set: &Set, labels: &Labels, own: &Labels, put: &mut impl FnMut(Kind, usize, (u32, Arc<Filter>))) {
    let mut by = ByLabel::new(labels);
    let mean = |members: &[u32]| {
        let mut mean = vec![0.0f32; set.points.dims()];
        for &row in members {
            let row = set.points.row(row as usize);
            mean.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
        }
        distance::normalize(&mut mean);
        mean
    };
    let means: Vec<(u32, usize, Vec<f32>)> = (0..labels.count() as u32)
        .filter_map(|label| Some((label, by.level(label)?, mean(&by.members[label as usize]))))
        .collect();
    for query in 0..own.rows() as u32 {
        for level in 0..LEVELS.len() {
            let fits = means
                .iter()
                .filter(|(label, at, _)| *at == level && !own.has(query, *label));
            let vector = set.queries.row(query as usize);
            let like = |mean: &[f32]| distance::dot(vector, mean);
            let farthest = fits.min_by(|a, b| like(&a.2).total_cmp(&like(&b.2)));
            if let Some(&(label, ..)) = farthest {
                put(Kind::AntiCorrelated, level, (query, by.filter(label)));
            }
        }
    }
}

fn sets(
    labels: &Labels,
    own: &Labels,
    each: usize,
    seed: &mut Seed,
    put: &mut impl FnMut(Kind, usize, (u32, Arc<Filter>)),
) {
    let members = labels.members();
    let rows = labels.rows().max(1) as f64;
    let mut made = [0usize; LEVELS.len()];
    for query in 0..own.rows() as u32 {
        let mut known: Vec<u32> = own.of(query).to_vec();
        known.retain(|&label| members.get(label as usize).is_some_and(|rows| !rows.is_empty()));
        seed.shuffle(&mut known);
        known.truncate(MOST_LABELS);
        // Subsets as bits; one a level and query, the largest that fits.
        let mut subsets: Vec<u32> = (1..1u32 << known.len())
            .filter(|bits| bits.count_ones() as usize <= MOST_WANTED)
            .collect();
        subsets.sort_by_key(|bits| std::cmp::Reverse(bits.count_ones()));
        let mut taken = [false; LEVELS.len()];
        for bits in subsets {
            let wanted: Vec<u32> = (0..known.len())
                .filter(|at| bits >> at & 1 == 1)
                .map(|at| known[at])
                .collect();
            let Some(rarest) = wanted.iter().min_by_key(|&&label| members[label as usize].len()) else {
                continue;
            };
            let all = |row: &&u32| wanted.iter().all(|&label| labels.has(**row, label));
            let matches = members[*rarest as usize].iter().filter(all).count();
            if let Some(level) = level(matches as f64 / rows)
                && !taken[level]
                && made[level] < each
            {
                taken[level] = true;
                made[level] += 1;
                put(Kind::Set, level, (query, Arc::new(labels.containing(&wanted))));
            }
        }
    }
}

/// The bounds of a window of `share` of `sorted`, at a random place; whole values, so that it may hold a few more.
fn window(sorted: &[f64], wanted: f64, seed: &mut Seed) -> Option<(f64, f64)> {
    let width = (wanted.round() as usize).max(1);
    if width > sorted.len() {
        return None;
    }
    let start = seed.below(sorted.len() - width + 1);
    Some((sorted[start], sorted[start + width - 1]))
}

fn sorted(numbers: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = numbers.filter(|number| !number.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn ranges(
    numbers: &[f64],
    queries: usize,
    each: usize,
    seed: &mut Seed,
    put: &mut impl FnMut(Kind, usize, (u32, Arc<Filter>)),
) {
    let order = sorted(numbers.iter().copied());
    for wanted in LEVELS {
        for query in (0..queries as u32).take(each) {
            let count = wanted * numbers.len() as f64;
            let Some((low, high)) = window(&order, count, seed) else {
                continue;
            };
            let up_to = order[((count.round() as usize).max(1) - 1).min(order.len() - 1)];
            for (kind, low, high) in [(Kind::Range, low, high), (Kind::UpTo, f64::NEG_INFINITY, up_to)] {
                let filter = Filter::range(numbers, low..=high);
                // Equal numbers can make a range wider than was asked for.
                if let Some(level) = level(filter.rows.selectivity()) {
                    put(kind, level, (query, Arc::new(filter)));
                }
            }
        }
    }
}

fn conjunctions(
    labels: &Labels,
    own: &Labels,
    numbers: &[f64],
    each: usize,
    seed: &mut Seed,
    put: &mut impl FnMut(usize, (u32, Arc<Filter>)),
) {
    let mut by = ByLabel::new(labels);
    let mut made = [0usize; LEVELS.len()];
    for query in 0..own.rows() as u32 {
        let Some(&label) = own.of(query).first() else {
            continue;
        };
        let Some(members) = by.members.get(label as usize) else {
            continue;
        };
        let order = sorted(members.iter().map(|&row| numbers[row as usize]));
        for wanted in LEVELS {
            // At least a third of the category is left out: otherwise it would be equality.
            let count = wanted * labels.rows() as f64;
            if count * 1.5 > order.len() as f64 {
                continue;
            }
            let Some((low, high)) = window(&order, count, seed) else {
                continue;
            };
            let full = made[level(wanted).unwrap_or(0)] >= each;
            if full {
                continue;
            }
            let filter = (*by.filter(label))
                .clone()
                .and(&Filter::range(numbers, low..=high));
            if let Some(level) = level(filter.rows.selectivity()) {
                made[level] += 1;
                put(level, (query, Arc::new(filter)));
            }
        }
    }
}
