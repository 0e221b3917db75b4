//! The loop: batches, steps, evaluations, checkpoints, and the model at the end.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use kokeshi_core::Seed;
use kokeshi_encode::{Model, Trainable, WordIds};
use kokeshi_train::encoder::Encoder;
use kokeshi_train::{AdamWConfig, Adapter, Found, Learner, Masking, Optimizer, StepConfig};

use crate::checkpoint::{self, Place};
use crate::data::{self, Examples};
use crate::error::{Error, Result};
use crate::guide::Guide;
use crate::judge::{Judge, Scores};
use crate::objective::{self, Objective};
use crate::order::{self, Rows, Stage};
use crate::output;
use crate::peft;
use crate::recipe::{Base, Recipe};
use crate::schedule;
use crate::workplace::Workplace;

/// What happened.
#[derive(Debug)]
pub enum Event<'a> {
    /// All data is read.
    Read {
        /// Rows.
        rows: usize,
        /// Different texts.
        texts: usize,
        /// Steps that will be made.
        steps: u64,
        /// Rows that could not be read.
        skipped: &'a [String],
    },
    /// It goes on from a checkpoint.
    Resumed {
        /// Steps that were made before.
        step: u64,
    },
    /// A step was made.
    Step {
        /// From 1.
        step: u64,
        /// Its loss.
        loss: f32,
        /// Its learning rate.
        rate: f32,
        /// Tokens a second since the last one.
        tokens_per_second: f64,
    },
    /// What was learnt was judged.
    Judged {
        /// After so many steps.
        step: u64,
        /// At every size.
        scores: &'a Scores,
        /// Whether it is the best so far.
        best: bool,
    },
}

/// What came of a run.
#[derive(Debug)]
pub struct Outcome {
    /// Steps that were made in all.
    pub steps: u64,
    /// Whether it stopped before the last one, because nothing got better.
    pub early: bool,
    /// The base's quality before the first step, on the evaluation's data.
    pub before: Option<Scores>,
    /// The written model's, on the same.
    pub after: Option<Scores>,
    /// The written model's, on the test data.
    pub test: Option<Scores>,
    /// Seconds, this run.
    pub seconds: f64,
}

/// Which part of the work random weights are drawn for.
const SCRATCH: u64 = 0x5c7a;
const HEAD: u64 = 0x4ead;
const ADAPTER: u64 = 0x10ca;

/// Everything that is loaded before the first step.
pub(crate) struct Prepared {
    pub base: Trainable,
    pub learner: Learner,
    pub examples: Examples,
    pub objectives: Vec<Objective>,
    pub guides: Vec<Option<Guide>>,
    /// If tokens are masked.
    pub masking: Option<Masking>,
    pub steps: u64,
    pub stages: Vec<Stage>,
    pub judge: Option<Judge>,
    pub test: Option<Judge>,
}

