//! Prints recall@10, distance computations and queries/s of the graph index by filter selectivity for given vectors:
//! `cargo run --release -p kokeshi-index --example recall -- VECTORS.npy [QUERIES.npy ...] [--degree 32] [--build-list 100] [--alpha 1.2]`
//! `[--list 20,40,80] [--metric cosine] [--segments 1] [--share 1,0.5]`. Without QUERIES.npy 1,000 rows are held out and used as queries. Searches run on one thread
//! at a time; times are processor time where Linux tells it, so that other work on the machine counts little.

use std::error::Error;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Instant;

use kokeshi_core::{Bitmap, Embeddings, Metric, Scored, Seed, Silent, npy};
use kokeshi_index::{Effort, FlatIndex, Graph, GraphConfig, GraphIndex, Index, Plan, Vectors};

const K: usize = 10;
const HELD_OUT: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = GraphConfig::default();
    let (mut files, mut lists, mut metric) = (Vec::new(), Vec::new(), Metric::Cosine);
    let (mut segments, mut shares) = (1, vec![1.0, 0.98, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001]);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--degree" => config.degree = value()?.parse()?,
            "--build-list" => config.list = value()?.parse()?,
            "--alpha" => config.alpha = value()?.parse()?,
            "--metric" => metric = value()?.parse()?,
            "--segments" => segments = value()?.parse()?,
            "--share" => shares = value()?.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--list" => {
                lists = value()?
                    .split(',')
                    .map(|list| Ok(Effort::List(list.parse()?)))
                    .collect::<Result<_, std::num::ParseIntError>>()?;
            }
            _ => files.push(argument),
        }
    }
    let (rows, sets) = match &files[..] {
        [rows] => {
            let (rows, queries) = hold_out(&npy::open(Path::new(rows))?)?;
            (rows, vec![("held-out rows".to_string(), queries)])
        }
        [rows, sets @ ..] => {
            let open = |name: &String| Ok((name.clone(), npy::open(Path::new(name))?));
            let sets: Result<_, kokeshi_core::Error> = sets.iter().map(open).collect();
            (npy::open(Path::new(rows))?, sets?)
        }
        [] => return Err("usage: recall VECTORS.npy [QUERIES.npy ...]".into()),
    };
    println!("{} rows, {} dims", rows.rows(), rows.dims());
    let vectors = split(rows, segments)?;
    let (start, worked) = (Instant::now(), process_seconds());
    let graph = Graph::build(&vectors, metric, config, &Silent)?;
    println!(
        "built in {:.1} s, {:.1} s of processor time: degree {:.1} of {}, list {}, alpha {}; default list {:?}",
        start.elapsed().as_secs_f64(),
        process_seconds() - worked,
        graph.mean_degree(),
        config.degree,
        config.list,
        config.alpha,
        graph.default_list()
    );
    let index = GraphIndex::new(graph, vectors.clone())?;
    let flat = FlatIndex::new(vectors.clone(), metric);
    lists.push(Effort::Default);
    for (name, queries) in &sets {
        println!("\n{} queries: {name}", queries.rows());
        println!("| selectivity | effort | recall@10 | walked | distances | us/query | queries/s |");
        println!("|---|---|---|---|---|---|---|");
        for selectivity in &shares {
            let filter = (*selectivity < 1.0).then(|| random_filter(vectors.rows(), *selectivity));
            let exact = run(&flat, queries, Effort::Exact, filter.as_ref())?;
            for &effort in &lists {
                let found = run(&index, queries, effort, filter.as_ref())?;
                report(*selectivity, &format!("{effort:?}"), &found, &exact);
            }
            report(*selectivity, "scan", &exact, &exact);
        }
    }
    Ok(())
}

/// The rows in as many segments.
fn split(rows: Embeddings, segments: usize) -> Result<Vectors, Box<dyn Error>> {
    if segments <= 1 {
        return Ok(Vectors::from(rows));
    }
    let mut vectors = Vectors::new(rows.dims());
    let size = rows.rows().div_ceil(segments).max(1) * rows.dims();
    for part in rows.as_slice().chunks(size) {
        vectors.push_segment(Embeddings::from_vec(part.to_vec(), rows.dims())?)?;
    }
    Ok(vectors)
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
    /// A query.
    micros: f64,
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
        micros: 0.0,
        distances: 0,
        walked: 0,
    };
    let (start, worked) = (micros(), process_seconds());
    for query in queries.iter() {
        let found = index.search(query, K, effort, filter)?;
        run.distances += found.cost.distances;
        run.walked += usize::from(found.cost.plan != Plan::Scan);
        run.hits.push(found.hits);
    }
    // A large scan is shared with other threads. The process's clock has them too, but ticks in hundredths of a second.
    let (here, everywhere) = (micros() - start, (process_seconds() - worked) * 1e6);
    let micros = if everywhere > here * 1.5 + 50_000.0 {
        everywhere
    } else {
        here
    };
    run.micros = micros / queries.rows().max(1) as f64;
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
    println!(
        "| {:.1} % | {effort} | {:.4} | {:.0} % | {} | {:.0} | {:.0} |",
        selectivity * 100.0,
        right as f64 / all.max(1) as f64,
        100.0 * found.walked as f64 / queries as f64,
        found.distances / queries,
        found.micros,
        1e6 / found.micros
    );
}

/// Microseconds that this thread has run, or that have passed where that is not known.
fn micros() -> f64 {
    static START: OnceLock<Instant> = OnceLock::new();
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| Some(text.split(' ').next()?.parse::<f64>().ok()? / 1e3))
        .unwrap_or_else(|| START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e6)
}

/// Seconds that all threads of this process have run; 0 where that is not known.
fn process_seconds() -> f64 {
    // The fields after the name: user and system time are the 12th and 13th of them, in hundredths of a second.
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}
