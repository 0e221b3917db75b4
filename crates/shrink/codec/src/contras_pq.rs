//! `cpq:M` (`cpq:Mx6`, `cpq:Mx4`): product quantisation learnt from pairs (ContrasPQ of BiDR, arXiv 2201.05409): codebooks, and a map before
//! them, are moved so that a query's product with the code of its own document beats those with other documents of the batch. The error of
//! what codes stand for may rise meanwhile.
//!
//! A part takes its nearest centroid; the gradient goes through the softmax of the negative squared distances instead (straight through),
//! so that every centroid of a codebook learns from every document. The start is OPQ of the documents.

use kokeshi_core::{Embeddings, Error, Metric, Result, Seed, distance, eigen};

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Query};
use crate::learn::{Adam, Contrast};
use crate::opq::Opq;
use crate::product;

/// How codebooks are learnt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContrasPqConfig {
    /// Passes over the pairs.
    pub epochs: usize,
    /// Pairs of a batch: each query has all other documents as negatives.
    pub batch: usize,
    /// Step of Adam.
    pub rate: f32,
    /// Products are divided by this.
    pub temperature: f32,
    /// Whether the map before the codebooks learns too. It starts as OPQ's rotation, or as none, and need not stay a rotation.
    pub map: bool,
    /// Whether the start is OPQ; otherwise product quantisation without a rotation.
    pub opq: bool,
}

impl Default for ContrasPqConfig {
    fn default() -> Self {
        Self {
            epochs: 4,
            batch: 128,
            rate: 1e-3,
            temperature: 0.05,
            map: true,
            opq: true,
        }
    }
}

/// A learnt map and codebooks.
#[derive(Debug, Clone)]
pub struct ContrasPq {
    inner: Opq,
}

impl ContrasPq {
    /// Learns from pairs: row i of `queries` and of `documents` belong together. Codebooks start from `documents`.
    ///
    /// # Errors
    /// [`Error::Dims`] if the pairs don't fit each other; [`Error::Parse`] for less than two pairs, or as [`crate::Pq::train`].
    pub fn train(
        queries: &Embeddings,
        documents: &Embeddings,
        parts: usize,
        bits: u32,
        metric: Metric,
        config: &ContrasPqConfig,
        seed: Seed,
    ) -> Result<Self> {
        if queries.dims() != documents.dims() {
            return Err(Error::Dims {
                what: "the documents of pairs".into(),
                expected: queries.dims(),
                found: documents.dims(),
            });
        }
        if queries.rows() < 2 || queries.rows() != documents.rows() {
            return Err(Error::Parse {
                what: "the step cpq".into(),
                expected: "at least two pairs".into(),
                found: format!("{} queries and {} documents", queries.rows(), documents.rows()),
            });
        }
        if metric == Metric::L2 {
            return Err(Error::Parse {
                what: "the step cpq".into(),
                expected: "the metric cosine or dot".into(),
                found: "l2".into(),
            });
        }
        let inner = match config.opq {
            true => Opq::train(documents, parts, bits, metric, seed)?,
            false => Opq::unrotated(documents, parts, bits, metric, seed)?,
        };
        let mut codec = Self { inner };
        let mut seed = seed;
        codec.learn(queries, documents, config, seed.fork(1));
        Ok(codec)
    }

    /// The codebooks: `[parts, 2^bits, width]`.
    pub fn centroids(&self) -> &[f32] {
        self.inner.pq().centroids()
    }

    fn learn(&mut self, queries: &Embeddings, documents: &Embeddings, config: &ContrasPqConfig, seed: Seed) {
        let mut seed = seed;
        let contrast = Contrast {
            temperature: config.temperature,
            hardest: config.batch,
        };
        let mut books = Adam::new(self.centroids().len(), config.rate);
        let mut maps = Adam::new(self.inner.rotation().len(), config.rate);
        let mut order: Vec<usize> = (0..queries.rows()).collect();
        for _ in 0..config.epochs {
            seed.shuffle(&mut order);
            for batch in order.chunks(config.batch.max(2)).filter(|batch| batch.len() > 1) {
                let rows = |of: &Embeddings| -> Vec<f32> {
                    batch.iter().flat_map(|&row| of.row(row)).copied().collect()
                };
                let (_, by_books, by_map) = self.gradients(&rows(queries), &rows(documents), &contrast);
                books.step(self.inner.pq_mut().centroids_mut(), &by_books);
                if config.map {
                    maps.step(self.inner.rotation_mut(), &by_map);
                }
            }
        }
    }

