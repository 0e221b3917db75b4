//! `rbe:M` and `rbe:MxU`: recurrent binarisation (BEBR, arXiv 2302.08714). A head learnt from pairs gives M signs; each of U further rounds
//! adds M signs of half the weight for what is left of the vector. Queries and documents alike become codes, and codes are compared.
//!
//! | U | values of a dimension | dimensions a nibble |
//! |---|---|---|
//! | 0 | -1, 1 | 4 |
//! | 1 | -1.5, -0.5, 0.5, 1.5 | 2 |
//! | 2, 3 | eighths, sixteenths apart | 1 |
//!
//! Scores are sums of look-ups by nibble (the paper's SDC): tables of one byte an entry hold the products exactly, so that codes
//! are scanned with whole numbers and only the last multiplication, by one over the document's length, rounds.

use std::sync::OnceLock;

use half::f16;
use kokeshi_core::{Embeddings, Error, Metric, Result, Seed};
use rayon::prelude::*;

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Lookups, Query};
use crate::kernels::Tables;
use crate::learn::{Head, HeadConfig, Momentum, Pass, unit_gradient, units};

/// The most further rounds: a nibble holds what three give.
pub const MOST_LOOPS: usize = 3;

/// A learnt head and its codes.
#[derive(Debug, Clone)]
pub struct Rbe {
    dims: usize,
    width: usize,
    loops: usize,
    hidden: usize,
    /// W, then for each round B (back to a vector) and R (what is left, to signs).
    heads: Vec<Head>,
}

/// What the gradient of a batch needs.
struct Passes {
    first: (Vec<f32>, Pass),
    rounds: Vec<Round>,
}

/// What the gradient of a further round needs.
struct Round {
    /// The pass of B, its unit rows and the lengths that they had.
    back: Pass,
    near: Vec<f32>,
    lengths: Vec<f32>,
    /// What R gave, and its pass.
    values: Vec<f32>,
    more: Pass,
}

impl Rbe {
    /// Learns from pairs: row i of `queries` and of `documents` belong together. With `before`, new queries are also made to find the codes
    /// that it gives the documents (backward compatibility; if these codes are wider, their first dimensions are compared), and begin as it is.
    ///
    /// # Errors
    /// [`Error::Parse`] for less than two pairs, no width or too many rounds; [`Error::Dims`] if the pairs don't fit each other or `before`
    /// is wider than this.
    pub fn train(
        queries: &Embeddings,
        documents: &Embeddings,
        width: usize,
        loops: usize,
        config: &HeadConfig,
        before: Option<&Self>,
        seed: Seed,
    ) -> Result<Self> {
        let wrong = |expected: String, found: String| Error::Parse {
            what: "the step rbe".into(),
            expected,
            found,
        };
        let same = |what: &str, expected: usize, found: usize| match expected == found {
            true => Ok(()),
            false => Err(Error::Dims {
                what: what.into(),
                expected,
                found,
            }),
        };
        same("the documents of pairs", queries.dims(), documents.dims())?;
        if queries.rows() < 2 || queries.rows() != documents.rows() {
            return Err(wrong(
                "at least two pairs".into(),
                format!("{} queries and {} documents", queries.rows(), documents.rows()),
            ));
        }
        if width == 0 || loops > MOST_LOOPS {
            return Err(wrong(
                format!("a width of at least 1 and at most {MOST_LOOPS} rounds"),
                format!("{width}x{loops}"),
            ));
        }
        if let Some(old) = before {
            same("the vectors of the codes before", queries.dims(), old.dims)?;
            if old.width > width {
                return Err(Error::Dims {
                    what: "codes that fit those before".into(),
                    expected: old.width,
                    found: width,
                });
            }
        }
        let mut seed = seed;
        let dims = queries.dims();
        let mut heads = vec![Head::new(dims, config.hidden, width, &mut seed)];
        for _ in 0..loops {
            heads.push(Head::new(width, config.hidden, dims, &mut seed));
            heads.push(Head::new(dims, config.hidden, width, &mut seed));
        }
        if let Some(old) = before {
            heads
                .iter_mut()
                .zip(&old.heads)
                .for_each(|(head, old)| head.begin_as(old));
        }
        let mut codec = Self {
            dims,
            width,
            loops,
            hidden: config.hidden,
            heads,
        };
        codec.learn(queries, documents, config, before, &mut seed);
        Ok(codec)
    }

