//! `pq:M`, `pq:Mx6` and `pq:Mx4`: product quantisation (Jegou, Douze and Schmid, 2011). A vector is cut into M parts, each coded by the nearest of 256
//! (64, 16) centroids; a query's products with all centroids are tables, and a score is a sum of M look-ups.
//!
//! With 16 centroids a table of one byte an entry fits a register, and several queries at once look 32 codes up ("fast scan", Andre, Kermarrec and
//! Le Scouarnec, 2015).

use std::sync::OnceLock;

use kokeshi_core::{Embeddings, Error, Metric, Result, Seed};
use rayon::prelude::*;

use crate::blob::{BlobReader, BlobWriter};
use crate::codec::{Codec, Lookups, Query};
use crate::kernels::{ByteTables, Tables, kernels};
use crate::kmeans::{self, Centroids};

/// Rounds of k-means, as FAISS does.
const ROUNDS: usize = 25;
/// Rows to train on for each centroid, at most, as FAISS does.
const ROWS_PER_CENTROID: usize = 256;
/// But so many, where centroids are few: they cost little.
const LEAST_ROWS: usize = 16_384;

/// Codebooks of parts.
#[derive(Debug, Clone)]
pub struct Pq {
    dims: usize,
    parts: usize,
    bits: u32,
    metric: Metric,
    /// Values a part; the last part is filled up with zeros.
    width: usize,
    /// `[parts, 2^bits, width]`
    centroids: Vec<f32>,
    /// The same, made when they are needed, and forgotten when they change.
    books: OnceLock<Vec<Centroids>>,
}

impl Pq {
    /// Learns codebooks by k-means from at most 256 rows a centroid, or 16,384 if that is more.
    ///
    /// # Errors
    /// [`Error::Parse`] if there are more parts than dimensions, or fewer rows than centroids.
    pub fn train(sample: &Embeddings, parts: usize, bits: u32, metric: Metric, seed: Seed) -> Result<Self> {
        let mut codec = Self::new(sample, parts, bits, metric, "pq", seed)?;
        codec.improve(&codec.enough(sample, seed), ROUNDS);
        Ok(codec)
    }

    /// As many rows of a sample as codebooks learn from.
    pub(crate) fn enough(&self, sample: &Embeddings, seed: Seed) -> Vec<f32> {
        chosen(sample, LEAST_ROWS.max(ROWS_PER_CENTROID << self.bits), seed)
    }

    /// Codebooks of random rows.
    pub(crate) fn new(
        sample: &Embeddings,
        parts: usize,
        bits: u32,
        metric: Metric,
        name: &str,
        seed: Seed,
    ) -> Result<Self> {
        let wrong = |expected: String, found: String| Error::Parse {
            what: format!("the step {name}"),
            expected,
            found,
        };
        let dims = sample.dims();
        let count = 1 << bits;
        if parts > dims {
            let expected = format!("at most {dims} parts, one a dimension");
            return Err(wrong(expected, parts.to_string()));
        }
        if sample.rows() < count {
            let expected = format!("at least {count} rows to train on");
            return Err(wrong(expected, format!("{} rows", sample.rows())));
        }
        let width = dims.div_ceil(parts);
        let mut codec = Self {
            dims,
            parts,
            bits,
            metric,
            width,
            centroids: Vec::new(),
            books: OnceLock::new(),
        };
        let rows = chosen(sample, count, seed);
        codec.centroids = (0..parts)
            .into_par_iter()
            .flat_map_iter(|part| {
                let points = codec.part(&rows, part);
                kmeans::start(&points, width, count, &mut Seed(seed.0).fork(part as u64))
            })
            .collect();
        Ok(codec)
    }

    pub(crate) fn read(
        parts: usize,
        bits: u32,
        dims: usize,
        metric: Metric,
        blob: &mut BlobReader<'_>,
    ) -> Result<Self> {
        if parts > dims {
            return Err(blob.wrong(format!("expected at most {dims} parts, found {parts}")));
        }
        let width = dims.div_ceil(parts);
        Ok(Self {
            dims,
            parts,
            bits,
            metric,
            width,
            centroids: blob.f32s("centroids", (parts * width) << bits)?,
            books: OnceLock::new(),
        })
    }

