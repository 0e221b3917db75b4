//! The graph: recall at its default effort whatever the filter, growth, and odd cases.

use kokeshi_core::{Bitmap, Embeddings, Metric, Progress, Seed, Silent};
use kokeshi_index::{Effort, Error, FlatIndex, Graph, GraphConfig, GraphIndex, Index, Plan, Vectors};

use crate::support::{Clustered, build, ids, naive, random_filter, recall};

const SHARES: [f64; 5] = [1.0, 0.5, 0.1, 0.01, 0.001];

#[test]
fn recall_holds_for_every_metric_and_selectivity() {
    let data = Clustered::new(8000, 32, 50, 100, 1);
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let mut rows = data.rows.clone();
        if metric != Metric::Cosine {
            // Lengths from 0.5 to 1.5.
            for (at, row) in rows.as_mut_slice().chunks_exact_mut(32).enumerate() {
                let length = 0.5 + (at * 37 % 101) as f32 / 101.0;
                row.iter_mut().for_each(|value| *value *= length);
            }
        }
        let index = build(&rows, metric);
        for share in SHARES {
            let filter = (share < 1.0).then(|| random_filter(8000, share, 2));
            let (recall, distances) = recall(&index, &data.queries, 10, Effort::Default, filter.as_ref());
            assert!(recall >= 0.97, "{metric:?} at {share}: recall {recall}");
            assert!(
                distances < 8000.0 * 0.7,
                "{metric:?} at {share}: {distances} comparisons"
            );
        }
    }
}

#[test]
fn a_graph_walk_is_chosen_and_cheap_without_a_filter() {
    let data = Clustered::new(8000, 32, 50, 50, 3);
    let index = build(&data.rows, Metric::Cosine);
    let found = index
        .search(data.queries.row(0), 10, Effort::Default, None)
        .unwrap();
    assert_eq!(found.cost.plan, Plan::Graph);
    assert!(found.cost.visited >= 10 && found.cost.distances < 2000);
    let found = index
        .search(data.queries.row(0), 10, Effort::Exact, None)
        .unwrap();
    assert_eq!((found.cost.plan, found.cost.distances), (Plan::Scan, 8000));
}

#[test]
fn deletions_do_not_hurt() {
    let data = Clustered::new(8000, 32, 50, 100, 4);
    let index = build(&data.rows, Metric::Cosine);
    let (whole, cost) = recall(&index, &data.queries, 10, Effort::Default, None);
    let live = random_filter(8000, 0.97, 5);
    let (left, filtered_cost) = recall(&index, &data.queries, 10, Effort::Default, Some(&live));
    assert!(
        left >= 0.97 && left >= whole - 0.01,
        "recall {whole} became {left}"
    );
    assert!(
        filtered_cost < cost * 1.3,
        "{cost} comparisons became {filtered_cost}"
    );
}

#[test]
fn a_filter_far_from_the_query_is_answered_exactly() {
    // The matches are one cluster, the query sits in another: a walk would see no match for long.
    let data = Clustered::new(8000, 32, 10, 20, 6);
    let index = build(&data.rows, Metric::Cosine);
    let centre = data.rows.row(0);
    let mut order: Vec<u32> = (0..8000).collect();
    order.sort_by(|a, b| {
        let near = |id: u32| kokeshi_core::distance::dot(centre, data.rows.row(id as usize));
        near(*a).total_cmp(&near(*b))
    });
    order.truncate(4000);
    order.sort_unstable();
    let far = Bitmap::from_sorted(8000, order);
    let found = index.search(centre, 10, Effort::Default, Some(&far)).unwrap();
    let exact = naive(&data.rows, Metric::Cosine, centre, 10, Some(&far));
    let right = ids(&found)
        .iter()
        .filter(|id| exact.iter().any(|hit| hit.id == **id))
        .count();
    assert!(right >= 9, "{right} of 10");
    assert!(found.cost.distances <= 4000 * 3 / 2);
}

