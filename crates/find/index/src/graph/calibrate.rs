//! How long a search's candidate list must be for the rows at hand, in which cells the best are and how many rows codes leave open, measured on rows
//! that are about to be linked in.
//!
//! Embeddings of text need a short list; vectors with hardly any neighbour structure need one so long that scanning is as cheap. Nothing
//! but a measurement tells them apart. Rows that the graph does not have yet are queries with the distribution of the rows; queries of
//! another kind (titles for abstracts, say) may have a lower recall.

use std::sync::LazyLock;

use kokeshi_core::{Bitmap, Metric, Scored, Seed, TopK};
use rayon::prelude::*;

use super::by_codes::{Wanted, candidates};
use super::cells::Cells;
use super::find::Look;
use super::scratch::{Entry, Near};
use super::search::Target;
use crate::Vectors;
use crate::flat::scan_here;
use crate::query::Query;

/// The lists that are tried, shortest first; keeping a longer one sorted costs more than comparing.
pub(crate) const LISTS: [usize; 16] = [
    16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 2048, 4096,
];
/// The list of a graph that was not measured, and the shortest that is taken unasked: queries are often unlike the rows.
pub(crate) const LEAST_LIST: usize = 32;
/// The share of the true `K` best that the sample must find by default: 0.95 is promised, the rest is for the sample's error (0.6 % or
/// so) and for queries that are unlike the rows. Titles of abstracts found 0.946 where 0.98 was asked of the sample.
pub(crate) const RECALL: f32 = 0.99;
/// The share of the `K` best that may be passed over because their estimates are too far off.
const MISSED: f64 = 0.005;
/// No fewer standard errors are taken: a sample could be kind.
const LEAST_SURE: f32 = 1.0;
/// Where the curve ends: longer lists are not tried.
const ENOUGH: f32 = 0.998;
/// From one of [`SHARES`] to the next.
const STEP: f64 = 4.0;
/// Shares of the rows among which the best are looked for, to see in which cells those are: the best of a quarter are as far as ranks up to 40.
pub(crate) const SHARES: [f64; 5] = [1.0, 1.0 / 4.0, 1.0 / 16.0, 1.0 / 64.0, 1.0 / 256.0];
/// Shares of the best that are in the cells counted.
pub(crate) const SHARES_FOUND: [f32; 6] = [0.9, 0.95, 0.97, 0.98, 0.99, 0.995];
pub(crate) const K: usize = 10;
/// Rows asked for. Their exact search costs about 2 % of building the graph.
const SAMPLE: usize = 256;
/// Fewer rows are scanned as quickly.
pub(crate) const LEAST_ROWS: usize = 1500;
/// Fewer than these say too little.
const LEAST_SAMPLE: usize = 32;
/// Queries compared with a block of rows while that is in the processor's cache, and the rows of such a block.
const GROUP: usize = 16;
const BLOCK: usize = 256;

/// What was found out about a graph.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// The recall@[`K`] that each of [`LISTS`] gave, 0 for those that were not tried: they would cost more than a scan, or a shorter
    /// one finds nearly all.
    pub recalls: [f32; LISTS.len()],
    /// The rows there were, 0 if nothing was measured yet.
    pub rows: usize,
    /// How many standard errors farther than they are the estimates put all but a few of the `K` best.
    pub sure: f32,
    /// The share of the cells, nearest first, that hold each of [`SHARES_FOUND`] of the `K` best of a share of the rows, for each of [`SHARES`]; 1
    /// before a measurement, or where there are no cells.
    pub reach: [[f32; SHARES_FOUND.len()]; SHARES.len()],
    /// How much farther than the centre of its cell a row is on average, and the standard deviation of that, widened by [`TAIL`].
    pub apart: [f32; 2],
    /// For each of [`SHARES`] of the rows: the share of those whose rows were compared after their codes, where that sufficed, and the share of
    /// queries where so many would have been that comparing all is as good.
    pub left_open: [[f32; 2]; SHARES.len()],
}

impl Measured {
    /// What is assumed before a measurement.
    pub const NOT_YET: Self = Self {
        recalls: [0.0; LISTS.len()],
        rows: 0,
        sure: 3.0,
        reach: [[1.0; SHARES_FOUND.len()]; SHARES.len()],
        apart: [0.0; 2],
        left_open: [[0.0; 2]; SHARES.len()],
    };

