//! What every method owes its users, and how good each is where it is at home, on a few thousand made-up rows.

use std::sync::Arc;

use kokeshi_core::{Embeddings, Result, Seed};
use kokeshi_filtered::{
    Acorn, AcornConfig, Filter, Gate, Hnsw, HnswConfig, LabelGraph, Labels, Method, PostFilter, PreFilter,
    PrefixGraph, RangeGraph, Scratch, SerfConfig, Ung, UngConfig, VamanaConfig, clusters, random_label_sets,
    random_labels,
};

const ROWS: usize = 3000;
const K: usize = 10;

struct Set {
    points: Arc<Embeddings>,
    queries: Embeddings,
    labels: Arc<Labels>,
    numbers: Vec<f64>,
}

fn set() -> Result<Set> {
    let (points, queries) = clusters(ROWS, 40, 24, 20, Seed(1))?;
    let mut seed = Seed(3);
    Ok(Set {
        points: Arc::new(points),
        queries,
        labels: Arc::new(random_labels(ROWS, 8, Seed(2))),
        numbers: (0..ROWS).map(|_| seed.uniform()).collect(),
    })
}

fn general(set: &Set) -> Vec<Box<dyn Method>> {
    let hnsw = Arc::new(Hnsw::build(set.points.clone(), HnswConfig::default()));
    vec![
        Box::new(PreFilter(set.points.clone())),
        Box::new(Gate(hnsw.clone())),
        Box::new(PostFilter(hnsw)),
        Box::new(Acorn::build(set.points.clone(), AcornConfig::one())),
        Box::new(Acorn::build(set.points.clone(), AcornConfig::gamma(8))),
    ]
}

/// The recall@10 of a method beside an exact scan, and its distances a query; fails on a hit that does not pass the filter.
fn measure(set: &Set, method: &dyn Method, filter: &Filter, list: usize) -> Result<(f64, u64)> {
    let (mut scratch, mut other) = (Scratch::default(), Scratch::default());
    let (mut hits, mut truth) = (Vec::new(), Vec::new());
    let (mut found, mut wanted) = (0, 0);
    let exact = PreFilter(set.points.clone());
    for query in set.queries.iter() {
        exact.search(query, K, 0, filter, &mut other, &mut truth)?;
        method.search(query, K, list, filter, &mut scratch, &mut hits)?;
        assert!(
            hits.iter().all(|hit| filter.rows.contains(hit.row())),
            "{}",
            method.name()
        );
        assert!(hits.is_sorted() && hits.len() <= K);
        found += truth.iter().filter(|hit| hits.contains(hit)).count();
        wanted += truth.len();
    }
    let recall = if wanted == 0 {
        1.0
    } else {
        found as f64 / wanted as f64
    };
    Ok((recall, scratch.counts.distances / set.queries.rows() as u64))
}

fn assert_finds(set: &Set, method: &dyn Method, filter: &Filter, list: usize) -> Result<()> {
    let (recall, distances) = measure(set, method, filter, list)?;
    assert!(
        recall >= 0.95,
        "{}: recall {recall} at {distances} distances",
        method.name()
    );
    Ok(())
}

#[test]
fn general_methods_find_what_passes_any_filter() -> Result<()> {
    let set = set()?;
    let half = Filter::range(&set.numbers, 0.2..=0.7);
    for method in general(&set) {
        assert_finds(&set, &*method, &Filter::all(ROWS), 100)?;
        assert_finds(&set, &*method, &half, 200)?;
        assert_finds(&set, &*method, &set.labels.containing(&[3]), 300)?;
        let (recall, _) = measure(
            &set,
            &*method,
            &half.clone().and(&set.labels.containing(&[1])),
            300,
        )?;
        assert!(recall >= 0.9, "{}: {recall}", method.name());
        // Nothing passes.
        measure(&set, &*method, &set.labels.containing(&[99]), 100)?;
    }
    Ok(())
}

#[test]
fn hnsw_with_a_list_as_long_as_the_rows_is_exact() -> Result<()> {
    let set = set()?;
    let hnsw = Arc::new(Hnsw::build(set.points.clone(), HnswConfig::default()));
    assert_eq!(
        measure(&set, &Gate(hnsw.clone()), &Filter::all(ROWS), ROWS)?.0,
        1.0
    );
    let share = hnsw.upper_share();
    assert!(
        (share * 16.0 - 1.0).abs() < 0.25,
        "one row in 16 is on an upper level: {share}"
    );
    Ok(())
}

#[test]
fn label_graphs_find_a_label_with_fewer_distances_than_a_gate() -> Result<()> {
    let set = set()?;
    let config = VamanaConfig {
        degree: 32,
        list: 60,
        ..VamanaConfig::default()
    };
    let gate = Gate(Arc::new(Hnsw::build(set.points.clone(), HnswConfig::default())));
    let (points, labels) = (&set.points, &set.labels);
    for graph in [
        LabelGraph::filtered(points.clone(), labels.clone(), config)?,
        LabelGraph::stitched(points.clone(), labels.clone(), config, config)?,
    ] {
        for label in 0..8 {
            let filter = labels.containing(&[label]);
            assert_finds(&set, &graph, &filter, 30)?;
            assert!(measure(&set, &graph, &filter, 30)?.1 * 2 < measure(&set, &gate, &filter, 40)?.1);
        }
        let any = labels.any(&[1, 5]);
        assert_finds(&set, &graph, &any, 60)?;
        let late = Filter::range(&set.numbers, 0.5..=1.0);
        assert_finds(&set, &graph, &any.and(&late), 120)?;
        assert!(!graph.serves(&labels.containing(&[])) && !graph.serves(&labels.exactly(&[1])));
        assert!(graph.serves(&labels.containing(&[99])) && !graph.serves(&Filter::range(&[], 0.0..=1.0)));
        measure(&set, &graph, &labels.containing(&[99]), 20)?;
    }
    Ok(())
}

