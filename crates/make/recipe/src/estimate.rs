//! Time and memory before the first step: some steps are tried, nothing is kept.

use std::time::Instant;

use crate::error::Result;
use crate::order;
use crate::recipe::Recipe;
use crate::run::prepare;

/// Steps that are tried; the first one, which also makes room, does not count.
const TRIED: usize = 4;

/// Values of a word that is made of its bytes, in widths: what its about six bytes and the layer's parts keep, and gradients of some of it.
const WORD: usize = 64;

/// What a run will need.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Estimate {
    /// Rows of data.
    pub rows: usize,
    /// Different texts.
    pub texts: usize,
    /// Tokens of all of them, mean.
    pub mean_tokens: f64,
    /// Steps.
    pub steps: u64,
    /// Seconds of one step, without evaluations and checkpoints.
    pub seconds_per_step: f64,
    /// Seconds of all of them.
    pub seconds: f64,
    /// Bytes that parameters, gradients, moments and activations take.
    pub bytes: u64,
    /// Parameters.
    pub parameters: usize,
    /// Those that learn.
    pub learning: usize,
}

/// Reads everything and tries a few steps.
///
/// # Errors
/// What is wrong with recipe, base or data.
pub fn estimate(recipe: &Recipe) -> Result<Estimate> {
    // A base of random weights needs a folder; nothing of it stays.
    let folder = tempfile::tempdir().map_err(kokeshi_core::Error::io(&std::env::temp_dir()))?;
    let mut prepared = prepare(recipe, folder.path())?;
    let (mut seconds, mut tokens, mut words) = (0.0, 0, 0);
    for stage in prepared.stages.clone() {
        let batches = order::epoch(recipe, &prepared.examples, stage.number, 0);
        let (mut spent, mut tried) = (0.0, 0);
        for (at, rows) in batches.iter().take(TRIED).enumerate() {
            let started = Instant::now();
            // A rate of 0 moves nothing.
            let found = prepared.step(rows, 1, 0.0)?;
            tokens = tokens.max(found.tokens);
            words = words.max(prepared.learner.made_words());
            if at > 0 || batches.len() == 1 {
                spent += started.elapsed().as_secs_f64();
                tried += 1;
            }
        }
        seconds += spent / f64::from(tried.max(1)) * stage.steps as f64;
    }
    let seconds_per_step = seconds / prepared.steps.max(1) as f64;
    let shape = &prepared.base.shape;
    let threads = rayon::current_num_threads();
    let parameters = prepared.learner.encoder.values().len();
    let dense = parameters - shape.vocabulary * shape.hidden;
    // A token's values that a block keeps, and what all blocks share.
    let kept = shape.layers * (9 * shape.hidden + shape.inner) + 4 * shape.hidden + 3 * shape.inner;
    let at_once = tokens.min(recipe.train.chunk_tokens * threads);
    let learning = prepared.learner.parameters().len();
    // Adapters have values of their own, and keep the weights without them.
    let adapter = prepared.learner.adapter();
    let adapted = adapter.map_or(0, |adapter| learning + adapter.weights());
    let kept = at_once * kept + words * WORD * shape.hidden;
    let floats = parameters + adapted + 2 * learning + threads * dense + kept;
    let texts = &prepared.examples.texts;
    let all: usize = texts.iter().map(Vec::len).sum();
    Ok(Estimate {
        rows: prepared.examples.sets.iter().map(crate::data::Set::len).sum(),
        texts: texts.len(),
        mean_tokens: all as f64 / texts.len().max(1) as f64,
        steps: prepared.steps,
        seconds_per_step,
        seconds,
        bytes: 4 * (floats + all) as u64,
        parameters,
        learning,
    })
}
