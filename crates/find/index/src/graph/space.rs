//! How rows are compared with each other while a graph is built: squared Euclidean distances, whatever the metric, mostly on codes of
//! one byte a value.

use kokeshi_core::{Metric, distance};
use rayon::prelude::*;

use crate::Vectors;
use crate::vectors::prefetch;

/// Narrower rows are compared as they are: a byte a value says too little about few values, and they are quick to read anyway.
const LEAST_CODED_DIMS: usize = 32;
/// Rows whose mean is taken together; fixed, so that rounding doesn't depend on the number of threads.
const MEAN_ROWS: usize = 4096;
/// How many rows ahead of the one being compared are called for.
const AHEAD: usize = 4;

/// Squared Euclidean distances between rows, which is what graph construction needs whatever the metric.
///
/// For inner products rows get one more coordinate that makes all of them equally long ("Speeding Up the Xbox Recommender System",
/// RecSys 2014): nearest in that space is then the same as largest inner product for any query.
///
/// Rows of [`LEAST_CODED_DIMS`] or more are rounded, after subtracting the mean of all rows (which changes no distance), to 255 steps
/// of their own largest value: a quarter of the memory to read for each comparison. Only the links are chosen with that; searches
/// compare the rows themselves.
pub(super) struct Space<'a> {
    pub vectors: &'a Vectors,
    /// The mean of the usable rows.
    pub mean: Vec<f32>,
    /// `[rows, dims]`, or nothing if rows are compared as they are.
    codes: Vec<i8>,
    sides: Vec<Side>,
}

/// What belongs to a row besides its values.
#[derive(Clone, Copy)]
struct Side {
    /// The step of its codes.
    scale: f32,
    /// The squared length of what its codes stand for.
    square: f32,
    /// The added coordinate for [`Metric::Dot`], or 0.
    lift: f32,
    usable: bool,
}

/// A row in a byte a value, without the mean of all rows.
#[derive(Clone, Copy)]
pub(super) struct Coded<'a> {
    pub codes: &'a [i8],
    /// The step of its codes.
    pub scale: f32,
    /// The squared length of what they stand for.
    pub square: f32,
}

impl<'a> Coded<'a> {
    /// What its codes stand for.
    #[inline]
    pub fn values(self) -> impl Iterator<Item = f32> + 'a {
        self.codes.iter().map(move |code| f32::from(*code) * self.scale)
    }
}

impl<'a> Space<'a> {
    pub fn new(vectors: &'a Vectors, metric: Metric) -> Self {
        let squares: Vec<f32> = (0..vectors.rows() as u32)
            .into_par_iter()
            .map(|id| distance::dot(vectors.row(id), vectors.row(id)))
            .collect();
        let finite = squares.iter().copied().filter(|square| square.is_finite());
        let radius = finite.fold(0.0, f32::max);
        let lift = |square: f32| match metric {
            Metric::Dot => (radius - square).max(0.0).sqrt(),
            Metric::Cosine | Metric::L2 => 0.0,
        };
        let sides = squares
            .iter()
            .map(|&square| Side {
                scale: 0.0,
                square: 0.0,
                lift: lift(square),
                usable: square.is_finite(),
            })
            .collect();
        let mut space = Self {
            vectors,
            mean: Vec::new(),
            codes: Vec::new(),
            sides,
        };
        space.mean = space.mean();
        if vectors.dims() >= LEAST_CODED_DIMS {
            space.encode();
        }
        space
    }

    /// Whether row `id` can be in a graph: NaN and infinite values can't be compared.
    pub fn usable(&self, id: u32) -> bool {
        self.sides[id as usize].usable
    }

    /// The usable row nearest to the mean of all usable rows.
    pub fn medoid(&self) -> Option<u32> {
        (0..self.vectors.rows() as u32)
            .into_par_iter()
            .filter(|&id| self.usable(id))
            .map(|id| super::scratch::Near {
                distance: distance::l2_squared(self.vectors.row(id), &self.mean),
                id,
            })
            .min()
            .map(|near| near.id)
    }

