//! Half a byte a number, for finding candidates: a row's difference from the mean in the directions that matter most ([`Projection`]), each
//! rounded to one of 16 steps of the row's own, with what is needed to estimate its distance to a query ("RaBitQ: Quantizing
//! High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest Neighbor Search", arXiv 2405.12497, says how an inner product
//! with a rounded vector is made right on average). A row takes one or two cache lines, whatever its width. The query keeps eight
//! bits a number; what is found is compared again as it is.

use std::ops::Range;
use std::sync::Arc;

use kokeshi_core::file::Mapped;
use kokeshi_core::{Metric, distance};
use rayon::prelude::*;

use super::projection::{Projection, in_bytes};
use super::scratch::Near;
use super::search::Target;
use crate::Vectors;
use crate::query::Query;
use crate::vectors::prefetch;

/// The fewest dims that are coded.
const LEAST_DIMS: usize = 128;
const ROWS_PER_TASK: usize = 512;
/// Bytes from one row's record to the next are a multiple of this.
const LINE: usize = 64;
/// Bytes at a record's end: [`Side`].
const SIDE: usize = 12;
/// Rows whose sums are taken together.
const GROUP: usize = 64;
/// The step, in root mean squares of a row's numbers, that loses least of a normal distribution with 16 steps (Max, "Quantizing for
/// Minimum Distortion", 1960, table II).
const STEP: f32 = 0.3352;
/// The middle of the 16 steps.
const MIDDLE: f32 = 7.5;

/// The codes of the first rows of some vectors.
#[derive(Clone)]
pub(crate) struct Codes {
    metric: Metric,
    projection: Arc<Projection>,
    stride: usize,
    rows: usize,
    records: Records,
}

#[derive(Clone)]
enum Records {
    Owned(Vec<Line>),
    /// These bytes of a file.
    Mapped {
        file: Arc<Mapped>,
        bytes: Range<usize>,
    },
}

impl Records {
    /// `rows` records of `stride` bytes that are these `bytes` of `file`; `None` if they are not as long as they should be.
    fn mapped(file: Arc<Mapped>, bytes: Range<usize>, rows: usize, stride: usize) -> Option<Self> {
        let fits = file.get(bytes.clone())?.len() == rows.checked_mul(stride)?;
        fits.then_some(Self::Mapped { file, bytes })
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            // SAFETY: a line is bytes and nothing else.
            Self::Owned(lines) => unsafe {
                std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * LINE)
            },
            Self::Mapped { file, bytes } => &file[bytes.clone()],
        }
    }
}

/// Bytes that begin at a cache line.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// What a record holds besides the code: a row's distance to a query is `base + slope * t`, where `t` is the inner product of the
/// code with the projected query, up to `error` times the query's length either way, and a part that all rows share.
#[derive(Clone, Copy)]
struct Side {
    base: f32,
    slope: f32,
    error: f32,
}

/// Half bytes of a record of so many bytes.
const fn room(stride: usize) -> usize {
    2 * (stride - SIDE)
}

impl Codes {
    /// Whether rows so wide are coded. Narrower ones are quick to compare as they are.
    pub fn suit(dims: usize) -> bool {
        dims >= LEAST_DIMS
    }

    /// How many numbers of rows of so many dims are kept in records of `stride` bytes; `None` if records are not so.
    pub fn kept(dims: usize, stride: usize) -> Option<usize> {
        [LINE, 2 * LINE].contains(&stride).then(|| room(stride).min(dims))
    }

    /// No rows yet. What is kept of rows is learnt from those of `vectors` for which `usable` holds; `centre` is their mean.
    pub fn learn(metric: Metric, vectors: &Vectors, centre: Vec<f32>, usable: impl Fn(u32) -> bool) -> Self {
        let stride = 2 * LINE;
        let kept = room(stride).min(vectors.dims());
        Self {
            metric,
            projection: Arc::new(Projection::learn(vectors, centre, kept, usable)),
            stride,
            rows: 0,
            records: Records::Owned(Vec::new()),
        }
    }

    /// Whether there are so many `rows` now that the directions should be learnt anew: four times as many as they were learnt from.
    pub fn outgrown(&self, rows: usize) -> bool {
        rows / 4 >= self.projection.rows.max(1)
    }

