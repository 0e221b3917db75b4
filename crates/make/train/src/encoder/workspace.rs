//! What the forward half keeps for the backward half, and the memory that both work in.

use kokeshi_kernels::{Buffer, MatmulScratch};

use super::side::SideScratch;

/// Memory of one thread, used again from chunk to chunk.
#[derive(Default)]
pub struct Workspace {
    /// Where each text's tokens start, and at the end how many there are.
    pub(super) starts: Vec<usize>,
    /// Layers that the last forward half ran.
    pub(super) layers: usize,
    /// The embeddings' norm.
    pub(super) embedded: Normed,
    /// What goes into the first block: `[tokens, hidden]`.
    pub(super) first: Buffer,
    pub(super) blocks: Vec<Kept>,
    pub(super) scratch: Scratch,
}

/// Rows before a norm's weight and bias, and one over their deviations.
#[derive(Default)]
pub(super) struct Normed {
    pub rows: Buffer,
    pub inverse: Vec<f32>,
}

impl Normed {
    pub fn resize(&mut self, tokens: usize, cols: usize) {
        self.rows.resize(tokens * cols);
        self.inverse.resize(tokens, 0.0);
    }
}

/// What a block keeps.
#[derive(Default)]
pub(super) struct Kept {
    /// Queries, keys and values: `[tokens, 3 hidden]`.
    pub joint: Buffer,
    /// What attention answers.
    pub context: Buffer,
    pub attention_norm: Normed,
    /// What goes into the feed-forward network.
    pub middle: Buffer,
    /// Inside it, before the activation: `[tokens, inner]`.
    pub inner: Buffer,
    pub norm: Normed,
    /// What comes out.
    pub out: Buffer,
}

/// Memory that keeps nothing.
#[derive(Default)]
pub(super) struct Scratch {
    pub matmul: MatmulScratch,
    pub attention: kokeshi_kernels::Scratch,
    pub side: SideScratch,
    /// After the activation: `[tokens, inner]`.
    pub active: Buffer,
    /// Gradients: of hidden states, twice; inside the feed-forward network; of queries, keys and values.
    pub hidden: Buffer,
    pub other: Buffer,
    pub inner: Buffer,
    pub joint: Buffer,
    /// Weights of one head and their gradients: `[len, len]`.
    pub weights: Buffer,
    pub dropped: Buffer,
    pub to_weights: Buffer,
    /// Biases by distance of a text: `[heads, 2 len - 1]`, and their gradients.
    pub bias: Vec<f32>,
}

impl Workspace {
    /// Makes room.
    pub(super) fn begin(&mut self, lens: impl Iterator<Item = usize>, layers: usize) -> usize {
        self.starts.clear();
        self.starts.push(0);
        let mut tokens = 0;
        for len in lens {
            tokens += len;
            self.starts.push(tokens);
        }
        self.layers = layers;
        if self.blocks.len() < layers {
            self.blocks.resize_with(layers, Kept::default);
        }
        tokens
    }

    /// The hidden states after `layer` blocks.
    pub(super) fn state(&self, layer: usize) -> &[f32] {
        match layer {
            0 => &self.first,
            layer => &self.blocks[layer - 1].out,
        }
    }
}