    fn learn(
        &mut self,
        queries: &Embeddings,
        documents: &Embeddings,
        config: &HeadConfig,
        before: Option<&Self>,
        seed: &mut Seed,
    ) {
        let contrast = config.contrast();
        let mut descents: Vec<Momentum> = self
            .heads
            .iter()
            .map(|head| Momentum::new(head.values.len(), config.rate, config.decay))
            .collect();
        let mut order: Vec<usize> = (0..queries.rows()).collect();
        for epoch in 0..config.epochs {
            descents
                .iter_mut()
                .for_each(|descent| descent.rate = config.rate_of(epoch));
            seed.shuffle(&mut order);
            // The mean and variance of a single pair say nothing.
            for batch in order.chunks(config.batch.max(2)).filter(|batch| batch.len() > 1) {
                let rows = |of: &Embeddings| {
                    batch
                        .iter()
                        .flat_map(|&row| of.row(row))
                        .copied()
                        .collect::<Vec<f32>>()
                };
                let mut both = rows(queries);
                both.extend(rows(documents));
                let (codes, passes) = self.pass(&both);
                let (codes, lengths) = units(&codes, self.width);
                let (asked, found) = codes.split_at(batch.len() * self.width);
                let (_, mut slopes, to_documents) = contrast.gradients(asked, found, self.width);
                slopes.extend(to_documents);
                if let Some(old) = before {
                    let old_codes = units(&old.floats(&both), old.width).0;
                    let (old_asked, old_found) = old_codes.split_at(batch.len() * old.width);
                    let cut: Vec<f32> = codes
                        .chunks_exact(self.width)
                        .flat_map(|code| &code[..old.width])
                        .copied()
                        .collect();
                    let (cut, cut_lengths) = units(&cut, old.width);
                    let (asked, found) = cut.split_at(batch.len() * old.width);
                    // New queries find old documents, and new documents old queries: one head makes both.
                    let (_, mut by_cut, _) = contrast.one_way(asked, old_found, old.width);
                    by_cut.extend(contrast.one_way(found, old_asked, old.width).1);
                    let by_cut = unit_gradient(&cut, &cut_lengths, &by_cut, old.width);
                    for (slopes, by_cut) in slopes
                        .chunks_exact_mut(self.width)
                        .zip(by_cut.chunks_exact(old.width))
                    {
                        slopes
                            .iter_mut()
                            .zip(by_cut)
                            .for_each(|(slope, value)| *slope += value);
                    }
                }
                let slopes = unit_gradient(&codes, &lengths, &slopes, self.width);
                let gradients = self.back(&passes, &slopes);
                for ((head, gradient), descent) in self.heads.iter_mut().zip(&gradients).zip(&mut descents) {
                    let matrices = head.matrices();
                    descent.step(&mut head.values, gradient, |at| at < matrices);
                }
            }
        }
    }

    /// The codes of a batch as numbers, `[n, width]`, while learning.
    fn pass(&mut self, rows: &[f32]) -> (Vec<f32>, Passes) {
        let dims = self.dims;
        let first = self.heads[0].pass(rows);
        let mut codes: Vec<f32> = first.0.iter().map(|&value| sign(value)).collect();
        let mut rounds = Vec::new();
        for round in 0..self.loops {
            let (back, back_pass) = self.heads[1 + 2 * round].pass(&codes);
            let (near, lengths) = units(&back, dims);
            let left: Vec<f32> = rows.iter().zip(&near).map(|(value, near)| value - near).collect();
            let (values, more) = self.heads[2 + 2 * round].pass(&left);
            codes
                .iter_mut()
                .zip(&values)
                .for_each(|(code, &value)| *code += weight(round) * sign(value));
            rounds.push(Round {
                back: back_pass,
                near,
                lengths,
                values,
                more,
            });
        }
        (codes, Passes { first, rounds })
    }

