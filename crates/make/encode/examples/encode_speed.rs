//! Measures encoding: tokens per CPU-second and texts per second, tokenising included.
//!
//! ```text
//! cargo run --release -p kokeshi-encode --example encode_speed -- MODEL TEXTS.txt [THREADS] [LAYERS]
//! ```
//! TEXTS.txt has one text a line. The median of five runs is printed; CPU time is the process's own, so that neighbours on the machine
//! disturb it little.

use std::time::Instant;

use kokeshi_encode::{Model, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, texts, rest @ ..] = arguments.as_slice() else {
        return Err("usage: speed MODEL TEXTS.txt [THREADS] [LAYERS]".into());
    };
    let count = |at: usize| rest.get(at).map(|text| text.parse::<usize>()).transpose();
    rayon::ThreadPoolBuilder::new()
        .num_threads(count(0)?.unwrap_or(1))
        .build_global()?;
    let started = Instant::now();
    let model = Model::load(model)?;
    println!("loaded in {} ms", started.elapsed().as_millis());
    let text = std::fs::read_to_string(texts)?;
    let texts: Vec<&str> = text.lines().collect();
    let most = model.max_tokens().unwrap_or(usize::MAX);
    let tokens: usize = texts
        .iter()
        .map(|text| (model.token_ranges(text).len() + 2).min(most))
        .sum();
    let mut options = Options::default();
    options.size.layers = count(1)?;
    let mut runs = Vec::new();
    for _ in 0..5 {
        let (wall, cpu) = (Instant::now(), cpu_seconds()?);
        model.encode(&texts, &options)?;
        runs.push((cpu_seconds()? - cpu, wall.elapsed().as_secs_f64()));
    }
    runs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (cpu, wall) = runs[runs.len() / 2];
    println!(
        "{} texts, {tokens} tokens: {:.0} tokens and {:.1} texts per CPU-second, {:.1} texts per second of wall clock",
        texts.len(),
        tokens as f64 / cpu,
        texts.len() as f64 / cpu,
        texts.len() as f64 / wall
    );
    Ok(())
}

/// The process's CPU time so far, from Linux' accounting (in hundredths of a second).
fn cpu_seconds() -> Result<f64, Box<dyn std::error::Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let after_name = stat.rsplit(')').next().unwrap_or("");
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| {
        fields
            .get(at)
            .and_then(|field| field.parse::<f64>().ok())
            .ok_or("no CPU time")
    };
    Ok((ticks(11)? + ticks(12)?) / 100.0)
}
