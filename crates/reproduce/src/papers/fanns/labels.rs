//! FilteredVamana and StitchedVamana (Filtered-DiskANN, WWW 2023).

use std::sync::Arc;

use kokeshi_bench::measure::ask;
use kokeshi_core::{Result, distance};
use kokeshi_filtered::{LabelGraph, Labels, Method, VamanaConfig, random_labels};

use super::set::{ROWS, Set, cost, share};

const LABELS: usize = 12;

pub(super) fn measure(set: &Set) -> Result<[f64; 6]> {
    let [edges, recall, alpha] = alphas(set)?;
    let general = set.general();
    let (mut acorn, mut gate, mut reached) = (0.0f64, 0.0f64, 1.0f64);
    let kinds = [
        random_labels(ROWS, LABELS, set.seed),
        random_labels(ROWS, 50, set.seed),
        tied(set),
    ];
    for labels in kinds.map(Arc::new) {
        let questions = set.ask_labels(&labels)?;
        let acorns = cost(&general.gamma, &questions, 0.98)?;
        let gates = cost(&general.gate, &questions, 0.98)?;
        for graph in graphs(set, &labels)? {
            let own = cost(&graph, &questions, 0.98)?;
            // `max` would pass over what is not a number.
            acorn = worse(acorn, share(own, acorns));
            gate = worse(gate, share(own, gates));
            for label in 0..labels.count() as u32 {
                reached = reached.min(graph.reachable(label));
            }
        }
    }
    Ok([edges, alpha, recall, acorn, gate, reached])
}

fn worse(a: f64, b: f64) -> f64 {
    if a.is_nan() || b.is_nan() {
        f64::NAN
    } else {
        a.max(b)
    }
}

fn graphs(set: &Set, labels: &Arc<Labels>) -> Result<[LabelGraph; 2]> {
    let config = VamanaConfig::default();
    let (points, labels) = (&set.points, labels);
    Ok([
        LabelGraph::filtered(points.clone(), labels.clone(), config)?,
        LabelGraph::stitched(points.clone(), labels.clone(), config, config)?,
    ])
}

/// Labels that go with places: rows that have the same nearest of a hundred rows share one.
fn tied(set: &Set) -> Labels {
    let near = |row: &[f32]| {
        let distances = (0..100).map(|pivot| distance::l2_squared(row, set.points.row(pivot * 199)));
        distances.enumerate().min_by(|a, b| a.1.total_cmp(&b.1))
    };
    Labels::new(set.points.iter().map(|row| {
        let pivot = near(row).map_or(0, |(pivot, _)| pivot);
        [(pivot % LABELS) as u32]
    }))
}

/// Edges of alpha 1.2 over those of 1.0, recall at L = 20, and what alpha 1.2 adds at L = 10: with one label for all rows the graph is
/// plain Vamana.
fn alphas(set: &Set) -> Result<[f64; 3]> {
    let labels = Arc::new(random_labels(ROWS, 1, set.seed));
    let questions = set.ask_labels(&labels)?;
    let graph = |alpha| {
        let config = VamanaConfig {
            degree: 32,
            list: 75,
            alpha,
            ..VamanaConfig::default()
        };
        LabelGraph::filtered(set.points.clone(), labels.clone(), config)
    };
    let (wide, narrow) = (graph(1.2)?, graph(1.0)?);
    let edges = wide.built().edges as f64 / narrow.built().edges as f64;
    let recall = |graph: &LabelGraph, list| Ok(ask(graph, &questions, list)?.recall);
    Ok([
        edges,
        recall(&wide, 20)?,
        recall(&wide, 10)? - recall(&narrow, 10)?,
    ])
}