    /// The gradient by every head, from that by the codes. Through a sign it passes where the value is at most 1 (straight through).
    fn back(&self, passes: &Passes, slopes: &[f32]) -> Vec<Vec<f32>> {
        let mut gradients: Vec<Vec<f32>> = self
            .heads
            .iter()
            .map(|head| vec![0.0; head.values.len()])
            .collect();
        let through = |slopes: &[f32], values: &[f32], weight: f32| -> Vec<f32> {
            let pairs = slopes.iter().zip(values);
            pairs
                .map(|(slope, value)| if value.abs() <= 1.0 { weight * slope } else { 0.0 })
                .collect()
        };
        let mut slopes = slopes.to_vec();
        for (round, pass) in passes.rounds.iter().enumerate().rev() {
            let (b, r) = (1 + 2 * round, 2 + 2 * round);
            let by_left = self.heads[r].back(
                &pass.more,
                &through(&slopes, &pass.values, weight(round)),
                &mut gradients[r],
            );
            let by_near: Vec<f32> = by_left.iter().map(|slope| -slope).collect();
            let by_back = unit_gradient(&pass.near, &pass.lengths, &by_near, self.dims);
            let by_codes = self.heads[b].back(&pass.back, &by_back, &mut gradients[b]);
            slopes
                .iter_mut()
                .zip(&by_codes)
                .for_each(|(slope, value)| *slope += value);
        }
        self.heads[0].back(
            &passes.first.1,
            &through(&slopes, &passes.first.0, 1.0),
            &mut gradients[0],
        );
        gradients
    }

    /// The codes as numbers, `[n, width]`.
    pub fn floats(&self, rows: &[f32]) -> Vec<f32> {
        let mut codes: Vec<f32> = self.heads[0].apply(rows).into_iter().map(sign).collect();
        for (round, heads) in self.heads[1..].chunks_exact(2).enumerate() {
            let near = units(&heads[0].apply(&codes), self.dims).0;
            let left: Vec<f32> = rows.iter().zip(&near).map(|(value, near)| value - near).collect();
            let more = heads[1].apply(&left);
            codes
                .iter_mut()
                .zip(more)
                .for_each(|(code, value)| *code += weight(round) * sign(value));
        }
        codes
    }

    pub(crate) fn read(
        width: usize,
        loops: usize,
        dims: usize,
        metric: Metric,
        blob: &mut BlobReader<'_>,
    ) -> Result<Self> {
        if metric != Metric::Cosine {
            return Err(blob.wrong("expected the metric cosine for recurrent bits"));
        }
        let hidden = blob.count("hidden values", crate::spec::MOST_DIMS)?;
        let mut heads = vec![Head::read(dims, hidden, width, blob)?];
        for _ in 0..loops {
            heads.push(Head::read(width, hidden, dims, blob)?);
            heads.push(Head::read(dims, hidden, width, blob)?);
        }
        Ok(Self {
            dims,
            width,
            loops,
            hidden,
            heads,
        })
    }

    /// Dimensions a nibble.
    fn per_nibble(&self) -> usize {
        [4, 2, 1, 1][self.loops]
    }

    fn nibbles(&self) -> usize {
        self.width.div_ceil(self.per_nibble())
    }

    /// Levels of a dimension, and the largest as an odd whole number: the values are odd numbers, `scale` times too large.
    fn levels(&self) -> i32 {
        2 << self.loops
    }

    /// The values of a nibble's dimensions as odd whole numbers.
    fn odd(&self, nibble: u8) -> impl Iterator<Item = i32> {
        let (levels, bits) = (self.levels(), self.loops as u32 + 1);
        (0..self.per_nibble() as u32)
            .map(move |at| 2 * (i32::from(nibble) >> (at * bits) & (levels - 1)) - (levels - 1))
    }

    /// `[nibbles]` of the code of numbers.
    fn to_nibbles(&self, floats: &[f32]) -> Vec<u8> {
        let (levels, bits) = (self.levels(), self.loops + 1);
        let level = |value: f32| ((value * (levels / 2) as f32) as i32 + levels - 1) / 2;
        let nibbles = floats.chunks(self.per_nibble());
        nibbles
            .map(|values| {
                values.iter().enumerate().fold(0, |nibble, (at, &value)| {
                    nibble | (level(value) as u8) << (at * bits)
                })
            })
            .collect()
    }

    /// The whole numbers of a code; what fills up the last nibble is left out.
    fn whole(&self, code: &[u8]) -> Vec<i32> {
        let nibble = |at: usize| code[at / 2] >> (at % 2 * 4) & 15;
        (0..self.nibbles())
            .flat_map(|at| self.odd(nibble(at)))
            .take(self.width)
            .collect()
    }
}