    /// The list of a search that does not say what it wants; none if scanning is as good.
    pub fn default_list(&self) -> Option<usize> {
        self.list(RECALL).map(|list| list.max(LEAST_LIST))
    }

    /// The shortest list that finds a share of `recall` of the `K` best, between two that were tried on the line from one to the other; none if
    /// only a scan does.
    pub fn list(&self, recall: f32) -> Option<usize> {
        if self.rows == 0 {
            return Some(if recall > RECALL {
                4 * LEAST_LIST
            } else {
                LEAST_LIST
            });
        }
        let at = self
            .recalls
            .iter()
            .position(|&found| found >= recall.min(ENOUGH))?;
        let Some(before) = at.checked_sub(1) else {
            return Some(LISTS[0]);
        };
        let (low, high) = (self.recalls[before], self.recalls[at]);
        let part = if high > low {
            (recall - low) / (high - low)
        } else {
            1.0
        };
        let between = (LISTS[at] - LISTS[before]) as f32 * part.clamp(0.0, 1.0);
        Some(LISTS[before] + between.ceil() as usize)
    }

    /// The recall that a list of `length` gave, between two that were tried on the line from one to the other.
    pub fn recall(&self, length: usize) -> f32 {
        let at = LISTS.partition_point(|list| *list < length);
        let (Some(&high), Some(&list)) = (self.recalls.get(at), LISTS.get(at)) else {
            return 1.0;
        };
        if self.rows == 0 || high == 0.0 {
            return 1.0;
        }
        let Some(before) = at.checked_sub(1) else {
            return high;
        };
        let part = (length - LISTS[before]) as f32 / (list - LISTS[before]) as f32;
        self.recalls[before] + (high - self.recalls[before]) * part
    }

    /// The share of the cells, nearest first, that hold a share of `recall` of the best of all rows up to about the `rank`th: all cells hold all.
    pub fn reach(&self, rank: f64, recall: f32) -> f64 {
        let found = SHARES_FOUND.partition_point(|found| *found < recall);
        let high = SHARES_FOUND.get(found).copied().unwrap_or(1.0);
        let low = found.checked_sub(1).map_or(high, |before| SHARES_FOUND[before]);
        let part = if high > low {
            ((recall - low) / (high - low)).min(1.0)
        } else {
            0.0
        };
        let at = |share: usize| {
            let line = &self.reach[share];
            let before = line[found.saturating_sub(1)];
            let after = line.get(found).copied().unwrap_or(1.0);
            f64::from(before + (after - before) * part)
        };
        // Between two that were measured, and past the last, as a power of the rank.
        let (first, part) = place(K as f64 / rank);
        let (a, b) = (at(first).ln(), at(first + 1).ln());
        (a + (b - a) * part).exp().min(1.0)
    }

    /// [`Measured::left_open`] of a share of the rows: between two that were measured on the line, by the logarithm of the share, and past the last as
    /// that.
    pub fn left_open(&self, share: f64) -> [f64; 2] {
        let (first, part) = place(share);
        let (a, b) = (self.left_open[first], self.left_open[first + 1]);
        [0, 1].map(|at| f64::from(a[at]) + f64::from(b[at] - a[at]) * part.min(1.0))
    }

    /// About how many rows of `some` of the cells, which have their distances from a query, are no farther from it than `distance`.
    pub fn nearer(&self, distance: f32, cells: &Cells, some: &mut dyn Iterator<Item = &Entry>) -> f64 {
        let [mean, deviation] = self.apart;
        let (starts, normal) = (cells.starts.values(), &*NORMAL);
        let steps = NORMAL_STEPS as f32 / deviation.max(f32::MIN_POSITIVE);
        let counts = some.map(|cell| {
            let cell = cell.near();
            let rows = starts[cell.id as usize + 1] - starts[cell.id as usize];
            rows as f32 * below(normal, (distance - cell.distance - mean) * steps)
        });
        f64::from(counts.sum::<f32>())
    }

    /// How many of `new` rows that bring the total to `rows` should be kept for a measurement: none unless a walk could be worth its
    /// while, and there are half as many rows again as the last time, so that measuring stays a small share of building.
    pub fn sample(self, new: usize, rows: usize) -> usize {
        let due = rows >= LEAST_ROWS && rows * 2 >= self.rows * 3;
        if due && new >= LEAST_SAMPLE {
            SAMPLE.min(new / 2)
        } else {
            0
        }
    }
}

