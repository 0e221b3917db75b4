//! One bit a value, for finding candidates: the signs of a row's turned difference from the mean, with what is needed to estimate its
//! distance to a query without bias ("RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate
//! Nearest Neighbor Search", arXiv 2405.12497). A row of 384 values takes one cache line instead of 24. The query keeps eight bits a
//! value; what is found is compared again as it is.

use std::sync::Arc;

use kokeshi_core::file::Mapped;
use kokeshi_core::{Metric, Seed, distance};
use rayon::prelude::*;

use super::scratch::Near;
use super::search::Target;
use crate::Vectors;
use crate::query::Query;

/// How many standard errors an estimate may be off before a row is passed over.
const SURE: f32 = 1.9;
/// The fewest dims that are coded.
const LEAST_DIMS: usize = 128;
/// A multiple of 8.
const ROWS_PER_TASK: usize = 512;

/// The codes of the first rows of some vectors.
#[derive(Clone)]
pub(crate) struct Codes {
    metric: Metric,
    turn: Turn,
    /// The mean of the rows, subtracted before turning.
    centre: Vec<f32>,
    /// Words from one row's record to the next: its bits, then [`Side`].
    stride: usize,
    rows: usize,
    records: Records,
}

#[derive(Clone)]
enum Records {
    Owned(Vec<Line>),
    /// From byte `start` to the end, aligned to 8 by [`Codes::mapped`].
    Mapped {
        file: Arc<Mapped>,
        start: usize,
    },
}

impl Records {
    fn words(&self) -> &[u64] {
        match self {
            // SAFETY: a line is eight words and nothing else.
            Self::Owned(lines) => unsafe {
                std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * 8)
            },
            Self::Mapped { file, start } => {
                let bytes = &file[*start..];
                // SAFETY: `mapped` checked alignment and length; every bit pattern is a word; the map lives as long as self.
                unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len() / 8) }
            }
        }
    }
}

/// Eight words that begin at a cache line.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
struct Line([u64; 8]);

/// What a record holds besides the bits: a row's distance to a query is `base + slope * t`, where `t` is the inner product of the
/// row's signs with the turned query, up to `error` times the query's length either way, and a part that all rows share.
#[derive(Clone, Copy)]
struct Side {
    base: f32,
    slope: f32,
    error: f32,
}

/// Words of a record: the bits and two more, so that records don't straddle cache lines.
fn stride(dims: usize) -> usize {
    match dims.div_ceil(64) + 2 {
        short @ ..=4 => short.next_power_of_two(),
        long => long.next_multiple_of(8),
    }
}

/// A random rotation of vectors padded to whole words: signs are flipped at random and halves mixed by Hadamard transforms, in
/// `dims * log(dims)` steps.
#[derive(Clone)]
struct Turn {
    dims: usize,
    /// `[ROUNDS, dims]` of 1 and -1.
    signs: Vec<f32>,
}

const ROUNDS: usize = 4;

impl Turn {
    fn new(dims: usize, mut seed: Seed) -> Self {
        let dims = dims.next_multiple_of(64);
        let signs = (0..ROUNDS * dims)
            .map(|_| if seed.below(2) == 0 { 1.0 } else { -1.0 })
            .collect();
        Self { dims, signs }
    }

    /// Turns `values`, of which there are `dims`.
    fn apply(&self, values: &mut [f32]) {
        let block = if self.dims.is_power_of_two() {
            self.dims
        } else {
            self.dims.next_power_of_two() / 2
        };
        let scale = 1.0 / (block as f32).sqrt();
        for (round, signs) in self.signs.chunks_exact(self.dims).enumerate() {
            for (value, sign) in values.iter_mut().zip(signs) {
                *value *= sign;
            }
            let start = if round % 2 == 0 { 0 } else { self.dims - block };
            let part = &mut values[start..start + block];
            hadamard(part);
            part.iter_mut().for_each(|value| *value *= scale);
        }
    }
}

