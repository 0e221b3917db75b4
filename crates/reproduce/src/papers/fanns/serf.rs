//! SeRF (SIGMOD 2024) by random numbers.

use kokeshi_core::{Embeddings, Result};
use kokeshi_filtered::{Method, PrefixGraph, RangeGraph, SerfConfig};

use super::set::{ROWS, Set, cost, share};

pub(super) fn measure(set: &Set) -> Result<[f64; 5]> {
    let mut seed = set.seed;
    let numbers: Vec<f64> = (0..ROWS).map(|_| seed.uniform()).collect();
    let ends: Vec<usize> = (0..5).map(|_| 1 + seed.below(ROWS / 3)).collect();
    let differing = differing(&set.points, &numbers, &ends)?;

    let graph = RangeGraph::build(&set.points, &numbers, SerfConfig::default())?;
    let gate = &set.general().gate;
    let wide = set.ask_ranges(&numbers, 0.1)?;
    let own = cost(&graph, &wide, 0.97)?;
    let narrow = set.ask_ranges(&numbers, 0.01)?;
    let few = cost(&graph, &narrow, 0.95)?;
    Ok([
        differing,
        share(own, cost(gate, &wide, 0.97)?),
        share(own, wide.matches()),
        // A gate that never gets there costs more than any multiple.
        if few.is_finite() {
            (cost(gate, &narrow, 0.95)? / few).min(1e6)
        } else {
            f64::NAN
        },
        // A pick is stored at both ends.
        graph.built().edges as f64 / 2.0 / ROWS as f64,
    ])
}

/// Nodes of a graph of all prefixes whose edges at `ends` are not those of a graph of just so many rows.
pub(super) fn differing(points: &Embeddings, numbers: &[f64], ends: &[usize]) -> Result<f64> {
    let config = SerfConfig::default();
    let whole = PrefixGraph::build(points, numbers, config)?;
    let mut differing = 0;
    for &end in ends {
        let rows = &whole.rows()[..end];
        let part: Vec<f64> = rows.iter().map(|&row| numbers[row as usize]).collect();
        let fresh = PrefixGraph::build(&points.gather(rows)?, &part, config)?;
        let at = |graph: &PrefixGraph, rank| {
            let mut edges = graph.neighbours(rank, end as u32);
            edges.sort_unstable();
            edges
        };
        differing += (0..end as u32)
            .filter(|&rank| at(&whole, rank) != at(&fresh, rank))
            .count();
    }
    Ok(differing as f64)
}
