//! Distillation of a transformer into a static, elastic model: token vectors from the teacher, weights by frequency, then training so
//! that every prefix of the student's dims agrees with the teacher and tells a title's text from other texts.
//!
//! The start is that of model2vec ("Model2Vec: Fast State-of-the-Art Static Embeddings", 2024): the teacher's vector of each token alone,
//! turned to principal components and weighted by a / (a + frequency). The components are those of the teacher's vectors of real spans
//! of text, so that the student's dims are the teacher's and can be compared with them from the first step on.

use std::borrow::Cow;

use kokeshi_core::{Progress, Seed};
use kokeshi_encode::{Model, Options};
use kokeshi_tokens::{Encoding, Tokenizer};
use rayon::prelude::*;
use serde_json::Value;

use crate::config::DistillConfig;
use crate::error::{Error, Result};
use crate::loss::{Ranking, cosine};
use crate::output::Distilled;
use crate::pca::Pca;
use crate::sample::{Reservoir, spans};
use crate::table::Table;

/// Spans that the teacher embeds between two looks at whether the user asked to stop.
const TEACHER_CHUNK: usize = 1024;
/// The cosine loss is this much heavier than the ranking loss, which has cross-entropy's larger gradients.
const COSINE_WEIGHT: f32 = 10.0;
/// How many tokens a span has that is a question: at least, and less than; claims and questions have about so many.
const CLOZE_TOKENS: (usize, usize) = (8, 32);

/// A text to learn from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text {
    /// Its title, or nothing. A title and its body are a pair that belongs together.
    pub title: String,
    /// The rest.
    pub body: String,
}

/// Distils `teacher`, a transformer, into a static model that is trained on `texts`.
///
/// The same seed, texts, teacher and number of threads give the same student.
///
/// # Errors
/// [`Error::Config`] if the settings don't fit the teacher, [`Error::TooLittleText`] if the texts don't fill a batch,
/// [`Error::Interrupted`] if `progress` says so, [`Error::Model`] and [`Error::Tokens`] for trouble with the teacher.
pub fn distill(
    teacher: &Model,
    texts: &mut dyn Iterator<Item = Text>,
    config: &DistillConfig,
    progress: &dyn Progress,
) -> Result<Distilled> {
    config.check(teacher.dims())?;
    let (tokenizer, description) = tokenizer(teacher)?;
    let special = special_tokens(&description);
    let mut seed = Seed(config.seed);

    let sample = Sample::collect(texts, config, &mut seed, progress)?;
    if sample.spans.len() < config.batch {
        return Err(Error::TooLittleText {
            expected: config.batch,
            found: sample.spans.len(),
        });
    }
    let tokenize = |text: &String| tokens(&tokenizer, text, &special);
    let span_tokens: Vec<Vec<u32>> = sample.spans.par_iter().map(tokenize).collect();
    let pairs: Vec<[Vec<u32>; 2]> = sample
        .pairs
        .par_iter()
        .map(|[title, body]| [tokenize(title), tokenize(body)])
        .filter(|[title, body]| !title.is_empty() && !body.is_empty())
        .collect();

    let known = teach(teacher, &sample.spans, progress)?;
    let width = teacher.dims();
    let pca = Pca::fit(&known, width, config.dims);
    let targets = pca.apply(&known);
    drop(known);

    let mut frequency = vec![1.0_f64; tokenizer.vocabulary()];
    let used = span_tokens.iter().chain(pairs.iter().flatten()).flatten();
    used.for_each(|token| frequency[*token as usize] += 1.0);
    let alone = pca.rotate(&vocabulary(teacher, &tokenizer)?);
    let first = start(alone, &frequency, &special, config);

    let mut table = Table::new(&first, config.dims);
    let mut lessons = Lessons {
        spans: &span_tokens,
        targets,
        pairs: &[],
    };
    if config.epochs > 0 && config.warm_up > 0 {
        let warm_up = DistillConfig {
            epochs: config.warm_up,
            prefixes: vec![config.dims],
            ..config.clone()
        };
        train(&mut table, &lessons, &warm_up, &mut seed, progress)?;
        let axes = axes(&table.vectors(), config);
        table = Table::new(&axes.rotate(&table.vectors()), config.dims);
        lessons.targets = axes.rotate(&lessons.targets);
    }
    lessons.pairs = &pairs;
    train(&mut table, &lessons, config, &mut seed, progress)?;
    Ok(Distilled {
        dims: config.dims,
        prefixes: config.prefixes.clone(),
        vectors: table.vectors(),
        tokens: (0..tokenizer.vocabulary() as u32)
            .map(|id| tokenizer.token(id).unwrap_or_default().to_string())
            .collect(),
        tokenizer: description,
        teacher: teacher.id().to_string(),
    })
}