    /// More rounds of k-means on `rows` (`[n, dims]`).
    pub(crate) fn improve(&mut self, rows: &[f32], rounds: usize) {
        let mut centroids = std::mem::take(&mut self.centroids);
        let size = self.width << self.bits;
        centroids
            .par_chunks_exact_mut(size)
            .enumerate()
            .for_each(|(part, centroids)| {
                kmeans::lloyd(&self.part(rows, part), self.width, centroids, rounds);
            });
        self.centroids = centroids;
        self.books = OnceLock::new();
    }

    /// Part `part` of `rows`, filled up: `[n, width]`.
    fn part(&self, rows: &[f32], part: usize) -> Vec<f32> {
        let (from, until) = self.range(part);
        let mut points = vec![0.0; rows.len() / self.dims * self.width];
        for (row, point) in rows
            .chunks_exact(self.dims)
            .zip(points.chunks_exact_mut(self.width))
        {
            point[..until - from].copy_from_slice(&row[from..until]);
        }
        points
    }

    /// The dimensions of a part.
    pub(crate) fn range(&self, part: usize) -> (usize, usize) {
        let from = (part * self.width).min(self.dims);
        (from, (from + self.width).min(self.dims))
    }

    /// The centroid numbers of one code.
    pub(crate) fn numbers(&self, code: &[u8]) -> impl Iterator<Item = usize> {
        (0..self.parts).map(|part| number(code, part, self.bits))
    }

    pub(crate) fn centroids(&self) -> &[f32] {
        &self.centroids
    }

    pub(crate) fn centroids_mut(&mut self) -> &mut [f32] {
        self.books = OnceLock::new();
        &mut self.centroids
    }

    pub(crate) fn parts(&self) -> usize {
        self.parts
    }

    pub(crate) fn width(&self) -> usize {
        self.width
    }

    fn books(&self) -> &[Centroids] {
        self.books.get_or_init(|| {
            let books = self.centroids.chunks_exact(self.width << self.bits);
            books.map(|book| Centroids::new(book, self.width)).collect()
        })
    }

    /// What every centroid adds to a score: `[parts, 2^bits]`.
    fn tables(&self, query: &[f32]) -> Vec<f32> {
        let mut tables = vec![0.0; self.parts << self.bits];
        for (part, (book, table)) in self
            .books()
            .iter()
            .zip(tables.chunks_exact_mut(1 << self.bits))
            .enumerate()
        {
            let (from, until) = self.range(part);
            book.scores(&query[from..until], self.metric, table);
        }
        tables
    }
}

/// The number of `part` in a code of numbers of `bits` bits, the lowest bits first.
fn number(code: &[u8], part: usize, bits: u32) -> usize {
    let at = part * bits as usize;
    let both = u16::from_le_bytes([code[at / 8], code.get(at / 8 + 1).copied().unwrap_or(0)]);
    usize::from(both >> (at % 8)) & ((1 << bits) - 1)
}

/// `count` rows of a sample at random, all of them if there are no more.
pub(crate) fn chosen(sample: &Embeddings, count: usize, seed: Seed) -> Vec<f32> {
    if count >= sample.rows() {
        return sample.as_slice().to_vec();
    }
    let mut order: Vec<usize> = (0..sample.rows()).collect();
    Seed(seed.0 ^ 0x5eed).shuffle(&mut order);
    order.truncate(count);
    order.sort_unstable();
    order
        .into_iter()
        .flat_map(|row| sample.row(row))
        .copied()
        .collect()
}

impl Codec for Pq {
    fn spec(&self) -> String {
        crate::Step::Pq(self.parts, self.bits).to_string()
    }

