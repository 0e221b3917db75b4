//! Measures the kernels beside what the processor could do at most: one thread, its own CPU time, the best of several rounds.
//!
//! ```text
//! cargo run --release -p kokeshi-kernels --example kernel_speed [-- --json]
//! ```
//! The ceiling is a loop of nothing but multiply-adds (f32) or byte dot products (int8) on registers. Shapes are those of a 6 x 384 encoder.

use kokeshi_kernels::{
    Activation, Attention, Epilogue, Level, Linear, Precision, QuantizedRows, Scratch, attention, layer_norm,
};

/// Rounds; the best counts, since neighbours only ever make a round slower.
const ROUNDS: usize = 9;

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let level = Level::best();
    let mut found: Vec<(String, f64)> = Vec::new();
    for (name, ceiling) in [("f32", ceiling_f32()), ("int8", ceiling_int8())] {
        found.push((format!("ceiling {name}"), ceiling));
    }
    let values = |count: usize, step: usize| -> Vec<f32> {
        (0..count)
            .map(|at| ((at * step) % 201) as f32 / 100.0 - 1.0)
            .collect()
    };
    for (rows, inputs, outputs, epilogue, name) in [
        (384, 384, 1152, Epilogue::Activate(Activation::Identity), "qkv"),
        (384, 384, 384, Epilogue::Add, "output"),
        (384, 384, 1536, Epilogue::Activate(Activation::Gelu), "up"),
        (384, 1536, 384, Epilogue::Add, "down"),
        (12, 384, 1536, Epilogue::Activate(Activation::Gelu), "up, 12 rows"),
        (
            384,
            768,
            3072,
            Epilogue::Activate(Activation::Gelu),
            "up, 768 wide",
        ),
        (384, 3072, 768, Epilogue::Add, "down, 768 wide"),
    ] {
        let (weights, x) = (values(inputs * outputs, 7919), values(rows * inputs, 31));
        let mut out = vec![0.0; rows * outputs];
        let mut quantized = QuantizedRows::default();
        let work = 2.0 * (rows * inputs * outputs) as f64;
        for (precision, kind) in [(Precision::F32, "f32"), (Precision::Int8, "int8")] {
            let layer = Linear::new(level, precision, inputs, outputs, &weights, None);
            layer.prepare(rows, &x, &mut quantized);
            let speed = best(work, || {
                layer.apply_prepared(rows, &x, &quantized, &mut out, epilogue)
            });
            found.push((format!("{kind} {name}"), speed));
            out.fill(0.0);
            let speed = best((rows * inputs) as f64, || layer.prepare(rows, &x, &mut quantized));
            found.push((format!("{kind} prepare {inputs} (values)"), speed));
        }
    }
    for len in [14, 200, 512] {
        let joint = values(len * 1152, 17);
        let mut out = vec![0.0; len * 384];
        let mut scratch = Scratch::default();
        let input = Attention {
            queries: &joint,
            keys: &joint[384..],
            values: &joint[768..],
            stride: 1152,
            len,
            heads: 12,
            head_dims: 32,
            scale: 0.17,
        };
        let work = 4.0 * (len * len * 384) as f64;
        for (precision, kind) in [(Precision::F32, "f32"), (Precision::Int8, "int8")] {
            let run = || attention(level, precision, input, &mut scratch, &mut out);
            found.push((format!("{kind} attention, {len} tokens"), best(work, run)));
        }
    }
    let (mut x, weight) = (values(384 * 384, 13), vec![1.0; 384]);
    let norm = best((384 * 384) as f64, || {
        layer_norm(level, &mut x, &weight, &weight, 1e-12)
    });
    found.push(("layer norm (values)".into(), norm));
    if json {
        let fields: Vec<String> = found
            .iter()
            .map(|(name, speed)| format!("{name:?}: {speed:.3e}"))
            .collect();
        println!("{{{}}}", fields.join(", "));
    } else {
        for (name, speed) in found {
            println!("{name:24} {:8.1} G/s", speed / 1e9);
        }
    }
}

/// Operations a second in the best round.
fn best(work: f64, mut run: impl FnMut()) -> f64 {
    run();
    let mut best = 0.0_f64;
    let repeats = (2e8 / work).ceil().max(1.0) as usize;
    for _ in 0..ROUNDS {
        let started = cpu_seconds();
        for _ in 0..repeats {
            run();
        }
        best = best.max(work * repeats as f64 / (cpu_seconds() - started));
    }
    best
}

/// This thread's CPU time.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the clock exists on every Unix, and `time` is ours to write.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Sums that a ceiling loop keeps: enough to hide the instruction's latency.
#[cfg(target_arch = "x86_64")]
const SUMS: usize = 16;
#[cfg(target_arch = "x86_64")]
const STEPS: usize = 1_000_000;

#[cfg(target_arch = "x86_64")]
fn ceiling_f32() -> f64 {
    use std::arch::x86_64::*;
    #[target_feature(enable = "avx512f")]
    fn avx512() -> f32 {
        let factor = _mm512_set1_ps(std::hint::black_box(1e-9));
        let mut sums = [_mm512_set1_ps(1.0); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(factor, factor, *sum);
            }
        }
        sums.iter().map(|sum| _mm512_reduce_add_ps(*sum)).sum()
    }
    #[target_feature(enable = "avx2,fma")]
    fn avx2() -> f32 {
        let factor = _mm256_set1_ps(std::hint::black_box(1e-9));
        let mut sums = [_mm256_set1_ps(1.0); SUMS - 2];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(factor, factor, *sum);
            }
        }
        sums.iter().map(|sum| _mm256_cvtss_f32(*sum)).sum()
    }
    if std::arch::is_x86_feature_detected!("avx512f") {
        best((32 * SUMS * STEPS) as f64, || {
            // SAFETY: the processor has the instruction set.
            std::hint::black_box(unsafe { avx512() });
        })
    } else if std::arch::is_x86_feature_detected!("fma") {
        best((16 * (SUMS - 2) * STEPS) as f64, || {
            // SAFETY: as above.
            std::hint::black_box(unsafe { avx2() });
        })
    } else {
        f64::NAN
    }
}

#[cfg(target_arch = "x86_64")]
fn ceiling_int8() -> f64 {
    use std::arch::x86_64::*;
    #[target_feature(enable = "avx512f,avx512vnni")]
    fn avx512() -> i32 {
        let factor = _mm512_set1_epi32(std::hint::black_box(0x0101_0101));
        let mut sums = [_mm512_set1_epi32(1); SUMS];
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, factor, factor);
            }
        }
        sums.iter().map(|sum| _mm512_reduce_add_epi32(*sum)).sum()
    }
    if std::arch::is_x86_feature_detected!("avx512vnni") {
        best((128 * SUMS * STEPS) as f64, || {
            // SAFETY: the processor has the instruction set.
            std::hint::black_box(unsafe { avx512() });
        })
    } else {
        f64::NAN
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn ceiling_f32() -> f64 {
    f64::NAN
}

#[cfg(not(target_arch = "x86_64"))]
fn ceiling_int8() -> f64 {
    f64::NAN
}