#[test]
fn codes_of_the_nearest_cells_hold_what_passes_wherever_that_is() {
    let data = Clustered::new(8000, 128, 40, 40, 8);
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let index = build(&data.rows, metric);
        for (name, far) in [("anywhere", false), ("far from the query", true)] {
            let (mut found, mut all, mut compared, mut matches) = (0, 0, 0, 0);
            for (query, seed) in data.queries.iter().zip(0..) {
                let mut filter = random_filter(8000, 0.2, seed);
                if far {
                    let near = index.search(query, 6000, Effort::Exact, None).unwrap();
                    near.hits.iter().for_each(|hit| filter.remove(hit.id));
                }
                let search = |effort, plan| index.search_by(query, 10, effort, Some(&filter), plan).unwrap();
                let exact = search(Effort::Exact, None).hits;
                let codes = search(Effort::Default, Some(Plan::Codes));
                assert!(codes.hits.iter().all(|hit| filter.contains(hit.id)));
                found += codes
                    .hits
                    .iter()
                    .filter(|hit| hit.score >= exact[9].score)
                    .count();
                all += 10;
                compared += codes.cost.distances;
                matches += filter.count();
            }
            assert!(
                found as f64 >= 0.97 * all as f64,
                "{metric:?}, {name}: {found} of {all}"
            );
            // Where matches are anywhere most of them need not be compared.
            if !far {
                assert!(compared < matches, "{metric:?}: {compared} of {matches}");
            }
        }
    }
}

#[test]
fn matches_that_codes_do_not_tell_apart_are_scanned_without_a_try() {
    // Text, and some noise that is as far from every query in every direction.
    let data = Clustered::new(6000, 512, 40, 30, 9);
    let mut seed = Seed(4);
    let noise = (0..1200 * 512).map(|_| seed.normal() as f32).collect();
    let mut noise = Embeddings::from_vec(noise, 512).unwrap();
    noise.normalize();
    let values = [data.rows.as_slice(), noise.as_slice()].concat();
    let index = build(&Embeddings::from_vec(values, 512).unwrap(), Metric::Cosine);
    let (mut tried, mut scanned) = (0, 0);
    for (query, seed) in data.queries.iter().zip(0..) {
        let some = random_filter(6000, 0.2, seed);
        let found = index.search(query, 10, Effort::Default, Some(&some)).unwrap();
        tried += usize::from(found.cost.plan == Plan::Codes);
        let others = Bitmap::from_sorted(7200, 6000..7200);
        let found = index.search(query, 10, Effort::Default, Some(&others)).unwrap();
        scanned += usize::from(found.cost.plan == Plan::Scan && found.cost.distances <= others.count() + 32);
    }
    assert!(tried >= 27 && scanned >= 18, "{tried} tried, {scanned} scanned");
}

#[test]
fn a_walk_goes_on_past_rows_that_do_not_pass() {
    // The 300 rows nearest to each query are not in its filter: ten times as many as a list holds.
    let data = Clustered::new(8000, 32, 10, 20, 6);
    let index = build(&data.rows, Metric::Cosine);
    let (mut found, mut all) = (0, 0);
    for query in data.queries.iter() {
        let near = index.search(query, 300, Effort::Exact, None).unwrap();
        let mut filter = Bitmap::full(8000);
        near.hits.iter().for_each(|hit| filter.remove(hit.id));
        let search = |effort, plan| index.search_by(query, 10, effort, Some(&filter), plan).unwrap();
        let exact = search(Effort::Exact, None).hits;
        let walk = search(Effort::Default, Some(Plan::GraphFiltered));
        assert_eq!(walk.cost.plan, Plan::GraphFiltered);
        assert!(walk.hits.iter().all(|hit| filter.contains(hit.id)));
        found += walk.hits.iter().filter(|hit| hit.score >= exact[9].score).count();
        all += 10;
    }
    assert!(found as f64 >= 0.97 * all as f64, "{found} of {all}");
}

#[test]
fn a_longer_list_finds_more() {
    let data = Clustered::new(8000, 48, 50, 100, 7);
    let index = build(&data.rows, Metric::Cosine);
    let at = |list| recall(&index, &data.queries, 10, Effort::List(list), None);
    let (short, cheap) = at(15);
    let (long, dear) = at(200);
    assert!(
        short > 0.8 && long > 0.995 && long >= short,
        "recall {short}, {long}"
    );
    assert!(cheap * 2.0 < dear);
}