    fn dims(&self) -> usize {
        self.dims
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn code_bytes(&self) -> usize {
        (self.parts * self.bits as usize).div_ceil(8)
    }

    fn encode(&self, rows: &[f32], codes: &mut [u8]) {
        let books = self.books();
        rows.par_chunks_exact(self.dims)
            .zip(codes.par_chunks_exact_mut(self.code_bytes()))
            .with_min_len(64)
            .for_each(|(row, code)| {
                code.fill(0);
                let mut filled = vec![0.0; self.width];
                for (part, book) in books.iter().enumerate() {
                    let (from, until) = self.range(part);
                    filled[until - from..].fill(0.0);
                    filled[..until - from].copy_from_slice(&row[from..until]);
                    let at = part * self.bits as usize;
                    let number = (book.nearest(&filled) as u16) << (at % 8);
                    code[at / 8] |= number as u8;
                    if number > 255 {
                        code[at / 8 + 1] |= (number >> 8) as u8;
                    }
                }
            });
    }

    fn decode(&self, codes: &[u8], rows: &mut [f32]) {
        for (code, row) in codes
            .chunks_exact(self.code_bytes())
            .zip(rows.chunks_exact_mut(self.dims))
        {
            for (part, number) in self.numbers(code).enumerate() {
                let (from, until) = self.range(part);
                let centre = &self.centroids[((part << self.bits) + number) * self.width..];
                row[from..until].copy_from_slice(&centre[..until - from]);
            }
        }
    }

    fn prepare<'a>(&'a self, query: &[f32]) -> Box<dyn Query + 'a> {
        Box::new(Prepared {
            bits: self.bits,
            bytes: self.code_bytes(),
            tables: self.tables(query),
            by_byte: OnceLock::new(),
            by_nibble: OnceLock::new(),
        })
    }

    fn write(&self, blob: &mut BlobWriter) {
        blob.f32s(&self.centroids);
    }
}

struct Prepared {
    bits: u32,
    bytes: usize,
    /// `[parts, 2^bits]`
    tables: Vec<f32>,
    /// For eight and four bits: what scans by bytes need, when they need it.
    by_byte: OnceLock<ByteTables>,
    /// For four bits: one byte an entry, a scale and an offset.
    by_nibble: OnceLock<(Tables, f32, f32)>,
}

impl Prepared {
    fn by_byte(&self) -> &ByteTables {
        self.by_byte.get_or_init(|| match self.bits {
            8 => ByteTables::new(&self.tables),
            _ => {
                let (tables, scale, offset) = self.by_nibble();
                ByteTables::of_nibbles(tables, self.bytes, *scale, *offset)
            }
        })
    }

    fn by_nibble(&self) -> &(Tables, f32, f32) {
        self.by_nibble.get_or_init(|| Tables::quantize(&self.tables))
    }

    /// Of a code of six bits a part.
    fn score(&self, code: &[u8]) -> f32 {
        // Four chains of additions, since one would wait for each look-up.
        let mut sums = [0.0; 4];
        for (at, table) in self.tables.as_chunks::<64>().0.iter().enumerate() {
            sums[at % 4] += table[number(code, at, 6)];
        }
        sums[0] + sums[1] + (sums[2] + sums[3])
    }
}

impl Query for Prepared {
    fn score_rows(&self, codes: &[u8], out: &mut [f32]) {
        if self.bits != 6 {
            return kernels().sums(self.by_byte(), codes, None, out);
        }
        for (out, code) in out.iter_mut().zip(codes.chunks_exact(self.bytes)) {
            *out = self.score(code);
        }
    }

    fn score_ids(&self, codes: &[u8], ids: &[u32], out: &mut [f32]) {
        if self.bits != 6 {
            return kernels().sums(self.by_byte(), codes, Some(ids), out);
        }
        for (out, &id) in out.iter_mut().zip(ids) {
            *out = self.score(&codes[id as usize * self.bytes..][..self.bytes]);
        }
    }

    fn lookups(&self) -> Option<&dyn Lookups> {
        (self.bits == 4).then_some(self)
    }
}

impl Lookups for Prepared {
    fn tables(&self) -> &Tables {
        &self.by_nibble().0
    }

    fn finish(&self, sums: &[i32], _: &[u8], out: &mut [f32]) {
        let (_, scale, offset) = self.by_nibble();
        for (score, sum) in out.iter_mut().zip(sums) {
            *score = scale * *sum as f32 + offset;
        }
    }
}
