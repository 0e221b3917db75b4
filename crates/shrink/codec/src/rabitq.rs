//! `rabitq:B`: B bits a dimension (1 to 8) after a random rotation, with an unbiased estimate and its standard error (RaBitQ, arXiv
//! 2405.12497; more bits: arXiv 2409.09913).
//!
//! With the centroid c, r = |x - c|, o = (x - c) / r rotated, and u the nearest point of the grid to o in angle:
//! <x - c, q - c> is estimated by r <u, q - c> / <u, o>. The error has standard deviation r |q - c| sqrt((1 - x0^2) / x0^2) / sqrt(D - 1),
//! where x0 is the cosine of u and o.
//!
//! A code is B D / 8 bytes of integers, r / <u, o> and the part of the score that doesn't depend on the query (f32 each), and the standard
//! error for a query of unit length (f16).

use half::f16;
use kokeshi_core::{Embeddings, Metric, Result, Seed, distance};
use rayon::prelude::*;

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Lookups, Query};
use crate::ints::{IntQuery, Ints};
use crate::kernels::Tables;
use crate::rotate::Rotation;
use crate::scalar::float;

/// Bytes behind the integers.
const TAIL: usize = 10;

/// The step of the best uniform quantiser of a Gaussian with standard deviation 1, by bits (Max, 1960): where the search for a vector's own
/// step begins.
const STEPS: [f32; 8] = [1.596, 0.996, 0.586, 0.335, 0.188, 0.104, 0.0569, 0.0308];

/// Steps that are tried, as factors.
const FACTORS: [f32; 9] = [0.72, 0.8, 0.87, 0.93, 1.0, 1.07, 1.14, 1.22, 1.32];

/// Rotated vectors on a grid, with what makes inner products unbiased.
#[derive(Debug, Clone)]
pub struct RaBitQ {
    ints: Ints,
    bits: u32,
    metric: Metric,
    rotation: Rotation,
    /// `[dims]`
    centroid: Vec<f32>,
}

impl RaBitQ {
    /// Takes the mean of `sample` as centroid, and the rotation of `seed`.
    pub fn train(sample: &Embeddings, bits: u32, metric: Metric, seed: Seed) -> Self {
        let mut sums = vec![0.0_f64; sample.dims()];
        for row in sample.iter() {
            sums.iter_mut()
                .zip(row)
                .for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let rows = sample.rows().max(1) as f64;
        let ints = Ints::new(sample.dims(), bits);
        Self {
            ints,
            bits,
            metric,
            rotation: Rotation::new(ints.padded(), seed.0),
            centroid: sums.iter().map(|sum| (sum / rows) as f32).collect(),
        }
    }

    pub(crate) fn read(bits: u32, dims: usize, metric: Metric, blob: &mut BlobReader<'_>) -> Result<Self> {
        let ints = Ints::new(dims, bits);
        Ok(Self {
            ints,
            bits,
            metric,
            rotation: Rotation::read(ints.padded(), blob)?,
            centroid: blob.f32s("a centroid", dims)?,
        })
    }

    /// `row` minus the centroid, rotated, `[padded]`; and its length.
    fn turned(&self, row: &[f32]) -> (Vec<f32>, f32) {
        let mut turned = vec![0.0; self.ints.padded()];
        for (turned, (value, centre)) in turned.iter_mut().zip(row.iter().zip(&self.centroid)) {
            *turned = value - centre;
        }
        let length = distance::dot(&turned, &turned).sqrt();
        self.rotation.rotate(&mut turned);
        (turned, length)
    }

    /// The integers nearest in angle to `turned`, and the product and length of what they stand for.
    fn grid(&self, turned: &[f32], length: f32) -> (Vec<u8>, f32, f32) {
        let levels = 1_u32 << (self.bits - 1);
        let top = (levels - 1) as f32;
        // Coordinates look like a Gaussian with this deviation.
        let deviation = length / (turned.len() as f32).sqrt();
        let measure = |step: f32| {
            let inverse = 1.0 / step;
            let (mut product, mut square) = (0.0_f32, 0.0_f32);
            for value in turned {
                let level = level(value.abs() * inverse, top) + 0.5;
                product += level * value.abs();
                square += level * level;
            }
            (product, square)
        };
        let step = STEPS[self.bits as usize - 1] * deviation;
        let mut best = (step, measure(step));
        if self.bits > 1 {
            for factor in FACTORS {
                let (product, square) = measure(step * factor);
                if product * product * best.1.1 > best.1.0 * best.1.0 * square {
                    best = (step * factor, (product, square));
                }
            }
        }
        let inverse = 1.0 / best.0;
        let integers = turned.iter().map(|value| {
            let level = level(value.abs() * inverse, top) as u32;
            (if *value > 0.0 {
                levels + level
            } else {
                levels - 1 - level
            }) as u8
        });
        (integers.collect(), best.1.0, best.1.1)
    }
}

/// The whole part of a number from 0 on, at most `top`; written so that compilers turn it into vector instructions (adding 1.5 * 2^23
/// rounds).
fn level(value: f32, top: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    (((value - 0.5).min(top) + ROUND) - ROUND).max(0.0)
}

impl Codec for RaBitQ {
    fn spec(&self) -> String {
        format!("rabitq:{}", self.bits)
    }

