//! A Rust peer of the encoder benchmark: answers requests on standard input, as Kokeshi's `encode_worker` does.
//!
//! ```text
//! encode-peers candle|rten-f32|rten-int8 THREADS WORK
//! ```
//! WORK is what `prepare.py` made. Texts of similar length share a padded batch of up to 32, as in `peer.py`.

mod candle;
mod rten;

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tokenizers::{Tokenizer, TruncationParams};

type Failure = Box<dyn std::error::Error>;

/// Token ids and attention mask of some texts, both `[texts, longest]`, padded with zeros.
pub struct Batch {
    pub texts: usize,
    pub longest: usize,
    pub ids: Vec<u32>,
    pub mask: Vec<u32>,
}

/// Vectors at unit length for a batch, `[texts, dims]`.
type Run = Box<dyn Fn(&Batch) -> Result<Vec<f32>, Failure>>;

#[derive(serde::Deserialize)]
struct Set {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [peer, threads, work] = arguments.as_slice() else {
        return Err("usage: encode-peers candle|rten-f32|rten-int8 THREADS WORK".into());
    };
    let work = Path::new(work);
    let started = Instant::now();
    let mut tokenizer =
        Tokenizer::from_file(work.join("model/tokenizer.json")).map_err(|problem| problem.to_string())?;
    let truncation = TruncationParams {
        max_length: 512,
        ..TruncationParams::default()
    };
    tokenizer
        .with_truncation(Some(truncation))
        .map_err(|problem| problem.to_string())?;
    tokenizer.with_padding(None);
    let run: Run = match peer.as_str() {
        "candle" => candle::load(&work.join("model"))?,
        "rten-f32" => rten::load(&work.join("f32.onnx"), threads.parse()?)?,
        "rten-int8" => rten::load(&work.join("int8.onnx"), threads.parse()?)?,
        _ => return Err("no such peer".into()),
    };
    let loaded = started.elapsed().as_secs_f64();
    encode(&run, &tokenize(&tokenizer, &["the first text".into()])?)?;
    let first = started.elapsed().as_secs_f64();
    say(&json!({"loaded": loaded, "first": first, "memory": memory()}))?;
    let sets: HashMap<String, Set> = serde_json::from_slice(&std::fs::read(work.join("data.json"))?)?;
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        let set = request["set"]
            .as_str()
            .and_then(|name| sets.get(name))
            .ok_or("no such set")?;
        let range = match request["one"].as_u64() {
            Some(at) => at as usize..at as usize + 1,
            None => 0..set.texts.len(),
        };
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        let vectors = match request["ids"] == true {
            true => encode(&run, &set.ids[range])?,
            false => encode(&run, &tokenize(&tokenizer, &set.texts[range])?)?,
        };
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        if let Some(file) = request["vectors"].as_str() {
            let bytes: Vec<u8> = vectors
                .iter()
                .flatten()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            std::fs::write(file, bytes)?;
        }
        say(&json!({"cpu": cpu, "wall": wall, "memory": memory()}))?;
    }
    Ok(())
}

fn tokenize(tokenizer: &Tokenizer, texts: &[String]) -> Result<Vec<Vec<u32>>, Failure> {
    let found = tokenizer
        .encode_batch_fast(texts.to_vec(), true)
        .map_err(|problem| problem.to_string())?;
    Ok(found.iter().map(|text| text.get_ids().to_vec()).collect())
}

fn encode(run: &Run, ids: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, Failure> {
    let mut order: Vec<usize> = (0..ids.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(ids[at].len()));
    let mut vectors = vec![Vec::new(); ids.len()];
    for rows in order.chunks(32) {
        let longest = ids[rows[0]].len();
        let mut batch = Batch {
            texts: rows.len(),
            longest,
            ids: vec![0; rows.len() * longest],
            mask: vec![0; rows.len() * longest],
        };
        for (row, &at) in rows.iter().enumerate() {
            let start = row * longest;
            batch.ids[start..start + ids[at].len()].copy_from_slice(&ids[at]);
            batch.mask[start..start + ids[at].len()].fill(1);
        }
        let found = run(&batch)?;
        for (&at, vector) in rows.iter().zip(found.chunks(found.len() / rows.len())) {
            vectors[at] = vector.to_vec();
        }
    }
    Ok(vectors)
}

fn say(answer: &Value) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{answer}")?;
    Ok(out.flush()?)
}

/// This process' CPU time.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists on every Unix, and `time` is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// The most memory that this process had, in MB.
fn memory() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    kilobytes.unwrap_or(f64::NAN) / 1024.0
}
