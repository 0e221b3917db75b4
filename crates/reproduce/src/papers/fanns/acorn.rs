//! HNSW and ACORN (arXiv 2403.04871) by random labels.

use std::sync::Arc;

use kokeshi_bench::measure::{ask, curve, lists};
use kokeshi_core::Result;
use kokeshi_filtered::{Filter, Method, random_labels};

use super::set::{ROWS, Set, ceiling, cost, share};

pub(super) fn measure(set: &Set) -> Result<[f64; 11]> {
    let general = set.general();
    let all = Arc::new(Filter::all(ROWS));
    let everything = set.ask(|_| all.clone())?;
    let plain = ask(&general.gate, &everything, 40)?;
    let unfiltered = ask(&general.one, &everything, 40)?;

    let twelfth = set.ask_labels(&random_labels(ROWS, 12, set.seed))?;
    let fiftieth = set.ask_labels(&random_labels(ROWS, 50, set.seed))?;
    let gate = cost(&general.gate, &twelfth, 0.97)?;
    let mut failing = 0;
    for questions in [&everything, &twelfth, &fiftieth] {
        for method in [&general.gate as &dyn Method, &general.one, &general.gamma] {
            let points = curve(method, questions, &lists(200), 1.0)?;
            failing += points.iter().map(|point| point.failing).sum::<usize>();
        }
    }
    let build = |method: &dyn Method| method.built().distances as f64 / general.gate.built().distances as f64;
    Ok([
        plain.recall,
        plain.distances,
        general.hnsw.upper_share() * 16.0,
        share(cost(&general.one, &twelfth, 0.97)?, gate),
        share(cost(&general.gamma, &twelfth, 0.97)?, gate),
        ceiling(&general.one, &fiftieth)?,
        ceiling(&general.gamma, &fiftieth)?,
        build(&general.gamma),
        build(&general.one),
        (plain.recall - unfiltered.recall).abs(),
        failing as f64,
    ])
}