/// The Walsh-Hadamard transform in place; the length is a power of two.
fn hadamard(values: &mut [f32]) {
    let mut half = 1;
    while half < values.len() {
        for pair in values.chunks_exact_mut(2 * half) {
            let (low, high) = pair.split_at_mut(half);
            for (a, b) in low.iter_mut().zip(high) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
}

impl Codes {
    /// Whether rows so wide are coded. Narrower ones are quick to compare as they are, and one bit says too little about few values.
    pub fn suit(dims: usize) -> bool {
        dims >= LEAST_DIMS
    }

    /// No rows yet; they will differ from `centre` by little, and are compared by `metric`.
    pub fn new(metric: Metric, centre: Vec<f32>) -> Self {
        let turn = Turn::new(centre.len(), Seed(0x6b6f_6b65_7368_6921));
        Self {
            metric,
            stride: stride(centre.len()),
            turn,
            centre,
            rows: 0,
            records: Records::Owned(Vec::new()),
        }
    }

    /// Encodes the rows of `vectors` that it does not have yet.
    pub fn extend(&mut self, vectors: &Vectors) {
        let (rows, stride) = (vectors.rows(), self.stride);
        // Rows of whole lines, so that no two tasks share one.
        let chunk = ROWS_PER_TASK * stride / 8;
        let mut lines = vec![Line::default(); (rows * stride).div_ceil(8)];
        words_of(&mut lines)[..self.rows * stride]
            .copy_from_slice(&self.records.words()[..self.rows * stride]);
        let (first, codes) = (self.rows, &*self);
        lines.par_chunks_mut(chunk).enumerate().for_each(|(task, lines)| {
            let mut turned = vec![0.0; codes.turn.dims];
            let start = task * ROWS_PER_TASK;
            let records = words_of(lines).chunks_exact_mut(stride);
            for (id, record) in (start..rows.min(start + ROWS_PER_TASK)).zip(records) {
                if id >= first {
                    codes.encode(vectors.row(id as u32), &mut turned, record);
                }
            }
        });
        (self.records, self.rows) = (Records::Owned(lines), rows);
    }

    /// How many bytes the records of `rows` rows of so many dims take in a file, a whole number of lines.
    pub fn record_bytes(rows: usize, dims: usize) -> u64 {
        (rows as u64 * stride(dims) as u64).div_ceil(8) * 64
    }

    /// The records as they are written, row after row.
    pub fn records(&self) -> &[u64] {
        self.records.words()
    }

    /// The mean that was subtracted from the rows.
    pub fn centre(&self) -> &[f32] {
        &self.centre
    }

    /// Codes of `rows` rows whose records are in `file` from byte `start` to the end; `None` if they can't be read in place.
    pub fn mapped(
        metric: Metric,
        centre: Vec<f32>,
        rows: usize,
        file: Arc<Mapped>,
        start: usize,
    ) -> Option<Self> {
        let rest = file.get(start..)?;
        let fits = rest.len() as u64 == Self::record_bytes(rows, centre.len());
        let aligned = rest.as_ptr().cast::<u64>().is_aligned() && cfg!(target_endian = "little");
        (fits && aligned).then(|| Self {
            rows,
            records: Records::Mapped { file, start },
            ..Self::new(metric, centre)
        })
    }

    /// A query made ready.
    pub fn prepare<'a>(&'a self, query: &Query) -> ToCodes<'a> {
        let mut turned = vec![0.0; self.turn.dims];
        let mut square = 0.0;
        for (out, (value, centre)) in turned.iter_mut().zip(query.values.iter().zip(&self.centre)) {
            *out = value - centre;
            square += *out * *out;
        }
        self.turn.apply(&mut turned);
        let largest = turned
            .iter()
            .fold(0.0f32, |largest, value| largest.max(value.abs()));
        let steps = if largest > 0.0 { 127.0 / largest } else { 0.0 };
        let values: Vec<i8> = turned.iter().map(|value| (value * steps).round() as i8).collect();
        let shared = match self.metric {
            Metric::L2 => square,
            Metric::Cosine | Metric::Dot => -distance::dot(&query.values, &self.centre),
        };
        ToCodes {
            codes: self,
            sum: values.iter().map(|value| f32::from(*value)).sum(),
            values,
            scale: largest / 127.0,
            length: square.sqrt(),
            shared,
        }
    }

    /// Writes the record of `row`; one that is not finite gets one that is never near.
    fn encode(&self, row: &[f32], turned: &mut [f32], record: &mut [u64]) {
        let Self {
            metric, turn, centre, ..
        } = self;
        turned.fill(0.0);
        let (mut square, mut along) = (0.0, 0.0);
        for (out, (value, centre)) in turned.iter_mut().zip(row.iter().zip(centre)) {
            *out = value - centre;
            square += *out * *out;
            along += *out * centre;
        }
        turn.apply(turned);
        let mut absolute = 0.0;
        for (word, values) in record.iter_mut().zip(turned.chunks_exact(64)) {
            *word = 0;
            for (bit, value) in values.iter().enumerate() {
                *word |= u64::from(*value > 0.0) << bit;
                absolute += value.abs();
            }
        }
        // `absolute / sqrt(dims * square)` is the cosine of the row and its signs.
        let factor = if absolute > 0.0 { square / absolute } else { 0.0 };
        let off = (turn.dims as f32 * square - absolute * absolute).max(0.0)
            / (absolute * absolute).max(f32::MIN_POSITIVE);
        let error = (square * off / (turn.dims as f32 - 1.0)).sqrt();
        let side = match metric {
            Metric::L2 => [square, -2.0 * factor, 2.0 * error],
            Metric::Cosine | Metric::Dot => [-along, -factor, error],
        };
        let [base, slope, error] = side.map(|value| u64::from(value.to_bits()));
        let at = turn.dims / 64;
        record[at] = base | slope << 32;
        record[at + 1] = error;
    }

    fn side(&self, id: u32) -> Side {
        let at = id as usize * self.stride + self.turn.dims / 64;
        let words = self.records.words();
        let (first, second) = (words[at], words[at + 1]);
        Side {
            base: f32::from_bits(first as u32),
            slope: f32::from_bits((first >> 32) as u32),
            error: f32::from_bits(second as u32),
        }
    }
}