/// The weight of the signs of a further round.
fn weight(round: usize) -> f32 {
    0.5_f32.powi(round as i32 + 1)
}

/// The sign of zero is +1.
fn sign(value: f32) -> f32 {
    if value >= 0.0 { 1.0 } else { -1.0 }
}

impl Codec for Rbe {
    fn spec(&self) -> String {
        crate::Step::Rbe(self.width, self.loops).to_string()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn metric(&self) -> Metric {
        Metric::Cosine
    }

    /// Nibbles, and one over the length of the code in two bytes.
    fn code_bytes(&self) -> usize {
        self.nibbles().div_ceil(2) + 2
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        let bytes = self.code_bytes();
        rows.par_chunks(256 * self.dims)
            .zip(codes.par_chunks_mut(256 * bytes))
            .for_each(|(rows, codes)| {
                let floats = self.floats(rows);
                for (floats, code) in floats.chunks_exact(self.width).zip(codes.chunks_exact_mut(bytes)) {
                    code.fill(0);
                    let (body, length) = code.split_at_mut(bytes - 2);
                    for (at, nibble) in self.to_nibbles(floats).into_iter().enumerate() {
                        body[at / 2] |= nibble << (at % 2 * 4);
                    }
                    let whole: i64 = self
                        .whole(body)
                        .iter()
                        .map(|&value| i64::from(value).pow(2))
                        .sum();
                    length.copy_from_slice(&f16::from_f64(64.0 / (whole as f64).sqrt()).to_le_bytes());
                }
            });
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        let scale = 2.0 / self.levels() as f32;
        let floats: Vec<f32> = codes
            .chunks_exact(self.code_bytes())
            .flat_map(|code| self.whole(code))
            .map(|value| scale * value as f32)
            .collect();
        // Without a further round nothing was learnt that leads back: the signs themselves are the nearest that can be said.
        match self.heads.last_chunk::<2>() {
            Some([back, _]) => rows.copy_from_slice(&units(&back.apply(&floats), self.dims).0),
            None => {
                for (row, code) in rows
                    .chunks_exact_mut(self.dims)
                    .zip(floats.chunks_exact(self.width))
                {
                    row.fill(0.0);
                    row.iter_mut().zip(code).for_each(|(value, code)| *value = *code);
                }
            }
        }
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        let nibbles = self.to_nibbles(&self.floats(query));
        let most = (self.levels() - 1).pow(2) * self.per_nibble() as i32;
        // A sum of products of odd numbers is as odd as their count: with `most` and that made even, half of it fits a byte (225 at most).
        let mut entries = Vec::with_capacity(16 * nibbles.len());
        let (mut length, mut offset) = (0, 0);
        for (at, &nibble) in nibbles.iter().enumerate() {
            let here = self.per_nibble().min(self.width - at * self.per_nibble());
            let own: Vec<i32> = self.odd(nibble).take(here).collect();
            length += own.iter().map(|value| value * value).sum::<i32>();
            let shift = most + (most + here as i32) % 2;
            offset += shift;
            entries.extend((0..16).map(|other| {
                let product: i32 = own.iter().zip(self.odd(other)).map(|(a, b)| a * b).sum();
                ((product + shift) / 2) as u8
            }));
        }
        Box::new(Prepared {
            tables: OnceLock::new(),
            entries,
            offset,
            scale: 1.0 / (64.0 * (length as f32).sqrt()),
            bytes: self.code_bytes(),
        })
    }

    fn write(&self, blob: &mut BlobWriter) {
        blob.u64(self.hidden as u64);
        self.heads.iter().for_each(|head| head.write(blob));
    }
}

struct Prepared {
    /// `[nibbles, 16]`: half of (the whole products and what makes them even and positive).
    entries: Vec<u8>,
    tables: OnceLock<Tables>,
    offset: i32,
    scale: f32,
    bytes: usize,
}

impl Prepared {
    /// The product of the whole numbers of both codes.
    fn whole(&self, code: &[u8]) -> i32 {
        let mut sum = 0;
        let (pairs, last) = self.entries.as_chunks::<32>();
        for (table, &byte) in pairs.iter().zip(code) {
            sum += i32::from(table[usize::from(byte & 15)]) + i32::from(table[16 + usize::from(byte >> 4)]);
        }
        if let (Some(&byte), false) = (code.get(pairs.len()), last.is_empty()) {
            sum += i32::from(last[usize::from(byte & 15)]);
        }
        2 * sum - self.offset
    }

