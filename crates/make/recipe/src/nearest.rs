//! The nearest rows of many others at once: every two are compared, a block of products at a time.

use kokeshi_core::distance::dot;
use kokeshi_core::{Embeddings, Scored, TopK};
use kokeshi_kernels::{Factor, Level, MatmulScratch, Store, matmul};
use rayon::prelude::*;

/// Rows of each side whose products are made at once: half a megabyte of them, which a core's cache holds.
const QUERIES: usize = 128;
const ROWS: usize = 1024;

/// Gives to `each` the number of every row of `queries` and its nearest rows of `rows`, as many as `count` says, with their dot products and the
/// largest first; collects what comes back in the order of `queries`.
pub(crate) fn nearest<T: Send>(
    queries: &Embeddings,
    rows: &Embeddings,
    count: impl Fn(usize) -> usize + Sync,
    each: impl Fn(usize, Vec<Scored>) -> T + Sync,
) -> Vec<T> {
    let (dims, level) = (queries.dims(), Level::best());
    let products = || (vec![0.0; QUERIES * ROWS], MatmulScratch::default());
    let blocks = queries.as_slice().par_chunks(QUERIES * dims.max(1)).enumerate();
    let found = blocks.map_init(products, |(products, scratch), (block, queries)| {
        let first = block * QUERIES;
        let len = queries.len() / dims;
        let mut best: Vec<TopK> = (first..first + len)
            .map(|query| TopK::new(count(query)))
            .collect();
        for (start, rows) in (0..).step_by(ROWS).zip(rows.as_slice().chunks(ROWS * dims)) {
            let wide = rows.len() / dims;
            matmul(
                level,
                [len, dims, wide],
                Factor::plain(queries, dims),
                Factor::transposed(rows, dims),
                Store::Replace,
                products,
                wide,
                scratch,
            );
            for (best, scores) in best.iter_mut().zip(products.chunks_exact(wide)) {
                best.push_run(start, scores);
            }
        }
        let both = best.into_iter().zip(queries.chunks_exact(dims)).zip(first..);
        let found = both.map(|((best, query), number)| {
            // As a single comparison has them, so that equal rows are equally near.
            let mut exact = TopK::new(best.k());
            for hit in best.into_sorted() {
                exact.push(hit.id, dot(query, rows.row(hit.id as usize)));
            }
            each(number, exact.into_sorted())
        });
        found.collect::<Vec<T>>()
    });
    found.flatten_iter().collect()
}

#[cfg(test)]
mod tests {
    use kokeshi_core::Seed;

    use super::*;

    #[test]
    fn blocks_find_what_one_comparison_after_the_other_finds() {
        let mut seed = Seed(3);
        let mut random = |rows: usize| {
            let values = (0..rows * 24).map(|_| seed.normal() as f32);
            Embeddings::from_vec(values.collect(), 24).unwrap()
        };
        let (queries, mut rows) = (random(QUERIES + 3), random(ROWS + 5));
        // Two rows that are the same, in different blocks.
        let same = rows.row(2).to_vec();
        let mut values = rows.as_slice().to_vec();
        values[(ROWS + 1) * 24..][..24].copy_from_slice(&same);
        rows = Embeddings::from_vec(values, 24).unwrap();
        let found = nearest(
            &queries,
            &rows,
            |query| 1 + query % 50,
            |number, hits| (number, hits),
        );
        assert_eq!(found.len(), queries.rows());
        for (at, (number, hits)) in found.into_iter().enumerate() {
            assert_eq!((number, hits.len()), (at, 1 + at % 50));
            let mut best = TopK::new(hits.len());
            (0..rows.rows()).for_each(|row| best.push(row as u32, dot(queries.row(at), rows.row(row))));
            assert_eq!(hits, best.into_sorted());
        }
    }
}