#[test]
fn a_large_k_is_served_too() {
    let data = Clustered::new(8000, 32, 50, 30, 8);
    let index = build(&data.rows, Metric::Cosine);
    for k in [100, 1000] {
        let (recall, _) = recall(&index, &data.queries, k, Effort::Default, None);
        assert!(recall >= 0.97, "recall@{k} {recall}");
    }
}

#[test]
fn rows_that_the_graph_does_not_know_are_found_at_once_and_linked_later() {
    let data = Clustered::new(6000, 32, 30, 100, 9);
    let part = |range: std::ops::Range<usize>| {
        let values = range.flat_map(|row| data.rows.row(row)).copied().collect();
        Embeddings::from_vec(values, 32).unwrap()
    };
    let mut vectors = Vectors::from(part(0..4000));
    let config = GraphConfig::default();
    let mut graph = Graph::build(&vectors, Metric::Cosine, config, &Silent).unwrap();
    vectors.push_segment(part(4000..6000)).unwrap();

    let index = GraphIndex::new(graph.clone(), vectors.clone()).unwrap();
    let found = index.search(vectors.row(5999), 1, Effort::Default, None).unwrap();
    assert_eq!((ids(&found), found.cost.plan), (vec![5999], Plan::Graph));
    let (tail, tail_cost) = recall(&index, &data.queries, 10, Effort::Default, None);
    assert!(tail >= 0.97, "recall with a tail {tail}");

    graph.extend(&vectors, &Silent).unwrap();
    assert_eq!(graph.nodes(), 6000);
    let index = GraphIndex::new(graph, vectors).unwrap();
    let (extended, cost) = recall(&index, &data.queries, 10, Effort::Default, None);
    let (whole, _) = recall(
        &build(&data.rows, Metric::Cosine),
        &data.queries,
        10,
        Effort::Default,
        None,
    );
    assert!(extended >= whole - 0.01, "extended {extended}, built {whole}");
    assert!(cost < tail_cost / 1.5, "{tail_cost} comparisons became {cost}");
}

#[test]
fn many_small_extensions_are_as_good_as_one_build() {
    let data = Clustered::new(3000, 24, 20, 100, 10);
    let mut vectors = Vectors::new(24);
    let mut graph = Graph::build(&vectors, Metric::Cosine, GraphConfig::default(), &Silent).unwrap();
    for start in (0..3000).step_by(150) {
        let values = (start..start + 150).flat_map(|row| data.rows.row(row));
        let segment = Embeddings::from_vec(values.copied().collect(), 24).unwrap();
        vectors.push_segment(segment).unwrap();
        graph.extend(&vectors, &Silent).unwrap();
    }
    let index = GraphIndex::new(graph, vectors).unwrap();
    let (recall, _) = recall(&index, &data.queries, 10, Effort::List(40), None);
    assert!(recall >= 0.97, "recall {recall}");
}

#[test]
fn the_default_effort_finds_enough_even_where_there_is_no_structure() {
    let noise = |rows: usize, seed: u64| {
        let mut seed = Seed(seed);
        let values = (0..rows * 64).map(|_| seed.normal() as f32).collect();
        let mut matrix = Embeddings::from_vec(values, 64).unwrap();
        matrix.normalize();
        matrix
    };
    let index = build(&noise(8000, 19), Metric::Cosine);
    assert!(index.graph().default_list().is_none_or(|list| list > 64));
    let (default, _) = recall(&index, &noise(100, 20), 10, Effort::Default, None);
    let (short, _) = recall(&index, &noise(100, 20), 10, Effort::List(64), None);
    assert!(
        default >= 0.95 && short < 0.95,
        "recall {default}, {short} with a list of 64"
    );

    let data = Clustered::new(8000, 32, 50, 1, 21);
    let index = build(&data.rows, Metric::Cosine);
    assert!(index.graph().default_list().is_some_and(|list| list <= 64));
}