    /// Encodes the rows of `vectors` that it does not have yet.
    pub fn extend(&mut self, vectors: &Vectors) {
        let (rows, lines_each) = (vectors.rows(), self.stride / LINE);
        let mut lines = vec![Line([0; LINE]); rows * lines_each];
        let have = self.rows * self.stride;
        bytes_of(&mut lines)[..have].copy_from_slice(&self.records.bytes()[..have]);
        let (first, codes) = (self.rows, &*self);
        lines[first * lines_each..]
            .par_chunks_mut(ROWS_PER_TASK * lines_each)
            .enumerate()
            .for_each(|(task, lines)| {
                let (mut centred, mut kept) = (Vec::new(), vec![0.0; codes.projection.kept]);
                let records = bytes_of(lines).chunks_exact_mut(codes.stride);
                for (id, record) in (first + task * ROWS_PER_TASK..).zip(records) {
                    codes.encode(vectors.row(id as u32), &mut centred, &mut kept, record);
                }
            });
        (self.records, self.rows) = (Records::Owned(lines), rows);
    }

    /// The codes of other rows, as those of these.
    pub fn of(&self, rows: &Vectors) -> Self {
        let mut codes = Self {
            rows: 0,
            records: Records::Owned(Vec::new()),
            ..self.clone()
        };
        codes.extend(rows);
        codes
    }

    /// The directions that are kept.
    pub fn projection(&self) -> &Projection {
        &self.projection
    }

    /// Bytes from one record to the next.
    pub fn stride(&self) -> usize {
        self.stride
    }

    /// The records as they are written, row after row.
    pub fn records(&self) -> &[u8] {
        self.records.bytes()
    }

    /// Codes of `rows` rows whose records are in `bytes` of `file`; `None` if they are not as long as they should be.
    pub fn mapped(
        metric: Metric,
        projection: Projection,
        stride: usize,
        rows: usize,
        file: Arc<Mapped>,
        bytes: Range<usize>,
    ) -> Option<Self> {
        Some(Self {
            metric,
            projection: Arc::new(projection),
            stride,
            rows,
            records: Records::mapped(file, bytes, rows, stride)?,
        })
    }

    /// Codes of the same kind whose records are elsewhere in the same file; `None` as above.
    pub fn also_mapped(&self, rows: usize, bytes: Range<usize>) -> Option<Self> {
        let Records::Mapped { file, .. } = &self.records else {
            return None;
        };
        Some(Self {
            rows,
            records: Records::mapped(file.clone(), bytes, rows, self.stride)?,
            ..self.clone()
        })
    }