/// The teacher's tokenizer and its description, which is the student's too but for truncation and padding.
fn tokenizer(teacher: &Model) -> Result<(Tokenizer, Value)> {
    let Some(folder) = teacher.folder() else {
        return Err(Error::Config(
            "expected a transformer as teacher, found the compiled-in model".into(),
        ));
    };
    let path = folder.join("tokenizer.json");
    let bytes = std::fs::read(&path).map_err(kokeshi_core::Error::io(&path))?;
    let tokenizer = Tokenizer::open(&path)?;
    let mut description: Value = serde_json::from_slice(&bytes)
        .map_err(|error| kokeshi_core::Error::file(&path, format!("not JSON: {error}")))?;
    description["truncation"] = Value::Null;
    description["padding"] = Value::Null;
    Ok((tokenizer, description))
}

/// The ids of the special tokens: they mean nothing in a static model.
fn special_tokens(description: &Value) -> Vec<u32> {
    let added = description["added_tokens"].as_array();
    let special = added
        .into_iter()
        .flatten()
        .filter(|token| token["special"] == true);
    special
        .filter_map(|token| u32::try_from(token["id"].as_u64()?).ok())
        .collect()
}

fn tokens(tokenizer: &Tokenizer, text: &str, special: &[u32]) -> Vec<u32> {
    let mut encoding = Encoding::default();
    tokenizer.encode(text, false, None, &mut encoding);
    encoding.ids.retain(|id| !special.contains(id));
    encoding.ids
}

/// What was sampled from the texts.
struct Sample {
    spans: Vec<String>,
    /// Title and body.
    pairs: Vec<[String; 2]>,
}

impl Sample {
    fn collect(
        texts: &mut dyn Iterator<Item = Text>,
        config: &DistillConfig,
        seed: &mut Seed,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut kept = Reservoir::new(config.spans, seed.fork(1));
        let mut pairs = Reservoir::new(config.pairs, seed.fork(2));
        let mut lengths = seed.fork(3);
        progress.start("read texts", None, "texts");
        for text in texts {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let (title, body) = (text.title.trim(), text.body.trim());
            if !title.is_empty() {
                kept.offer(|| title.to_string());
                if !body.is_empty() {
                    pairs.offer(|| [title.to_string(), words(body, 4 * config.pair_tokens)]);
                }
            }
            spans(body, config.span_words, &mut lengths, |words| {
                kept.offer(|| words.join(" "))
            });
            progress.advance(1);
        }
        progress.finish();
        Ok(Self {
            spans: kept.kept,
            pairs: pairs.kept,
        })
    }
}

/// The first `most` words of `text`.
fn words(text: &str, most: usize) -> String {
    text.split_whitespace().take(most).collect::<Vec<_>>().join(" ")
}

/// The teacher's vectors of `texts`, `[texts, dims]`, of unit length.
fn teach(teacher: &Model, texts: &[String], progress: &dyn Progress) -> Result<Vec<f32>> {
    let options = Options {
        normalize: Some(true),
        ..Options::default()
    };
    progress.start("embed with the teacher", Some(texts.len() as u64), "spans");
    let mut vectors = Vec::with_capacity(texts.len() * teacher.dims());
    for texts in texts.chunks(TEACHER_CHUNK) {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        vectors.extend_from_slice(teacher.encode(texts, &options)?.as_slice());
        progress.advance(texts.len() as u64);
    }
    progress.finish();
    Ok(vectors)
}

