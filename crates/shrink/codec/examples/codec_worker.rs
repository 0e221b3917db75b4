//! Kokeshi's side of `bench/codecs/run.py`: codecs trained on vectors, and scans of their codes on demand, on one thread.
//!
//! usage: codec_worker VECTORS.npy QUERIES.npy. Reads lines from standard input: `train SPEC` answers with the bytes of a code and the seconds
//! to train and to encode (wall time of one thread); `scan FILE K` scans for every query, a block of codes at a time for all of them, writes the
//! ids of the K best (u32) to FILE and answers with the processor's seconds that it took.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use cpu_time::ThreadTime;
use kokeshi_codec::{Chain, Codec, PACKED_ROWS, Spec};
use kokeshi_core::{Metric, Seed, TopK, npy};

/// Bytes of codes that all queries are compared with before the next ones: they stay in the second-level cache.
const BLOCK: usize = 1 << 20;

type Problem = Box<dyn std::error::Error>;

fn main() -> Result<(), Problem> {
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vectors, queries] = &arguments[..] else {
        return Err("usage: codec_worker VECTORS.npy QUERIES.npy".into());
    };
    let (rows, queries) = (npy::open(Path::new(vectors))?, npy::open(Path::new(queries))?);
    let mut trained: Option<(Chain, Vec<u8>, Option<Vec<u8>>)> = None;
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
                let packed = chain.pack(&codes);
                trained = Some((chain, codes, packed));
            }
            (["scan", file, k], Some((chain, codes, packed))) => {
                let k: usize = k.parse()?;
                let prepared = |query| chain.query(query);
                let start = ThreadTime::now();
                let prepared: Vec<_> = queries.iter().map(prepared).collect::<Result<_, _>>()?;
                let mut best = vec![TopK::new(k); queries.rows()];
                let stride = chain.code_bytes();
                let block = (BLOCK / stride).max(1).next_multiple_of(PACKED_ROWS);
                let mut scores = vec![0.0; block];
                for from in (0..rows.rows()).step_by(block) {
                    let scores = &mut scores[..block.min(rows.rows() - from)];
                    for (prepared, best) in prepared.iter().zip(&mut best) {
                        match packed {
                            Some(packed) => {
                                let size = packed.len() / rows.rows().div_ceil(PACKED_ROWS);
                                let blocks = scores.len().div_ceil(PACKED_ROWS);
                                let packed = &packed[from / PACKED_ROWS * size..][..blocks * size];
                                assert!(prepared.score_packed(packed, scores));
                            }
                            None => {
                                prepared.score_rows(&codes[from * stride..][..scores.len() * stride], scores)
                            }
                        }
                        best.push_run(from as u32, scores);
                    }
                }
                let best = best.into_iter().flat_map(TopK::into_sorted);
                let found: Vec<u32> = best.map(|hit| hit.id).collect();
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
