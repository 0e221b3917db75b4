//! Search in steps.

use kokeshi_codec::{Stage, funnel, funnel_all, within_error};
use kokeshi_core::{Bitmap, Metric};

use crate::support::{clustered, train};

#[test]
fn a_funnel_finds_nearly_all_at_a_fraction_of_the_work_and_one_exact_step_finds_all() {
    let (rows, queries) = clustered(4000, 60, 96, 1);
    let pca = train("pca:16", &rows, Metric::Cosine);
    let exact = train("f32", &rows, Metric::Cosine);
    let (short, full) = (pca.encode_all(&rows).unwrap(), exact.encode_all(&rows).unwrap());
    let coarse = |keep| Stage {
        chain: &pca,
        codes: &short,
        keep,
    };
    let fine = |keep| Stage {
        chain: &exact,
        codes: &full,
        keep,
    };
    let mut found = 0;
    for query in queries.iter() {
        let wanted = funnel(&[fine(10)], query, None).unwrap();
        assert_eq!(funnel(&[coarse(4000), fine(10)], query, None).unwrap(), wanted);
        let hits = funnel(&[coarse(400), fine(10)], query, None).unwrap();
        found += hits.iter().filter(|hit| wanted.contains(hit)).count();
    }
    assert!(found >= 570, "{found} of 600");
    let all: Vec<&[f32]> = queries.iter().collect();
    let together = funnel_all(&[coarse(400), fine(10)], &all).unwrap();
    for (query, hits) in all.iter().zip(together) {
        assert_eq!(hits, funnel(&[coarse(400), fine(10)], query, None).unwrap());
    }
    assert!(funnel(&[], queries.row(0), None).unwrap().is_empty());
    assert!(funnel(&[fine(0)], queries.row(0), None).unwrap().is_empty());
    assert_eq!(funnel(&[fine(9999)], queries.row(0), None).unwrap().len(), 4000);
    assert!(funnel(&[fine(3)], &[1.0; 95], None).is_err());
}

#[test]
fn a_filter_holds_in_every_step() {
    let (rows, queries) = clustered(1000, 5, 32, 2);
    let (coarse, exact) = (
        train("rabitq:1", &rows, Metric::Dot),
        train("f32", &rows, Metric::Dot),
    );
    let (short, full) = (
        coarse.encode_all(&rows).unwrap(),
        exact.encode_all(&rows).unwrap(),
    );
    let odd = Bitmap::from_sorted(1000, (1..1000).step_by(2));
    for query in queries.iter() {
        let stages = [
            Stage {
                chain: &coarse,
                codes: &short,
                keep: 100,
            },
            Stage {
                chain: &exact,
                codes: &full,
                keep: 10,
            },
        ];
        let hits = funnel(&stages, query, Some(&odd)).unwrap();
        assert!(hits.len() == 10 && hits.iter().all(|hit| hit.id % 2 == 1));
        let none = Bitmap::from_sorted(1000, std::iter::empty());
        assert!(funnel(&stages, query, Some(&none)).unwrap().is_empty());
    }
}

#[test]
fn error_bounds_spare_nearly_all_exact_comparisons_and_lose_nearly_nothing() {
    let (rows, queries) = clustered(8000, 60, 128, 3);
    for metric in [Metric::Cosine, Metric::L2] {
        let (coarse, exact) = (train("rabitq:2", &rows, metric), train("f32", &rows, metric));
        let (short, full) = (
            coarse.encode_all(&rows).unwrap(),
            exact.encode_all(&rows).unwrap(),
        );
        let (mut found, mut compared) = (0, 0);
        for query in queries.iter() {
            let stage = Stage {
                chain: &coarse,
                codes: &short,
                keep: 10,
            };
            let fine = Stage {
                chain: &exact,
                codes: &full,
                keep: 10,
            };
            let wanted = funnel(&[fine], query, None).unwrap();
            let (hits, count) = within_error(stage, fine, query, 1.9).unwrap();
            found += hits.iter().filter(|hit| wanted.contains(hit)).count();
            compared += count;
        }
        assert!(found >= 585, "{metric:?}: {found} of 600");
        assert!(compared < 60 * 400, "{metric:?}: {compared} comparisons");
    }
}
