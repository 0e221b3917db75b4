//! Query-aware vector quantisation (A2ATS, arXiv 2502.12665): a codebook of keys for which the squared error of scores, not of keys, is
//! small. With `H` the second moment of the queries and `H = L L^T`, the expected squared error `(k - c) H (k - c)^T` of a score is
//! `|(k - c) L|^2`, so that plain k-means on the rows `k L` minimises it.

use std::path::Path;

use kokeshi_core::safetensors;
use kokeshi_core::{Embeddings, Seed, distance};

use crate::error::{Error, Result};
use crate::slab::Shape;

/// The most rounds of k-means (the reference's).
const ROUNDS: usize = 300;

/// K-means ends when all centroids together move less than this (the reference's).
const SHIFT: f64 = 1e-4;

/// What is added to the diagonal of `H`, whose entries have a root mean square of 1, so that its root exists (the reference's).
const RIDGE: f64 = 1e-6;

/// A codebook of one key-value head.
#[derive(Debug, Clone)]
pub struct Codebook {
    dims: usize,
    /// In the space of keys: `[codes, dims]`.
    centroids: Vec<f32>,
    /// In the space where they were found: `[codes, dims]`, row `c L`.
    turned: Vec<f32>,
    /// `L`, `[dims, dims]`.
    factor: Vec<f32>,
}

impl Codebook {
    /// Finds `codes` centroids of `keys` (`[n, dims]`, not rotated) for `queries` (`[m, dims]`, rotated to the distance that scores are
    /// estimated at).
    ///
    /// # Errors
    /// No keys or queries, more than 65,536 codes, or values whose moments overflow.
    pub fn query_aware(dims: usize, keys: &[f32], queries: &[f32], codes: usize, seed: Seed) -> Result<Self> {
        if queries.is_empty() {
            return Err(Error::Request("codebook: expected queries, found none".into()));
        }
        Self::fit(dims, keys, root(dims, queries)?, codes, seed)
    }

    /// Finds `codes` centroids of `keys` by plain k-means: what the query-aware ones are compared with.
    ///
    /// # Errors
    /// No keys, or more than 65,536 codes.
    pub fn plain(dims: usize, keys: &[f32], codes: usize, seed: Seed) -> Result<Self> {
        let mut factor = vec![0.0; dims * dims];
        factor.iter_mut().step_by(dims + 1).for_each(|value| *value = 1.0);
        Self::fit(dims, keys, factor, codes, seed)
    }

    fn fit(dims: usize, keys: &[f32], factor: Vec<f64>, codes: usize, seed: Seed) -> Result<Self> {
        if dims == 0 || keys.is_empty() || !keys.len().is_multiple_of(dims) {
            return Err(Error::Request(format!(
                "codebook: expected keys of {dims} dims, found {} values",
                keys.len()
            )));
        }
        if !(1..=1 << 16).contains(&codes) {
            return Err(Error::Request(format!(
                "codebook: expected 1 to 65536 codes, found {codes}"
            )));
        }
        let rows: Vec<f32> = keys
            .chunks_exact(dims)
            .flat_map(|key| multiply(key, &factor))
            .collect();
        let turned = k_means(dims, &rows, codes, seed);
        let centroids = turned
            .chunks_exact(dims)
            .flat_map(|row| solve(row, &factor))
            .collect();
        Ok(Self {
            dims,
            centroids,
            turned,
            factor: factor.iter().map(|&value| value as f32).collect(),
        })
    }

    /// How many codes there are.
    pub fn codes(&self) -> usize {
        self.centroids.len() / self.dims
    }

    /// The key that a code stands for.
    pub fn centroid(&self, code: u16) -> &[f32] {
        &self.centroids[usize::from(code) * self.dims..][..self.dims]
    }

    /// The keys that all codes stand for: `[codes, dims]`.
    pub fn centroids(&self) -> &[f32] {
        &self.centroids
    }

