//! A2ATS (arXiv 2502.12665): everything is kept, but a step looks at few tokens. Keys have codes; a query is compared with the centroids
//! at one distance for all (windowed rotary positions), and only the tokens of the best codes are attended to, exactly and at their
//! true distances.

use std::sync::Arc;

use kokeshi_core::{Seed, TopK, distance};

use crate::codebook::{Codebook, Codebooks};
use crate::decoder::Decoder;
use crate::error::{Error, Result};
use crate::forward::Plan;
use crate::policy::{KvPolicy, Phase, Query, Selection};
use crate::rotary::Rotary;
use crate::slab::{Shape, Slab, Slabs};

/// The settings of [`A2ats`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct A2atsConfig {
    /// How many of the last tokens are always attended to (reference: 64).
    pub window: usize,
    /// How many of the first tokens are always attended to (reference: 8).
    pub sinks: usize,
    /// The share of the text that each query head chooses (reference: for instance 0.03).
    pub ratio: f64,
    /// The distance at which scores of far tokens are estimated (reference: 2048).
    pub distance: f32,
}

/// Chooses by codes what a step attends to. Prompts are read with full attention.
#[derive(Debug, Clone)]
pub struct A2ats {
    config: A2atsConfig,
    shape: Shape,
    rotary: Rotary,
    codebooks: Arc<Codebooks>,
    slabs: Slabs,
    /// The code of every slot: `[layers, key_heads][slots]`.
    codes: Vec<Vec<u16>>,
    turned: Vec<f32>,
    scores: Vec<f32>,
    chosen: Vec<bool>,
}

impl A2ats {
    /// An empty cache; `rotary` is the decoder's.
    ///
    /// # Errors
    /// A share outside 0 to 1, or a window of 0.
    pub fn new(rotary: Rotary, codebooks: Arc<Codebooks>, config: A2atsConfig) -> Result<Self> {
        if !(0.0..=1.0).contains(&config.ratio) {
            return Err(Error::Request(format!(
                "a2ats: expected a share from 0 to 1, found {}",
                config.ratio
            )));
        }
        if config.window == 0 {
            return Err(Error::Request(
                "a2ats: expected a window of at least 1, found 0".into(),
            ));
        }
        let shape = codebooks.shape();
        Ok(Self {
            config,
            shape,
            rotary,
            codebooks,
            slabs: Slabs::new(shape),
            codes: vec![Vec::new(); shape.layers * shape.key_heads],
            turned: Vec::new(),
            scores: Vec::new(),
            chosen: Vec::new(),
        })
    }
}

impl KvPolicy for A2ats {
    fn append(&mut self, layer: usize, keys: &[f32], values: &[f32], position: u32) {
        for (head, key) in keys.chunks_exact(self.shape.head_dims).enumerate() {
            self.codes[layer * self.shape.key_heads + head].push(self.codebooks.get(layer, head).encode(key));
        }
        self.slabs.push(layer, keys, values, position);
    }

    fn select(&mut self, layer: usize, head: usize, query: Query<'_>, selection: &mut Selection) {
        let slab = self.slabs.get(layer, head);
        if query.phase == Phase::Prefill {
            return selection.all(slab);
        }
        let codes = &self.codes[layer * self.shape.key_heads + head];
        let codebook = self.codebooks.get(layer, head);
        let A2atsConfig {
            window,
            sinks,
            ratio,
            distance,
        } = self.config;
        let len = slab.len();
        let open = sinks.min(len)..len.saturating_sub(window).max(sinks.min(len));
        self.chosen.clear();
        self.chosen.resize(len, true);
        self.chosen[open.clone()].fill(false);
        for vector in query.vectors.chunks_exact(self.shape.head_dims) {
            self.turned.clear();
            self.turned.extend_from_slice(vector);
            self.rotary.turn(distance, &mut self.turned);
            self.scores.resize(codebook.codes(), 0.0);
            distance::dot_rows(&self.turned, codebook.centroids(), &mut self.scores);
            let mut best = TopK::new((ratio * len as f64) as usize);
            for slot in open.clone() {
                best.push(slot as u32, self.scores[usize::from(codes[slot])]);
            }
            for hit in best.into_sorted() {
                self.chosen[hit.id as usize] = true;
            }
        }
        selection.clear();
        let chosen = self.chosen.iter().enumerate().filter(|(_, chosen)| **chosen);
        selection.near.extend(chosen.map(|(slot, _)| slot as u32));
    }

    fn slab(&self, layer: usize, head: usize) -> &Slab {
        self.slabs.get(layer, head)
    }

    fn bytes(&self) -> usize {
        self.slabs.bytes() + 2 * self.codes.iter().map(Vec::len).sum::<usize>()
    }
}

/// What a layer's heads saw of a calibration text.
#[derive(Debug, Clone, Default)]
pub struct HeadSample {
    /// Keys before their rotation: `[tokens, head_dims]`.
    pub keys: Vec<f32>,
    /// Queries of all heads of the group, before their rotation: `[tokens, group, head_dims]`.
    pub queries: Vec<f32>,
}

