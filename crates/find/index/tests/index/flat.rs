//! Exact search against the naive loop.

use kokeshi_core::{Bitmap, Embeddings, Metric, Seed};
use kokeshi_index::{Effort, FlatIndex, Index, Plan, Vectors};

use crate::support::{Clustered, ids, naive, random_filter};

/// Values on a coarse grid: sums are exact in any order, and many scores are equal.
fn grid(rows: usize, dims: usize, seed: u64) -> Embeddings {
    let mut seed = Seed(seed);
    let values = (0..rows * dims).map(|_| seed.below(3) as f32 - 1.0).collect();
    Embeddings::from_vec(values, dims).unwrap()
}

#[test]
fn hits_equal_the_naive_loop_with_ties_going_to_the_smaller_row() {
    for (rows, dims) in [(1, 1), (63, 4), (64, 5), (65, 7), (1000, 9), (5000, 16)] {
        let rows = grid(rows, dims, 3);
        let query = grid(1, dims, 4).into_vec();
        for metric in [Metric::Dot, Metric::L2] {
            let index = FlatIndex::new(rows.clone().into(), metric);
            for k in [0, 1, 10, 64, 10_000] {
                let found = index.search(&query, k, Effort::Default, None).unwrap();
                assert_eq!(found.hits, naive(&rows, metric, &query, k, None));
                for share in [0.01, 0.5, 0.99] {
                    let filter = random_filter(rows.rows(), share, 5);
                    let found = index.search(&query, k, Effort::Default, Some(&filter)).unwrap();
                    assert_eq!(found.hits, naive(&rows, metric, &query, k, Some(&filter)));
                }
            }
        }
    }
}

#[test]
fn cosine_of_unit_rows_does_not_depend_on_the_length_of_the_query() {
    let data = Clustered::new(500, 16, 5, 20, 6);
    let index = FlatIndex::new(data.rows.clone().into(), Metric::Cosine);
    for query in data.queries.iter() {
        let long: Vec<f32> = query.iter().map(|value| value * 1e20).collect();
        let found = index.search(&long, 10, Effort::Default, None).unwrap();
        let exact = naive(&data.rows, Metric::Cosine, query, 10, None);
        for (hit, exact) in found.hits.iter().zip(&exact) {
            assert!((hit.score - exact.score).abs() < 1e-5);
        }
    }
}

#[test]
fn work_shared_by_threads_gives_the_same_hits() {
    // Enough values for several tasks, and many ties across them.
    let rows = grid(40_000, 128, 7);
    let index = FlatIndex::new(rows.clone().into(), Metric::Dot);
    let query = grid(1, 128, 8).into_vec();
    let filter = random_filter(40_000, 0.9, 9);
    for filter in [None, Some(&filter)] {
        let found = index.search(&query, 100, Effort::Default, filter).unwrap();
        assert_eq!(found.hits, naive(&rows, Metric::Dot, &query, 100, filter));
        assert_eq!(found.cost.plan, Plan::Scan);
        assert_eq!(found.cost.distances, filter.map_or(40_000, Bitmap::count));
    }
}

#[test]
fn segments_are_searched_as_one_matrix() {
    let rows = grid(300, 6, 10);
    let mut vectors = Vectors::new(6);
    for part in [0..100, 100..101, 101..300] {
        let values = part.flat_map(|row| rows.row(row)).copied().collect();
        vectors
            .push_segment(Embeddings::from_vec(values, 6).unwrap())
            .unwrap();
    }
    let index = FlatIndex::new(vectors, Metric::L2);
    let filter = random_filter(300, 0.3, 11);
    for filter in [None, Some(&filter)] {
        let found = index.search(rows.row(100), 20, Effort::Default, filter).unwrap();
        assert_eq!(found.hits, naive(&rows, Metric::L2, rows.row(100), 20, filter));
    }
}

#[test]
fn a_row_that_holds_nan_is_never_a_hit() {
    let mut rows = grid(100, 4, 12);
    rows.as_mut_slice()[4 * 7 + 2] = f32::NAN;
    rows.as_mut_slice()[4 * 9] = f32::INFINITY;
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let index = FlatIndex::new(rows.clone().into(), metric);
        let found = index
            .search(&[1.0, 0.5, 0.5, 0.5], 100, Effort::Default, None)
            .unwrap();
        assert!(!ids(&found).contains(&7), "{metric:?}");
        assert!(!ids(&found).contains(&9), "{metric:?}");
        assert_eq!(found.hits.len(), 98);
    }
}

#[test]
fn a_filter_of_another_length_than_the_rows_is_read_as_a_set() {
    let rows = grid(200, 4, 13);
    let index = FlatIndex::new(rows.clone().into(), Metric::Dot);
    let short = Bitmap::full(10);
    let found = index
        .search(rows.row(3), 50, Effort::Default, Some(&short))
        .unwrap();
    assert_eq!(
        found.hits,
        naive(&rows, Metric::Dot, rows.row(3), 50, Some(&short))
    );
    let mut long = Bitmap::empty(1000);
    for id in [0, 199, 200, 999] {
        long.insert(id);
    }
    let found = index
        .search(rows.row(3), 50, Effort::Default, Some(&long))
        .unwrap();
    assert_eq!(found.hits.len(), 2);
    let none = Bitmap::empty(200);
    assert!(
        index
            .search(rows.row(3), 50, Effort::Default, Some(&none))
            .unwrap()
            .hits
            .is_empty()
    );
}

#[test]
fn bad_queries_are_named() {
    let index = FlatIndex::new(grid(5, 3, 14).into(), Metric::Cosine);
    let error = index
        .search(&[1.0; 4], 1, Effort::Default, None)
        .unwrap_err()
        .to_string();
    assert_eq!(error, "a query: expected 3 dimensions, found 4");
    let error = index
        .search(&[1.0, f32::NAN, 0.0], 1, Effort::Default, None)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "a query: row 0 holds a value that is not finite, at column 1"
    );
}
