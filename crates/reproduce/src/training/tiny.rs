//! The tiny arXiv bench: an encoder of 4 blocks and 64 dims over whole words, trained from nothing on titles and abstracts.

use std::path::PathBuf;

use kokeshi_core::Seed;
use kokeshi_encode::{
    BYTE_WORDS, ByteWordsShape, EncoderShape, TensorPlace, TrainPooling, Trainable, WordIds,
};
use kokeshi_kernels::Activation;
use kokeshi_train::encoder::Encoder;
use kokeshi_train::losses::{Aux, Loss};
use kokeshi_train::{AdamWConfig, Batch, Learner, MaskedBatch, Masking, Optimizer, StepConfig};

use super::arxiv::{Arxiv, WORDS};
use super::mrr_at_10;

/// Sizes: layers and dims.
pub(crate) const LAYERS: usize = 4;
pub(crate) const DIMS: usize = 64;
const HEADS: usize = 4;
const BATCH: usize = 64;
/// Steps of a training.
pub(crate) const STEPS: u64 = 300;
const RATE: f32 = 2e-3;
/// Deviations that tables begin with, and a layer's weights by its inputs (PyTorch's for linear layers). With these the full size alone, 2DMSE and models
/// of one small size have about the quality that was measured where this bench comes from; with BERT's 0.02 everywhere they all rank higher.
const TABLES: f64 = 0.1;
const WEIGHTS: fn(usize) -> f64 = |inputs| (3.0 * inputs as f64).sqrt().recip();
/// The longest text, and the tokens a thread runs at once.
pub(crate) const LONGEST: usize = 64;
const CHUNK: usize = 1 << 14;

/// What pre-training puts before a text, and in the place of a masked word: numbers behind those of words.
const FIRST: u32 = WORDS as u32;
const MASK: u32 = FIRST + 1;
const WITH_SPECIAL: usize = WORDS + 2;
/// Steps of pre-training, the share of them in which its rate rises (the released code's), and shares of words that are masked for encoder and decoder.
const PRE_STEPS: u64 = 300;
const PRE_WARM_UP: f32 = 0.05;
const SHARES: [f64; 2] = [0.2, 0.4];

/// An encoder with random weights: normal with a deviation of `scale`, biases zero, norms one.
pub(crate) fn random(layers: usize, longest: usize, scale: f64, seed: Seed) -> Trainable {
    random_over(WORDS, [layers, DIMS, HEADS], longest, scale, |_| scale, seed)
}

/// The same with so many layers, dims and heads, and deviations of the tables' and of the blocks' weights.
pub(crate) fn random_wide(sizes: [usize; 3], longest: usize, deviations: [f64; 2], seed: Seed) -> Trainable {
    random_over(WORDS, sizes, longest, deviations[0], |_| deviations[1], seed)
}

fn random_over(
    words: usize,
    [layers, dims, heads]: [usize; 3],
    longest: usize,
    tables: f64,
    weights: impl Fn(usize) -> f64,
    mut seed: Seed,
) -> Trainable {
    let shape = EncoderShape {
        hidden: dims,
        inner: 4 * dims,
        layers,
        heads,
        vocabulary: words,
        bytes: None,
        positions: longest,
        longest,
        types: 0,
        padding: None,
        buckets: None,
        activation: Activation::Gelu,
        epsilon: 1e-5,
    };
    // Rows, columns, and what they are filled with: a constant, or normal values with a deviation.
    let table = |rows: usize| (rows, dims, Err(tables));
    let weight = |outputs: usize, inputs: usize| (outputs, inputs, Err(weights(inputs)));
    let constant = |len: usize, value: f32| (1, len, Ok(value));
    let norm = [constant(dims, 1.0), constant(dims, 0.0)];
    let mut parts = vec![table(words), table(longest)];
    parts.extend(norm);
    for _ in 0..layers {
        parts.extend([weight(dims, dims); 3]);
        parts.extend([constant(dims, 0.0); 3]);
        parts.extend([weight(dims, dims), constant(dims, 0.0)]);
        parts.extend(norm);
        parts.extend([weight(4 * dims, dims), constant(4 * dims, 0.0)]);
        parts.extend([weight(dims, 4 * dims), constant(dims, 0.0)]);
        parts.extend(norm);
    }
    let (mut values, mut tensors) = (Vec::new(), Vec::new());
    for (rows, cols, fill) in parts {
        tensors.push(TensorPlace {
            name: tensors.len().to_string(),
            shape: vec![rows, cols],
            start: values.len(),
        });
        values.extend((0..rows * cols).map(|_| match fill {
            Ok(value) => value,
            Err(deviation) => (seed.normal() * deviation) as f32,
        }));
    }
    Trainable {
        root: PathBuf::new(),
        shape,
        pooling: TrainPooling::Mean,
        cross: None,
        repooled: false,
        head: Vec::new(),
        normalize: false,
        tensors,
        values,
    }
}