    fn dims(&self) -> usize {
        self.centroid.len()
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn code_bytes(&self) -> usize {
        self.ints.bytes() + TAIL
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        let centre = distance::dot(&self.centroid, &self.centroid);
        rows.par_chunks_exact(self.dims())
            .zip(codes.par_chunks_exact_mut(self.code_bytes()))
            .with_min_len(16)
            .for_each(|(row, code)| {
                let (turned, length) = self.turned(row);
                let own = match self.metric {
                    Metric::L2 => -length * length,
                    _ => distance::dot(row, &self.centroid) - centre,
                };
                let (integers, factor, error) = if length > 0.0 {
                    let (integers, product, square) = self.grid(&turned, length);
                    let cosine =
                        (f64::from(product) / (f64::from(length) * f64::from(square).sqrt())).min(1.0);
                    let spread = (1.0 / (cosine * cosine) - 1.0).max(0.0) / (turned.len() - 1) as f64;
                    (integers, length * length / product, length * spread.sqrt() as f32)
                } else {
                    (vec![0; turned.len()], 0.0, 0.0)
                };
                let twice = if self.metric == Metric::L2 { 2.0 } else { 1.0 };
                let (ints, tail) = code.split_at_mut(self.ints.bytes());
                self.ints.write(&integers, ints);
                tail[..4].copy_from_slice(&(twice * factor).to_le_bytes());
                tail[4..8].copy_from_slice(&own.to_le_bytes());
                tail[8..].copy_from_slice(&f16::from_f32(twice * error).to_le_bytes());
            });
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        let twice = if self.metric == Metric::L2 { 2.0 } else { 1.0 };
        for (code, row) in codes
            .chunks_exact(self.code_bytes())
            .zip(rows.chunks_exact_mut(self.dims()))
        {
            // The estimate with every axis as query: r u / <u, o>.
            let factor = float(code, self.ints.bytes()) / twice;
            let values = (0..self.ints.padded())
                .map(|at| factor * (f32::from(self.ints.read(code, at)) - self.ints.middle()));
            let mut values: Vec<f32> = values.collect();
            self.rotation.undo(&mut values);
            for (value, (turned, centre)) in row.iter_mut().zip(values.iter().zip(&self.centroid)) {
                *value = turned + centre;
            }
        }
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        let (turned, length) = self.turned(query);
        let base = match self.metric {
            Metric::L2 => -length * length,
            _ => distance::dot(query, &self.centroid),
        };
        Box::new(Prepared {
            codec: self,
            query: self.ints.query(&turned),
            base,
            length,
        })
    }

    fn write(&self, blob: &mut BlobWriter) {
        blob.u64(self.rotation.seed());
        blob.f32s(&self.centroid);
    }
}

struct Prepared<'a> {
    codec: &'a RaBitQ,
    query: IntQuery,
    base: f32,
    /// How far the query is from the centroid.
    length: f32,
}

impl Prepared<'_> {
    fn score(&self, codes: &[u8], ids: Option<&[u32]>, out: &mut [f32]) {
        let stride = self.codec.code_bytes();
        self.query.products(codes, stride, ids, out);
        for (at, score) in out.iter_mut().enumerate() {
            let row = ids.map_or(at, |ids| ids[at] as usize);
            *score = self.of_product(&codes[row * stride..], *score);
        }
    }

    /// The score of a code whose product with the query is known.
    fn of_product(&self, code: &[u8], product: f32) -> f32 {
        let tail = self.codec.ints.bytes();
        self.base + float(code, tail + 4) + float(code, tail) * product
    }
}

impl Lookups for Prepared<'_> {
    fn tables(&self) -> &Tables {
        self.query.tables()
    }

    fn finish(&self, sums: &[i32], codes: &[u8], out: &mut [f32]) {
        self.query.products_of_sums(sums, out);
        for (score, code) in out.iter_mut().zip(codes.chunks_exact(self.codec.code_bytes())) {
            *score = self.of_product(code, *score);
        }
    }
}

impl Query for Prepared<'_> {
    fn score_rows(&self, codes: &[u8], out: &mut [f32]) {
        self.score(codes, None, out);
    }

    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]) {
        self.score(codes, Some(ids), out);
    }

    fn lookups(&self) -> Option<&dyn Lookups> {
        self.query.has_tables().then_some(self)
    }

    fn standard_error(&self, code: &[u8]) -> Option<f32> {
        let tail = self.codec.ints.bytes() + 8;
        let error = code.get(tail..)?.first_chunk::<2>()?;
        Some(f16::from_le_bytes(*error).to_f32() * self.length)
    }
}