    /// `H` as the codebook sees it: `L L^T`, `[dims, dims]`.
    pub fn moment(&self) -> Vec<f64> {
        let row = |at: usize| &self.factor[at * self.dims..][..self.dims];
        let entry = |at: usize| {
            let (a, b) = (row(at / self.dims), row(at % self.dims));
            a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        (0..self.dims * self.dims).map(entry).collect()
    }

    /// The squared error of a key's code, `|(k - c) L|^2`.
    pub fn error(&self, key: &[f32], code: u16) -> f32 {
        let turned = multiply_f32(key, &self.factor);
        distance::l2_squared(
            &turned,
            &self.turned[usize::from(code) * self.dims..][..self.dims],
        )
    }

    /// The code of a key (not rotated): that of the least expected error of its scores.
    pub fn encode(&self, key: &[f32]) -> u16 {
        nearest(&multiply_f32(key, &self.factor), &self.turned).0 as u16
    }
}

/// A codebook for each layer and key-value head.
#[derive(Debug, Clone)]
pub struct Codebooks {
    shape: Shape,
    /// `[layers, key_heads]`
    codebooks: Vec<Codebook>,
}

impl Codebooks {
    /// Codebooks of a decoder of this shape, in the order of layers and in a layer of heads, all with as many codes.
    ///
    /// # Errors
    /// Another number of them, of dims or of codes.
    pub fn new(shape: Shape, codebooks: Vec<Codebook>) -> Result<Self> {
        let codes = codebooks.first().map_or(0, Codebook::codes);
        let fits = codebooks
            .iter()
            .all(|codebook| codebook.dims == shape.head_dims && codebook.codes() == codes);
        if codebooks.len() != shape.layers * shape.key_heads || !fits {
            return Err(Error::Request(format!(
                "codebooks: expected {} of {} dims and as many codes each",
                shape.layers * shape.key_heads,
                shape.head_dims
            )));
        }
        Ok(Self { shape, codebooks })
    }

    /// The codebook of a head.
    pub fn get(&self, layer: usize, head: usize) -> &Codebook {
        &self.codebooks[layer * self.shape.key_heads + head]
    }

    /// What they are codebooks of.
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// Writes them as a safetensors file: `centroids`, `turned` and `factors`, one head below the other.
    ///
    /// # Errors
    /// [`kokeshi_core::Error::Io`].
    pub fn save(&self, path: &Path) -> Result<()> {
        let joined = |part: fn(&Codebook) -> &Vec<f32>| {
            let values = self.codebooks.iter().flat_map(part).copied();
            Embeddings::from_vec(values.collect(), self.shape.head_dims)
        };
        let (centroids, turned, factors) = (
            joined(|codebook| &codebook.centroids)?,
            joined(|codebook| &codebook.turned)?,
            joined(|codebook| &codebook.factor)?,
        );
        let matrices = [
            ("centroids", &centroids),
            ("factors", &factors),
            ("turned", &turned),
        ];
        Ok(safetensors::write_all(path, &matrices)?)
    }

