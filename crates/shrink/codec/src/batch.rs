//! Codes compared with several queries at once: what is read of the codes is read once for many of them.

use crate::codec::Query;
use crate::kernels::{self, TOGETHER, kernels};

/// Codes that are packed for look-ups at a time: with the tables of four queries they stay in the first-level cache.
const ROWS: usize = 512;
/// Bytes of codes that all queries are compared with one after another: they stay in the second-level cache.
const BYTES: usize = 1 << 20;
/// The fewest queries that make packing worth while.
const FEW: usize = 4;

/// Compares `codes` (`[rows, stride]`) of one codec with all of its `queries`: `take` is given the number of a query, of a row, and the scores of this
/// row and those behind it, of every row once for each query and in order. They are those of [`Query::score_rows`], to the bit.
pub fn score_all(
    queries: &[Box<dyn Query + '_>],
    codes: &[u8],
    stride: usize,
    mut take: impl FnMut(usize, usize, &[f32]),
) {
    let lookups: Option<Vec<_>> = queries.iter().map(|query| query.lookups()).collect();
    let Some(lookups) = lookups.filter(|lookups| lookups.len() >= FEW) else {
        let rows = (BYTES / stride).max(1);
        let mut scores = vec![0.0; rows];
        for (block, codes) in codes.chunks(rows * stride).enumerate() {
            let scores = &mut scores[..codes.len() / stride];
            for (at, query) in queries.iter().enumerate() {
                query.score_rows(codes, scores);
                take(at, block * rows, scores);
            }
        }
        return;
    };
    let tables: Vec<_> = lookups.iter().map(|lookups| lookups.tables()).collect();
    let bytes = stride.min(4 * tables[0].words());
    let mut packed = Vec::new();
    let (mut sums, mut scores) = (vec![0; TOGETHER * ROWS], [0.0; ROWS]);
    for (block, codes) in codes.chunks(ROWS * stride).enumerate() {
        let rows = codes.len() / stride;
        let padded = rows.next_multiple_of(kernels::BLOCK);
        kernels::pack(codes, stride, bytes, &mut packed);
        for (group, tables) in tables.chunks(TOGETHER).enumerate() {
            let sums = &mut sums[..tables.len() * padded];
            kernels().lookup(tables, &packed, sums);
            for (at, sums) in (group * TOGETHER..).zip(sums.chunks_exact(padded)) {
                let scores = &mut scores[..rows];
                lookups[at].finish(&sums[..rows], codes, scores);
                take(at, block * ROWS, scores);
            }
        }
    }
}
