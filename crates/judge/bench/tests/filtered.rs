//! The whole benchmark on a small made-up set.

use kokeshi_bench::attributes::Column;
use kokeshi_bench::picture::pictures;
use kokeshi_bench::workload::Kind;
use kokeshi_bench::{Options, run};
use kokeshi_core::{Embeddings, Result, Seed, Silent};
use kokeshi_filtered::{clusters, random_label_sets, random_labels};

const ROWS: usize = 2000;

fn set() -> Result<(Embeddings, Vec<(String, Column)>)> {
    let mut seed = Seed(4);
    let numbers = (0..ROWS).map(|_| seed.uniform()).collect();
    let columns = vec![
        ("colour".into(), Column::Category(random_labels(ROWS, 9, Seed(2)))),
        ("tags".into(), Column::Set(random_label_sets(ROWS, 5, Seed(3)))),
        ("size".into(), Column::Number(numbers)),
    ];
    Ok((clusters(ROWS, 0, 16, 10, Seed(1))?.0, columns))
}

fn options() -> Options {
    Options {
        queries: 100,
        each: 20,
        longest: 300,
        rounds: 1,
        ..Options::default()
    }
}

#[test]
fn every_kind_of_filter_is_asked_and_only_rows_that_pass_are_found() -> Result<()> {
    let (vectors, columns) = set()?;
    let report = run(&vectors, &columns, &options(), &Silent)?;
    assert_eq!((report.rows, report.dims), (ROWS - 100, 16));
    for (kind, special) in [
        (Kind::Equality, "FilteredVamana"),
        (Kind::AntiCorrelated, "StitchedVamana"),
        (Kind::Set, "UNG"),
        (Kind::Range, "SeRF"),
        (Kind::UpTo, "SeRF, half-bounded"),
        (Kind::Conjunction, "SeRF"),
    ] {
        let mut cells = report.cells.iter().filter(|cell| cell.kind == kind).peekable();
        assert!(cells.peek().is_some(), "{kind:?}");
        for cell in cells {
            assert!(
                (cell.selectivity / cell.level).abs() < 1.5,
                "{kind:?} {}",
                cell.level
            );
            assert!((2..=20).contains(&cell.questions));
            let curve = |name: &str| cell.methods.iter().find(|curve| curve.method == name);
            assert!(curve(special).is_some(), "{kind:?} {special}");
            for name in ["pre-filter scan", "Kokeshi's planner"] {
                let best = curve(name).map_or(0.0, |curve| curve.best());
                assert!(best >= 0.95, "{kind:?} {}: {name} {best}", cell.level);
            }
            for curve in &cell.methods {
                assert!(
                    curve.points.iter().all(|point| point.failing == 0),
                    "{}",
                    curve.method
                );
            }
            assert!(cell.fastest(0.9).is_some());
        }
    }
    let drawn = pictures(&report);
    assert_eq!(drawn.len(), 6);
    assert!(drawn.iter().all(|(_, svg)| svg.contains("<circle")));
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused() -> Result<()> {
    let (vectors, columns) = set()?;
    let fails = |columns: &[(String, Column)], queries| {
        let options = Options { queries, ..options() };
        let failed = run(&vectors, columns, &options, &Silent).err();
        failed.map_or(String::new(), |error| error.to_string())
    };
    let short = vec![("size".into(), Column::Number(vec![1.0; 7]))];
    assert_eq!(
        fails(&short, 10),
        "the attribute size: expected 2000 rows, as many as vectors, found \"7\""
    );
    assert!(fails(&columns, 1500).contains("expected at least 3000 vectors, found \"2000\""));
    Ok(())
}