fn words_of(lines: &mut [Line]) -> &mut [u64] {
    // SAFETY: a line is eight words and nothing else.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), lines.len() * 8) }
}

/// A query to be compared with codes.
pub(crate) struct ToCodes<'a> {
    codes: &'a Codes,
    values: Vec<i8>,
    sum: f32,
    scale: f32,
    length: f32,
    shared: f32,
}

impl ToCodes<'_> {
    /// The least distance that a row is likely to have that is estimated to be so near.
    pub fn least(&self, near: Near) -> f32 {
        self.shared + near.distance - SURE * self.length * self.codes.side(near.id).error
    }
}

impl Target for ToCodes<'_> {
    #[inline]
    fn distances(&self, ids: &[u32], out: &mut [f32]) {
        let mut sums = [0; 64];
        for (ids, out) in ids.chunks(64).zip(out.chunks_mut(64)) {
            let sums = &mut sums[..ids.len()];
            distance::bit_sums_gather(
                &self.values,
                self.codes.records.words(),
                self.codes.stride,
                ids,
                sums,
            );
            for ((out, sum), id) in out.iter_mut().zip(sums).zip(ids) {
                let side = self.codes.side(*id);
                *out = side.base + side.slope * self.scale * (2.0 * *sum as f32 - self.sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Embeddings;

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
        let mut codes = Codes::new(metric, centre);
        codes.extend(vectors);
        codes
    }

    #[test]
    fn turning_keeps_lengths_and_angles() {
        let mut seed = Seed(1);
        for dims in [64, 128, 192, 320, 384, 512, 768] {
            let turn = Turn::new(dims, Seed(7));
            let mut pair = [0, 1].map(|_| (0..dims).map(|_| seed.normal() as f32).collect::<Vec<_>>());
            let product = distance::dot(&pair[0], &pair[1]);
            let square = distance::dot(&pair[0], &pair[0]);
            pair.iter_mut().for_each(|values| turn.apply(values));
            assert!((distance::dot(&pair[0], &pair[1]) - product).abs() < 1e-3 * square);
            assert!((distance::dot(&pair[0], &pair[0]) - square).abs() < 1e-4 * square);
        }
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
                    outside += usize::from(target.least(near) > -exact);
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
        let mut grown = Codes::new(Metric::Cosine, whole.centre().to_vec());
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