/// Collects keys and queries of every layer and key-value head over texts: `[layers, key_heads]`.
///
/// # Errors
/// A token that the decoder does not know.
pub fn sample(decoder: &Decoder, texts: &[&[u32]]) -> Result<Vec<HeadSample>> {
    let shape = decoder.config().shape;
    let (dims, group) = (shape.head_dims, shape.group());
    let mut samples = vec![HeadSample::default(); shape.layers * shape.key_heads];
    for text in texts {
        decoder.forward_with(text, &Plan::trained(decoder), |layer, projected| {
            for head in 0..shape.key_heads {
                let sample = &mut samples[layer * shape.key_heads + head];
                let keys = projected.keys.chunks_exact(shape.key_heads * dims);
                let queries = projected.queries.chunks_exact(shape.heads * dims);
                for (keys, queries) in keys.zip(queries) {
                    sample.keys.extend_from_slice(&keys[head * dims..][..dims]);
                    sample
                        .queries
                        .extend_from_slice(&queries[head * group * dims..][..group * dims]);
                }
            }
        })?;
    }
    Ok(samples)
}

/// Makes codebooks from samples; queries are turned to `distance` first.
///
/// # Errors
/// As [`Codebook::query_aware`].
pub fn calibrate(
    decoder: &Decoder,
    samples: &[HeadSample],
    codes: usize,
    distance: f32,
    seed: Seed,
) -> Result<Codebooks> {
    let (shape, rotary) = (decoder.config().shape, decoder.rotary());
    let codebooks = samples.iter().map(|sample| {
        let mut queries = sample.queries.clone();
        for query in queries.chunks_exact_mut(shape.head_dims) {
            rotary.turn(distance, query);
        }
        Codebook::query_aware(shape.head_dims, &sample.keys, &queries, codes, seed)
    });
    Codebooks::new(shape, codebooks.collect::<Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Config, Full, Session};

    fn decoder() -> Decoder {
        let shape = Shape {
            layers: 2,
            heads: 4,
            key_heads: 2,
            head_dims: 16,
        };
        let config = Config {
            shape,
            ..Config::default()
        };
        Decoder::random(config, 0.25, Seed(4)).unwrap()
    }

    fn codebooks(decoder: &Decoder, codes: usize) -> Arc<Codebooks> {
        let text: Vec<u32> = (0..300).map(|at| at * 7 % 128).collect();
        let samples = sample(decoder, &[&text[..150], &text[150..]]).unwrap();
        assert_eq!(
            (samples.len(), samples[3].keys.len(), samples[3].queries.len()),
            (4, 300 * 16, 600 * 16)
        );
        Arc::new(calibrate(decoder, &samples, codes, 64.0, Seed(1)).unwrap())
    }

    const CONFIG: A2atsConfig = A2atsConfig {
        window: 6,
        sinks: 2,
        ratio: 0.1,
        distance: 64.0,
    };

    #[test]
    fn choosing_everything_is_full_attention() {
        let decoder = decoder();
        let config = A2atsConfig { ratio: 1.0, ..CONFIG };
        let policy = A2ats::new(decoder.rotary(), codebooks(&decoder, 8), config).unwrap();
        let mut chosen = Session::new(&decoder, policy);
        let mut full = Session::new(&decoder, Full::new(decoder.config().shape));
        for token in 0..60 {
            let expected = full.step(token, Phase::Decode).unwrap().to_vec();
            let found = chosen.step(token, Phase::Decode).unwrap();
            assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6));
        }
        assert_eq!(chosen.policy().bytes(), full.policy().bytes() + 2 * 60 * 4);
    }

    #[test]
    fn sinks_the_window_and_the_best_of_the_rest_are_chosen() {
        let decoder = decoder();
        let shape = decoder.config().shape;
        let books = codebooks(&decoder, 300);
        let mut policy = A2ats::new(decoder.rotary(), books.clone(), CONFIG).unwrap();
        let mut seed = Seed(8);
        let mut random = |count: usize| (0..count).map(|_| seed.normal() as f32).collect::<Vec<_>>();
        for position in 0..50 {
            policy.append(1, &random(32), &random(32), position);
        }
        let vectors = random(32);
        let mut query = Query {
            vectors: &vectors,
            position: 49,
            phase: Phase::Prefill,
        };
        let mut selection = Selection::default();
        policy.select(1, 1, query, &mut selection);
        assert_eq!(selection.near.len(), 50);
        query.phase = Phase::Decode;
        policy.select(1, 1, query, &mut selection);
        // The plain computation: scores of the codes' centroids, the best 5 of 42 for either query head.
        let mut expected: Vec<u32> = (0..2).chain(44..50).collect();
        for head in vectors.chunks_exact(16) {
            let mut turned = head.to_vec();
            decoder.rotary().turn(64.0, &mut turned);
            let mut slots: Vec<u32> = (2..44).collect();
            let score = |slot: u32| {
                let code = books.get(1, 1).encode(policy.slab(1, 1).key(slot as usize));
                distance::dot(&turned, books.get(1, 1).centroid(code))
            };
            slots.sort_by(|&a, &b| score(b).total_cmp(&score(a)).then(a.cmp(&b)));
            expected.extend(&slots[..5]);
        }
        expected.sort_unstable();
        expected.dedup();
        assert_eq!(selection.near, expected);
        assert!(selection.far.is_empty() && shape.group() == 2);
    }

    #[test]
    fn settings_that_can_not_work_are_refused() {
        let decoder = decoder();
        let books = codebooks(&decoder, 4);
        for config in [
            A2atsConfig { ratio: 1.5, ..CONFIG },
            A2atsConfig {
                ratio: f64::NAN,
                ..CONFIG
            },
            A2atsConfig { window: 0, ..CONFIG },
        ] {
            assert!(A2ats::new(decoder.rotary(), books.clone(), config).is_err());
        }
    }
}
