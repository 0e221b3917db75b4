//! `opq:M` and `opq:Mx4`: product quantisation after a rotation that is learnt for it (Ge, He, Ke and Sun, 2013, the non-parametric form):
//! codebooks for the rotated vectors, then the rotation that brings vectors nearest to what their codes stand for, and again.

use kokeshi_core::{Embeddings, Metric, Result, Seed, eigen};

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Query};
use crate::pq::{Pq, chosen};
use crate::{polar, product};

/// Alternations, as many as DiskANN does; FAISS does 50.
const ROUNDS: usize = 20;
/// Rounds of k-means in the first alternation, in every other one, and at the end.
const FIRST: usize = 8;
const BETWEEN: usize = 1;
const LAST: usize = 15;
/// Rows to learn the rotation from, at most.
const ROWS: usize = 16_384;

/// A rotation and codebooks.
#[derive(Debug, Clone)]
pub struct Opq {
    dims: usize,
    /// `[dims, dims]`; row i is axis i of the rotated space.
    rotation: Vec<f32>,
    pq: Pq,
}

impl Opq {
    /// Learns both from `sample`, starting from its principal axes dealt out to the parts so that all get alike much variance.
    ///
    /// # Errors
    /// As [`Pq::train`].
    pub fn train(sample: &Embeddings, parts: usize, bits: u32, metric: Metric, seed: Seed) -> Result<Self> {
        let mut errors = Vec::new();
        Self::train_watched(sample, parts, bits, metric, seed, |error| errors.push(error))
    }

    /// [`Opq::train`], with the mean squared error of every alternation.
    ///
    /// # Errors
    /// As [`Pq::train`].
    pub fn train_watched(
        sample: &Embeddings,
        parts: usize,
        bits: u32,
        metric: Metric,
        seed: Seed,
        mut watch: impl FnMut(f64),
    ) -> Result<Self> {
        let dims = sample.dims();
        let rows = Embeddings::from_vec(chosen(sample, ROWS, seed), dims)?;
        let mut rotation = balanced_axes(&rows, parts);
        let mut turned = vec![0.0; rows.as_slice().len()];
        product::by_rows(rows.as_slice(), &rotation, dims, &mut turned);
        let turned_rows = Embeddings::from_vec(turned.clone(), dims)?;
        let mut pq = Pq::new(&turned_rows, parts, bits, metric, "opq", seed)?;
        let mut codes = vec![0; rows.rows() * pq.code_bytes()];
        let mut decoded = vec![0.0; turned.len()];
        let mut correlation = vec![0.0; dims * dims];
        for round in 0..ROUNDS {
            pq.improve(&turned, if round == 0 { FIRST } else { BETWEEN });
            pq.encode(&turned, &mut codes);
            pq.decode(&codes, &mut decoded);
            let error: f64 = turned
                .iter()
                .zip(&decoded)
                .map(|(a, b)| f64::from((a - b) * (a - b)))
                .sum();
            watch(error / rows.rows().max(1) as f64);
            product::by_columns(&decoded, rows.as_slice(), dims, dims, &mut correlation);
            rotation = polar::nearest_orthogonal(&correlation, &rotation, dims);
            product::by_rows(rows.as_slice(), &rotation, dims, &mut turned);
        }
        let mut codec = Self { dims, rotation, pq };
        // Codebooks take more rows than the rotation needs.
        let turned = codec.rotate(&codec.pq.enough(sample, seed));
        codec.pq.improve(&turned, LAST);
        Ok(codec)
    }

    pub(crate) fn read(
        parts: usize,
        bits: u32,
        dims: usize,
        metric: Metric,
        blob: &mut BlobReader<'_>,
    ) -> Result<Self> {
        let rotation = blob.f32s("a rotation", dims.saturating_mul(dims))?;
        let pq = Pq::read(parts, bits, dims, metric, blob)?;
        Ok(Self { dims, rotation, pq })
    }

    /// Product quantisation without a rotation, in the same form.
    pub(crate) fn unrotated(
        sample: &Embeddings,
        parts: usize,
        bits: u32,
        metric: Metric,
        seed: Seed,
    ) -> Result<Self> {
        let dims = sample.dims();
        let mut rotation = vec![0.0; dims * dims];
        (0..dims).for_each(|at| rotation[at * dims + at] = 1.0);
        let pq = Pq::train(sample, parts, bits, metric, seed)?;
        Ok(Self { dims, rotation, pq })
    }

    pub(crate) fn pq(&self) -> &Pq {
        &self.pq
    }

    pub(crate) fn pq_mut(&mut self) -> &mut Pq {
        &mut self.pq
    }

    pub(crate) fn rotation_mut(&mut self) -> &mut [f32] {
        &mut self.rotation
    }

    /// The rotation, `[dims, dims]`: row i is axis i of the rotated space.
    pub fn rotation(&self) -> &[f32] {
        &self.rotation
    }

    pub(crate) fn rotate(&self, rows: &[f32]) -> Vec<f32> {
        let mut turned = vec![0.0; rows.len()];
        product::by_rows(rows, &self.rotation, self.dims, &mut turned);
        turned
    }
}

/// Principal axes, dealt out: the next one goes to the part with the smallest product of variances that still has room.
fn balanced_axes(rows: &Embeddings, parts: usize) -> Vec<f32> {
    let dims = rows.dims();
    let mut products = vec![0.0; dims * dims];
    product::by_columns(rows.as_slice(), rows.as_slice(), dims, dims, &mut products);
    let found = eigen::symmetric(products.into_iter().map(f64::from).collect(), dims);
    let width = dims.div_ceil(parts);
    let mut logs = vec![0.0_f64; parts];
    let mut buckets: Vec<Vec<usize>> = vec![Vec::new(); parts];
    let least = found.values.first().copied().unwrap_or(1.0).abs() * 1e-12;
    for (axis, value) in found.values.iter().enumerate() {
        let room = |part: usize| (dims.saturating_sub(part * width)).min(width);
        let open = (0..parts).filter(|&part| buckets[part].len() < room(part));
        let Some(part) = open.min_by(|&a, &b| logs[a].total_cmp(&logs[b])) else {
            break;
        };
        logs[part] += value.max(least).max(f64::MIN_POSITIVE).ln();
        buckets[part].push(axis);
    }
    let order = buckets.into_iter().flatten();
    order
        .flat_map(|axis| {
            found.vectors[axis * dims..][..dims]
                .iter()
                .map(|&value| value as f32)
        })
        .collect()
}

impl Codec for Opq {
    fn spec(&self) -> String {
        format!("o{}", self.pq.spec())
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn metric(&self) -> Metric {
        self.pq.metric()
    }

    fn code_bytes(&self) -> usize {
        self.pq.code_bytes()
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        self.pq.encode(&self.rotate(rows), codes);
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        let mut turned = vec![0.0; rows.len()];
        self.pq.decode(codes, &mut turned);
        product::plain(&turned, &self.rotation, self.dims, self.dims, rows);
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        self.pq.prepare(&self.rotate(query))
    }

    fn write(&self, blob: &mut BlobWriter) {
        blob.f32s(&self.rotation);
        self.pq.write(blob);
    }
}
