//! What a cache policy is: what it keeps of the tokens so far, and what each step looks at.

use crate::slab::Slab;

/// Whether the tokens of a prompt are read, or new ones are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading the prompt.
    Prefill,
    /// Making tokens one by one.
    Decode,
}

/// The query heads that share a key-value head, at one token.
#[derive(Debug, Clone, Copy)]
pub struct Query<'a> {
    /// The queries before their rotation: `[group, head_dims]`.
    pub vectors: &'a [f32],
    /// The token's position.
    pub position: u32,
    /// What the token is part of.
    pub phase: Phase,
}

/// Which slots of a slab a step attends to; one softmax runs over both lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Slots that are seen at their true distance.
    pub near: Vec<u32>,
    /// Slots that are seen at the distance `ceiling`, whatever their true one is.
    pub far: Vec<u32>,
    /// The distance of those.
    pub ceiling: f32,
}

impl Selection {
    /// All slots of a slab at their true distance.
    pub fn all(&mut self, slab: &Slab) {
        self.clear();
        self.near.extend(0..slab.len() as u32);
    }

    /// Nothing.
    pub fn clear(&mut self) {
        self.near.clear();
        self.far.clear();
    }
}

/// A cache of keys and values that decides what it keeps and what is looked at. One file a policy.
///
/// At every token and layer the decoder calls [`KvPolicy::append`], then for each key-value head [`KvPolicy::select`] and, where
/// [`KvPolicy::wants_probabilities`], [`KvPolicy::observe`]; last [`KvPolicy::settle`]. Keys are kept before their rotation, so that a policy
/// or another rotary base can look at them at other distances without reading the text again.
pub trait KvPolicy {
    /// Takes in a token: keys (before their rotation) and values are `[key_heads, head_dims]`.
    fn append(&mut self, layer: usize, keys: &[f32], values: &[f32], position: u32);

    /// Writes what the queries of a key-value head attend to; never nothing, since the token itself was appended.
    fn select(&mut self, layer: usize, head: usize, query: Query<'_>, selection: &mut Selection);

    /// Whether [`KvPolicy::observe`] is to be called.
    fn wants_probabilities(&self) -> bool {
        false
    }

    /// Learns what a step attended to: `probabilities` is `[group, near + far]`, in the order of the selection.
    fn observe(&mut self, _layer: usize, _head: usize, _selection: &Selection, _probabilities: &[f32]) {}

    /// Ends a layer's step: the place to drop tokens.
    fn settle(&mut self, _layer: usize, _position: u32) {}

    /// What a head keeps.
    fn slab(&self, layer: usize, head: usize) -> &Slab;

    /// Bytes of what is kept, with all that the policy notes beside it.
    fn bytes(&self) -> usize;

    /// The positions that a head keeps.
    fn live(&self, layer: usize, head: usize) -> &[u32] {
        self.slab(layer, head).positions()
    }
}