#[test]
fn ung_finds_label_sets_without_asking_and_needs_its_links_for_that() -> Result<()> {
    let mut set = set()?;
    set.labels = Arc::new(random_label_sets(ROWS, 5, Seed(2)));
    let linked = Ung::build(&set.points, &set.labels, UngConfig::default())?;
    let alone = UngConfig {
        cross: 0,
        ..UngConfig::default()
    };
    let alone = Ung::build(&set.points, &set.labels, alone)?;
    for wanted in [vec![], vec![0], vec![1, 2], vec![0, 1, 3]] {
        let filter = set.labels.containing(&wanted);
        assert_finds(&set, &linked, &filter, 300)?;
        let (recall, _) = measure(&set, &alone, &filter, 300)?;
        assert!(wanted.len() > 2 || recall < 0.9, "{wanted:?}: {recall}");
    }
    let config = VamanaConfig::default();
    let labelled = LabelGraph::filtered(set.points.clone(), set.labels.clone(), config)?;
    assert_finds(&set, &labelled, &set.labels.containing(&[1, 3]), 300)?;
    let late = Filter::range(&set.numbers, 0.5..=1.0);
    for filter in [
        set.labels.exactly(&[0, 1]),
        set.labels.exactly(&[]),
        set.labels.any(&[3, 4]),
        set.labels.containing(&[1]).and(&late),
        set.labels.exactly(&[0]).and(&late),
    ] {
        assert!(filter.rows.count() > K, "{:?}", filter.shape);
        assert_finds(&set, &linked, &filter, 300)?;
    }
    measure(&set, &linked, &set.labels.exactly(&[0, 9]), 300)?;
    Ok(())
}

#[test]
fn serf_finds_ranges() -> Result<()> {
    let set = set()?;
    let config = SerfConfig::default();
    let ranges = RangeGraph::build(&set.points, &set.numbers, config)?;
    let prefixes = PrefixGraph::build(&set.points, &set.numbers, config)?;
    for (low, high) in [(0.0, 1.0), (0.3, 0.4), (0.9, 1.0), (0.0, 0.05)] {
        assert_finds(&set, &ranges, &Filter::range(&set.numbers, low..=high), 60)?;
        let prefix = Filter::range(&set.numbers, f64::NEG_INFINITY..=high);
        assert_finds(&set, &prefixes, &prefix, 60)?;
        let both = Filter::range(&set.numbers, low..=high).and(&set.labels.any(&[1, 2, 3]));
        assert_finds(&set, &ranges, &both, 120)?;
    }
    assert!(!prefixes.serves(&Filter::range(&set.numbers, 0.3..=0.4)));
    Ok(())
}

#[test]
fn bad_queries_and_empty_sets_have_one_clear_answer() -> Result<()> {
    let set = set()?;
    let scan = PreFilter(set.points.clone());
    let (mut scratch, mut hits) = (Scratch::default(), Vec::new());
    let all = Filter::all(ROWS);
    let mut fails = |query: &[f32]| {
        let failed = scan.search(query, 3, 10, &all, &mut scratch, &mut hits);
        failed.err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(fails(&[1.0; 3]), "a query: expected 24 dimensions, found 3");
    assert!(fails(&[f32::NAN; 24]).contains("not finite"));

    let none = Arc::new(Embeddings::new(24));
    let labels = Arc::new(Labels::new(Vec::<Vec<u32>>::new()));
    let hnsw = Arc::new(Hnsw::build(none.clone(), HnswConfig::default()));
    let methods: Vec<Box<dyn Method>> = vec![
        Box::new(PreFilter(none.clone())),
        Box::new(Gate(hnsw.clone())),
        Box::new(PostFilter(hnsw)),
        Box::new(Acorn::build(none.clone(), AcornConfig::one())),
        Box::new(LabelGraph::filtered(
            none.clone(),
            labels.clone(),
            VamanaConfig::default(),
        )?),
        Box::new(Ung::build(&none, &labels, UngConfig::default())?),
        Box::new(RangeGraph::build(&none, &[], SerfConfig::default())?),
    ];
    for method in methods {
        for filter in [labels.containing(&[0]), Filter::range(&[], 0.0..=1.0)] {
            if method.serves(&filter) {
                method.search(&[0.5; 24], 3, 10, &filter, &mut scratch, &mut hits)?;
                assert!(hits.is_empty(), "{}", method.name());
            }
        }
        method
            .search(
                set.queries.row(0),
                0,
                10,
                &labels.containing(&[0]),
                &mut scratch,
                &mut hits,
            )
            .ok();
        assert!(hits.is_empty());
    }
    Ok(())
}
