//! Speed of [`kokeshi_kernels::matmul`] on the shapes of a training step, on one thread.
//!
//! `cargo run --release -p kokeshi-kernels --example matmul_speed`

use std::time::Instant;

use kokeshi_kernels::{Factor, Level, MatmulScratch, Store, matmul};

fn main() {
    let level = Level::best();
    let mut scratch = MatmulScratch::default();
    let tokens = 512;
    println!("{:>24} {:>10} {:>10}", "rows x inner x cols", "what", "GFLOP/s");
    for (inputs, outputs) in [(384, 384), (384, 1152), (384, 1536), (1536, 384)] {
        let x: Vec<f32> = (0..tokens * inputs).map(|at| (at % 7) as f32 - 3.0).collect();
        let w: Vec<f32> = (0..outputs * inputs).map(|at| (at % 5) as f32 - 2.0).collect();
        let y: Vec<f32> = (0..tokens * outputs).map(|at| (at % 3) as f32 - 1.0).collect();
        let forward = (
            [tokens, inputs, outputs],
            Factor::plain(&x, inputs),
            Factor::transposed(&w, inputs),
        );
        let back = (
            [tokens, outputs, inputs],
            Factor::plain(&y, outputs),
            Factor::plain(&w, inputs),
        );
        let weights = (
            [outputs, tokens, inputs],
            Factor::transposed(&y, outputs),
            Factor::plain(&x, inputs),
        );
        for (what, (shape, left, right)) in [("forward", forward), ("inputs", back), ("weights", weights)] {
            let mut out = vec![0.0; shape[0] * shape[2]];
            let mut best = f64::MAX;
            for _ in 0..30 {
                let start = Instant::now();
                matmul(
                    level,
                    shape,
                    left,
                    right,
                    Store::Add,
                    &mut out,
                    shape[2],
                    &mut scratch,
                );
                best = best.min(start.elapsed().as_secs_f64());
            }
            let flops = 2.0 * (shape[0] * shape[1] * shape[2]) as f64;
            let name = format!("{} x {} x {}", shape[0], shape[1], shape[2]);
            println!("{name:>24} {what:>10} {:>10.1}", flops / best / 1e9);
        }
    }
    let (q, k) = (vec![0.5_f32; 32 * 32], vec![0.25_f32; 32 * 32]);
    let mut out = vec![0.0; 32 * 32];
    let start = Instant::now();
    for _ in 0..10000 {
        matmul(
            level,
            [32; 3],
            Factor::plain(&q, 32),
            Factor::transposed(&k, 32),
            Store::Replace,
            &mut out,
            32,
            &mut scratch,
        );
    }
    let flops = 10000.0 * 2.0 * 32.0_f64.powi(3);
    println!(
        "{:>24} {:>10} {:>10.1}",
        "32 x 32 x 32",
        "attention",
        flops / start.elapsed().as_secs_f64() / 1e9
    );
}