    /// The loss of a batch (`[n, dims]` each), and its gradients by the codebooks and by the map.
    fn gradients(
        &self,
        queries: &[f32],
        documents: &[f32],
        contrast: &Contrast,
    ) -> (f64, Vec<f32>, Vec<f32>) {
        let dims = self.inner.dims();
        let (asked, turned) = (self.inner.rotate(queries), self.inner.rotate(documents));
        let pq = self.inner.pq();
        let mut codes = vec![0; turned.len() / dims * pq.code_bytes()];
        pq.encode(&turned, &mut codes);
        let mut quantised = vec![0.0; turned.len()];
        pq.decode(&codes, &mut quantised);
        let (loss, by_asked, by_quantised) = contrast.one_way(&asked, &quantised, dims);
        let mut by_turned = vec![0.0; turned.len()];
        let mut by_books = vec![0.0; pq.centroids().len()];
        pq.straight_through(&turned, &codes, &by_quantised, &mut by_books, &mut by_turned);
        let mut by_map = vec![0.0; dims * dims];
        product::by_columns(&by_asked, queries, dims, dims, &mut by_map);
        let mut more = vec![0.0; dims * dims];
        product::by_columns(&by_turned, documents, dims, dims, &mut more);
        by_map
            .iter_mut()
            .zip(&more)
            .for_each(|(sum, value)| *sum += value);
        (loss, by_books, by_map)
    }

    pub(crate) fn read(
        parts: usize,
        bits: u32,
        dims: usize,
        metric: Metric,
        blob: &mut BlobReader<'_>,
    ) -> Result<Self> {
        Ok(Self {
            inner: Opq::read(parts, bits, dims, metric, blob)?,
        })
    }
}

impl Codec for ContrasPq {
    fn spec(&self) -> String {
        format!("c{}", self.inner.pq().spec())
    }

    fn dims(&self) -> usize {
        self.inner.dims()
    }

    fn metric(&self) -> Metric {
        self.inner.metric()
    }

    fn code_bytes(&self) -> usize {
        self.inner.code_bytes()
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        self.inner.encode(rows, codes);
    }

    /// The vectors whose mapped image is nearest to the centroids (the map need not be a rotation).
    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        let dims = self.dims();
        let map = self.inner.rotation();
        let mut turned = vec![0.0; rows.len()];
        self.inner.pq().decode(codes, &mut turned);
        // (R^T R)^-1 R^T, by the axes of R^T R; directions that the map forgets stay zero.
        let mut square = vec![0.0; dims * dims];
        product::by_columns(map, map, dims, dims, &mut square);
        let found = eigen::symmetric(square.iter().map(|&value| f64::from(value)).collect(), dims);
        let most = found.values.first().copied().unwrap_or(0.0);
        let axes: Vec<f32> = found.vectors.iter().map(|&value| value as f32).collect();
        let mut back = vec![0.0; rows.len()];
        product::plain(&turned, map, dims, dims, &mut back);
        let mut along = vec![0.0; rows.len()];
        product::by_rows(&back, &axes, dims, &mut along);
        for row in along.chunks_exact_mut(dims) {
            for (value, scale) in row.iter_mut().zip(&found.values) {
                *value = if *scale > 1e-6 * most {
                    (f64::from(*value) / scale) as f32
                } else {
                    0.0
                };
            }
        }
        product::plain(&along, &axes, dims, dims, rows);
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        self.inner.prepare(query)
    }

    fn write(&self, blob: &mut BlobWriter) {
        self.inner.write(blob);
    }
}

