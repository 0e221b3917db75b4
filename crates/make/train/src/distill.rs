//! Distillation of a transformer into a static, elastic model: token vectors from the teacher, weights by frequency, training so that a text's
//! mean agrees with the teacher's vector, and last the axes, so that every prefix works alone.
//!
//! The start is that of model2vec ("Model2Vec: Fast State-of-the-Art Static Embeddings", 2024): the teacher's vector of each token alone,
//! turned to principal components and weighted by a / (a + frequency). The components are those of the teacher's vectors of real spans
//! of text, so that the student's dims are the teacher's and can be compared with them from the first step on. It learns from spans of
//! the texts and from bags of words out of the vocabulary ([`crate::bags`]), at full width.

use kokeshi_core::{Progress, Seed, distance};
use kokeshi_encode::{Model, Options};
use kokeshi_tokens::{Encoding, Tokenizer};
use rayon::prelude::*;
use serde_json::Value;

use crate::axes::Axes;
use crate::bags::{bags, is_word};
use crate::config::DistillConfig;
use crate::error::{Error, Result};
use crate::loss::cosine;
use crate::output::Distilled;
use crate::pca::Pca;
use crate::sample::{Reservoir, spans};
use crate::table::{Table, mean_of};

/// Spans that the teacher embeds between two looks at whether the user asked to stop.
const TEACHER_CHUNK: usize = 1024;
/// The loss's weight; it makes its gradients large beside Adam's epsilon.
const COSINE_WEIGHT: f32 = 10.0;
/// How many tokens the smaller part of a parted text has: at least, and less than; claims and questions have about so many.
const PART_TOKENS: (usize, usize) = (8, 32);
/// At most this many tokens of the larger part are read, and no text with fewer than the second of [`PART_TOKENS`] twice.
const REST_TOKENS: usize = 128;

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
    let names: Vec<String> = (0..tokenizer.vocabulary() as u32)
        .map(|id| tokenizer.token(id).unwrap_or_default().to_string())
        .collect();
    let tokenize = |text: &String| tokens(&tokenizer, text, &special);
    let mut lessons: Vec<Vec<u32>> = sample.spans.par_iter().map(tokenize).collect();
    let texts: Vec<Vec<u32>> = sample.texts.par_iter().map(tokenize).collect();
    let mut frequency = vec![1.0_f64; tokenizer.vocabulary()];
    let used = lessons.iter().chain(&texts).flatten();
    used.for_each(|token| frequency[*token as usize] += 1.0);

    let around = Around::of(&tokenizer);
    let mut known = teach(&sample.spans, "embed spans with the teacher", progress, |spans| {
        Ok(teacher.encode(spans, &options())?.into_vec())
    })?;
    let pca = Pca::fit(&known, teacher.dims(), config.dims);
    let alone = vocabulary(teacher, &tokenizer, &around)?;
    if config.epochs > 0 {
        let bags = bags(&names, &alone, teacher.dims(), config.bags, &mut seed.fork(4));
        known.extend(teach(
            &bags,
            "embed bags of words with the teacher",
            progress,
            |bags| {
                let ids: Vec<Vec<u32>> = bags.iter().map(|bag| around.text(bag)).collect();
                Ok(teacher.encode_ids(&ids, &options())?.into_vec())
            },
        )?);
        lessons.extend(bags);
    }
    let targets = pca.apply(&known);
    drop(known);

    let first = start(pca.rotate(&alone), &frequency, &special, config);
    let mut table = Table::new(&first, config.dims);
    train(&mut table, &lessons, &targets, config, &mut seed, progress)?;
    let mut vectors = table.vectors();
    if config.epochs > 0 {
        even_lengths(&mut vectors, config);
        vectors = axes(&vectors, &names, &texts, config, &mut seed).apply(&vectors);
    }
    Ok(Distilled {
        dims: config.dims,
        prefixes: config.prefixes.clone(),
        vectors,
        tokens: names,
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
pub(crate) fn special_tokens(description: &Value) -> Vec<u32> {
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
    /// Titles and the beginnings of the bodies.
    texts: Vec<String>,
}

impl Sample {
    fn collect(
        texts: &mut dyn Iterator<Item = Text>,
        config: &DistillConfig,
        seed: &mut Seed,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut kept = Reservoir::new(config.spans, seed.fork(1));
        let mut whole = Reservoir::new(config.parted, seed.fork(2));
        let mut lengths = seed.fork(3);
        progress.start("read texts", None, "texts");
        for text in texts {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let (title, body) = (text.title.trim(), text.body.trim());
            if !title.is_empty() {
                kept.offer(|| title.to_string());
            }
            if !body.is_empty() {
                whole.offer(|| format!("{title} {}", words(body, 2 * REST_TOKENS)));
            }
            spans(body, config.span_words, &mut lengths, |words| {
                kept.offer(|| words.join(" "))
            });
            progress.advance(1);
        }
        progress.finish();
        Ok(Self {
            spans: kept.kept,
            texts: whole.kept,
        })
    }
}

/// The first `most` words of `text`.
fn words(text: &str, most: usize) -> String {
    text.split_whitespace().take(most).collect::<Vec<_>>().join(" ")
}

fn options() -> Options {
    Options {
        normalize: Some(true),
        ..Options::default()
    }
}

/// The teacher's vectors of `texts`, `[texts, dims]`, as `embed` gives them for a part of the texts.
fn teach<T>(
    texts: &[T],
    phase: &str,
    progress: &dyn Progress,
    embed: impl Fn(&[T]) -> Result<Vec<f32>>,
) -> Result<Vec<f32>> {
    progress.start(phase, Some(texts.len() as u64), "texts");
    let mut vectors = Vec::new();
    for texts in texts.chunks(TEACHER_CHUNK) {
        if progress.interrupted() {
            return Err(Error::Interrupted);
        }
        vectors.extend(embed(texts)?);
        progress.advance(texts.len() as u64);
    }
    progress.finish();
    Ok(vectors)
}

/// The special tokens that the teacher wants before and after a text.
struct Around {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl Around {
    fn of(tokenizer: &Tokenizer) -> Self {
        let mut encoding = Encoding::default();
        tokenizer.encode("a", true, None, &mut encoding);
        let inside = encoding
            .ranges
            .iter()
            .position(|(from, to)| from < to)
            .unwrap_or(0);
        let after = encoding.ids.split_off((inside + 1).min(encoding.ids.len()));
        encoding.ids.truncate(inside);
        Self {
            before: encoding.ids,
            after,
        }
    }

    fn text(&self, tokens: &[u32]) -> Vec<u32> {
        [&self.before, tokens, &self.after].concat()
    }
}

/// The teacher's unit vector of each token of the vocabulary alone, between the special tokens, minus their mean: `[vocabulary, dims]`.
fn vocabulary(teacher: &Model, tokenizer: &Tokenizer, around: &Around) -> Result<Vec<f32>> {
    let ids = 0..tokenizer.vocabulary() as u32;
    let alone: Vec<Vec<u32>> = ids.map(|id| around.text(&[id])).collect();
    let mut vectors = teacher.encode_ids(&alone, &options())?.into_vec();
    let mean = crate::pca::mean(&vectors, teacher.dims());
    for row in vectors.chunks_exact_mut(teacher.dims()) {
        row.iter_mut().zip(&mean).for_each(|(value, mean)| *value -= mean);
    }
    Ok(vectors)
}

/// Rows of unit length, times a / (a + frequency); zeros for special tokens. `counts` begin at 1 for each token.
fn start(mut rows: Vec<f32>, counts: &[f64], special: &[u32], config: &DistillConfig) -> Vec<f32> {
    let total: f64 = counts.iter().sum();
    for (row, count) in rows.chunks_exact_mut(config.dims).zip(counts) {
        distance::normalize(row);
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

/// Raises the length of each row to `config.length_power`.
fn even_lengths(vectors: &mut [f32], config: &DistillConfig) {
    for row in vectors.chunks_exact_mut(config.dims) {
        let length = distance::dot(row, row).sqrt();
        if length > 0.0 {
            let scale = length.powf(config.length_power - 1.0);
            row.iter_mut().for_each(|value| *value *= scale);
        }
    }
}

/// The axes that keep words apart and parts of one text together. A prefix of them keeps apart what the whole vocabulary speaks of, while
/// one of the components of the texts keeps apart only what these texts are about (measured in `assets/README.md` of kokeshi-encode).
fn axes(
    vectors: &[f32],
    names: &[String],
    texts: &[Vec<u32>],
    config: &DistillConfig,
    seed: &mut Seed,
) -> Axes {
    let dims = config.dims;
    let rows = vectors.chunks_exact(dims).zip(names);
    let mut words: Vec<f32> = rows
        .filter(|(_, name)| is_word(name))
        .flat_map(|(row, _)| row)
        .copied()
        .collect();
    words.chunks_exact_mut(dims).for_each(distance::normalize);
    let [mut left, mut right] = [Vec::new(), Vec::new()];
    for text in texts.iter().filter(|text| text.len() >= 2 * PART_TOKENS.1) {
        let (part, rest) = parted(text, seed);
        left.extend(mean_of(vectors, dims, part));
        right.extend(mean_of(vectors, dims, &rest));
    }
    for side in [&mut left, &mut right] {
        side.chunks_exact_mut(dims).for_each(distance::normalize);
    }
    Axes::fit(&words, [&left, &right], dims, config.whitening)
}

/// A part of `text` and what it is missing from, as in the inverse cloze task ("Latent Retrieval for Weakly Supervised Open Domain
/// Question Answering", arXiv 1906.00300).
fn parted<'a>(text: &'a [u32], seed: &mut Seed) -> (&'a [u32], Vec<u32>) {
    let length = PART_TOKENS.0 + seed.below(PART_TOKENS.1 - PART_TOKENS.0);
    let start = seed.below(text.len() - length + 1);
    let (before, rest) = text.split_at(start);
    let (part, after) = rest.split_at(length);
    let mut rest = [before, after].concat();
    rest.truncate(REST_TOKENS);
    (part, rest)
}

/// Moves the table towards the teacher's vectors of all lessons, `[lessons, dims]`, batch by batch.
fn train(
    table: &mut Table,
    lessons: &[Vec<u32>],
    targets: &[f32],
    config: &DistillConfig,
    seed: &mut Seed,
    progress: &dyn Progress,
) -> Result<()> {
    let (batch, dims) = (config.batch, config.dims);
    let total = config.epochs * (lessons.len() / batch);
    let (mut pooled, mut gradient, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
    let mut done = 0;
    progress.start("train", Some(total as u64), "batches");
    for _ in 0..config.epochs {
        let mut order: Vec<usize> = (0..lessons.len()).collect();
        seed.shuffle(&mut order);
        for chosen in order.chunks_exact(batch) {
            if progress.interrupted() {
                return Err(Error::Interrupted);
            }
            let rate = config.learning_rate * (1.0 - done as f32 / total as f32);
            let texts: Vec<&[u32]> = chosen.iter().map(|at| lessons[*at].as_slice()).collect();
            wanted.clear();
            for at in chosen {
                wanted.extend_from_slice(&targets[at * dims..][..dims]);
            }
            table.pool(&texts, &mut pooled);
            gradient.clear();
            gradient.resize(pooled.len(), 0.0);
            cosine(&pooled, &wanted, dims, COSINE_WEIGHT, &mut gradient);
            table.step(&texts, &gradient, rate);
            done += 1;
            progress.advance(1);
        }
    }
    progress.finish();
    Ok(())
}