/// Reads everything; a base of random weights is made at `made`.
pub(crate) fn prepare(recipe: &Recipe, made: &Path) -> Result<Prepared> {
    let mut examples = data::read(recipe)?;
    let name = match &recipe.base {
        Base::Model(name) => name.clone(),
        Base::Scratch(scratch) => {
            scratch.make(made, &examples.strings, Seed(recipe.seed).fork(SCRATCH))?;
            made.to_string_lossy().into_owned()
        }
    };
    let mut base = Trainable::load(&name)?;
    if let Some(pooling) = &recipe.pooling {
        pooling
            .apply(&mut base, recipe.seed)
            .map_err(|problem| recipe.wrong("pooling", problem))?;
    }
    let full = (base.shape.layers, base.shape.hidden);
    if recipe.sizes.last() != Some(&full) {
        let problem = format!(
            "expected the base's full size {}x{} as the last one",
            full.0, full.1
        );
        return Err(recipe.wrong("sizes", problem));
    }
    if let Some((layers, dims)) = recipe
        .sizes
        .iter()
        .find(|(layers, dims)| *layers == 0 || *layers > full.0 || *dims > full.1)
    {
        return Err(recipe.wrong(
            "sizes",
            format!("the base is {}x{}, found {layers}x{dims}", full.0, full.1),
        ));
    }
    let model = Model::load(&name)?;
    let mut words = WordIds::default();
    examples.tokenize(recipe, &model, &mut words)?;
    let mut read = |path: &Option<PathBuf>| {
        path.as_ref()
            .map(|path| Judge::read(recipe, &model, path, &mut words))
            .transpose()
    };
    let evaluation = recipe.evaluation.as_ref();
    let judge = read(&evaluation.map(|evaluation| evaluation.data.clone()))?;
    let test = read(&evaluation.and_then(|evaluation| evaluation.test.clone()))?;
    let guides = Guide::read(recipe, &examples, base.shape.hidden)?;
    examples.strings = Vec::new();
    let objectives = recipe.data.iter().map(|data| data.loss.build(&recipe.sizes));
    let objectives: Vec<Objective> = objectives.collect();
    let masked = objectives.iter().any(Objective::is_masked);
    if masked && base.shape.bytes.is_some() {
        let problem = "masked tokens are found in a vocabulary, and the base makes its words of bytes";
        return Err(recipe.wrong("loss", problem.into()));
    }
    let masking = masked.then(|| Masking::read(&base.root)).transpose()?;
    let train = &recipe.train;
    let stages = order::stages(recipe, &examples);
    if stages.is_empty() {
        return Err(recipe.wrong(
            "data",
            "expected at least two rows of one kind, found fewer".into(),
        ));
    }
    let encoder = match masked {
        true => Encoder::for_masking(&base, base.masking_head()?, Seed(recipe.seed).fork(HEAD)),
        false => Encoder::new(&base).reading(&words),
    };
    let learning = AdamWConfig {
        clip: train.clip,
        decay: train.decay,
        layer_rate: train.layer_rate,
        base_width: train.base_width,
        ..AdamWConfig::default()
    };
    let optimizer = Optimizer::new(&encoder, learning);
    let config = StepConfig {
        chunk_tokens: train.chunk_tokens,
        dropout: train.dropout,
    };
    let mut learner = Learner::new(encoder, optimizer, config);
    if let Some(lora) = &recipe.lora {
        let seed = Seed(recipe.seed).fork(ADAPTER);
        let adapter = Adapter::new(&base, lora, learning, seed)
            .map_err(|error| recipe.wrong("targets", error.to_string()))?;
        learner.adapt(adapter);
    }
    Ok(Prepared {
        learner,
        base,
        examples,
        objectives,
        guides,
        masking,
        steps: stages.iter().map(|stage| stage.steps).sum(),
        stages,
        judge,
        test,
    })
}

impl Prepared {
    /// One step on `rows`.
    pub fn step(&mut self, rows: &Rows, seed: u64, rate: f32) -> kokeshi_train::Result<Found> {
        let set = &self.examples.sets[rows.set];
        match &self.objectives[set.data] {
            Objective::Vectors(loss, exits) => {
                let batch = objective::batch(&self.examples, &self.guides, rows, seed);
                self.learner.step(&batch, loss.as_ref(), exits, seed, rate)
            }
            Objective::Masked(shares, sizes) => {
                let masking = self.masking.as_ref().expect("read if anything is masked");
                let batch = objective::masked(&self.examples, masking, shares, rows, seed);
                self.learner.masked_step(&batch, sizes, seed, rate)
            }
        }
    }

    /// The stage of a step, and which of the stage's steps it is; `None` after the last one.
    fn stage(&self, step: u64) -> Option<(Stage, u64)> {
        let mut before = 0;
        self.stages.iter().find_map(|stage| {
            before += stage.steps;
            (step < before).then(|| (*stage, step + stage.steps - before))
        })
    }
}

