//! Prints recall@10, distance computations and queries/s of the graph index by filter selectivity for given vectors:
//! `cargo run --release -p kokeshi-index --example recall -- VECTORS.npy [QUERIES.npy] [--degree 32] [--build-list 100] [--alpha 1.2]`
//! `[--list 20,40,80] [--metric cosine]`. Without QUERIES.npy 1,000 rows are held out and used as queries. One search thread.

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use kokeshi_core::{Bitmap, Embeddings, Metric, Scored, Seed, Silent, npy};
use kokeshi_index::{Effort, FlatIndex, Graph, GraphConfig, GraphIndex, Index, Plan, Vectors};

const K: usize = 10;
const HELD_OUT: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = GraphConfig::default();
    let (mut files, mut lists, mut metric) = (Vec::new(), Vec::new(), Metric::Cosine);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--degree" => config.degree = value()?.parse()?,
            "--build-list" => config.list = value()?.parse()?,
            "--alpha" => config.alpha = value()?.parse()?,
            "--metric" => metric = value()?.parse()?,
            "--list" => {
                lists = value()?
                    .split(',')
                    .map(|list| Ok(Effort::List(list.parse()?)))
                    .collect::<Result<_, std::num::ParseIntError>>()?;
            }
            _ => files.push(argument),
        }
    }
    let (rows, queries) = match &files[..] {
        [rows] => hold_out(&npy::open(Path::new(rows))?)?,
        [rows, queries] => (npy::open(Path::new(rows))?, npy::open(Path::new(queries))?),
        _ => return Err("usage: recall VECTORS.npy [QUERIES.npy]".into()),
    };
    println!(
        "{} rows, {} queries, {} dims",
        rows.rows(),
        queries.rows(),
        rows.dims()
    );
    let vectors = Vectors::from(rows);
    let start = Instant::now();
    let graph = Graph::build(&vectors, metric, config, &Silent)?;
    println!(
        "built in {:.1} s on {} threads: degree {:.1} of {}, list {}, alpha {}",
        start.elapsed().as_secs_f64(),
        rayon_threads(),
        graph.mean_degree(),
        config.degree,
        config.list,
        config.alpha
    );
    let index = GraphIndex::new(graph, vectors.clone())?;
    let flat = FlatIndex::new(vectors.clone(), metric);
    lists.push(Effort::Default);
    println!("| selectivity | effort | recall@10 | walked | distances | p50 us | queries/s |");
    println!("|---|---|---|---|---|---|---|");
    for selectivity in [1.0, 0.98, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001] {
        let filter = (selectivity < 1.0).then(|| random_filter(vectors.rows(), selectivity));
        let exact = run(&flat, &queries, Effort::Exact, filter.as_ref())?;
        for &effort in &lists {
            let found = run(&index, &queries, effort, filter.as_ref())?;
            report(selectivity, &format!("{effort:?}"), &found, &exact);
        }
        report(selectivity, "scan", &exact, &exact);
    }
    Ok(())
}

/// Random rows, never the same for queries and index.
fn hold_out(all: &Embeddings) -> Result<(Embeddings, Embeddings), Box<dyn Error>> {
    let mut order: Vec<usize> = (0..all.rows()).collect();
    Seed(1).shuffle(&mut order);
    let held_out = HELD_OUT.min(order.len() / 2);
    let take = |ids: &[usize]| {
        let values = ids.iter().flat_map(|&id| all.row(id)).copied().collect();
        Embeddings::from_vec(values, all.dims())
    };
    Ok((take(&order[held_out..])?, take(&order[..held_out])?))
}

fn random_filter(rows: usize, selectivity: f64) -> Bitmap {
    let mut seed = Seed(2);
    let mut filter = Bitmap::empty(rows);
    for id in 0..rows as u32 {
        if seed.uniform() < selectivity {
            filter.insert(id);
        }
    }
    filter
}

struct Run {
    hits: Vec<Vec<Scored>>,
    micros: Vec<f64>,
    distances: usize,
    walked: usize,
}

fn run(
    index: &dyn Index,
    queries: &Embeddings,
    effort: Effort,
    filter: Option<&Bitmap>,
) -> Result<Run, Box<dyn Error>> {
    let mut run = Run {
        hits: Vec::new(),
        micros: Vec::new(),
        distances: 0,
        walked: 0,
    };
    for query in queries.iter() {
        let start = Instant::now();
        let found = index.search(query, K, effort, filter)?;
        run.micros.push(start.elapsed().as_secs_f64() * 1e6);
        run.distances += found.cost.distances;
        run.walked += usize::from(found.cost.plan != Plan::Scan);
        run.hits.push(found.hits);
    }
    Ok(run)
}

fn report(selectivity: f64, effort: &str, found: &Run, exact: &Run) {
    // A hit counts if it scores as well as the last exact one: copies of one row are equally right.
    let (mut right, mut all) = (0, 0);
    for (found, exact) in found.hits.iter().zip(&exact.hits) {
        let worst = exact.last().map_or(f32::INFINITY, |hit| hit.score - 1e-6);
        right += found.iter().filter(|hit| hit.score >= worst).count();
        all += exact.len();
    }
    let queries = found.hits.len().max(1);
    let mut micros = found.micros.clone();
    micros.sort_by(f64::total_cmp);
    println!(
        "| {:.1} % | {effort} | {:.4} | {:.0} % | {} | {:.0} | {:.0} |",
        selectivity * 100.0,
        right as f64 / all.max(1) as f64,
        100.0 * found.walked as f64 / queries as f64,
        found.distances / queries,
        micros[micros.len() / 2],
        queries as f64 * 1e6 / micros.iter().sum::<f64>()
    );
}

fn rayon_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