/// Before or between which two of [`SHARES`] a share is: the first of them, and how much of the way to the second, more than 1 past the last.
fn place(share: f64) -> (usize, f64) {
    let place = share.clamp(1e-9, 1.0).recip().log(STEP);
    let first = (place as usize).min(SHARES.len() - 2);
    (first, place - first as f64)
}

/// Steps of [`NORMAL`] from one standard deviation to the next, and the standard deviations to each side.
const NORMAL_STEPS: usize = 16;
const NORMAL_ENDS: usize = 6;
/// The distribution function of the normal distribution.
static NORMAL: LazyLock<[f32; 2 * NORMAL_ENDS * NORMAL_STEPS + 1]> = LazyLock::new(|| {
    // The sum of the density's trapezoids.
    let density = |x: f64| (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt();
    let step = 1.0 / NORMAL_STEPS as f64;
    let mut sum = 0.0;
    std::array::from_fn(|at| {
        let x = at as f64 * step - NORMAL_ENDS as f64;
        sum += 0.5 * step * (density(x - step) + density(x));
        sum as f32
    })
});

/// The share of a normal distribution that is below so many steps from its middle; the lower one of two.
#[inline]
fn below(normal: &[f32], steps: f32) -> f32 {
    let place = steps + (NORMAL_ENDS * NORMAL_STEPS) as f32;
    // A negative place is the first one, whose share is next to nothing.
    normal[(place as usize).min(normal.len() - 1)]
}

/// A query, its true best rows, the worst score of those, and how many they are.
struct Case {
    query: Query,
    best: Vec<Scored>,
    worst: f32,
    count: usize,
}

/// How many standard errors off the estimates of rows that are near their query are: what nearly all of them keep.
fn sure(look: Look<'_>, cases: &[Case]) -> f32 {
    let Some(codes) = look.codes else {
        return Measured::NOT_YET.sure;
    };
    let mut off: Vec<f32> = Vec::new();
    for case in cases {
        let target = codes.prepare(&case.query);
        for hit in &case.best {
            let mut distance = [0.0];
            target.distances(&[hit.id], &mut distance);
            let near = Near {
                distance: distance[0],
                id: hit.id,
            };
            let (estimate, error) = target.estimate(near);
            let errors = (estimate + hit.score) / error;
            if errors.is_finite() {
                off.push(errors);
            }
        }
    }
    off.sort_by(f32::total_cmp);
    let at = (off.len() as f64 * (1.0 - MISSED)) as usize;
    off.get(at)
        .map_or(Measured::NOT_YET.sure, |errors| errors.max(LEAST_SURE))
}

/// Measures with the rows `sample`, which are no part of `graph`; `linked` are.
pub(super) fn measure(look: Look<'_>, metric: Metric, linked: &Bitmap, sample: &[u32]) -> Measured {
    let vectors = look.vectors;
    let cases: Vec<Case> = sample
        .par_chunks(GROUP)
        .flat_map_iter(|ids| exact(vectors, metric, linked, ids))
        .collect();
    let mut measured = Measured {
        sure: sure(look, &cases),
        rows: vectors.rows(),
        reach: reach(look, linked, &cases),
        apart: apart(look, linked, &cases),
        ..Measured::NOT_YET
    };
    let look = Look {
        measured: &measured.clone(),
        ..look
    };
    let all = cases.iter().map(|case| case.count).sum::<usize>().max(1);
    let costs = look.reference_costs();
    for (recall, list) in measured.recalls.iter_mut().zip(LISTS) {
        if costs.walk(list as f64, list) > costs.rows(vectors.rows()) {
            break;
        }
        let found: usize = cases.par_iter().map(|case| found(look, case, list)).sum();
        *recall = found as f32 / all as f32;
        if *recall >= ENOUGH {
            break;
        }
    }
    let left_open = left_open(
        Look {
            measured: &measured,
            ..look
        },
        linked,
        &cases,
    );
    Measured {
        left_open,
        ..measured
    }
}

/// How many standard deviations the normal distribution of [`Measured::nearer`] has for each that was measured: there are more rows nearer than it has,
/// and with this ranks of MiniLM's vectors from 100 on are right to a tenth or so.
const TAIL: f32 = 1.15;

/// See [`Measured::apart`].
fn apart(look: Look<'_>, linked: &Bitmap, cases: &[Case]) -> [f32; 2] {
    let (Some(codes), Some(cells)) = (look.codes, look.cells) else {
        return Measured::NOT_YET.apart;
    };
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    let (mut distances, mut estimates) = (Vec::new(), Vec::new());
    for (at, case) in cases.iter().enumerate() {
        let target = codes.prepare(&case.query);
        target.distances_to(&cells.codes, cells.len(), &mut distances);
        // A few rows of a cell, another one each time.
        let cell = at * cells.len() / cases.len();
        let ids: Vec<u32> = cells
            .cell(cell)
            .iter()
            .copied()
            .filter(|&id| linked.contains(id))
            .collect();
        estimates.resize(ids.len(), 0.0);
        target.distances(&ids, &mut estimates);
        for estimate in &estimates {
            let apart = f64::from(estimate - distances[cell]);
            count += 1.0;
            sum += apart;
            squares += apart * apart;
        }
    }
    let mean = sum / f64::max(count, 1.0);
    let deviation = (squares / f64::max(count, 1.0) - mean * mean).max(0.0).sqrt();
    [mean as f32, TAIL * deviation as f32]
}

/// In how many of the nearest cells the best of shares of the rows are.
fn reach(look: Look<'_>, linked: &Bitmap, cases: &[Case]) -> [[f32; SHARES_FOUND.len()]; SHARES.len()] {
    let mut reach = Measured::NOT_YET.reach;
    let (Some(codes), Some(cells)) = (look.codes, look.cells) else {
        return reach;
    };
    let mut cell_of = vec![0; look.vectors.rows()];
    for at in 0..cells.len() {
        cells.cell(at).iter().for_each(|&id| cell_of[id as usize] = at);
    }
    for (share, reach) in SHARES.iter().zip(&mut reach) {
        let some = draw(linked, *share);
        let ranks = cases.par_chunks(GROUP).flat_map_iter(|cases| {
            let mut distances = Vec::new();
            let queries = cases.iter().map(|case| case.query.clone()).collect();
            let best = best_of(look.vectors, queries, &some);
            let each = best.into_iter().flat_map(|(query, best)| {
                codes
                    .prepare(&query)
                    .distances_to(&cells.codes, cells.len(), &mut distances);
                let before = |cell: usize| distances.iter().filter(|other| **other < distances[cell]).count();
                best.iter()
                    .map(|hit| before(cell_of[hit.id as usize]))
                    .collect::<Vec<_>>()
            });
            each.collect::<Vec<_>>()
        });
        let mut ranks: Vec<usize> = ranks.collect();
        ranks.sort_unstable();
        for (reach, found) in reach.iter_mut().zip(SHARES_FOUND) {
            let at = (ranks.len() as f32 * found) as usize;
            *reach = ranks
                .get(at)
                .map_or(1.0, |rank| (rank + 1) as f32 / cells.len() as f32);
        }
    }
    reach
}

/// See [`Measured::left_open`].
fn left_open(look: Look<'_>, linked: &Bitmap, cases: &[Case]) -> [[f32; 2]; SHARES.len()] {
    if look.cells.is_none() {
        return Measured::NOT_YET.left_open;
    }
    let list = look.measured.default_list().unwrap_or(LISTS[LISTS.len() - 1]);
    SHARES.map(|share| {
        let some = draw(linked, share);
        let matches = some.count();
        let wanted = Wanted {
            k: K,
            length: candidates(list, K),
            reached: RECALL,
            filter: Some(&some),
            matches,
            doubt: false,
        };
        let each = cases.par_iter().map(|case| {
            let (steps, sufficed) = look.by_codes(&case.query, wanted, &mut TopK::new(K));
            if sufficed { (1, steps.rescored) } else { (0, 0) }
        });
        let (sufficed, rescored) = each.reduce(|| (0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
        [
            rescored as f32 / (sufficed * matches).max(1) as f32,
            1.0 - sufficed as f32 / cases.len().max(1) as f32,
        ]
    })
}

/// A share of the rows `linked`, drawn at random, the same ones each time.
fn draw(linked: &Bitmap, share: f64) -> Bitmap {
    let mut seed = Seed(0x6b6f_6b65_7368_6923);
    let drawn = linked.iter().filter(|_| seed.uniform() < share);
    Bitmap::from_sorted(linked.len(), drawn)
}

fn exact(vectors: &Vectors, metric: Metric, linked: &Bitmap, ids: &[u32]) -> Vec<Case> {
    let queries = ids
        .iter()
        .filter_map(|&id| Query::new(vectors.row(id), metric, vectors.dims()).ok());
    let case = |(query, best): (Query, Vec<Scored>)| Case {
        query,
        worst: best.last().map_or(f32::INFINITY, |hit| hit.score),
        count: best.len(),
        best,
    };
    let best = best_of(vectors, queries.collect(), linked);
    best.into_iter().map(case).collect()
}

/// The `K` best rows in `filter` for each query.
fn best_of(vectors: &Vectors, queries: Vec<Query>, filter: &Bitmap) -> Vec<(Query, Vec<Scored>)> {
    let mut open: Vec<(Query, TopK)> = queries.into_iter().map(|query| (query, TopK::new(K))).collect();
    for start in (0..vectors.rows()).step_by(BLOCK) {
        for (query, best) in &mut open {
            let block = start..(start + BLOCK).min(vectors.rows());
            scan_here(vectors, query, block, Some(filter), best);
        }
    }
    let sorted = |(query, best): (Query, TopK)| (query, best.into_sorted());
    open.into_iter().map(sorted).collect()
}

/// How many of the true best rows, or copies of them, a walk finds.
fn found(look: Look<'_>, case: &Case, length: usize) -> usize {
    let mut best = TopK::new(case.count);
    look.walk(&case.query, length, &mut best);
    let hits = best.into_sorted();
    hits.iter().filter(|hit| hit.score >= case.worst).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_distribution_is_that_of_tables() {
        for (x, share) in [
            (0.0, 0.5),
            (1.0, 0.841_345),
            (-1.96, 0.025),
            (-3.0, 0.001_35),
            (2.5, 0.993_79),
        ] {
            // Between two steps the lower one is taken.
            let found = below(&*NORMAL, NORMAL_STEPS as f32 * (x + 1e-3));
            assert!((found - share).abs() < 0.025, "{x}: {found}");
        }
        for (steps, share) in [
            (-9e9, 0.0),
            (f32::NEG_INFINITY, 0.0),
            (9e9, 1.0),
            (f32::INFINITY, 1.0),
        ] {
            assert!((below(&*NORMAL, steps) - share).abs() < 1e-6, "{steps}");
        }
    }

    #[test]
    fn the_reach_grows_with_the_rank_and_with_what_is_asked() {
        let mut measured = Measured::NOT_YET;
        assert_eq!(measured.reach(10.0, 0.9), 1.0);
        for (share, line) in measured.reach.iter_mut().enumerate() {
            for (found, reach) in line.iter_mut().enumerate() {
                *reach = 0.01 * 2.0f32.powi(share as i32) * (1.0 + found as f32);
            }
        }
        let close =
            |reach: f64, expected: f64| assert!((reach / expected - 1.0).abs() < 1e-3, "{reach}, {expected}");
        close(measured.reach(10.0, 0.95), 0.02);
        close(measured.reach(1.0, 0.5), 0.01);
        close(measured.reach(20.0, 0.95), 0.02 * 2.0f64.sqrt());
        close(measured.reach(10.0, 0.96), 0.025);
        close(measured.reach(4.0 * 2560.0, 0.95), 0.64);
        assert_eq!(measured.reach(1e9, 0.95), 1.0);
        // Past the last that was measured on the way to all cells, which hold all.
        close(measured.reach(10.0, 0.9975), (0.06 + 1.0) / 2.0);
        assert_eq!(measured.reach(10.0, 1.0), 1.0);
    }

    #[test]
    fn what_codes_leave_open_is_on_the_line_between_two_shares() {
        let mut measured = Measured::NOT_YET;
        assert_eq!(measured.left_open(0.1), [0.0; 2]);
        for (share, line) in measured.left_open.iter_mut().enumerate() {
            *line = [0.1 * share as f32, 0.2 * share as f32];
        }
        for (share, place) in [
            (1.0, 0.0),
            (2.0, 0.0),
            (0.25, 1.0),
            (0.125, 1.5),
            (1.0 / 256.0, 4.0),
            (1e-6, 4.0),
            (0.0, 4.0),
        ] {
            let found = measured.left_open(share);
            assert!(
                (found[0] - 0.1 * place).abs() < 1e-6 && (found[1] - 0.2 * place).abs() < 1e-6,
                "{share}: {found:?}"
            );
        }
    }
}
