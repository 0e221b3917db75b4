//! The measures are those of pytrec_eval, ir_measures and SciPy (`scripts/make_metric_fixtures.py` says which versions).

use std::{collections::BTreeMap, io::Read, path::Path};

use kokeshi_eval::{Measure, Missing, Qrels, Run, evaluate, pearson, spearman};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    measures: Vec<String>,
    cases: Vec<Case>,
    correlations: Vec<Correlation>,
}

#[derive(Deserialize)]
struct Case {
    qrels: BTreeMap<String, BTreeMap<String, i32>>,
    run: BTreeMap<String, BTreeMap<String, f64>>,
    expected: BTreeMap<String, Vec<f64>>,
    aggregate: BTreeMap<String, f64>,
}

#[derive(Deserialize)]
struct Correlation {
    a: Vec<f64>,
    b: Vec<f64>,
    pearson: Option<f64>,
    spearman: Option<f64>,
}

impl Case {
    fn load(&self) -> (Qrels, Run) {
        let (mut qrels, mut run) = (Qrels::default(), Run::default());
        for (query, judged) in &self.qrels {
            judged
                .iter()
                .for_each(|(document, grade)| assert_eq!(qrels.insert(query, document, *grade), None));
        }
        for (query, found) in &self.run {
            found
                .iter()
                .for_each(|(document, score)| run.insert(query, document, *score));
        }
        (qrels, run)
    }
}

fn fixture() -> Fixture {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/metrics.json.gz");
    let mut json = String::new();
    flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())
        .read_to_string(&mut json)
        .unwrap();
    serde_json::from_str(&json).unwrap()
}

#[test]
fn every_query_of_200_random_runs_has_the_values_of_pytrec_eval() {
    let fixture = fixture();
    let measures: Vec<Measure> = fixture
        .measures
        .iter()
        .map(|name| name.parse().unwrap())
        .collect();
    assert_eq!(fixture.cases.len(), 200);
    let mut compared = 0;
    for (number, case) in fixture.cases.iter().enumerate() {
        let (qrels, run) = case.load();
        let found = evaluate(&qrels, &run, &measures, Missing::Skip);
        assert_eq!(
            found.queries(),
            case.expected.keys().cloned().collect::<Vec<_>>(),
            "case {number}"
        );
        for (at, measure) in measures.iter().enumerate() {
            for (value, (query, expected)) in found.values(at).iter().zip(&case.expected) {
                assert!(
                    (value - expected[at]).abs() < 1e-6,
                    "case {number}, {query}, {measure}: {value}, expected {}",
                    expected[at]
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 5000);
}

#[test]
fn means_count_missing_queries_as_ir_measures_does() {
    for (number, case) in fixture().cases.iter().enumerate() {
        let (qrels, run) = case.load();
        for (name, expected) in &case.aggregate {
            let found = evaluate(&qrels, &run, &[name.parse().unwrap()], Missing::Zero).mean(0);
            assert!(
                (found - expected).abs() < 1e-6,
                "case {number}, {name}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn correlations_are_those_of_scipy() {
    for pair in fixture().correlations {
        for (found, expected) in [
            (pearson(&pair.a, &pair.b), pair.pearson),
            (spearman(&pair.a, &pair.b), pair.spearman),
        ] {
            assert_eq!(found.is_some(), expected.is_some());
            assert!(
                (found.unwrap_or(0.0) - expected.unwrap_or(0.0)).abs() < 1e-9,
                "{found:?}, expected {expected:?}"
            );
        }
    }
}