/// An encoder that has learnt nothing.
pub(crate) fn begin(seed: Seed) -> Trainable {
    random_over(WORDS, [LAYERS, DIMS, HEADS], LONGEST, TABLES, WEIGHTS, seed)
}

/// The same with words made of their bytes; with a `scale`, tables and weights have that deviation, as in [`random`].
pub(crate) fn begin_with_bytes(bytes: ByteWordsShape, scale: Option<f64>, mut seed: Seed) -> Trainable {
    let layer = bytes.fresh(seed.fork(4));
    let mut base = random_over(
        WordIds::SPECIAL,
        [LAYERS, DIMS, HEADS],
        LONGEST,
        scale.unwrap_or(TABLES),
        |inputs| scale.unwrap_or_else(|| WEIGHTS(inputs)),
        seed,
    );
    base.shape.bytes = Some(bytes);
    for (name, shape) in bytes.tensors() {
        let start = base.tensors.last().map_or(0, |last| last.start + last.len());
        base.tensors.push(TensorPlace {
            name: format!("{BYTE_WORDS}{name}"),
            shape,
            start,
        });
    }
    base.values.extend(layer);
    base
}

/// Trains a new encoder on pairs of title and abstract with `loss`, which wants the layers `exits` pooled.
///
/// # Errors
/// A loss that is no number.
pub(crate) fn train(
    arxiv: &Arxiv,
    loss: &dyn Loss,
    exits: &[usize],
    seed: Seed,
) -> kokeshi_train::Result<Learner> {
    train_from(&begin(seed), arxiv, loss, exits, STEPS, seed)
}

fn learner(encoder: Encoder) -> Learner {
    let optimizer = Optimizer::new(&encoder, AdamWConfig::default());
    let config = StepConfig {
        chunk_tokens: CHUNK,
        dropout: 0.0,
    };
    Learner::new(encoder, optimizer, config)
}

/// An encoder that learnt to find masked words of titles with abstracts at `sizes`: by itself, or also with a decoder that starts from the first
/// token's state (SMAE).
///
/// # Errors
/// As [`train`].
pub(crate) fn pretrain(
    arxiv: &Arxiv,
    sizes: &[(usize, usize)],
    decoder: bool,
    mut seed: Seed,
) -> kokeshi_train::Result<Trainable> {
    let mut base = random_over(
        WITH_SPECIAL,
        [LAYERS, DIMS, HEADS],
        LONGEST,
        TABLES,
        WEIGHTS,
        seed,
    );
    let mut learner = learner(Encoder::for_masking(&base, None, seed.fork(2)));
    // Every word is whole; number 0 stands for those that are not known, and is not learnt.
    let masking = Masking::new(&vec!["word"; WITH_SPECIAL], &[0, FIRST, MASK], MASK);
    let mut draw = seed.fork(3);
    let mut order: Vec<usize> = (0..arxiv.train.len()).collect();
    draw.shuffle(&mut order);
    let shares = if decoder { &SHARES[..] } else { &SHARES[..1] };
    for (step, rows) in (0..PRE_STEPS).zip(order.chunks_exact(BATCH).cycle()) {
        let mut batch = MaskedBatch::default();
        for row in rows {
            let paper = &arxiv.train[*row];
            let ids = [&[FIRST], &paper.title[..], paper.summary()].concat();
            let mut drawn = masking.draw(&ids, shares, draw.fork(*row as u64)).into_iter();
            batch.encoder.extend(drawn.next());
            batch.decoder.extend(drawn.next());
        }
        draw.next_u64();
        let rate = pre_rate(step);
        let found = learner.masked_step(&batch, sizes, step, rate)?;
        if (step + 1).is_multiple_of(100) {
            eprintln!("pre-training, step {}: loss {:.3}", step + 1, found.loss);
        }
    }
    let own = base.values.len();
    base.values.copy_from_slice(&learner.encoder.values()[..own]);
    Ok(base)
}