/// Trains as the recipe says and writes the model; goes on from a checkpoint if there is one. `watch` sees what happens and says whether to
/// go on.
///
/// # Errors
/// What is wrong with recipe, base or data; [`Error::Busy`] if another run writes to the same directory; [`Error::NotFinite`] with the batch named; [`Error::Interrupted`] if `watch` says so.
pub fn run(recipe: &Recipe, watch: &mut dyn FnMut(Event<'_>) -> bool) -> Result<Outcome> {
    let started = Instant::now();
    let workplace = Workplace::open(&recipe.out)?;
    let folder = &workplace.folder;
    let mut prepared = prepare(recipe, &workplace.base())?;
    let rows = prepared.examples.sets.iter().map(data::Set::len).sum();
    watch(Event::Read {
        rows,
        texts: prepared.examples.texts.len(),
        steps: prepared.steps,
        skipped: &prepared.examples.skipped,
    });
    let mut run = Run {
        recipe,
        checkpoint: folder.join("checkpoint.bin"),
        best: folder.join("best.bin"),
        place: Place {
            step: 0,
            best: f64::NEG_INFINITY,
            since: 0,
            recipe: checkpoint::fingerprint(&recipe.text, rows),
            threads: rayon::current_num_threads() as u64,
        },
        mean: (recipe.train.ema > 0.0).then(|| prepared.learner.encoder.values().to_vec()),
        log: recipe.out.join("training.jsonl"),
    };
    // Judged before anything is learnt, each time anew: it is the base, and a checkpoint need not hold it.
    let before = prepared
        .judge
        .as_ref()
        .map(|judge| judge.judge(&mut prepared.learner));
    if run.checkpoint.is_file() {
        let (place, mean) = checkpoint::read(&run.checkpoint, run.place.recipe, &mut prepared.learner)?;
        (run.place, run.mean) = (place, mean);
        run.cut_log()?;
        watch(Event::Resumed { step: place.step });
    } else {
        run.cut_log()?;
        if let Some(scores) = &before {
            watch(Event::Judged {
                step: 0,
                scores,
                best: false,
            });
        }
    }
    let early = run.steps(&mut prepared, watch)?;
    run.finish(&mut prepared)?;
    let after = prepared
        .judge
        .as_ref()
        .map(|judge| judge.judge(&mut prepared.learner));
    let test = prepared
        .test
        .as_ref()
        .map(|judge| judge.judge(&mut prepared.learner));
    let quality = output::Quality {
        before: before.as_ref(),
        after: after.as_ref(),
        test: test.as_ref(),
    };
    output::write(
        recipe,
        &prepared.base,
        // What only masking has stands behind the encoder's own.
        &prepared.learner.encoder.values()[..prepared.base.values.len()],
        &quality,
        run.place.step,
    )?;
    if let (Some(lora), Some(adapter)) = (&recipe.lora, prepared.learner.adapter()) {
        peft::save(
            &recipe.out.join("adapter"),
            &recipe.base.to_string(),
            lora,
            adapter,
        )?;
    }
    workplace.clear();
    Ok(Outcome {
        steps: run.place.step,
        early,
        before,
        after,
        test,
        seconds: started.elapsed().as_secs_f64(),
    })
}

struct Run<'a> {
    recipe: &'a Recipe,
    checkpoint: PathBuf,
    best: PathBuf,
    place: Place,
    /// The running mean of the weights.
    mean: Option<Vec<f32>>,
    log: PathBuf,
}