#[test]
fn a_recall_that_is_asked_for_is_given() {
    let data = Clustered::new(8000, 128, 50, 200, 22);
    let index = build(&data.rows, Metric::Cosine);
    let lists = [0.9, 0.95, 0.99].map(|wanted| index.graph().list_for_recall(wanted));
    assert!(lists.is_sorted() && lists[0].is_some(), "{lists:?}");
    for wanted in [0.9, 0.95, 0.99, 1.0] {
        let (found, _) = recall(&index, &data.queries, 10, Effort::Recall(wanted), None);
        // Within three standard errors of the sample that it was measured on.
        assert!(found >= f64::from(wanted) - 0.02, "{found} of {wanted}");
        // Behind filters, whether drawn at random or near some of the rows.
        for share in [0.5, 0.2, 0.05] {
            let near = near(&data.rows, data.rows.row(7), share);
            for filter in [random_filter(8000, share, 23), near] {
                let (found, _) = recall(&index, &data.queries, 10, Effort::Recall(wanted), Some(&filter));
                assert!(
                    found >= f64::from(wanted) - 0.02,
                    "{found} of {wanted} at {share}"
                );
            }
        }
    }
}

/// The share of the rows nearest to one of them.
fn near(rows: &Embeddings, row: &[f32], share: f64) -> Bitmap {
    let all = naive(rows, Metric::Cosine, row, rows.rows(), None);
    let some = (all.len() as f64 * share) as usize;
    let mut order: Vec<u32> = all[..some].iter().map(|hit| hit.id).collect();
    order.sort_unstable();
    Bitmap::from_sorted(rows.rows(), order)
}

/// Unit rows at a right angle to `query`, so that none is nearer to it than another, but for those of `near`, which are near it.
fn all_as_far(query: &[f32], rows: usize, near: std::ops::Range<usize>, seed: &mut Seed) -> Embeddings {
    let square: f32 = query.iter().map(|value| value * value).sum();
    let values = (0..rows * query.len()).map(|_| seed.normal() as f32).collect();
    let mut rows = Embeddings::from_vec(values, query.len()).unwrap();
    rows.normalize();
    for (at, row) in rows.as_mut_slice().chunks_exact_mut(query.len()).enumerate() {
        let along: f32 = row.iter().zip(query).map(|(a, b)| a * b).sum::<f32>() / square;
        let wanted = if near.contains(&at) { 2.0 } else { 0.0 };
        row.iter_mut()
            .zip(query)
            .for_each(|(value, query)| *value += (wanted - along) * query);
    }
    rows.normalize();
    rows
}

/// Most matches are as far, and none is among the rows near the query: only a look at codes finds the few that are nearer.
#[test]
fn a_filter_whose_rows_leave_it_in_doubt_is_answered_by_codes_all_the_same() {
    let data = Clustered::new(12_000, 256, 40, 3, 24);
    let mut seed = Seed(5);
    for query in data.queries.iter() {
        let rows = all_as_far(query, 3000, 100..120, &mut seed);
        let values = [rows.as_slice(), data.rows.as_slice()].concat();
        let index = build(&Embeddings::from_vec(values, 256).unwrap(), Metric::Cosine);
        let filter = Bitmap::from_sorted(15_000, 0..3000);
        let found = index
            .search(query, 10, Effort::Recall(0.99), Some(&filter))
            .unwrap();
        let exact = index.search(query, 10, Effort::Exact, Some(&filter)).unwrap();
        assert_eq!((ids(&found), found.cost.plan), (ids(&exact), Plan::Codes));
        // No code is compared twice; in doubt the cells are put in order, twice as many as the root of the rows.
        assert_eq!(found.cost.distances, 244 + 3000 + found.cost.vectors);
    }
}

