//! Distance kernels beside diskann-vector's and SimSIMD's: `cargo run --release` in this folder prints the table.
//!
//! Contenders take turns, 21 rounds each; a figure is the median, in ns of the thread's own CPU time
//! (not of the clock: other programs on the machine would be measured too) a distance. `ratio` is the best peer's time over ours:
//! above 1 we are faster, and what is below 1 is marked `loss`. Three settings:
//! - pair: one query against 64 rows that stay in the cache, one call a row, as a graph search or a re-ranker calls it;
//! - scan: one query against every row of a matrix four times the size of a usual L3 slice, as an exhaustive search does;
//! - gather: the same matrix, 256 random rows a call, as a graph search does.
//!
//! Peers get what they offer: diskann-vector's kernels are specialised for the width where it has one, SimSIMD picks at run time.

use std::hint::black_box;
use std::time::Duration;

use diskann_vector::distance::{DistanceProvider, Metric};
use half::f16;
use kokeshi_core::{Seed, distance};
use simsimd::{BinarySimilarity, SpatialSimilarity};

const ROUNDS: usize = 21;
/// Long enough that the clock's own cost is nothing, short enough that contenders meet the same weather.
const SAMPLE: Duration = Duration::from_millis(1);
const HOT_ROWS: usize = 64;
/// Times that the hot rows are gone through between two looks at the clock.
const PASSES: usize = 8;
/// Rows of one call: a few nodes' neighbours.
const GATHERED: usize = 256;
const MATRIX_BYTES: usize = 128 << 20;

type Contender<'a> = (&'static str, Box<dyn FnMut() -> f32 + 'a>);

/// What this thread has spent on the processor.
fn cpu_time() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid place for the answer; the clock is there on every Linux, and a failure leaves zeros.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Median ns of a distance for each contender, each run doing `pairs` of them.
fn measure(pairs: usize, contenders: &mut [Contender]) -> Vec<f64> {
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            black_box(run());
            let (start, mut runs) = (cpu_time(), 0);
            while cpu_time() - start < SAMPLE {
                black_box(run());
                runs += 1;
            }
            times.push((cpu_time() - start).as_secs_f64() * 1e9 / (runs * pairs) as f64);
        }
    }
    let median = |mut times: Vec<f64>| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    times.into_iter().map(median).collect()
}

fn report(what: &str, dims: usize, pairs: usize, mut contenders: Vec<Contender>) {
    let times = measure(pairs, &mut contenders);
    let best_peer = times[1..].iter().copied().fold(f64::INFINITY, f64::min);
    let ratio = best_peer / times[0];
    print!("{what:<16} {dims:>5}");
    for ((name, _), time) in contenders.iter().zip(&times) {
        print!("  {name} {time:>7.2}");
    }
    println!("  ratio {ratio:.2}{}", if ratio < 1.0 { "  loss" } else { "" });
}

/// One call a row over `rows`.
fn each<'a, T>(
    query: &'a [T],
    rows: &'a [T],
    mut distance: impl FnMut(&[T], &[T]) -> f32 + 'a,
) -> Box<dyn FnMut() -> f32 + 'a> {
    Box::new(move || {
        let mut sum = 0.0;
        for _ in 0..PASSES {
            for row in rows.chunks_exact(query.len()) {
                sum += distance(black_box(query), row);
            }
        }
        sum
    })
}

fn pairs<T: DistanceProvider<T> + SpatialSimilarity + Copy>(
    name: &str,
    metric: Metric,
    value: impl Fn(f64) -> T,
    ours: impl Fn(&[T], &[T]) -> f32 + Copy,
    simsimd: impl Fn(&[T], &[T]) -> f32 + Copy,
) {
    for dims in [64, 100, 128, 256, 384, 768, 1024] {
        let mut seed = Seed(1);
        let query: Vec<T> = (0..dims).map(|_| value(seed.normal())).collect();
        let rows: Vec<T> = (0..dims * HOT_ROWS).map(|_| value(seed.normal())).collect();
        let diskann = T::distance_comparer(metric, Some(dims));
        let contenders: Vec<Contender> = vec![
            ("ours", each(&query, &rows, ours)),
            ("diskann", each(&query, &rows, move |a, b| diskann.call(a, b))),
            ("simsimd", each(&query, &rows, simsimd)),
        ];
        report(&format!("pair {name}"), dims, HOT_ROWS * PASSES, contenders);
    }
}

fn half_pairs(
    name: &str,
    metric: Metric,
    ours: impl Fn(&[f16], &[f16]) -> f32 + Copy,
    simsimd: impl Fn(&[simsimd::f16], &[simsimd::f16]) -> f32 + Copy,
) {
    for dims in [64, 128, 384, 768, 1024] {
        let mut seed = Seed(1);
        let query: Vec<f16> = (0..dims).map(|_| f16::from_f64(seed.normal())).collect();
        let rows: Vec<f16> = (0..dims * HOT_ROWS)
            .map(|_| f16::from_f64(seed.normal()))
            .collect();
        let theirs = |values: &[f16]| {
            values
                .iter()
                .map(|value| simsimd::f16(value.to_bits()))
                .collect::<Vec<_>>()
        };
        let (their_query, their_rows) = (theirs(&query), theirs(&rows));
        let diskann = f16::distance_comparer(metric, Some(dims));
        let contenders: Vec<Contender> = vec![
            ("ours", each(&query, &rows, ours)),
            ("diskann", each(&query, &rows, move |a, b| diskann.call(a, b))),
            ("simsimd", each(&their_query, &their_rows, simsimd)),
        ];
        report(&format!("pair {name}"), dims, HOT_ROWS * PASSES, contenders);
    }
}

