//! What rows are filtered by: label sets and numbers, and the filters over them.

use std::ops::RangeInclusive;

use kokeshi_core::Bitmap;

/// A set of labels for each row.
#[derive(Debug, Clone)]
pub struct Labels {
    /// Where the labels of each row begin in `labels`, and where the last ones end.
    starts: Vec<usize>,
    /// Ascending within a row, without repeats.
    labels: Vec<u32>,
    count: usize,
}

impl Labels {
    /// One set a row; order and repeats within a row do not matter.
    pub fn new(rows: impl IntoIterator<Item = impl IntoIterator<Item = u32>>) -> Self {
        let (mut starts, mut labels, mut set) = (vec![0], Vec::new(), Vec::new());
        for row in rows {
            set.clear();
            set.extend(row);
            set.sort_unstable();
            set.dedup();
            labels.extend_from_slice(&set);
            starts.push(labels.len());
        }
        let count = labels.iter().max().map_or(0, |&label| label as usize + 1);
        Self {
            starts,
            labels,
            count,
        }
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// One more than the largest label.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The labels of a row, ascending.
    #[inline]
    pub fn of(&self, row: u32) -> &[u32] {
        &self.labels[self.starts[row as usize]..self.starts[row as usize + 1]]
    }

    /// Whether a row has a label.
    #[inline]
    pub fn has(&self, row: u32, label: u32) -> bool {
        self.of(row).contains(&label)
    }

    /// The rows of each label, ascending: `[count()]`.
    pub fn members(&self) -> Vec<Vec<u32>> {
        let mut members = vec![Vec::new(); self.count];
        for row in 0..self.rows() as u32 {
            for &label in self.of(row) {
                members[label as usize].push(row);
            }
        }
        members
    }

    /// Rows that have all labels of `wanted`.
    pub fn containing(&self, wanted: &[u32]) -> Filter {
        let wanted = set(wanted);
        Filter {
            rows: self.passing(|row| subset(&wanted, row)),
            shape: Shape::Contains(wanted),
        }
    }

    /// Rows that have one of the labels of `wanted` or several.
    pub fn any(&self, wanted: &[u32]) -> Filter {
        let wanted = set(wanted);
        Filter {
            rows: self.passing(|row| overlaps(&wanted, row)),
            shape: Shape::Any(wanted),
        }
    }

    /// Rows that have the labels of `wanted` and no others.
    pub fn exactly(&self, wanted: &[u32]) -> Filter {
        let wanted = set(wanted);
        Filter {
            rows: self.passing(|row| wanted == row),
            shape: Shape::Exactly(wanted),
        }
    }

    fn passing(&self, passes: impl Fn(&[u32]) -> bool) -> Bitmap {
        let rows = (0..self.rows() as u32).filter(|&row| passes(self.of(row)));
        Bitmap::from_sorted(self.rows(), rows)
    }
}

/// Ascending, without repeats.
fn set(labels: &[u32]) -> Vec<u32> {
    let mut set = labels.to_vec();
    set.sort_unstable();
    set.dedup();
    set
}

/// Whether two sets share a label.
#[inline]
pub(crate) fn overlaps(wanted: &[u32], has: &[u32]) -> bool {
    has.iter().any(|label| wanted.contains(label))
}

/// Whether all of `inner` is in `outer`; both ascend.
pub(crate) fn subset(inner: &[u32], outer: &[u32]) -> bool {
    let mut outer = outer.iter();
    inner.len() <= outer.len() && inner.iter().all(|label| outer.any(|other| other == label))
}

/// What a filter asks for: specialised indexes need to know, others need only [`Filter::rows`].
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    /// All of these labels, ascending. A single one is equality on a category.
    Contains(Vec<u32>),
    /// One of these labels or several.
    Any(Vec<u32>),
    /// These labels and no others.
    Exactly(Vec<u32>),
    /// A number from the first to the second, both included.
    Range(f64, f64),
    /// All of these at once.
    All(Vec<Shape>),
}

/// The rows that a search may return, and why those.
#[derive(Debug, Clone)]
pub struct Filter {
    /// The rows that pass.
    pub rows: Bitmap,
    /// What was asked for.
    pub shape: Shape,
}

impl Filter {
    /// Every row.
    pub fn all(rows: usize) -> Self {
        Self {
            rows: Bitmap::full(rows),
            shape: Shape::Contains(Vec::new()),
        }
    }

    /// Rows whose number is in `range`; a number that is NaN never is.
    pub fn range(numbers: &[f64], range: RangeInclusive<f64>) -> Self {
        let passing = (0u32..)
            .zip(numbers)
            .filter(|(_, number)| range.contains(number))
            .map(|(row, _)| row);
        Self {
            rows: Bitmap::from_sorted(numbers.len(), passing),
            shape: Shape::Range(*range.start(), *range.end()),
        }
    }

    /// Rows that pass both.
    pub fn and(mut self, other: &Self) -> Self {
        self.rows.intersect(&other.rows);
        let parts = [self.shape, other.shape.clone()].into_iter();
        self.shape = Shape::All(
            parts
                .flat_map(|shape| match shape {
                    Shape::All(parts) => parts,
                    shape => vec![shape],
                })
                .collect(),
        );
        self
    }

    /// What of this filter an index that answers the shapes that `serves` accepts has to look for, and the rows that it must then
    /// check because that is not all.
    pub(crate) fn part(&self, serves: impl Fn(&Shape) -> bool) -> Option<(&Shape, Option<&Bitmap>)> {
        match &self.shape {
            Shape::All(parts) => Some((parts.iter().find(|part| serves(part))?, Some(&self.rows))),
            shape => serves(shape).then_some((shape, None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_pass_the_rows_that_they_describe() {
        let labels = Labels::new([vec![2, 0, 2], vec![], vec![0], vec![1, 2, 0]]);
        assert_eq!(labels.of(0), [0, 2]);
        assert_eq!(labels.count(), 3);
        assert_eq!(labels.members(), [vec![0, 2, 3], vec![3], vec![0, 3]]);
        let both = labels.containing(&[2, 0]);
        assert_eq!(both.rows.iter().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(both.shape, Shape::Contains(vec![0, 2]));
        let late = Filter::range(&[3.0, f64::NAN, 1.0, 2.0], 2.0..=3.0);
        assert_eq!(late.rows.iter().collect::<Vec<_>>(), [0, 3]);
        let both = late.and(&labels.containing(&[1]));
        assert_eq!(both.rows.iter().collect::<Vec<_>>(), [3]);
        let ranges = |shape: &Shape| matches!(shape, Shape::Range(..));
        assert_eq!(
            both.part(ranges),
            Some((&Shape::Range(2.0, 3.0), Some(&both.rows)))
        );
        assert_eq!(both.part(|shape| matches!(shape, Shape::Any(_))), None);
        let any = labels.any(&[1, 2, 9]);
        assert_eq!(any.rows.iter().collect::<Vec<_>>(), [0, 3]);
        assert_eq!(labels.exactly(&[0]).rows.iter().collect::<Vec<_>>(), [2]);
        assert_eq!(labels.exactly(&[]).rows.iter().collect::<Vec<_>>(), [1]);
    }
}
