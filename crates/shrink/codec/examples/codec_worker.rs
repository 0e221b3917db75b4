//! Kokeshi's side of `bench/codecs/run.py`: codecs trained on vectors, and scans of their codes on demand, on one thread.
//!
//! usage: codec_worker VECTORS.npy QUERIES.npy. Reads lines from standard input: `train SPEC` answers with the bytes of a code and the seconds
//! to train and to encode (wall time of one thread); `scan FILE K` scans for all queries, writes the
//! ids of the K best (u32) to FILE and answers with the processor's seconds that it took.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use cpu_time::ThreadTime;
use kokeshi_codec::{Chain, Codec, Spec, Stage, funnel_all};
use kokeshi_core::{Metric, Seed, npy};

type Problem = Box<dyn std::error::Error>;

fn main() -> Result<(), Problem> {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, queries] = &arguments[..] else {
        return Err("usage: codec_worker VECTORS.npy QUERIES.npy".into());
    };
    let (rows, queries) = (npy::open(Path::new(vectors))?, npy::open(Path::new(queries))?);
    let mut trained: Option<(Chain, Vec<u8>)> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        match (&words[..], &trained) {
            (["train", spec], _) => {
                let start = Instant::now();
                let chain = spec.parse::<Spec>()?.train(&rows, Metric::Cosine, Seed(42))?;
                let train = start.elapsed().as_secs_f64();
                let start = Instant::now();
                let codes = chain.encode_all(&rows)?;
                println!("{} {train} {}", chain.code_bytes(), start.elapsed().as_secs_f64());
                trained = Some((chain, codes));
            }
            (["scan", file, k], Some((chain, codes))) => {
                let k: usize = k.parse()?;
                let start = ThreadTime::now();
                let stage = Stage {
                    chain,
                    codes,
                    keep: k,
                };
                let best = funnel_all(&[stage], &queries.iter().collect::<Vec<_>>())?;
                let found: Vec<u32> = best.iter().flatten().map(|hit| hit.id).collect();
                let seconds = start.elapsed().as_secs_f64();
                let bytes: Vec<u8> = found.iter().flat_map(|id| id.to_le_bytes()).collect();
                std::fs::write(file, bytes)?;
                println!("{seconds}");
            }
            _ => {
                return Err(
                    format!("expected train SPEC or, after that, scan FILE K, found {line:?}").into(),
                );
            }
        }
        std::io::stdout().flush()?;
    }
    Ok(())
}
