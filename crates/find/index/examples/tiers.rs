//! What a search costs when the vectors don't fit into memory: codes and graph are read from a mapped file, and so are the vectors that order
//! the best candidates.
//!
//! usage: tiers GRAPH VECTORS.npy QUERIES.npy [LIST]. If GRAPH is not there it is built and saved, with the exact answers beside it. If it is,
//! every query is asked twice, one after another on one thread, and each round prints recall@10, the time of a query, and by how many faults
//! and bytes the disk was asked (`/proc/self`). Run that in a control group whose memory is less than the files:
//!
//! ```text
//! mkdir /sys/fs/cgroup/memory/small && echo 64M > /sys/fs/cgroup/memory/small/memory.limit_in_bytes
//! sh -c 'echo $$ > /sys/fs/cgroup/memory/small/cgroup.procs; exec tiers graph.bin vectors.npy queries.npy'
//! ```

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use kokeshi_core::{Metric, Silent, npy};
use kokeshi_index::{Effort, FlatIndex, Graph, GraphConfig, GraphIndex, Index, Vectors};

const K: usize = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [graph, vectors, queries, list @ ..] = &arguments[..] else {
        return Err("usage: tiers GRAPH VECTORS.npy QUERIES.npy [LIST]".into());
    };
    let (graph, answers) = (Path::new(graph), Path::new(graph).with_extension("answers"));
    let vectors = Vectors::from(npy::open(Path::new(vectors))?);
    let queries = npy::open(Path::new(queries))?;
    if !graph.exists() {
        Graph::build(&vectors, Metric::Cosine, GraphConfig::default(), &Silent)?.save(graph)?;
        let flat = FlatIndex::new(vectors, Metric::Cosine);
        let mut ids = Vec::new();
        for query in queries.iter() {
            let hits = flat.search(query, K, Effort::Exact, None)?.hits;
            ids.extend(hits.iter().flat_map(|hit| hit.id.to_le_bytes()));
        }
        std::fs::write(answers, ids)?;
        return Ok(());
    }
    let effort = match list.first() {
        None => Effort::Default,
        Some(list) => Effort::List(list.parse()?),
    };
    let answers = std::fs::read(answers)?;
    let wanted: Vec<u32> = answers
        .as_chunks::<4>()
        .0
        .iter()
        .map(|id| u32::from_le_bytes(*id))
        .collect();
    let index = GraphIndex::new(Graph::open(graph)?, vectors)?;
    for round in ["first", "second"] {
        let (mut times, mut found, before) = (Vec::new(), 0, asked()?);
        for (query, wanted) in queries.iter().zip(wanted.chunks_exact(K)) {
            let started = Instant::now();
            let hits = index.search(query, K, effort, None)?.hits;
            times.push(started.elapsed().as_secs_f64() * 1e6);
            found += hits.iter().filter(|hit| wanted.contains(&hit.id)).count();
        }
        times.sort_by(f64::total_cmp);
        let (after, count) = (asked()?, times.len() as f64);
        println!(
            "{round}: recall {:.3}, p50 {:.0} us, p99 {:.0} us, {:.1} faults and {:.1} KiB a query",
            found as f64 / wanted.len() as f64,
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            (after.0 - before.0) / count,
            (after.1 - before.1) / 1024.0 / count,
        );
    }
    Ok(())
}

/// Page faults of this process that had to wait for the disk, and bytes that were read from it.
fn asked() -> Result<(f64, f64), Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let faults = stat
        .rsplit(')')
        .next()
        .and_then(|rest| rest.split_whitespace().nth(9));
    let io = std::fs::read_to_string("/proc/self/io")?;
    let read = io.lines().find_map(|line| line.strip_prefix("read_bytes: "));
    Ok((
        faults.unwrap_or_default().parse()?,
        read.unwrap_or_default().parse()?,
    ))
}