impl Run<'_> {
    /// Makes the steps that are left; returns whether it stopped early.
    fn steps(&mut self, prepared: &mut Prepared, watch: &mut dyn FnMut(Event<'_>) -> bool) -> Result<bool> {
        let train = &self.recipe.train;
        let evaluation = self.recipe.evaluation.as_ref();
        let mut log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log);
        // Stage, epoch, and its batches.
        let mut epoch: Option<((u32, u64), Vec<Rows>)> = None;
        let mut clock = Instant::now();
        while let Some((stage, at)) = prepared.stage(self.place.step) {
            let step = self.place.step;
            let key = (stage.number, at / stage.per_epoch);
            if epoch.as_ref().is_none_or(|(known, _)| *known != key) {
                let batches = order::epoch(self.recipe, &prepared.examples, stage.number, key.1);
                epoch = Some((key, batches));
            }
            let batches = epoch.as_ref().map_or(&[][..], |(_, batches)| batches);
            let Some(rows) = batches.get((at % stage.per_epoch) as usize % batches.len().max(1)) else {
                break;
            };
            let rate = schedule::rate(train, at, stage.steps, stage.tokens);
            let seed = Seed(self.recipe.seed).fork(step + 1).next_u64();
            let found = match prepared.step(rows, seed, rate) {
                Ok(found) => found,
                Err(kokeshi_train::Error::NotFinite { what }) => {
                    return Err(self.not_finite(what, prepared, rows));
                }
                Err(error) => return Err(error.into()),
            };
            self.place.step += 1;
            if let Some(mean) = &mut self.mean {
                let keep = train.ema;
                for (mean, value) in mean.iter_mut().zip(prepared.learner.encoder.values()) {
                    *mean = keep * *mean + (1.0 - keep) * value;
                }
            }
            let seconds = clock.elapsed().as_secs_f64().max(1e-9);
            clock = Instant::now();
            if let Ok(log) = &mut log {
                let line = serde_json::json!({
                    "step": self.place.step, "loss": found.loss, "rate": rate, "gradient": found.length,
                    "tokens": found.tokens, "bits": found.loss.to_bits(),
                });
                let _ = writeln!(log, "{line}");
            }
            let goes_on = watch(Event::Step {
                step: self.place.step,
                loss: found.loss,
                rate,
                tokens_per_second: found.tokens as f64 / seconds,
            });
            let every = evaluation.map_or(0, |evaluation| evaluation.every);
            let mut stop = false;
            if every > 0 && self.place.step.is_multiple_of(every) {
                self.judge(prepared, watch)?;
                let patience = evaluation.map_or(0, |evaluation| evaluation.patience);
                stop = patience > 0 && self.place.since >= patience;
            }
            let saved =
                train.checkpoint > 0 && (self.place.step.is_multiple_of(train.checkpoint) || !goes_on);
            if saved {
                checkpoint::write(
                    &self.checkpoint,
                    self.place,
                    &prepared.learner,
                    self.mean.as_deref(),
                )?;
            }
            if !goes_on {
                return Err(Error::Interrupted(if saved { self.place.step } else { 0 }));
            }
            if stop {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn judge(&mut self, prepared: &mut Prepared, watch: &mut dyn FnMut(Event<'_>) -> bool) -> Result<()> {
        let Some(judge) = &prepared.judge else {
            return Ok(());
        };
        swap(&mut self.mean, &mut prepared.learner);
        let scores = judge.judge(&mut prepared.learner);
        let mean = judge.mean(&scores);
        let best = mean > self.place.best;
        if best {
            (self.place.best, self.place.since) = (mean, 0);
            let bytes: Vec<u8> = prepared
                .learner
                .parameters()
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect();
            kokeshi_core::file::write_atomic(&self.best, &bytes)?;
        } else {
            self.place.since += 1;
        }
        swap(&mut self.mean, &mut prepared.learner);
        watch(Event::Judged {
            step: self.place.step,
            scores: &scores,
            best,
        });
        Ok(())
    }

    /// Leaves in the learner what is to be written: the best that was judged, else the last.
    fn finish(&mut self, prepared: &mut Prepared) -> Result<()> {
        swap(&mut self.mean, &mut prepared.learner);
        if let Some(judge) = &prepared.judge
            && self.best.is_file()
        {
            let scores = judge.judge(&mut prepared.learner);
            if judge.mean(&scores) < self.place.best {
                let bytes = std::fs::read(&self.best).map_err(kokeshi_core::Error::io(&self.best))?;
                let values = bytes.chunks_exact(4);
                let values: Vec<f32> = values
                    .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap_or_default()))
                    .collect();
                if values.len() == prepared.learner.parameters().len() {
                    prepared.learner.set_parameters(&values);
                }
            }
        }
        Ok(())
    }

    fn not_finite(&self, what: &str, prepared: &Prepared, rows: &Rows) -> Error {
        let set = &prepared.examples.sets[rows.set];
        let first: Vec<String> = rows
            .rows
            .iter()
            .take(4)
            .map(|row| set.origin(*row as usize))
            .collect();
        let more = rows.rows.len().saturating_sub(first.len());
        let checkpoint = match self.checkpoint.is_file() {
            true => self.checkpoint.display().to_string(),
            false => "none, none was written yet".into(),
        };
        Error::NotFinite {
            step: self.place.step + 1,
            what: what.into(),
            batch: format!("{} and {more} more rows", first.join(", ")),
            checkpoint,
        }
    }

    /// Leaves in the log what was before the checkpoint.
    fn cut_log(&self) -> Result<()> {
        let Ok(text) = std::fs::read_to_string(&self.log) else {
            return Ok(());
        };
        let step = |line: &str| {
            serde_json::from_str::<serde_json::Value>(line)
                .ok()?
                .get("step")?
                .as_u64()
        };
        let kept: String = text
            .lines()
            .filter(|line| step(line).is_some_and(|step| step <= self.place.step))
            .flat_map(|line| [line, "\n"])
            .collect();
        Ok(kokeshi_core::file::write_atomic(
            Path::new(&self.log),
            kept.as_bytes(),
        )?)
    }
}

/// Puts the running mean of the weights in the place of the weights, and back.
fn swap(mean: &mut Option<Vec<f32>>, learner: &mut Learner) {
    if let Some(mean) = mean {
        mean.swap_with_slice(learner.encoder.values_mut());
    }
}