impl crate::Pq {
    /// Gradients by the codebooks (added to `by_books`) and by the rows (into `by_rows`) from those by what the rows' codes stand for.
    fn straight_through(
        &self,
        rows: &[f32],
        codes: &[u8],
        slopes: &[f32],
        by_books: &mut [f32],
        by_rows: &mut [f32],
    ) {
        let (dims, width) = (self.dims(), self.width());
        let count = self.centroids().len() / width / self.parts();
        let (mut point, mut slope) = (vec![0.0; width], vec![0.0; width]);
        let mut shares = vec![0.0_f32; count];
        let mut moves = vec![0.0_f32; count];
        for (at, (row, slopes)) in rows.chunks_exact(dims).zip(slopes.chunks_exact(dims)).enumerate() {
            let code = &codes[at * self.code_bytes()..][..self.code_bytes()];
            for (part, number) in self.numbers(code).enumerate() {
                let (from, until) = self.range(part);
                point.fill(0.0);
                slope.fill(0.0);
                point[..until - from].copy_from_slice(&row[from..until]);
                slope[..until - from].copy_from_slice(&slopes[from..until]);
                let books = part * count * width..(part + 1) * count * width;
                let book = &self.centroids()[books.clone()];
                let by_book = &mut by_books[books];
                for (share, centre) in shares.iter_mut().zip(book.chunks_exact(width)) {
                    *share = -distance::l2_squared(&point, centre);
                }
                let most = shares.iter().copied().fold(f32::NEG_INFINITY, f32::max);
                shares.iter_mut().for_each(|share| *share = (*share - most).exp());
                let sum: f32 = shares.iter().sum();
                shares.iter_mut().for_each(|share| *share /= sum);
                // Of the loss by each share: what choosing that centroid would do.
                for (by, centre) in moves.iter_mut().zip(book.chunks_exact(width)) {
                    *by = distance::dot(&slope, centre);
                }
                let mean: f32 = shares.iter().zip(&moves).map(|(share, by)| share * by).sum();
                // The centroid itself, as chosen.
                by_book[number * width..][..width]
                    .iter_mut()
                    .zip(&slope)
                    .for_each(|(sum, value)| *sum += value);
                let back = &mut by_rows[at * dims + from..at * dims + until];
                for (((share, by), centre), by_centre) in shares
                    .iter()
                    .zip(&moves)
                    .zip(book.chunks_exact(width))
                    .zip(by_book.chunks_exact_mut(width))
                {
                    let twice = 2.0 * share * (by - mean);
                    for ((sum, value), centre) in by_centre.iter_mut().zip(&point).zip(centre) {
                        *sum += twice * (value - centre);
                    }
                    back.iter_mut()
                        .zip(centre)
                        .for_each(|(sum, centre)| *sum += twice * centre);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;

    #[test]
    fn every_centroid_of_a_codebook_learns_from_a_document_and_the_one_chosen_is_the_nearest() {
        let mut seed = Seed(3);
        let rows = random(300, 12, &mut seed);
        let config = ContrasPqConfig {
            epochs: 0,
            ..ContrasPqConfig::default()
        };
        let codec = ContrasPq::train(&rows, &rows, 3, 4, Metric::Cosine, &config, Seed(1)).unwrap();
        let contrast = Contrast {
            temperature: 0.05,
            hardest: 8,
        };
        let (_, by_books, _) = codec.gradients(&rows.as_slice()[..96], &rows.as_slice()[96..192], &contrast);
        assert!(
            by_books
                .chunks_exact(4)
                .all(|by| by.iter().any(|value| *value != 0.0))
        );
        let turned = codec.inner.rotate(rows.as_slice());
        let mut codes = vec![0; 300 * codec.code_bytes()];
        codec.encode(rows.as_slice(), &mut codes);
        for (row, code) in turned
            .chunks_exact(12)
            .zip(codes.chunks_exact(codec.code_bytes()))
        {
            for (part, number) in codec.inner.pq().numbers(code).enumerate() {
                let far = |number: usize| {
                    distance::l2_squared(
                        &row[part * 4..][..4],
                        &codec.centroids()[(part * 16 + number) * 4..][..4],
                    )
                };
                assert!((0..16).all(|other| far(number) <= far(other) + 1e-6));
            }
        }
    }

    /// With soft assignment the gradient is exact, so that finite differences judge what goes through the softmax.
    #[test]
    fn the_gradient_through_the_softmax_is_what_finite_differences_say() {
        let mut seed = Seed(9);
        let sample = random(200, 8, &mut seed);
        let pq = crate::Pq::train(&sample, 2, 4, Metric::Cosine, Seed(1)).unwrap();
        let (row, slope) = (random(1, 8, &mut seed), random(1, 8, &mut seed));
        let soft = |row: &[f32]| -> f64 {
            (0..2)
                .map(|part| {
                    let point = &row[part * 4..][..4];
                    let books = pq.centroids()[part * 64..][..64].chunks_exact(4);
                    let weights: Vec<f64> = books
                        .clone()
                        .map(|centre| f64::from(-distance::l2_squared(point, centre)).exp())
                        .collect();
                    let sum: f64 = weights.iter().sum();
                    books
                        .zip(&weights)
                        .map(|(centre, weight)| {
                            weight / sum
                                * f64::from(distance::dot(centre, &slope.as_slice()[part * 4..][..4]))
                        })
                        .sum::<f64>()
                })
                .sum()
        };
        let mut code = vec![0; pq.code_bytes()];
        pq.encode(row.as_slice(), &mut code);
        let (mut books, mut by_row) = (vec![0.0; pq.centroids().len()], vec![0.0; 8]);
        pq.straight_through(row.as_slice(), &code, slope.as_slice(), &mut books, &mut by_row);
        for at in 0..8 {
            let mut moved = row.as_slice().to_vec();
            moved[at] += 1e-2;
            let up = soft(&moved);
            moved[at] -= 2e-2;
            let expected = (up - soft(&moved)) / 2e-2;
            assert!(
                (f64::from(by_row[at]) - expected).abs() < 1e-3,
                "{at}: {} {expected}",
                by_row[at]
            );
        }
    }

    #[test]
    fn learning_finds_more_documents_of_queries_and_what_does_not_fit_is_refused() {
        let mut seed = Seed(4);
        // A query is its document without half of the values, and with noise in the others.
        let documents = random(1500, 16, &mut seed);
        let mut queries = documents.clone();
        for row in queries.as_mut_slice().chunks_exact_mut(16) {
            row[8..]
                .iter_mut()
                .for_each(|value| *value = 0.3 * seed.normal() as f32);
        }
        queries.normalize();
        let found = |epochs| {
            let config = ContrasPqConfig {
                epochs,
                rate: 3e-3,
                ..ContrasPqConfig::default()
            };
            let codec =
                ContrasPq::train(&queries, &documents, 4, 4, Metric::Cosine, &config, Seed(1)).unwrap();
            let mut codes = vec![0; 1500 * codec.code_bytes()];
            codec.encode(documents.as_slice(), &mut codes);
            let mut scores = vec![0.0; 1500];
            (0..200)
                .filter(|&at| {
                    codec.prepare(queries.row(at)).score_rows(&codes, &mut scores);
                    scores.iter().filter(|&&score| score > scores[at]).count() < 10
                })
                .count()
        };
        let (before, after) = (found(0), found(8));
        assert!(after as f64 > 1.3 * before as f64, "{before} {after}");
        let refused = |queries: &Embeddings, metric| {
            let config = ContrasPqConfig::default();
            ContrasPq::train(queries, &documents, 4, 4, metric, &config, Seed(1))
                .unwrap_err()
                .to_string()
        };
        assert!(refused(&random(3, 16, &mut seed), Metric::Cosine).contains("at least two pairs"));
        assert!(refused(&random(1500, 8, &mut seed), Metric::Cosine).contains("16"));
        assert!(refused(&queries, Metric::L2).contains("cosine or dot"));
    }
}