    fn mean(&self) -> Vec<f32> {
        let rows: Vec<u32> = (0..self.vectors.rows() as u32)
            .filter(|&id| self.usable(id))
            .collect();
        let sums: Vec<Vec<f64>> = rows
            .par_chunks(MEAN_ROWS)
            .map(|ids| {
                let mut sum = vec![0.0; self.vectors.dims()];
                for &id in ids {
                    for (sum, value) in sum.iter_mut().zip(self.vectors.row(id)) {
                        *sum += f64::from(*value);
                    }
                }
                sum
            })
            .collect();
        (0..self.vectors.dims())
            .map(|column| (sums.iter().map(|sum| sum[column]).sum::<f64>() / rows.len().max(1) as f64) as f32)
            .collect()
    }

    fn encode(&mut self) {
        let dims = self.vectors.dims();
        let (vectors, mean) = (self.vectors, &self.mean);
        self.codes = vec![0; self.sides.len() * dims];
        self.codes
            .par_chunks_mut(dims)
            .zip(&mut self.sides)
            .enumerate()
            .filter(|(_, (_, side))| side.usable)
            .for_each(|(id, (codes, side))| {
                let centred = || {
                    vectors
                        .row(id as u32)
                        .iter()
                        .zip(mean)
                        .map(|(value, mean)| value - mean)
                };
                let largest = centred().fold(0.0f32, |largest, value| largest.max(value.abs()));
                let steps = if largest > 0.0 { 127.0 / largest } else { 0.0 };
                for (code, value) in codes.iter_mut().zip(centred()) {
                    let value = value * steps;
                    *code = (value + 0.5f32.copysign(value)) as i8;
                }
                side.scale = largest / 127.0;
                side.square = side.scale * side.scale * distance::dot_i8(codes, codes) as f32;
            });
    }

    fn codes(&self, id: u32) -> &[i8] {
        let dims = self.vectors.dims();
        &self.codes[id as usize * dims..][..dims]
    }

    /// Row `id`, which must be usable and of a width that is coded.
    #[inline]
    pub fn coded(&self, id: u32) -> Coded<'_> {
        let Side { scale, square, .. } = self.sides[id as usize];
        Coded {
            codes: self.codes(id),
            scale,
            square,
        }
    }

    /// The mean of the rows `ids`, which must be usable and coded, less that of all rows; empty if there are none.
    pub fn middle(&self, ids: &[u32]) -> Vec<f32> {
        let Some(first) = ids.first() else {
            return Vec::new();
        };
        let mut sums = vec![0.0; self.codes(*first).len()];
        for &id in ids {
            for (sum, value) in sums.iter_mut().zip(self.coded(id).values()) {
                *sum += value;
            }
        }
        sums.iter_mut().for_each(|sum| *sum /= ids.len() as f32);
        sums
    }

    #[inline]
    fn between_codes(&self, a: (&[i8], Side), id: u32) -> f32 {
        let (row, side) = a;
        let other = self.sides[id as usize];
        let product = distance::dot_i8(row, self.codes(id)) as f32;
        let apart = side.square + other.square - 2.0 * side.scale * other.scale * product;
        apart.max(0.0) + (side.lift - other.lift).powi(2)
    }

    /// The squared distance of rows `a` and `b`.
    #[inline]
    pub fn between(&self, a: u32, b: u32) -> f32 {
        if self.codes.is_empty() {
            let mut out = [0.0];
            self.distances(a, &[b], &mut out);
            return out[0];
        }
        self.between_codes((self.codes(a), self.sides[a as usize]), b)
    }

    /// The squared distances of row `a` and the rows `ids`.
    #[inline]
    pub fn distances(&self, a: u32, ids: &[u32], out: &mut [f32]) {
        let side = self.sides[a as usize];
        if self.codes.is_empty() {
            self.vectors.l2_squares(self.vectors.row(a), ids, out);
            for (value, &id) in out.iter_mut().zip(ids) {
                *value += (side.lift - self.sides[id as usize].lift).powi(2);
            }
            return;
        }
        let row = (self.codes(a), side);
        for &id in ids.iter().take(AHEAD) {
            prefetch(self.codes(id));
        }
        for (at, (&id, out)) in ids.iter().zip(out).enumerate() {
            if let Some(&later) = ids.get(at + AHEAD) {
                prefetch(self.codes(later));
            }
            *out = self.between_codes(row, id);
        }
    }
}
