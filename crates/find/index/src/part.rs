//! Graphs for rows that many filters ask for: a category's, or those from a date on.
//!
//! A filter whose matches are all in such a part is answered there, by the same planner over fewer rows: what it asks for in words does
//! not matter. [`common`] chooses parts for an attribute, [`Part::narrow`] says whether a filter stays inside, once a filter.

use std::collections::BTreeMap;
use std::sync::Arc;

use kokeshi_core::{Bitmap, Error, Metric, TopK};

use crate::flat::scan;
use crate::query::Query;
use crate::{Effort, Found, Graph, GraphIndex, Index, Result, Vectors};

/// Fewer rows need no graph of their own: of so many a scan of codes takes as long as a walk, and is nearer to the processor, being part of what all
/// searches read.
pub const LEAST: usize = 2048;
/// How many times as long as for its own rows the list of a part is: queries come from everywhere.
const FARTHER: usize = 2;
/// Parts of one attribute by its values, at most: the values that most rows have.
const MOST_VALUES: usize = 256;

/// A graph over some of the first rows of a set of vectors.
#[derive(Debug, Clone)]
pub struct Part {
    /// Ascending.
    ids: Arc<[u32]>,
    /// It knows the rows before this one.
    covered: usize,
    index: GraphIndex,
}

/// What a filter is inside a part.
#[derive(Debug, Clone)]
pub struct Narrowed {
    /// In the part's numbering; `None` if all of its rows pass.
    rows: Option<Bitmap>,
}

impl Part {
    /// Joins a graph over the rows `ids` of `vectors` with them; rows from `covered` on came after it.
    ///
    /// # Errors
    /// [`Error::Parse`] if `ids` do not ascend, are not below `covered`, or are not as many as the graph's nodes; what [`GraphIndex::new`] refuses.
    pub fn new(graph: Graph, ids: Arc<[u32]>, vectors: &Vectors, covered: usize) -> Result<Self> {
        let ascend = ids.windows(2).all(|pair| pair[0] < pair[1]);
        let last = ids.last().map_or(0, |&id| id as usize + 1);
        if !ascend || last > covered || ids.len() != graph.nodes() {
            return Err(Error::Parse {
                what: "the rows of a part".into(),
                expected: format!("{} that ascend below {covered}", graph.nodes()),
                found: format!("{} up to {last}", ids.len()),
            }
            .into());
        }
        let index = GraphIndex::new(graph, vectors.pick(ids.clone())?)?;
        Ok(Self { ids, covered, index })
    }

    /// How many rows it has.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// What `filter` is inside this part; `None` if it lets a row through that was there when the part was made and is not in it.
    pub fn narrow(&self, filter: &Bitmap) -> Option<Narrowed> {
        let mut first = filter.iter().take_while(|&id| (id as usize) < self.covered);
        let inside = |id: u32| self.ids.binary_search(&id).is_ok();
        // Most filters that don't belong here show it at once.
        if !first.by_ref().take(8).all(inside) {
            return None;
        }
        let local = (0u32..).zip(self.ids.iter());
        let local = local.filter(|(_, id)| filter.contains(**id)).map(|(at, _)| at);
        let rows = Bitmap::from_sorted(self.ids.len(), local);
        let known = filter.count_in(0..self.covered);
        (rows.count() == known).then(|| Narrowed {
            rows: (rows.count() < self.ids.len()).then_some(rows),
        })
    }