fn bits() {
    for dims in [64, 128, 256, 384, 768, 1024] {
        let mut seed = Seed(1);
        let mut bytes = |count: usize| (0..count).map(|_| seed.next_u64() as u8).collect::<Vec<u8>>();
        let (query, rows) = (bytes(dims / 8), bytes(dims / 8 * HOT_ROWS));
        let contenders: Vec<Contender> = vec![
            ("ours", each(&query, &rows, |a, b| distance::hamming(a, b) as f32)),
            (
                "simsimd",
                each(&query, &rows, |a, b| u8::hamming(a, b).unwrap_or(0.0) as f32),
            ),
        ];
        report("pair hamming", dims, HOT_ROWS * PASSES, contenders);
    }
}

fn matrices() {
    for dims in [64, 128, 256, 384, 768, 1024] {
        let mut seed = Seed(1);
        let count = MATRIX_BYTES / (4 * dims);
        let query: Vec<f32> = (0..dims).map(|_| seed.uniform() as f32 - 0.5).collect();
        let matrix: Vec<f32> = (0..dims * count).map(|_| seed.uniform() as f32 - 0.5).collect();
        let diskann = f32::distance_comparer(Metric::InnerProduct, Some(dims));
        let simsimd = |a: &[f32], b: &[f32]| f32::dot(a, b).unwrap_or(0.0) as f32;
        // A sample is a part of the matrix, the next one each time, so that no row is in the cache.
        let part = count / 16;
        let parts = || {
            let mut at = 0;
            let matrix = &matrix;
            move || {
                at = (at + 1) % 16;
                &matrix[at * part * dims..(at + 1) * part * dims]
            }
        };
        let mut scores = vec![0.0; part];
        let (mut a, mut b, mut c, mut d) = (parts(), parts(), parts(), parts());
        let query = &query[..];
        let contenders: Vec<Contender> = vec![
            (
                "ours",
                Box::new(move || {
                    distance::dot_rows(query, a(), &mut scores);
                    scores[0]
                }),
            ),
            (
                "diskann",
                Box::new(move || b().chunks_exact(dims).map(|row| diskann.call(query, row)).sum()),
            ),
            (
                "simsimd",
                Box::new(move || c().chunks_exact(dims).map(|row| simsimd(query, row)).sum()),
            ),
            (
                "(dot)",
                Box::new(move || d().chunks_exact(dims).map(|row| distance::dot(query, row)).sum()),
            ),
        ];
        report("scan dot f32", dims, part, contenders);

        let chosen = || {
            let mut seed = Seed(5);
            let mut ids = vec![0; GATHERED];
            move || {
                ids.fill_with(|| seed.below(count) as u32);
                ids.clone()
            }
        };
        let row = |id: u32| &matrix[id as usize * dims..(id as usize + 1) * dims];
        let mut scores = vec![0.0; GATHERED];
        let (mut a, mut b, mut c, mut d) = (chosen(), chosen(), chosen(), chosen());
        let whole = &matrix;
        let contenders: Vec<Contender> = vec![
            (
                "ours",
                Box::new(move || {
                    distance::dot_gather(query, whole, &a(), &mut scores);
                    scores[0]
                }),
            ),
            (
                "diskann",
                Box::new(move || b().iter().map(|&id| diskann.call(query, row(id))).sum()),
            ),
            (
                "simsimd",
                Box::new(move || c().iter().map(|&id| simsimd(query, row(id))).sum()),
            ),
            (
                "(dot)",
                Box::new(move || d().iter().map(|&id| distance::dot(query, row(id))).sum()),
            ),
        ];
        report("gather dot f32", dims, GATHERED, contenders);
    }
}

fn main() {
    println!(
        "kernels: {}; ns a distance, median of {ROUNDS} interleaved rounds",
        distance::instruction_set()
    );
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    let single = |value: f64| value as f32;
    let byte = |value: f64| (value * 40.0) as i8;
    if asked("f32") {
        pairs("dot f32", Metric::InnerProduct, single, distance::dot, |a, b| {
            f32::dot(a, b).unwrap_or(0.0) as f32
        });
        pairs("l2 f32", Metric::L2, single, distance::l2_squared, |a, b| {
            f32::l2sq(a, b).unwrap_or(0.0) as f32
        });
        pairs("cosine f32", Metric::Cosine, single, distance::cosine, |a, b| {
            f32::cosine(a, b).unwrap_or(0.0) as f32
        });
    }
    if asked("f16") {
        half_pairs("dot f16", Metric::InnerProduct, distance::dot_f16, |a, b| {
            simsimd::f16::dot(a, b).unwrap_or(0.0) as f32
        });
        half_pairs("l2 f16", Metric::L2, distance::l2_squared_f16, |a, b| {
            simsimd::f16::l2sq(a, b).unwrap_or(0.0) as f32
        });
    }
    if asked("i8") {
        pairs(
            "dot i8",
            Metric::InnerProduct,
            byte,
            |a, b| distance::dot_i8(a, b) as f32,
            |a, b| i8::dot(a, b).unwrap_or(0.0) as f32,
        );
        pairs(
            "l2 i8",
            Metric::L2,
            byte,
            |a, b| distance::l2_squared_i8(a, b) as f32,
            |a, b| i8::l2sq(a, b).unwrap_or(0.0) as f32,
        );
    }
    if asked("bits") {
        bits();
    }
    if asked("rows") {
        matrices();
    }
}