    fn score(&self, code: &[u8]) -> f32 {
        let (body, length) = code.split_at(self.bytes - 2);
        self.cosine(self.whole(body), length)
    }

    fn cosine(&self, whole: i32, length: &[u8]) -> f32 {
        whole as f32 * self.scale * f16::from_le_bytes([length[0], length[1]]).to_f32()
    }
}

impl Query for Prepared {
    fn score_rows(&self, codes: &[u8], out: &mut [f32]) {
        for (out, code) in out.iter_mut().zip(codes.chunks_exact(self.bytes)) {
            *out = self.score(code);
        }
    }

    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]) {
        for (out, &id) in out.iter_mut().zip(ids) {
            *out = self.score(&codes[id as usize * self.bytes..][..self.bytes]);
        }
    }

    fn lookups(&self) -> Option<&dyn Lookups> {
        Some(self)
    }
}

impl Lookups for Prepared {
    fn tables(&self) -> &Tables {
        self.tables.get_or_init(|| Tables::new(&self.entries))
    }

    fn finish(&self, sums: &[i32], codes: &[u8], out: &mut [f32]) {
        for ((score, sum), code) in out.iter_mut().zip(sums).zip(codes.chunks_exact(self.bytes)) {
            *score = self.cosine(2 * sum - self.offset, &code[self.bytes - 2..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random;
    use crate::score_all;
    use kokeshi_core::distance;

    #[test]
    fn scores_are_the_cosines_of_codes_one_by_one_and_together() {
        let mut seed = Seed(3);
        let rows = random(70, 24, &mut seed);
        let quick = HeadConfig {
            hidden: 16,
            epochs: 1,
            batch: 32,
            ..HeadConfig::RBE
        };
        for (width, loops) in [(64, 0), (33, 0), (32, 1), (31, 1), (20, 2), (16, 3)] {
            let codec = Rbe::train(&rows, &rows, width, loops, &quick, None, Seed(1)).unwrap();
            let mut codes = vec![0; rows.rows() * codec.code_bytes()];
            codec.encode(rows.as_slice(), &mut codes);
            let floats = codec.floats(rows.as_slice());
            let query = codec.prepare(rows.row(5));
            let mut scores = vec![0.0; rows.rows()];
            query.score_rows(&codes, &mut scores);
            // So many that nibbles are looked up.
            let queries: Vec<_> = (5..10).map(|at| codec.prepare(rows.row(at))).collect();
            let mut alone = scores.clone();
            score_all(&queries, &codes, codec.code_bytes(), |at, from, together| {
                queries[at].score_rows(&codes, &mut alone);
                assert_eq!(alone[from..][..together.len()], *together, "{width}x{loops}");
            });
            for (row, score) in floats.chunks_exact(width).zip(&scores) {
                let exact = distance::cosine(&floats[5 * width..6 * width], row);
                assert!((exact - score).abs() <= 0.001, "{width}x{loops}: {exact} {score}");
            }
            // Whole numbers are the numbers of the codes, to the last unit.
            let scale = 2.0 / codec.levels() as f32;
            let whole: Vec<f32> = codes
                .chunks_exact(codec.code_bytes())
                .flat_map(|code| codec.whole(code))
                .map(|value| scale * value as f32)
                .collect();
            assert_eq!(whole, floats);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut seed = Seed(3);
        let (rows, few) = (random(10, 8, &mut seed), random(9, 8, &mut seed));
        let config = HeadConfig {
            hidden: 0,
            epochs: 1,
            ..HeadConfig::RBE
        };
        let train = |documents: &Embeddings, width, loops, before: Option<&Rbe>| {
            Rbe::train(&rows, documents, width, loops, &config, before, Seed(1))
        };
        let old = train(&rows, 16, 0, None).unwrap();
        assert!(train(&rows, 16, 1, Some(&old)).is_ok());
        assert!(
            train(&few, 16, 0, None).is_err()
                && train(&rows, 0, 0, None).is_err()
                && train(&rows, 8, 4, None).is_err()
        );
        assert!(
            train(&rows, 8, 0, Some(&old))
                .unwrap_err()
                .to_string()
                .contains("codes that fit those before")
        );
    }
}