/// As above, but there are so few matches that they are scanned in doubt, unless they are as common near the query as elsewhere.
#[test]
fn few_matches_in_doubt_are_answered_by_codes_if_they_are_common_near_the_query() {
    let data = Clustered::new(12_000, 256, 40, 1, 24);
    let query = data.queries.row(0);
    let rows = all_as_far(query, 3000, 2900..3000, &mut Seed(6));
    let values = [rows.as_slice(), data.rows.as_slice()].concat();
    let index = build(&Embeddings::from_vec(values, 256).unwrap(), Metric::Cosine);
    let with_near = Bitmap::from_sorted(15_000, (0..1800).chain(2900..3000));
    let far = Bitmap::from_sorted(15_000, 0..1900);
    for (filter, plan) in [(with_near, Plan::Codes), (far, Plan::Scan)] {
        let effort = Effort::Recall(0.99);
        let found = index.search(query, 10, effort, Some(&filter)).unwrap();
        let exact = index.search(query, 10, Effort::Exact, Some(&filter)).unwrap();
        assert_eq!((ids(&found), found.cost.plan), (ids(&exact), plan));
    }
}

#[test]
fn the_same_seed_gives_the_same_graph_on_any_number_of_threads() {
    let data = Clustered::new(3000, 24, 20, 1, 11);
    let vectors = Vectors::from(data.rows);
    let folder = tempfile::tempdir().unwrap();
    let bytes = |threads: usize, seed: u64| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let config = GraphConfig {
            seed: Seed(seed),
            ..GraphConfig::default()
        };
        let graph = pool.install(|| Graph::build(&vectors, Metric::Cosine, config, &Silent).unwrap());
        let path = folder.path().join(format!("{threads}-{seed}.bin"));
        graph.save(&path).unwrap();
        std::fs::read(path).unwrap()
    };
    let one = bytes(1, 5);
    assert_eq!(one, bytes(1, 5));
    assert_eq!(one, bytes(3, 5));
    assert_ne!(one, bytes(1, 6));
}

#[test]
fn no_rows_one_row_and_copies_of_one_row() {
    let query = [0.6, 0.8];
    let empty = build(&Embeddings::new(2), Metric::Cosine);
    assert!(
        empty
            .search(&query, 5, Effort::Default, None)
            .unwrap()
            .hits
            .is_empty()
    );
    let one = build(&Embeddings::from_vec(vec![1.0, 0.0], 2).unwrap(), Metric::Cosine);
    assert_eq!(ids(&one.search(&query, 5, Effort::Default, None).unwrap()), [0]);

    let mut rows = Embeddings::new(2);
    for _ in 0..5000 {
        rows.push(&[0.6, 0.8]).unwrap();
    }
    let copies = build(&rows, Metric::Cosine);
    for effort in [Effort::Default, Effort::List(1), Effort::Exact] {
        for k in [1, 10, 300, 6000] {
            let found = copies.search(&query, k, effort, None).unwrap();
            assert_eq!(found.hits.len(), k.min(5000), "{effort:?}");
        }
    }
    let filter = random_filter(5000, 0.5, 12);
    let found = copies.search(&query, 10, Effort::Default, Some(&filter)).unwrap();
    assert_eq!(found.hits.len(), 10);
}

#[test]
fn every_row_of_a_collection_with_many_copies_is_reachable() {
    // 40 different rows, 50 copies of each.
    let data = Clustered::new(40, 16, 40, 1, 13);
    let mut rows = Embeddings::new(16);
    for at in 0..2000 {
        rows.push(data.rows.row(at % 40)).unwrap();
    }
    let index = build(&rows, Metric::Cosine);
    for row in data.rows.iter() {
        let found = index.search(row, 50, Effort::List(100), None).unwrap();
        assert_eq!(found.hits.len(), 50);
        assert!(
            found.hits.iter().all(|hit| hit.score > 0.9999),
            "{:?}",
            found.cost
        );
    }
}

#[test]
fn k_of_zero_and_k_beyond_the_rows() {
    let data = Clustered::new(2000, 16, 10, 1, 14);
    let index = build(&data.rows, Metric::Cosine);
    let query = data.queries.row(0);
    let found = index.search(query, 0, Effort::Default, None).unwrap();
    assert!(found.hits.is_empty());
    let found = index.search(query, 5000, Effort::Default, None).unwrap();
    let flat = FlatIndex::new(data.rows.clone().into(), Metric::Cosine);
    let exact = flat.search(query, 5000, Effort::Exact, None).unwrap();
    assert_eq!(found.hits, exact.hits);
    let found = index.search(query, usize::MAX, Effort::List(usize::MAX), None);
    assert_eq!(found.unwrap().hits.len(), 2000);
}

