//! Our part of `bench/encode/run.py`: loads a model, then runs what is asked on standard input and answers with its time.
//!
//! ```text
//! cargo run --release -p kokeshi-encode --example encode_worker -- MODEL PRECISION THREADS DATA.json
//! ```
//! DATA.json: `{"short": {"texts": [...], "ids": [[...], ...]}, ...}`. A request is a line such as `{"set": "short", "ids": true}`, with
//! `"layers": 3` for an early exit, `"one": 7` for that text alone, `"vectors": "FILE"` for the vectors as little-endian f32, too. The
//! answer is a line with seconds of CPU time and of wall clock, and the process' memory at its largest, in MB.

use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::time::Instant;

use kokeshi_encode::{LoadOptions, Model, Options, Precision};
use serde_json::{Value, json};

type Failure = Box<dyn std::error::Error>;

#[derive(serde::Deserialize)]
struct Set {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
}

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, precision, threads, data] = arguments.as_slice() else {
        return Err("usage: encode_worker MODEL PRECISION THREADS DATA.json".into());
    };
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads.parse()?)
        .build_global()?;
    let started = Instant::now();
    let options = LoadOptions {
        precision: Precision::named(precision)
            .ok_or("expected f32, bf16, int8, int8w or int4w as PRECISION")?,
        ..LoadOptions::default()
    };
    let model = Model::load_with(model, &options)?;
    let loaded = started.elapsed().as_secs_f64();
    model.encode(&["the first text"], &Options::default())?;
    let first = started.elapsed().as_secs_f64();
    say(&json!({"loaded": loaded, "first": first, "memory": memory()}))?;
    let sets: HashMap<String, Set> = serde_json::from_slice(&std::fs::read(data)?)?;
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
        let mut options = Options::default();
        options.size.layers = request["layers"].as_u64().map(|layers| layers as usize);
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        let vectors = match request["ids"] == true {
            true => model.encode_ids(&set.ids[range], &options)?,
            false => model.encode(&set.texts[range], &options)?,
        };
        let (wall, cpu) = (wall.elapsed().as_secs_f64(), cpu_seconds() - cpu);
        if let Some(file) = request["vectors"].as_str() {
            let bytes: Vec<u8> = vectors
                .as_slice()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            std::fs::write(file, bytes)?;
        }
        say(&json!({"cpu": cpu, "wall": wall, "memory": memory()}))?;
    }
    Ok(())
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