/// The teacher's unit vector of each token of the vocabulary alone, between the special tokens, minus their mean: `[vocabulary, dims]`.
fn vocabulary(teacher: &Model, tokenizer: &Tokenizer) -> Result<Vec<f32>> {
    let mut around = Encoding::default();
    tokenizer.encode("a", true, None, &mut around);
    let inside = around.ranges.iter().position(|(from, to)| from < to).unwrap_or(0);
    let alone: Vec<Vec<u32>> = (0..tokenizer.vocabulary() as u32)
        .map(|id| {
            let mut ids = around.ids.clone();
            if let Some(place) = ids.get_mut(inside) {
                *place = id;
            }
            ids
        })
        .collect();
    let options = Options {
        normalize: Some(true),
        ..Options::default()
    };
    let mut vectors = teacher.encode_ids(&alone, &options)?.into_vec();
    let width = teacher.dims();
    let rows = (vectors.len() / width).max(1) as f32;
    let mut mean = vec![0.0; width];
    for row in vectors.chunks_exact(width) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value / rows);
    }
    for row in vectors.chunks_exact_mut(width) {
        row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
    }
    Ok(vectors)
}

/// Rows of unit length, times a / (a + frequency); zeros for special tokens. `counts` begin at 1 for each token.
fn start(mut rows: Vec<f32>, counts: &[f64], special: &[u32], config: &DistillConfig) -> Vec<f32> {
    let total: f64 = counts.iter().sum();
    for (row, count) in rows.chunks_exact_mut(config.dims).zip(counts) {
        kokeshi_core::distance::normalize(row);
        let weight = config.frequency_weight / (config.frequency_weight + count / total);
        row.iter_mut().for_each(|value| *value *= weight as f32);
    }
    for id in special {
        if let Some(row) = rows.chunks_exact_mut(config.dims).nth(*id as usize) {
            row.fill(0.0);
        }
    }
    rows
}

/// The components of the directions of all tokens, each counted once. A prefix of them keeps apart what the whole vocabulary speaks of, while
/// one of the components of the texts keeps apart only what these texts are about (measured in `assets/README.md` of kokeshi-encode).
fn axes(vectors: &[f32], config: &DistillConfig) -> Pca {
    let mut directions = vectors.to_vec();
    directions
        .chunks_exact_mut(config.dims)
        .for_each(kokeshi_core::distance::normalize);
    Pca::fit(&directions, config.dims, config.dims).whiten(config.whitening)
}

/// What a student is trained on, as tokens.
struct Lessons<'a> {
    spans: &'a [Vec<u32>],
    /// `[spans, dims]`
    targets: Vec<f32>,
    pairs: &'a [[Vec<u32>; 2]],
}

/// Which lesson a step takes its batch from.
#[derive(Clone, Copy)]
enum Step {
    Spans,
    Pairs,
}

fn train(
    table: &mut Table,
    lessons: &Lessons<'_>,
    config: &DistillConfig,
    seed: &mut Seed,
    progress: &dyn Progress,
) -> Result<()> {
    let (batch, dims) = (config.batch, config.dims);
    let per_repeat = lessons.spans.len() / batch;
    let of_pairs = if config.pair_weight > 0.0 {
        lessons.pairs.len() / batch
    } else {
        0
    };
    let per_epoch = per_repeat * config.span_repeats + of_pairs;
    let total = config.epochs * per_epoch;
    let mut learner = Learner {
        table,
        config,
        pooled: Vec::new(),
        gradient: Vec::new(),
        ranking: Ranking::default(),
    };
    let mut done = 0;
    progress.start("train", Some(total as u64), "batches");
    for _ in 0..config.epochs {
        let mut spans = Vec::with_capacity(lessons.spans.len() * config.span_repeats);
        for _ in 0..config.span_repeats {
            let mut order: Vec<usize> = (0..lessons.spans.len()).collect();
            seed.shuffle(&mut order);
            order.truncate(per_repeat * batch);
            spans.extend(order);
        }
        let mut pairs: Vec<usize> = (0..lessons.pairs.len()).collect();
        seed.shuffle(&mut pairs);
        let (mut spans, mut pairs) = (spans.chunks_exact(batch), pairs.chunks_exact(batch));
        let mut steps = vec![Step::Spans; per_repeat * config.span_repeats];
        steps.resize(per_epoch, Step::Pairs);
        seed.shuffle(&mut steps);
        for step in steps {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let rate = config.learning_rate * (1.0 - done as f32 / total as f32);
            match step {
                Step::Spans => {
                    let chosen = spans.next().unwrap_or_default();
                    let tokens: Vec<&[u32]> = chosen.iter().map(|at| lessons.spans[*at].as_slice()).collect();
                    let targets: Vec<f32> = chosen
                        .iter()
                        .flat_map(|at| &lessons.targets[at * dims..][..dims])
                        .copied()
                        .collect();
                    learner.imitate(&tokens, &targets, rate);
                }
                Step::Pairs => {
                    let chosen = pairs.next().unwrap_or_default();
                    let (questions, answers): (Vec<_>, Vec<_>) = chosen
                        .iter()
                        .map(|at| question(&lessons.pairs[*at], config, seed))
                        .unzip();
                    let tokens: Vec<&[u32]> = questions.iter().chain(&answers).map(AsRef::as_ref).collect();
                    learner.rank(&tokens, rate);
                }
            }
            done += 1;
            progress.advance(1);
        }
    }
    progress.finish();
    Ok(())
}

