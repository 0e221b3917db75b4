//! The description of an encoder: sizes, names of tensors, and which of the known parts it is put together from.

use kokeshi_kernels::{Activation, Mask};

use crate::position::PositionPlan;
use crate::word_layer::ByteWordsShape;

/// An encoder, as a family's file reads it from `config.json`.
pub(crate) struct Plan {
    /// What may stand before every tensor's name.
    pub(crate) prefix: &'static str,
    /// Width of a token's vector.
    pub(crate) hidden: usize,
    /// Rows of the token table.
    pub(crate) vocabulary: usize,
    /// The most tokens a text may have.
    pub(crate) longest: usize,
    /// What makes tokens of words' bytes; then the token table has the special ones alone.
    pub(crate) bytes: Option<ByteWordsShape>,
    /// The token table.
    pub(crate) words: String,
    /// Token type embeddings: their name and how many there are.
    pub(crate) types: Option<(String, usize)>,
    /// How tokens know where they are.
    pub(crate) positions: PositionPlan,
    /// The norm of what goes into the first block.
    pub(crate) first_norm: Option<NormPlan>,
    /// The blocks.
    pub(crate) blocks: Vec<BlockPlan>,
    /// The norm of what comes out, at whichever block.
    pub(crate) last_norm: Option<NormPlan>,
}

/// One block.
pub(crate) struct BlockPlan {
    /// Whether norms stand before attention and feed-forward network (and what goes round them is not normalised), or after the sums.
    pub(crate) pre_norm: bool,
    /// The norm of attention; `None`: nothing is normalised there.
    pub(crate) attention_norm: Option<NormPlan>,
    /// Attention.
    pub(crate) attention: AttentionPlan,
    /// The norm of the feed-forward network.
    pub(crate) norm: Option<NormPlan>,
    /// The feed-forward network.
    pub(crate) network: NetworkPlan,
}

/// Attention: heads, weights, mask.
pub(crate) struct AttentionPlan {
    /// Heads of queries.
    pub(crate) heads: usize,
    /// Heads of keys and values; a divisor of `heads`.
    pub(crate) key_heads: usize,
    /// Width of a head.
    pub(crate) head_dims: usize,
    /// Whether scores are divided by the root of that width.
    pub(crate) scaled: bool,
    /// Queries, keys and values.
    pub(crate) joint: Joint,
    /// The output.
    pub(crate) output: LinearPlan,
    /// Norms of each head's queries and keys, before they are turned.
    pub(crate) head_norms: Option<[NormPlan; 2]>,
    /// Who sees whom.
    pub(crate) mask: Mask,
    /// Which of the position plan's rotations turns queries and keys.
    pub(crate) rotation: Option<usize>,
}

/// How queries, keys and values are stored.
pub(crate) enum Joint {
    /// One tensor each.
    Separate([LinearPlan; 3]),
    /// All queries, then all keys, then all values, in one tensor.
    Fused(LinearPlan),
}

/// The feed-forward network.
pub(crate) struct NetworkPlan {
    /// Its width.
    pub(crate) inner: usize,
    /// The activation, of the gate if there is one.
    pub(crate) activation: Activation,
    /// The first layer.
    pub(crate) up: Up,
    /// The second.
    pub(crate) down: LinearPlan,
}

/// The first layer of a feed-forward network.
pub(crate) enum Up {
    /// `activation(x)`
    Plain(LinearPlan),
    /// `activation(gate(x)) * up(x)`
    Gated {
        /// The gate.
        gate: LinearPlan,
        /// What it is multiplied with.
        up: LinearPlan,
    },
    /// The same with both in one tensor, the gate first.
    GatedFused(LinearPlan),
}

/// A linear layer.
pub(crate) struct LinearPlan {
    /// What stands before `.weight` and `.bias`.
    pub(crate) name: String,
    /// Whether there is a bias.
    pub(crate) bias: bool,
    /// Whether its weights are `[inputs, outputs]`, as GPT-2's are, and not `[outputs, inputs]`.
    pub(crate) transposed: bool,
}

impl LinearPlan {
    /// A layer with a bias or without, stored as PyTorch does.
    pub(crate) fn new(name: String, bias: bool) -> Self {
        Self {
            name,
            bias,
            transposed: false,
        }
    }
}

/// A norm.
#[derive(Clone)]
pub(crate) struct NormPlan {
    /// What stands before `.weight` and `.bias`.
    pub(crate) name: String,
    /// Which one.
    pub(crate) kind: NormKind,
    /// What is added to variance or mean square.
    pub(crate) epsilon: f32,
}

/// The kinds of norms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NormKind {
    /// LayerNorm, with a bias or without.
    Layer { bias: bool },
    /// RMSNorm.
    Rms,
}
