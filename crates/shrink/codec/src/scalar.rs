//! `int8` and `int4`: each value as its place between the least and the greatest of its dimension (for 4 bits between the percentiles 0.5
//! and 99.5, since outliers cost more there). What lies outside is clamped.
//!
//! Reconstruction is off by half a step at most, for values inside the range.

use kokeshi_core::{Embeddings, Metric, Result};
use rayon::prelude::*;

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Query};
use crate::ints::{IntQuery, Ints};

/// Values of a cache line.
const LINE: usize = 16;

/// Values in steps.
#[derive(Debug, Clone)]
pub struct Scalar {
    ints: Ints,
    bits: u32,
    metric: Metric,
    /// `[dims]`: the value of code 0.
    low: Vec<f32>,
    /// `[dims]`: the step.
    step: Vec<f32>,
}

impl Scalar {
    /// Learns the ranges of `sample`'s dimensions, for codes of 8 or 4 bits.
    pub fn train(sample: &Embeddings, bits: u32, metric: Metric) -> Self {
        let dims = sample.dims();
        // The share of values below and above the range.
        let outside = if bits == 8 { 0.0 } else { 0.005 };
        let range = |mut column: Vec<f32>| {
            let last = column.len().saturating_sub(1);
            let rank = (outside * last as f64) as usize;
            if column.is_empty() {
                return (0.0, 0.0);
            }
            let (_, &mut low, _) = column.select_nth_unstable_by(rank, f32::total_cmp);
            let (_, &mut high, _) = column.select_nth_unstable_by(last - rank, f32::total_cmp);
            (low, high)
        };
        // As many columns at a time as lie in a cache line.
        let ranges: Vec<(f32, f32)> = (0..dims.div_ceil(LINE))
            .into_par_iter()
            .flat_map_iter(|line| {
                let dims = line * LINE..dims.min((line + 1) * LINE);
                let mut columns = vec![Vec::with_capacity(sample.rows()); dims.len()];
                for row in sample.iter() {
                    for (column, &value) in columns.iter_mut().zip(&row[dims.clone()]) {
                        column.push(value);
                    }
                }
                columns.into_iter().map(range)
            })
            .collect();
        let most = ((1_u32 << bits) - 1) as f32;
        Self {
            ints: Ints::new(dims, bits),
            bits,
            metric,
            low: ranges.iter().map(|range| range.0).collect(),
            step: ranges.iter().map(|(low, high)| (high - low) / most).collect(),
        }
    }

    pub(crate) fn read(bits: u32, dims: usize, metric: Metric, blob: &mut BlobReader<'_>) -> Result<Self> {
        Ok(Self {
            ints: Ints::new(dims, bits),
            bits,
            metric,
            low: blob.f32s("lowest values", dims)?,
            step: blob.f32s("steps", dims)?,
        })
    }

    /// The step of every dimension: `[dims]`.
    pub fn steps(&self) -> &[f32] {
        &self.step
    }

    /// Where the squared length is, which distances need.
    fn tail(&self) -> Option<usize> {
        (self.metric == Metric::L2).then(|| self.ints.bytes())
    }

    fn value(&self, code: &[u8], at: usize) -> f32 {
        self.low[at] + self.step[at] * f32::from(self.ints.read(code, at))
    }
}

impl Codec for Scalar {
    fn spec(&self) -> String {
        format!("int{}", self.bits)
    }

    fn dims(&self) -> usize {
        self.low.len()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn code_bytes(&self) -> usize {
        self.ints.bytes() + if self.metric == Metric::L2 { 4 } else { 0 }
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        let most = ((1_u32 << self.bits) - 1) as f32;
        let inverse: Vec<f32> = self
            .step
            .iter()
            .map(|&step| if step > 0.0 { 1.0 / step } else { 0.0 })
            .collect();
        rows.par_chunks_exact(self.dims())
            .zip(codes.par_chunks_exact_mut(self.code_bytes()))
            .with_min_len(64)
            .for_each(|(row, code)| {
                let mut values = vec![0; self.ints.padded()];
                for (at, value) in row.iter().enumerate() {
                    values[at] = (((value - self.low[at]) * inverse[at]).clamp(0.0, most) + 0.5) as u8;
                }
                self.ints.write(&values, code);
                if let Some(tail) = self.tail() {
                    let length: f32 = (0..row.len()).map(|at| self.value(code, at).powi(2)).sum();
                    code[tail..].copy_from_slice(&length.to_le_bytes());
                }
            });
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        for (code, row) in codes
            .chunks_exact(self.code_bytes())
            .zip(rows.chunks_exact_mut(self.dims()))
        {
            for (at, value) in row.iter_mut().enumerate() {
                *value = self.value(code, at);
            }
        }
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        // A step of the query's dimension goes into the query; what the middle code stands for goes into the base.
        let weights: Vec<f32> = query.iter().zip(&self.step).map(|(q, step)| q * step).collect();
        let middle = self.ints.middle();
        let products = query.iter().zip(self.low.iter().zip(&self.step));
        let base = products.map(|(q, (low, step))| q * (low + middle * step)).sum();
        Box::new(Prepared {
            codec: self,
            query: self.ints.query(&weights),
            base,
            length: kokeshi_core::distance::dot(query, query),
        })
    }

    fn write(&self, blob: &mut BlobWriter) {
        blob.f32s(&self.low);
        blob.f32s(&self.step);
    }
}

struct Prepared<'a> {
    codec: &'a Scalar,
    query: IntQuery,
    base: f32,
    /// The squared length of the query.
    length: f32,
}

impl Prepared<'_> {
    fn score(&self, codes: &[u8], ids: Option<&[u32]>, out: &mut [f32]) {
        let stride = self.codec.code_bytes();
        self.query.products(codes, stride, ids, out);
        match self.codec.tail() {
            None => out.iter_mut().for_each(|score| *score += self.base),
            Some(tail) => {
                for (at, score) in out.iter_mut().enumerate() {
                    let row = ids.map_or(at, |ids| ids[at] as usize);
                    let length = float(codes, row * stride + tail);
                    *score = 2.0 * (*score + self.base) - self.length - length;
                }
            }
        }
    }
}

/// The f32 at a byte.
pub(crate) fn float(codes: &[u8], at: usize) -> f32 {
    codes[at..]
        .first_chunk::<4>()
        .map_or(f32::NAN, |&four| f32::from_le_bytes(four))
}

impl Query for Prepared<'_> {
    fn score_rows(&self, codes: &[u8], out: &mut [f32]) {
        self.score(codes, None, out);
    }

    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]) {
        self.score(codes, Some(ids), out);
    }
}