/// A question and its answer out of a pair: the title and a part of the body, or a span of the body and the text that it is missing from,
/// which teaches to find a text by what it says (the inverse cloze task, "Latent Retrieval for Weakly Supervised Open Domain Question
/// Answering", arXiv 1906.00300).
fn question<'a>(
    [title, body]: &'a [Vec<u32>; 2],
    config: &DistillConfig,
    seed: &mut Seed,
) -> (Cow<'a, [u32]>, Cow<'a, [u32]>) {
    let most = config.pair_tokens;
    if seed.uniform() >= f64::from(config.cloze) || body.len() < 2 * CLOZE_TOKENS.1 {
        return (Cow::Borrowed(title), Cow::Borrowed(window(body, most, seed)));
    }
    let length = CLOZE_TOKENS.0 + seed.below(CLOZE_TOKENS.1 - CLOZE_TOKENS.0);
    let start = seed.below(body.len() - length + 1);
    let (before, rest) = body.split_at(start);
    let (span, after) = rest.split_at(length);
    let mut answer = [title, before, after].concat();
    answer.truncate(title.len() + most);
    (Cow::Borrowed(span), Cow::Owned(answer))
}

/// `most` tokens from a random place.
fn window<'a>(tokens: &'a [u32], most: usize, seed: &mut Seed) -> &'a [u32] {
    let start = seed.below((tokens.len() + 1).saturating_sub(most).max(1));
    &tokens[start..tokens.len().min(start + most)]
}

/// The student with the scratch memory of a step.
struct Learner<'a> {
    table: &'a mut Table,
    config: &'a DistillConfig,
    pooled: Vec<f32>,
    gradient: Vec<f32>,
    ranking: Ranking,
}

impl Learner<'_> {
    /// One step towards the teacher's vectors of the texts.
    fn imitate(&mut self, texts: &[&[u32]], targets: &[f32], rate: f32) {
        self.pool(texts);
        let Self { config, pooled, .. } = self;
        cosine(
            pooled,
            targets,
            config.dims,
            &config.prefixes,
            COSINE_WEIGHT,
            &mut self.gradient,
        );
        self.table.step(texts, &self.gradient, rate);
    }

    /// One step that brings each text of the first half nearer to its partner in the second half than to the others there.
    fn rank(&mut self, texts: &[&[u32]], rate: f32) {
        self.pool(texts);
        let middle = self.pooled.len() / 2;
        let (left, right) = self.pooled.split_at(middle);
        let (left_gradient, right_gradient) = self.gradient.split_at_mut(middle);
        self.ranking.loss(
            [left, right],
            self.config.dims,
            &self.config.prefixes,
            self.config.pair_weight,
            [left_gradient, right_gradient],
        );
        self.table.step(texts, &self.gradient, rate);
    }

    fn pool(&mut self, texts: &[&[u32]]) {
        self.table.pool(texts, &mut self.pooled);
        self.gradient.clear();
        self.gradient.resize(self.pooled.len(), 0.0);
    }
}
