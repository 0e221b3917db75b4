//! Replaces a part of the rows in random order while another thread searches, and compares with a fresh build of the rows that are left: recall@10,
//! and how long searches took before and meanwhile, by the searching thread's processor time and by the clock on the wall (which has in it
//! what else the machine does). `cargo run --release -p kokeshi-index --example updates -- VECTORS.npy QUERIES.npy [--share 0.3]
//! [--steps 30]`. The last rows of VECTORS.npy are the new ones; each step deletes rows, appends as many and links them in.

mod clock;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kokeshi_core::{Bitmap, Embeddings, Metric, Seed, Silent, npy};
use kokeshi_index::{Effort, Graph, GraphConfig, GraphIndex, Index, Vectors};

type Error = Box<dyn std::error::Error + Send + Sync>;

const K: usize = 10;
/// How long searches are timed before anything changes.
const BEFORE: Duration = Duration::from_secs(5);

/// What searches see: an index and the rows that were not deleted.
struct State {
    index: GraphIndex,
    live: Bitmap,
}

fn main() -> Result<(), Error> {
    let (mut files, mut share, mut steps) = (Vec::new(), 0.3, 30);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--share" => share = value()?.parse()?,
            "--steps" => steps = value()?.parse()?,
            _ => files.push(argument),
        }
    }
    let [rows, queries] = &files[..] else {
        return Err("usage: updates VECTORS.npy QUERIES.npy [--share 0.3] [--steps 30]".into());
    };
    let (all, queries) = (npy::open(Path::new(rows))?, npy::open(Path::new(queries))?);
    let first = (all.rows() as f64 / (1.0 + share)) as usize;
    let new = all.rows() - first;
    let mut vectors = Vectors::from(part(&all, 0, first)?);
    let mut live = Bitmap::full(first);
    let graph = Graph::build(&vectors, Metric::Cosine, GraphConfig::default(), &Silent)?;
    let index = GraphIndex::new(graph, vectors.clone())?;
    println!(
        "{first} rows, {new} replaced in {steps} steps, list {:?}",
        index.graph().default_list()
    );
    let before = recall(&index, &live, &queries)?;
    println!("recall@10 before {before:.4}");
    let state = Mutex::new(Arc::new(State {
        index,
        live: live.clone(),
    }));
    let current = || state.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut order: Vec<u32> = (0..first as u32).collect();
    Seed(5).shuffle(&mut order);
    let (changing, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| -> Result<(), Error> {
        let searcher = scope.spawn(|| -> Result<[[Vec<f64>; 2]; 2], Error> {
            let mut took: [[Vec<f64>; 2]; 2] = Default::default();
            for query in queries.iter().cycle() {
                if done.load(Ordering::Acquire) {
                    break;
                }
                let phase = usize::from(changing.load(Ordering::Acquire));
                let (started, own) = (Instant::now(), clock::seconds());
                let state = current();
                state.index.search(query, K, Effort::Default, Some(&state.live))?;
                took[phase][0].push((clock::seconds() - own) * 1e6);
                took[phase][1].push(started.elapsed().as_secs_f64() * 1e6);
            }
            Ok(took)
        });
        std::thread::sleep(BEFORE);
        changing.store(true, Ordering::Release);
        // One thread writes, one searches.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
        let started = clock::seconds();
        let mut old = current();
        for step in 0..steps {
            let (from, to) = (new * step / steps, new * (step + 1) / steps);
            order[from..to].iter().for_each(|&id| live.remove(id));
            vectors.push_segment(part(&all, first + from, first + to)?)?;
            live.insert_range((first + from) as u32..(first + to) as u32);
            let mut graph = old.index.graph().clone();
            pool.install(|| graph.extend(&vectors, &Silent))?;
            let next = Arc::new(State {
                index: GraphIndex::new(graph, vectors.clone())?,
                live: live.clone(),
            });
            *state.lock().unwrap_or_else(PoisonError::into_inner) = next.clone();
            // The old one is dropped here, not by a search.
            old = next;
        }
        let seconds = pool.install(clock::seconds);
        done.store(true, Ordering::Release);
        println!(
            "{:.0} rows a second of the writer's processor time",
            new as f64 / (seconds + clock::seconds() - started)
        );
        let took = searcher.join().map_err(|_| "the searching thread panicked")??;
        for (phase, took) in ["before", "meanwhile"].into_iter().zip(took) {
            println!("{phase}: {} searches", took[0].len());
            for (clock, mut took) in ["processor", "wall"].into_iter().zip(took) {
                took.sort_by(f64::total_cmp);
                let at = |share: f64| {
                    took.get((took.len() as f64 * share) as usize)
                        .copied()
                        .unwrap_or(f64::NAN)
                };
                println!(
                    "    {clock} time: p50 {:.0} us, p99 {:.0} us, p99.9 {:.0} us",
                    at(0.5),
                    at(0.99),
                    at(0.999)
                );
            }
        }
        Ok(())
    })?;
    let state = current();
    let after = recall(&state.index, &state.live, &queries)?;
    let ids: Vec<u32> = state.live.iter().collect();
    let left = Vectors::from(all.gather(&ids)?);
    let graph = Graph::build(&left, Metric::Cosine, GraphConfig::default(), &Silent)?;
    let fresh = GraphIndex::new(graph, left)?;
    let anew = recall(&fresh, &Bitmap::full(fresh.len()), &queries)?;
    println!(
        "recall@10 after {after:.4}, of a fresh build {anew:.4}: {:+.4}",
        after - anew
    );
    println!(
        "lists {:?} and {:?}",
        state.index.graph().default_list(),
        fresh.graph().default_list()
    );
    Ok(())
}

fn part(all: &Embeddings, from: usize, to: usize) -> Result<Embeddings, Error> {
    let dims = all.dims();
    Ok(Embeddings::from_vec(
        all.as_slice()[from * dims..to * dims].to_vec(),
        dims,
    )?)
}

/// The share of the true 10 best among live rows that searches at default effort find.
fn recall(index: &GraphIndex, live: &Bitmap, queries: &Embeddings) -> Result<f64, Error> {
    let (mut right, mut all) = (0, 0);
    for query in queries.iter() {
        let exact = index.search(query, K, Effort::Exact, Some(live))?.hits;
        let worst = exact.last().map_or(f32::INFINITY, |hit| hit.score);
        let found = index.search(query, K, Effort::Default, Some(live))?.hits;
        right += found.iter().filter(|hit| hit.score >= worst - 1e-6).count();
        all += exact.len();
    }
    Ok(right as f64 / all.max(1) as f64)
}