    /// Reads what [`Codebooks::save`] wrote.
    ///
    /// # Errors
    /// A damaged file, or codebooks of another decoder.
    pub fn load(path: &Path, shape: Shape) -> Result<Self> {
        let open = |name: &str| -> Result<Embeddings> {
            let matrix = safetensors::open(path, Some(name))?;
            matrix.check_finite(name)?;
            Ok(matrix)
        };
        let (centroids, factors, turned) = (open("centroids")?, open("factors")?, open("turned")?);
        let (heads, dims) = (shape.layers * shape.key_heads, shape.head_dims);
        let fits = heads > 0
            && [&centroids, &factors, &turned]
                .iter()
                .all(|matrix| matrix.dims() == dims)
            && factors.rows() == heads * dims
            && centroids.rows() == turned.rows()
            && centroids.rows().is_multiple_of(heads)
            && (1..=1 << 16).contains(&(centroids.rows() / heads));
        if !fits {
            return Err(Error::model(
                path,
                format!(
                    "expected codebooks of {heads} heads with {dims} dims, found {} centroids of {} dims and factors of {} rows",
                    centroids.rows(),
                    centroids.dims(),
                    factors.rows()
                ),
            ));
        }
        let part = |matrix: &Embeddings, head: usize| {
            let each = matrix.as_slice().len() / heads;
            matrix.as_slice()[head * each..(head + 1) * each].to_vec()
        };
        let codebooks = (0..heads).map(|head| Codebook {
            dims,
            centroids: part(&centroids, head),
            turned: part(&turned, head),
            factor: part(&factors, head),
        });
        Self::new(shape, codebooks.collect())
    }
}

/// `x L`
fn multiply(x: &[f32], factor: &[f64]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    for (x, row) in x.iter().zip(factor.chunks_exact(x.len())) {
        out.iter_mut()
            .zip(row)
            .for_each(|(out, value)| *out += f64::from(*x) * value);
    }
    out.into_iter().map(|value| value as f32).collect()
}

/// `x L` with the factor as it is kept.
fn multiply_f32(x: &[f32], factor: &[f32]) -> Vec<f32> {
    let mut out = vec![0.0; x.len()];
    for (x, row) in x.iter().zip(factor.chunks_exact(x.len())) {
        out.iter_mut().zip(row).for_each(|(out, value)| *out += x * value);
    }
    out
}

/// The `x` of `x L = y`, `L` lower triangular: from the last value to the first.
fn solve(y: &[f32], factor: &[f64]) -> Vec<f32> {
    let dims = y.len();
    let mut x = vec![0.0; dims];
    for column in (0..dims).rev() {
        let known: f64 = (column + 1..dims)
            .map(|row| x[row] * factor[row * dims + column])
            .sum();
        x[column] = (f64::from(y[column]) - known) / factor[column * dims + column];
    }
    x.into_iter().map(|value| value as f32).collect()
}

/// The lower root `L` of the queries' second moment, divided by the root mean square of its entries (`L L^T = H + ridge`; Cholesky).
fn root(dims: usize, queries: &[f32]) -> Result<Vec<f64>> {
    let mut moment = vec![0.0; dims * dims];
    for query in queries.chunks_exact(dims) {
        for (row, a) in query.iter().enumerate() {
            for (column, b) in query[..=row].iter().enumerate() {
                moment[row * dims + column] += f64::from(*a) * f64::from(*b);
            }
        }
    }
    let squares: f64 = (0..dims)
        .flat_map(|row| (0..=row).map(move |column| (row, column)))
        .map(|(row, column)| {
            let weight = if row == column { 1.0 } else { 2.0 };
            weight * moment[row * dims + column].powi(2)
        })
        .sum();
    let scale = (squares / (dims * dims) as f64).sqrt();
    if !(scale.is_finite() && scale > 0.0) {
        return Err(Error::Request(format!(
            "codebook: expected queries that are finite and not all zero, found a moment of {scale}"
        )));
    }
    let mut factor = vec![0.0; dims * dims];
    for row in 0..dims {
        for column in 0..=row {
            let done: f64 = (0..column)
                .map(|at| factor[row * dims + at] * factor[column * dims + at])
                .sum();
            let ridge = if row == column { RIDGE } else { 0.0 };
            let left = moment[row * dims + column] / scale + ridge - done;
            factor[row * dims + column] = if row == column {
                // The ridge keeps it positive but for rounding.
                left.max(RIDGE * RIDGE).sqrt()
            } else {
                left / factor[column * dims + column]
            };
        }
    }
    Ok(factor)
}

/// The nearest row of `centroids` and the squared distance; the first of equals.
fn nearest(row: &[f32], centroids: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::INFINITY);
    for (at, centroid) in centroids.chunks_exact(row.len()).enumerate() {
        let squared = distance::l2_squared(row, centroid);
        if squared < best.1 {
            best = (at, squared);
        }
    }
    best
}

