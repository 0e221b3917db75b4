//! Milliseconds of a training step: 32 texts of 32 random tokens as 16 pairs, forward, backward, AdamW on all parameters.
//!
//! `cargo run --release -p kokeshi-train --example train_step -- MODEL STEPS [BATCH] [CHUNK_TOKENS]`; `bench/train/run.py` sets it beside PyTorch.

use std::time::Instant;

use kokeshi_core::Seed;
use kokeshi_encode::Trainable;
use kokeshi_train::encoder::Encoder;
use kokeshi_train::losses::{Aux, Ranking};
use kokeshi_train::{AdamWConfig, Batch, Learner, Optimizer, StepConfig};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let model = args.next().ok_or("expected a model directory")?;
    let mut number = |usual: usize| args.next().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let (steps, rows, chunk_tokens) = (number(20), number(32), number(1 << 14));
    let encoder = {
        let base = Trainable::load(&model)?;
        Encoder::new(&base)
    };
    let (layers, vocabulary) = (encoder.shape().layers, encoder.shape().vocabulary);
    let optimizer = Optimizer::new(
        &encoder,
        AdamWConfig {
            clip: 0.0,
            decay: 0.01,
            ..AdamWConfig::default()
        },
    );
    let config = StepConfig {
        chunk_tokens,
        dropout: 0.0,
    };
    let mut learner = Learner::new(encoder, optimizer, config);
    let mut seed = Seed(1);
    let mut times = Vec::new();
    for step in 0..steps + 3 {
        let ids: Vec<Vec<u32>> = (0..rows)
            .map(|_| {
                (0..32)
                    .map(|_| 1000 + seed.below(vocabulary - 1000) as u32)
                    .collect()
            })
            .collect();
        let batch = Batch {
            columns: ids
                .chunks(rows / 2)
                .map(|column| column.iter().map(Vec::as_slice).collect())
                .collect(),
            aux: Aux::default(),
        };
        let started = Instant::now();
        let found = learner.step(&batch, &Ranking::default(), &[layers], 0, 2e-5)?;
        if step >= 3 {
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        assert!(found.loss.is_finite());
    }
    times.sort_by(f64::total_cmp);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
    println!(
        "{{\"ms\": {:.1}, \"peak_mb\": {:.0}}}",
        times[times.len() / 2],
        peak.unwrap_or(0.0) / 1024.0
    );
    Ok(())
}