#[test]
fn filters_that_match_nothing_or_have_another_length() {
    let data = Clustered::new(3000, 16, 10, 1, 15);
    let index = build(&data.rows, Metric::Cosine);
    let query = data.queries.row(0);
    let nothing = Bitmap::empty(3000);
    let found = index.search(query, 10, Effort::Default, Some(&nothing)).unwrap();
    assert!(found.hits.is_empty() && found.cost.distances == 0);
    let short = Bitmap::full(100);
    let found = index.search(query, 10, Effort::Default, Some(&short)).unwrap();
    assert_eq!(found.hits.len(), 10);
    assert!(found.hits.iter().all(|hit| hit.id < 100));
    let long = Bitmap::full(100_000);
    let found = index.search(query, 10, Effort::Default, Some(&long)).unwrap();
    assert_eq!(found.hits.len(), 10);
    assert!(found.hits.iter().all(|hit| hit.id < 3000));
}

#[test]
fn rows_with_nan_are_left_out_of_the_graph() {
    let mut data = Clustered::new(3000, 16, 10, 50, 16);
    for row in (0..3000).step_by(10) {
        data.rows.as_mut_slice()[row * 16 + 3] = f32::NAN;
    }
    let index = build(&data.rows, Metric::Cosine);
    let (recall, _) = recall(&index, &data.queries, 10, Effort::Default, None);
    assert!(recall >= 0.97, "recall {recall}");
    let all_nan = Embeddings::from_vec(vec![f32::NAN; 64], 2).unwrap();
    let found = build(&all_nan, Metric::L2)
        .search(&[0.0, 1.0], 3, Effort::Default, None)
        .unwrap();
    assert!(found.hits.is_empty());
}

#[test]
fn bad_input_is_named() {
    let data = Clustered::new(50, 4, 3, 1, 17);
    let index = build(&data.rows, Metric::Cosine);
    let error = index.search(&[1.0; 5], 1, Effort::Default, None).unwrap_err();
    assert_eq!(error.to_string(), "a query: expected 4 dimensions, found 5");
    let error = index
        .search(&[f32::INFINITY, 0.0, 0.0, 0.0], 1, Effort::Default, None)
        .unwrap_err();
    assert!(error.to_string().contains("not finite"));
    let error = GraphIndex::new(index.graph().clone(), Vectors::new(4)).unwrap_err();
    assert!(error.to_string().contains("at least the 50 rows"), "{error}");
    let error = GraphIndex::new(index.graph().clone(), Vectors::new(5)).unwrap_err();
    assert!(error.to_string().contains("expected 4 dimensions, found 5"));
    let config = GraphConfig {
        degree: 1,
        ..GraphConfig::default()
    };
    let error = Graph::build(index.vectors(), Metric::Cosine, config, &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the graph's degree: expected 4 to 1024, found \"1\""
    );
}

/// Asks to stop at once.
struct Stop;

impl Progress for Stop {
    fn start(&self, _: &str, _: Option<u64>, _: &str) {}
    fn advance(&self, _: u64) {}
    fn finish(&self) {}
    fn interrupted(&self) -> bool {
        true
    }
}

#[test]
fn an_interrupted_extension_leaves_the_graph_as_it_was() {
    let data = Clustered::new(400, 8, 3, 1, 18);
    let mut vectors = Vectors::from(data.rows.clone());
    let mut graph = Graph::build(&vectors, Metric::Cosine, GraphConfig::default(), &Silent).unwrap();
    vectors.push_segment(data.rows).unwrap();
    let stopped = graph.extend(&vectors, &Stop);
    assert!(matches!(stopped, Err(Error::Interrupted)));
    assert_eq!(graph.nodes(), 400);
    graph.extend(&vectors, &Silent).unwrap();
    assert_eq!(graph.nodes(), 800);
}