    /// The `k` best rows of `vectors`, of which the first are the ones that this part was made of, among those in `filter`; `narrowed` is what
    /// [`Part::narrow`] made of it.
    ///
    /// # Errors
    /// As [`Index::search`].
    pub fn search(
        &self,
        vectors: &Vectors,
        query: &[f32],
        k: usize,
        effort: Effort,
        filter: &Bitmap,
        narrowed: &Narrowed,
    ) -> Result<Found> {
        let effort = match (effort, self.index.graph().default_list()) {
            (Effort::Default, Some(list)) if narrowed.rows.is_none() => Effort::List(FARTHER * list),
            _ => effort,
        };
        let Found { hits, mut cost } = self.index.search(query, k, effort, narrowed.rows.as_ref())?;
        let mut best = TopK::new(k.min(vectors.rows()));
        for hit in hits {
            best.push(self.ids[hit.id as usize], hit.score);
        }
        if self.covered < vectors.rows() {
            let query = Query::new(query, self.metric(), vectors.dims())?;
            let fresh = scan(
                vectors,
                &query,
                self.covered..vectors.rows(),
                Some(filter),
                &mut best,
            );
            cost.distances += fresh;
            cost.vectors += fresh;
        }
        Ok(Found {
            hits: best.into_sorted(),
            cost,
        })
    }

    /// How rows are compared.
    pub fn metric(&self) -> Metric {
        self.index.metric()
    }
}

/// What the rows of a part have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Common<T> {
    /// They have this value.
    Value(T),
    /// Their value is this or less.
    AtMost(T),
    /// Their value is this or more.
    AtLeast(T),
}

/// What an attribute's values are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Equality.
    Names,
    /// Ranges.
    Amounts,
    /// Both: numbers that come again, such as years.
    Steps,
}

/// The parts that an attribute deserves, of `rows` rows with values as in `entries` (a row may have several values, or none): the rows of each
/// frequent value, and the lower and upper half, quarter, eighth and so on, as whole values allow. None has more than about half the rows,
/// where the graph of all is as good (three quarters where a value is that frequent), or fewer than [`LEAST`].
pub fn common<T: Ord + Clone>(entries: &[(T, u32)], rows: usize, kind: Kind) -> Vec<(Common<T>, Vec<u32>)> {
    let mut by_value: BTreeMap<&T, Vec<u32>> = BTreeMap::new();
    for (value, row) in entries {
        by_value.entry(value).or_default().push(*row);
    }
    let mut parts = Vec::new();
    if kind != Kind::Amounts {
        let fits = |members: &Vec<u32>| members.len() >= LEAST && members.len() * 2 <= rows;
        let mut frequent: Vec<_> = by_value.iter().filter(|(_, members)| fits(members)).collect();
        frequent.sort_by_key(|(_, members)| std::cmp::Reverse(members.len()));
        frequent.truncate(MOST_VALUES);
        parts.extend(
            frequent
                .into_iter()
                .map(|(value, members)| (Common::Value((*value).clone()), set(members.clone()))),
        );
    }
    if kind != Kind::Names {
        parts.extend(halves(by_value.iter(), rows, Common::AtMost));
        parts.extend(halves(by_value.iter().rev(), rows, Common::AtLeast));
    }
    parts
}

