//! A text token by token through a decoder, over a cache policy.

use kokeshi_core::distance::dot;

use crate::decoder::{Decoder, Scratch};
use crate::error::Result;
use crate::policy::{KvPolicy, Phase, Query, Selection};
use crate::rotary::{Angles, Rotary};

/// A text that is being read or written.
pub struct Session<'a, P: KvPolicy> {
    decoder: &'a Decoder,
    policy: P,
    rotary: Rotary,
    position: u32,
    angles: Angles,
    scratch: Scratch,
    selection: Selection,
    near: Vec<f32>,
    far: Vec<f32>,
    probabilities: Vec<f32>,
}

impl<'a, P: KvPolicy> Session<'a, P> {
    /// Starts a text with an empty cache.
    pub fn new(decoder: &'a Decoder, policy: P) -> Self {
        Self {
            rotary: decoder.rotary(),
            decoder,
            policy,
            position: 0,
            angles: Angles::default(),
            scratch: Scratch::default(),
            selection: Selection::default(),
            near: Vec::new(),
            far: Vec::new(),
            probabilities: Vec::new(),
        }
    }

    /// The same with other rotary frequencies. Keys are kept before their rotation, so that this may be done in the middle of a text.
    pub fn set_rotary(&mut self, rotary: Rotary) {
        self.rotary = rotary;
        self.angles = Angles::default();
    }

    /// The cache.
    pub fn policy(&self) -> &P {
        &self.policy
    }

    /// How many tokens went in.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// Takes in a token and gives the logits of the next, `[vocabulary]`.
    ///
    /// # Errors
    /// A token that the model does not know.
    pub fn step(&mut self, token: u32, phase: Phase) -> Result<&[f32]> {
        self.decoder.embed(&[token], &mut self.scratch)?;
        self.angles.reach(&self.rotary, self.position);
        for (number, layer) in self.decoder.layers.iter().enumerate() {
            self.decoder.project(layer, 1, &mut self.scratch);
            self.policy
                .append(number, &self.scratch.keys, &self.scratch.values, self.position);
            for head in 0..self.decoder.config.shape.key_heads {
                self.attend(number, head, phase);
            }
            self.policy.settle(number, self.position);
            self.decoder.finish(layer, 1, &mut self.scratch);
        }
        self.position += 1;
        self.decoder.logits(1, &mut self.scratch);
        Ok(&self.scratch.logits)
    }

    /// Attention of the query heads that share a key-value head.
    fn attend(&mut self, layer: usize, head: usize, phase: Phase) {
        let shape = self.decoder.config.shape;
        let (group, dims, half) = (shape.group(), shape.head_dims, self.rotary.frequencies.len());
        let scale = 1.0 / (dims as f32).sqrt();
        let part = head * group * dims..(head + 1) * group * dims;
        let queries = &self.scratch.queries[part.clone()];
        let query = Query {
            vectors: queries,
            position: self.position,
            phase,
        };
        self.selection.clear();
        self.policy.select(layer, head, query, &mut self.selection);
        let (near, far) = (&self.selection.near, &self.selection.far);
        let slab = self.policy.slab(layer, head);
        self.probabilities.clear();
        let out = &mut self.scratch.attended[part];
        out.fill(0.0);
        for (query, out) in queries.chunks_exact(dims).zip(out.chunks_exact_mut(dims)) {
            self.near.clear();
            self.near.extend_from_slice(query);
            self.rotary.turn(self.position as f32, &mut self.near);
            self.far.clear();
            self.far.extend_from_slice(query);
            self.rotary.turn(self.selection.ceiling, &mut self.far);
            let first = self.probabilities.len();
            let near_scores = near.iter().map(|&slot| {
                let position = slab.positions()[slot as usize];
                let product = self
                    .angles
                    .dot(half, &self.near, slab.key(slot as usize), position);
                scale * product
            });
            let far_scores = far
                .iter()
                .map(|&slot| scale * dot(&self.far, slab.key(slot as usize)));
            self.probabilities.extend(near_scores.chain(far_scores));
            let row = &mut self.probabilities[first..];
            softmax(row);
            for (probability, slot) in row.iter().zip(near.iter().chain(far)) {
                let value = slab.value(*slot as usize);
                out.iter_mut()
                    .zip(value)
                    .for_each(|(out, value)| *out += probability * value);
            }
        }
        if self.policy.wants_probabilities() {
            self.policy
                .observe(layer, head, &self.selection, &self.probabilities);
        }
    }
}

/// Turns scores into probabilities.
pub(crate) fn softmax(scores: &mut [f32]) {
    let largest = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.0;
    for score in scores.iter_mut() {
        *score = (*score - largest).exp();
        sum += *score;
    }
    scores.iter_mut().for_each(|score| *score /= sum);
}