    /// A query made ready.
    pub fn prepare<'a>(&'a self, query: &Query) -> ToCodes<'a> {
        let projection = &*self.projection;
        let (mut centred, mut kept) = (Vec::new(), vec![0.0; projection.kept]);
        projection.apply_fast(&query.values, &mut centred, &mut kept);
        let square = distance::dot(&centred, &centred);
        let (bytes, scale) = in_bytes(&kept);
        let mut values = vec![0; 2 * self.stride];
        let (low, high) = bytes.split_at((self.stride - SIDE).min(bytes.len()));
        values[..low.len()].copy_from_slice(low);
        values[self.stride..][..high.len()].copy_from_slice(high);
        let sum: i32 = bytes.iter().map(|value| i32::from(*value)).sum();
        let shared = match self.metric {
            Metric::L2 => square,
            Metric::Cosine | Metric::Dot => -distance::dot(&query.values, &projection.centre),
        };
        ToCodes {
            records: self.records.bytes(),
            stride: self.stride,
            values,
            middle: MIDDLE * sum as f32,
            scale,
            length: square.sqrt(),
            shared,
        }
    }

    /// Calls for what [`Codes::errors`] reads of these rows.
    pub fn call(&self, ids: &[u32]) {
        let records = self.records.bytes();
        for id in ids {
            prefetch(&records[(*id as usize + 1) * self.stride - SIDE..][..SIDE]);
        }
    }

    /// The standard error of each estimate of these rows' distances, for a query that is so far from the centre.
    pub fn errors<'a>(&'a self, ids: &'a [u32], length: f32) -> impl Iterator<Item = f32> + 'a {
        let records = self.records.bytes();
        ids.iter()
            .map(move |id| length * side(records, self.stride, *id).error)
    }

    /// Writes the record of `row`; one that is not finite gets one that is never near.
    fn encode(&self, row: &[f32], centred: &mut Vec<f32>, kept: &mut [f32], record: &mut [u8]) {
        let projection = &*self.projection;
        projection.apply(row, centred, kept);
        let square = distance::dot(centred, centred);
        let along = distance::dot(centred, &projection.centre);
        let inside = distance::dot(kept, kept);
        let step = STEP * (inside / kept.len() as f32).sqrt();
        let steps = if step > 0.0 { 1.0 / step } else { 0.0 };
        let (code, side) = record.split_at_mut(self.stride - SIDE);
        let (mut product, mut length) = (0.0, 0.0);
        for (at, value) in kept.iter().enumerate() {
            let number = (value * steps + MIDDLE).round().clamp(0.0, 15.0);
            let (byte, shift) = if at < code.len() {
                (at, 0)
            } else {
                (at - code.len(), 4)
            };
            code[byte] |= (number as u8) << shift;
            product += value * (number - MIDDLE);
            length += (number - MIDDLE) * (number - MIDDLE);
        }
        // With this the estimate of a row's inner product with itself is exact, and that with others right on average.
        let factor = if product > 0.0 { inside / product } else { 0.0 };
        // Of the numbers kept, by their rounding, and of those that are not, for directions that are independent of each other.
        let rounding = (factor * factor * length - inside).max(0.0) / (kept.len() as f32 - 1.0).max(1.0);
        let lost = (square - inside).max(0.0) / (row.len() - kept.len()).max(1) as f32;
        let share = inside / square.max(f32::MIN_POSITIVE);
        let error = (share * rounding + (1.0 - share) * lost).sqrt();
        let [base, slope, error] = match self.metric {
            Metric::L2 => [square, -2.0 * factor, 2.0 * error],
            Metric::Cosine | Metric::Dot => [-along, -factor, error],
        };
        for (place, value) in side.as_chunks_mut::<4>().0.iter_mut().zip([base, slope, error]) {
            *place = value.to_le_bytes();
        }
    }
}

fn bytes_of(lines: &mut [Line]) -> &mut [u8] {
    // SAFETY: a line is bytes and nothing else.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * LINE) }
}

/// A query to be compared with codes.
pub(crate) struct ToCodes<'a> {
    records: &'a [u8],
    stride: usize,
    /// A value for each half byte of a record, 0 for those of its side.
    values: Vec<i8>,
    /// What the middle of the steps contributes to each sum.
    middle: f32,
    scale: f32,
    length: f32,
    shared: f32,
}

impl ToCodes<'_> {
    /// The distance that a row has that is estimated to be so near, and the standard error of that.
    pub fn estimate(&self, near: Near) -> (f32, f32) {
        let error = self.length * side(self.records, self.stride, near.id).error;
        (self.shared + near.distance, error)
    }

    /// How far the first `rows` rows of other codes are, which must be of the same kind.
    pub fn distances_to(&self, codes: &Codes, rows: usize, out: &mut Vec<f32>) {
        out.resize(codes.rows.min(rows), 0.0);
        let records = codes.records.bytes();
        let mut ids = [0; GROUP];
        for (start, out) in (0..out.len() as u32).step_by(GROUP).zip(out.chunks_mut(GROUP)) {
            let ids = &mut ids[..out.len()];
            ids.iter_mut().zip(start..).for_each(|(place, id)| *place = id);
            self.estimates(records, ids, out);
        }
    }

    /// How far up to [`GROUP`] rows of these records are.
    #[inline]
    fn estimates(&self, records: &[u8], ids: &[u32], out: &mut [f32]) {
        let mut sums = [0; GROUP];
        let sums = &mut sums[..ids.len()];
        distance::nibble_sums_gather(&self.values, records, self.stride, ids, sums);
        for ((out, sum), id) in out.iter_mut().zip(sums).zip(ids) {
            let side = side(records, self.stride, *id);
            *out = side.base + side.slope * self.scale * (*sum as f32 - self.middle);
        }
    }
}