/// The smallest sets of the first values that hold a half, a quarter, ... of the rows.
fn halves<'a, T: Ord + Clone + 'a>(
    values: impl Iterator<Item = (&'a &'a T, &'a Vec<u32>)>,
    rows: usize,
    of: fn(T) -> Common<T>,
) -> Vec<(Common<T>, Vec<u32>)> {
    let mut wanted: Vec<usize> = (1..32).map(|half| rows >> half).collect();
    wanted.retain(|&size| size >= LEAST);
    let (mut parts, mut members) = (Vec::new(), Vec::new());
    for (value, more) in values {
        members.extend_from_slice(more);
        // A value that many rows have may be several steps at once, or take in too many.
        let reached = wanted.last().is_some_and(|&size| members.len() >= size);
        wanted.retain(|&size| size > members.len());
        if reached && members.len() * 4 <= rows * 3 {
            parts.push((of((*value).clone()), set(members.clone())));
        }
    }
    parts
}

/// Ascending, without repeats.
fn set(mut rows: Vec<u32>) -> Vec<u32> {
    rows.sort_unstable();
    rows.dedup();
    rows
}

#[cfg(test)]
mod tests {
    use kokeshi_core::{Embeddings, Seed, Silent};

    use super::*;
    use crate::{FlatIndex, GraphConfig};

    fn vectors(rows: usize) -> Vectors {
        let mut seed = Seed(3);
        let values = (0..rows * 16).map(|_| seed.normal() as f32).collect();
        let mut rows = Embeddings::from_vec(values, 16).unwrap();
        rows.normalize();
        rows.into()
    }

    fn part(vectors: &Vectors, ids: Vec<u32>, covered: usize) -> Part {
        let ids: Arc<[u32]> = ids.into();
        let picked = vectors.pick(ids.clone()).unwrap();
        let graph = Graph::build(&picked, Metric::Cosine, GraphConfig::default(), &Silent).unwrap();
        Part::new(graph, ids, vectors, covered).unwrap()
    }

    #[test]
    fn a_part_finds_what_a_scan_of_everything_finds() {
        let vectors = vectors(3000);
        // Every third of the first 2,700 rows is in the part, and any row may have come later.
        let part = part(&vectors, (0..2700).step_by(3).collect(), 2700);
        let exact = FlatIndex::new(vectors.clone(), Metric::Cosine);
        let whole = Bitmap::from_sorted(3000, (0..2700).step_by(3).chain(2701..2990));
        let some = Bitmap::from_sorted(3000, (0..2700).step_by(6));
        for filter in [whole, some] {
            let narrowed = part.narrow(&filter).unwrap();
            for row in [0, 77, 2720] {
                let query = vectors.row(row);
                let wanted = exact.search(query, 10, Effort::Exact, Some(&filter)).unwrap();
                let found = part
                    .search(&vectors, query, 10, Effort::Exact, &filter, &narrowed)
                    .unwrap();
                assert_eq!(found.hits, wanted.hits);
                assert!(found.cost.vectors <= found.cost.distances);
            }
        }
    }

    #[test]
    fn a_filter_that_lets_another_row_through_does_not_fit() {
        let vectors = vectors(2000);
        let part = part(&vectors, (500..1500).collect(), 1800);
        let fits = |ids: Vec<u32>| part.narrow(&Bitmap::from_sorted(2000, ids)).is_some();
        assert!(fits((500..1500).collect()) && fits(vec![]) && fits(vec![700, 1900]));
        assert!(
            !fits(vec![499]) && !fits((500..1501).collect()) && !fits((600..700).chain([1799]).collect())
        );
    }

    #[test]
    fn rows_that_are_not_the_graphs_are_refused() {
        let vectors = vectors(100);
        let Part { index, .. } = part(&vectors, (0..50).collect(), 60);
        let graph = index.graph();
        for ids in [
            (0..49).collect::<Vec<_>>(),
            (50..100).collect(),
            (0..50).rev().collect(),
        ] {
            assert!(Part::new(graph.clone(), ids.into(), &vectors, 60).is_err());
        }
    }

    #[test]
    fn parts_are_frequent_values_and_halves_of_halves() {
        let rows = 16 * LEAST;
        // Half the rows have 0; the rest 1 to 8; nothing is frequent but 0 and those with a sixteenth.
        let value = |row: usize| if row < rows / 2 { 0 } else { 1 + row % 8 };
        let entries: Vec<(usize, u32)> = (0..rows).map(|row| (value(row), row as u32)).collect();
        let names = common(&entries, rows, Kind::Names);
        assert_eq!(names.len(), 9);
        assert_eq!(names[0], (Common::Value(0), (0..rows as u32 / 2).collect()));
        let amounts = common(&entries, rows, Kind::Amounts);
        let about: Vec<_> = amounts
            .iter()
            .map(|(common, rows)| (common.clone(), rows.len() / LEAST))
            .collect();
        assert_eq!(
            about,
            [
                (Common::AtMost(0), 8),
                (Common::AtLeast(8), 1),
                (Common::AtLeast(7), 2),
                (Common::AtLeast(5), 4),
                (Common::AtLeast(1), 8),
            ]
        );
        assert_eq!(common(&entries, rows, Kind::Steps).len(), 14);
        assert!(common(&entries[..100], 100, Kind::Steps).is_empty());
    }
}