/// Lloyd's k-means from a k-means++ start. A centroid that loses all rows moves to the row that is farthest from its own centroid.
fn k_means(dims: usize, rows: &[f32], codes: usize, mut seed: Seed) -> Vec<f32> {
    let count = rows.len() / dims;
    let row = |at: usize| &rows[at * dims..][..dims];
    let mut centroids = row(seed.below(count)).to_vec();
    let mut squared = vec![f32::INFINITY; count];
    while centroids.len() < codes * dims {
        let last = &centroids[centroids.len() - dims..];
        let mut sum = 0.0;
        for (at, squared) in squared.iter_mut().enumerate() {
            *squared = squared.min(distance::l2_squared(row(at), last));
            sum += f64::from(*squared);
        }
        let mut left = seed.uniform() * sum;
        let chosen = squared.iter().position(|&squared| {
            left -= f64::from(squared);
            squared > 0.0 && left <= 0.0
        });
        // Every row is a centroid already: any will do.
        let chosen = chosen.unwrap_or_else(|| seed.below(count));
        centroids.extend_from_slice(row(chosen));
    }
    let mut owners = vec![0; count];
    for _ in 0..ROUNDS {
        let mut sums = vec![0.0f64; codes * dims];
        let mut sizes = vec![0usize; codes];
        for at in 0..count {
            (owners[at], squared[at]) = nearest(row(at), &centroids);
            sizes[owners[at]] += 1;
            let sum = &mut sums[owners[at] * dims..][..dims];
            sum.iter_mut()
                .zip(row(at))
                .for_each(|(sum, value)| *sum += f64::from(*value));
        }
        let mut shift = 0.0;
        for code in 0..codes {
            let centroid = &mut centroids[code * dims..][..dims];
            if sizes[code] == 0 {
                let farthest = (0..count).max_by(|&a, &b| squared[a].total_cmp(&squared[b]));
                let farthest = farthest.unwrap_or_default();
                if squared[farthest] > 0.0 {
                    centroid.copy_from_slice(row(farthest));
                    shift += f64::from(squared[farthest].sqrt());
                    squared[farthest] = 0.0;
                }
                continue;
            }
            let mut moved = 0.0;
            for (value, sum) in centroid.iter_mut().zip(&sums[code * dims..][..dims]) {
                let mean = (sum / sizes[code] as f64) as f32;
                moved += f64::from(mean - *value).powi(2);
                *value = mean;
            }
            shift += moved.sqrt();
        }
        if shift < SHIFT {
            break;
        }
    }
    centroids
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: usize = 12;

    fn random(count: usize, seed: u64, stretch: bool) -> Vec<f32> {
        let mut seed = Seed(seed);
        let value = |at: usize| {
            seed.normal() as f32
                * if stretch {
                    1.0 + 3.0 * (at % DIMS) as f32
                } else {
                    1.0
                }
        };
        (0..count * DIMS).map(value).collect()
    }

    #[test]
    fn the_root_is_of_the_queries_moment() {
        let queries = random(200, 1, true);
        let codebook = Codebook::query_aware(DIMS, &random(100, 2, false), &queries, 8, Seed(3)).unwrap();
        let mut plain = vec![0.0f64; DIMS * DIMS];
        for query in queries.chunks_exact(DIMS) {
            for (at, entry) in plain.iter_mut().enumerate() {
                *entry += f64::from(query[at / DIMS]) * f64::from(query[at % DIMS]);
            }
        }
        let scale = (plain.iter().map(|value| value * value).sum::<f64>() / plain.len() as f64).sqrt();
        for (found, expected) in codebook.moment().iter().zip(&plain) {
            assert!((found - expected / scale).abs() < 1e-4, "{found} {expected}");
        }
    }

    #[test]
    fn the_turned_distance_is_the_expected_squared_error_of_scores() {
        let (keys, queries) = (random(300, 4, false), random(500, 5, true));
        let codebook = Codebook::query_aware(DIMS, &keys, &queries, 16, Seed(6)).unwrap();
        let moment = codebook.moment();
        for key in keys.chunks_exact(DIMS) {
            let code = codebook.encode(key);
            let gap: Vec<f64> = key
                .iter()
                .zip(codebook.centroid(code))
                .map(|(key, centroid)| f64::from(key - centroid))
                .collect();
            let expected: f64 = (0..DIMS * DIMS)
                .map(|at| gap[at / DIMS] * moment[at] * gap[at % DIMS])
                .sum();
            let found = f64::from(codebook.error(key, code));
            assert!(
                (found - expected).abs() <= 1e-4 * expected.max(1e-3),
                "{found} {expected}"
            );
            // No other code has a smaller error.
            assert!((0..16).all(|other| codebook.error(key, other) >= codebook.error(key, code)));
        }
    }

    #[test]
    fn with_equal_moments_in_all_directions_it_is_plain_k_means() {
        let keys = random(200, 7, false);
        // Queries along the axes: H is the identity up to a factor, and so is its root.
        let mut queries = vec![0.0; DIMS * DIMS];
        queries
            .iter_mut()
            .step_by(DIMS + 1)
            .for_each(|value| *value = 2.0);
        let aware = Codebook::query_aware(DIMS, &keys, &queries, 10, Seed(8)).unwrap();
        let plain = Codebook::plain(DIMS, &keys, 10, Seed(8)).unwrap();
        for key in keys.chunks_exact(DIMS) {
            assert_eq!(aware.encode(key), plain.encode(key));
        }
    }

    #[test]
    fn a_code_for_every_key_loses_nothing() {
        let keys = random(30, 9, false);
        let codebook = Codebook::query_aware(DIMS, &keys, &random(50, 10, true), 40, Seed(1)).unwrap();
        assert_eq!(codebook.codes(), 40);
        for key in keys.chunks_exact(DIMS) {
            let centroid = codebook.centroid(codebook.encode(key));
            assert!(distance::l2_squared(key, centroid) < 1e-8);
        }
    }

    #[test]
    fn codebooks_are_read_back_and_those_of_another_decoder_refused() {
        let shape = Shape {
            layers: 2,
            heads: 4,
            key_heads: 2,
            head_dims: DIMS,
        };
        let one = |seed| {
            Codebook::query_aware(
                DIMS,
                &random(40, seed, false),
                &random(40, 1, true),
                6,
                Seed(seed),
            )
        };
        let made = Codebooks::new(shape, (0..4).map(|seed| one(seed).unwrap()).collect()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("codebooks.safetensors");
        made.save(&path).unwrap();
        let read = Codebooks::load(&path, shape).unwrap();
        for key in random(50, 99, false).chunks_exact(DIMS) {
            assert_eq!(read.get(1, 1).encode(key), made.get(1, 1).encode(key));
        }
        let other = Shape { layers: 3, ..shape };
        let error = Codebooks::load(&path, other).unwrap_err().to_string();
        assert!(error.contains("codebooks of 6 heads"), "{error}");
        std::fs::write(&path, b"no").unwrap();
        assert!(Codebooks::load(&path, shape).is_err());
    }

    #[test]
    fn what_can_not_be_fitted_is_refused() {
        assert!(Codebook::plain(4, &[], 2, Seed(1)).is_err());
        assert!(Codebook::plain(4, &[0.0; 6], 2, Seed(1)).is_err());
        assert!(Codebook::plain(4, &[0.0; 8], 0, Seed(1)).is_err());
        assert!(Codebook::query_aware(4, &[1.0; 8], &[0.0; 8], 2, Seed(1)).is_err());
        assert!(Codebook::query_aware(4, &[1.0; 8], &[f32::NAN; 8], 2, Seed(1)).is_err());
        // Keys that are all alike still give as many codes as were asked for.
        assert_eq!(Codebook::plain(4, &[1.0; 8], 3, Seed(1)).unwrap().codes(), 3);
    }
}