/// Up in a straight line, then down along a half cosine.
fn pre_rate(step: u64) -> f32 {
    let at = (step as f32 + 1.0) / PRE_STEPS as f32;
    let down = (at - PRE_WARM_UP) / (1.0 - PRE_WARM_UP);
    let part = if at < PRE_WARM_UP {
        at / PRE_WARM_UP
    } else {
        0.5 * (1.0 + (std::f32::consts::PI * down).cos())
    };
    RATE * part
}

/// The same as [`train`] from a given encoder, with so many steps.
///
/// # Errors
/// As [`train`].
pub(crate) fn train_from(
    start: &Trainable,
    arxiv: &Arxiv,
    loss: &dyn Loss,
    exits: &[usize],
    steps: u64,
    seed: Seed,
) -> kokeshi_train::Result<Learner> {
    train_encoder(Encoder::new(start), arxiv, loss, exits, steps, seed)
}

/// The same for an encoder that is there.
///
/// # Errors
/// As [`train`].
pub(crate) fn train_encoder(
    encoder: Encoder,
    arxiv: &Arxiv,
    loss: &dyn Loss,
    exits: &[usize],
    steps: u64,
    seed: Seed,
) -> kokeshi_train::Result<Learner> {
    let mut learner = learner(encoder);
    let mut draw = seed;
    let mut draw = draw.fork(1);
    let mut order: Vec<usize> = (0..arxiv.train.len()).collect();
    draw.shuffle(&mut order);
    for (step, rows) in (0..steps).zip(order.chunks_exact(BATCH).cycle()) {
        let column = |text: fn(&super::arxiv::Paper) -> &[u32]| {
            rows.iter().map(|row| text(&arxiv.train[*row])).collect()
        };
        let batch = Batch {
            columns: vec![column(|paper| &paper.title), column(|paper| paper.summary())],
            aux: Aux {
                seed: draw.next_u64(),
                ..Aux::default()
            },
        };
        let rate = RATE * (1.0 - step as f32 / steps as f32);
        learner.step(&batch, loss, exits, step, rate)?;
    }
    Ok(learner)
}

/// MRR@10 on the test pairs at each of `sizes`.
pub(crate) fn judge(arxiv: &Arxiv, learner: &mut Learner, sizes: &[(usize, usize)]) -> Vec<f64> {
    let mut exits: Vec<usize> = sizes.iter().map(|(layers, _)| *layers).collect();
    exits.sort_unstable();
    exits.dedup();
    let titles: Vec<&[u32]> = arxiv.test.iter().map(|paper| paper.title.as_slice()).collect();
    let summaries: Vec<&[u32]> = arxiv.test.iter().map(|paper| paper.summary()).collect();
    let anchors = learner.vectors(&titles, &exits);
    let documents = learner.vectors(&summaries, &exits);
    sizes
        .iter()
        .map(|(layers, dims)| {
            let at = exits.iter().position(|exit| exit == layers).unwrap_or(0);
            mrr_at_10(&anchors[at], &documents[at], DIMS, *dims)
        })
        .collect()
}