/// What belongs to row `id` besides its code.
#[inline]
fn side(records: &[u8], stride: usize, id: u32) -> Side {
    let record = &records[id as usize * stride..][..stride];
    let values = record[stride - SIDE..].as_chunks::<4>().0;
    let value = |at: usize| f32::from_le_bytes(values[at]);
    Side {
        base: value(0),
        slope: value(1),
        error: value(2),
    }
}

impl Target for ToCodes<'_> {
    #[inline]
    fn distances(&self, ids: &[u32], out: &mut [f32]) {
        for (ids, out) in ids.chunks(GROUP).zip(out.chunks_mut(GROUP)) {
            self.estimates(self.records, ids, out);
        }
    }
}

#[cfg(test)]
mod tests {
    use kokeshi_core::{Embeddings, Seed};

    use super::*;

    fn rows(count: usize, dims: usize, seed: &mut Seed) -> Vectors {
        // Off the origin, and with variances that fall, as embeddings are.
        let values = (0..count * dims).map(|at| {
            let column = (at % dims) as f32;
            (seed.normal() as f32 + 0.5) / (1.0 + column / 16.0).sqrt()
        });
        let mut rows = Embeddings::from_vec(values.collect(), dims).unwrap();
        rows.normalize();
        rows.into()
    }

    fn codes(vectors: &Vectors, metric: Metric) -> Codes {
        let mut centre = vec![0.0; vectors.dims()];
        for id in 0..vectors.rows() as u32 {
            for (sum, value) in centre.iter_mut().zip(vectors.row(id)) {
                *sum += value / vectors.rows() as f32;
            }
        }
        let mut codes = Codes::learn(metric, vectors, centre, |_| true);
        codes.extend(vectors);
        codes
    }

    #[test]
    fn estimates_have_no_bias_and_the_bound_holds() {
        let mut seed = Seed(2);
        for (metric, dims) in [(Metric::Cosine, 384), (Metric::L2, 200), (Metric::Dot, 128)] {
            let (vectors, queries) = (rows(2000, dims, &mut seed), rows(20, dims, &mut seed));
            let codes = codes(&vectors, metric);
            let ids: Vec<u32> = (0..2000).collect();
            let (mut estimates, mut exact) = (vec![0.0; 2000], vec![0.0; 2000]);
            let (mut sum, mut squares, mut outside) = (0.0, 0.0, 0);
            for query in 0..20 {
                let query = Query::new(queries.row(query), metric, dims).unwrap();
                let target = codes.prepare(&query);
                target.distances(&ids, &mut estimates);
                query.scores(&vectors, &ids, &mut exact);
                for ((id, estimate), exact) in ids.iter().zip(&estimates).zip(&exact) {
                    let near = Near {
                        distance: *estimate,
                        id: *id,
                    };
                    let error = f64::from(target.shared + estimate + exact);
                    sum += error;
                    squares += error * error;
                    let (estimate, deviation) = target.estimate(near);
                    outside += usize::from(estimate - 3.0 * deviation > -exact);
                }
            }
            let count = 20.0 * 2000.0;
            let deviation = (squares / count).sqrt();
            // Errors of one query or one row hang together, so that the mean is less sure than that of independent ones.
            assert!(
                (sum / count).abs() < 0.05 * deviation,
                "{metric:?}: {} of {deviation}",
                sum / count
            );
            assert!((outside as f64) < 0.05 * count, "{metric:?}: {outside} outside");
        }
    }

    #[test]
    fn codes_that_grew_are_those_made_at_once() {
        let mut seed = Seed(3);
        let all = rows(1300, 128, &mut seed);
        let whole = codes(&all, Metric::Cosine);
        let mut grown = Codes {
            rows: 0,
            records: Records::Owned(Vec::new()),
            ..whole.clone()
        };
        let mut some = Vectors::new(128);
        for part in [0..700, 700..1300] {
            let values: Vec<f32> = part.flat_map(|id| all.row(id).to_vec()).collect();
            some.push_segment(Embeddings::from_vec(values, 128).unwrap())
                .unwrap();
            grown.extend(&some);
        }
        assert!(grown.records() == whole.records());
    }
}
