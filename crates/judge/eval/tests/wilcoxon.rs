//! The signed-rank test is SciPy's (`scripts/make_wilcoxon_fixtures.py` made the fixture, which has the version in it).

use kokeshi_eval::wilcoxon;
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    a: Vec<f64>,
    b: Vec<f64>,
    statistic: f64,
    p: f64,
}

#[test]
fn statistic_and_p_are_scipys_with_ties_and_zeros() {
    let fixture: Fixture = serde_json::from_str(include_str!("fixtures/wilcoxon.json")).unwrap();
    assert!(fixture.cases.len() > 30);
    for case in fixture.cases {
        let found = wilcoxon(&case.a, &case.b).unwrap();
        assert_eq!(found.statistic, case.statistic, "{found:?}");
        assert!(
            (found.p - case.p).abs() <= 1e-12 + 1e-9 * case.p,
            "{found:?} and {}",
            case.p
        );
        let swapped = wilcoxon(&case.b, &case.a).unwrap();
        assert_eq!((swapped.statistic, swapped.n), (found.statistic, found.n));
        assert!((swapped.p - found.p).abs() < 1e-15);
    }
}
