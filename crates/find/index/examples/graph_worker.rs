//! The Kokeshi side of bench/vectors: builds a graph over VECTORS.npy in the file GRAPH.bin, or takes the one that is there, says what it took (0 for
//! none), and then runs all of QUERIES.npy for each line of standard input, on one thread: `EFFORT OUT [FILTER]` (a candidate list of EFFORT, a recall if
//! it is between 0 and 1, 0 for the default effort; ids as little-endian u32, ten a query, to the file OUT; one byte a row in the file FILTER, not 0 for rows that may be found).
//! Answers with processor seconds and comparisons a query.

mod clock;

use std::io::{BufRead, Write};
use std::path::Path;

use kokeshi_core::{Bitmap, Embeddings, Metric, Silent, npy};
use kokeshi_index::{Effort, Graph, GraphConfig, GraphIndex, Index, Vectors};

type Error = Box<dyn std::error::Error + Send + Sync>;

const K: usize = 10;

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, queries, file] = &arguments[..] else {
        return Err("usage: graph_worker VECTORS.npy QUERIES.npy GRAPH.bin".into());
    };
    let file = Path::new(file);
    let vectors = Vectors::from(npy::open(Path::new(vectors))?);
    let queries = npy::open(Path::new(queries))?;
    let built = if file.exists() {
        0.0
    } else {
        let started = seconds("self/stat", 11)?;
        let graph = Graph::build(&vectors, Metric::Cosine, GraphConfig::default(), &Silent)?;
        graph.save(file)?;
        seconds("self/stat", 11)? - started
    };
    let bytes = std::fs::metadata(file)?.len();
    let index = GraphIndex::new(Graph::load(file)?, vectors)?;
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()?
        .install(|| answer(&index, &queries, built, bytes))
}

fn answer(index: &GraphIndex, queries: &Embeddings, built: f64, bytes: u64) -> Result<(), Error> {
    let mut out = std::io::stdout();
    writeln!(out, "{built} {bytes}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let [effort, to, filter @ ..] = &words[..] else {
            return Err(format!("expected EFFORT OUT [FILTER], found {line:?}").into());
        };
        let effort = match effort.parse::<f32>()? {
            0.0 => Effort::Default,
            recall if recall > 0.0 && recall < 1.0 => Effort::Recall(recall),
            _ => Effort::List(effort.parse()?),
        };
        let filter = match filter {
            [] => None,
            [name, ..] => {
                let bytes = std::fs::read(name)?;
                let rows = bytes.iter().enumerate().filter(|(_, byte)| **byte != 0);
                Some(Bitmap::from_sorted(bytes.len(), rows.map(|(row, _)| row as u32)))
            }
        };
        let mut ids = Vec::with_capacity(queries.rows() * K * 4);
        let (started, mut passes, mut distances) = (clock::seconds(), 0, 0);
        let took = loop {
            ids.clear();
            for query in queries.iter() {
                let found = index.search(query, K, effort, filter.as_ref())?;
                distances += found.cost.distances;
                let found = found
                    .hits
                    .iter()
                    .map(|hit| hit.id)
                    .chain(std::iter::repeat(u32::MAX));
                ids.extend(found.take(K).flat_map(u32::to_le_bytes));
            }
            passes += 1;
            let took = clock::seconds() - started;
            if took >= 0.05 {
                break took / f64::from(passes);
            }
        };
        std::fs::write(to, ids)?;
        let distances = distances as f64 / f64::from(passes) / queries.rows() as f64;
        writeln!(out, "{took} {distances}")?;
        out.flush()?;
    }
    Ok(())
}

/// Seconds that this process has run in all: two fields of /proc/NAME, counted behind the program's name.
fn seconds(name: &str, field: usize) -> Result<f64, Error> {
    let text = std::fs::read_to_string(Path::new("/proc").join(name))?;
    let fields = text.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: f64 = fields
        .skip(field)
        .take(2)
        .filter_map(|value| value.parse::<f64>().ok())
        .sum();
    Ok(ticks / 100.0)
}
