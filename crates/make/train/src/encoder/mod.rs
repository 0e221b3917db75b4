//! An encoder of BERT's kind with the way back: the same blocks that `kokeshi-encode` runs, over texts laid end to end without padding.
//!
//! The tape of [`crate::tape`] is for losses, whose values are small. Here every product is written out: activations live in a
//! [`Workspace`] that is used again from step to step, so that nothing is allocated once it has grown.
//!
//! | file | what it holds |
//! |---|---|
//! | `layout` | where each tensor's values are |
//! | `workspace` | what the forward half keeps |
//! | `forward` | embeddings, blocks |
//! | `backward` | the same in reverse |
//! | `attention` | both halves of attention |
//! | `pool` | both halves of pooling |
//! | `dropout` | what is left out at random, the same each time it is asked |
//! | `side` | what an adapter's dropout adds |
//! | `words` | words that are made of bytes before the encoder runs, both halves |
//! | `masked` | the head and the decoder that find masked tokens, both halves |

mod attention;
mod backward;
mod dropout;
mod forward;
mod layout;
mod masked;
mod pool;
mod side;
mod words;
mod workspace;

pub use dropout::Dropout;
pub(crate) use layout::{Layout, ParamRole};
pub(crate) use masked::{Counts, Lessons, MaskedWorkspace};
pub(crate) use side::Side;
pub(crate) use words::{MadeWords, WordInput};
pub use workspace::Workspace;

use kokeshi_encode::{EncoderShape, TrainPooling, Trainable, WordIds};
use kokeshi_kernels::Level;

use crate::pooling::CrossPooling;

/// The tokens of one text, and its number in the batch.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Token ids, special ones included; at least one.
    pub ids: &'a [u32],
    /// Its number in the batch: what is left out at random depends on it, and not on the chunk in which the text is run.
    pub number: usize,
}

/// The parameters of an encoder and how they are run.
pub struct Encoder {
    pub(crate) level: Level,
    pub(crate) shape: EncoderShape,
    pub(crate) layout: Layout,
    pub(crate) pooling: TrainPooling,
    pub(crate) cross: Option<CrossPooling>,
    /// If it makes its words of bytes.
    pub(crate) words: Option<WordInput>,
    /// All tensors end to end, in the order of [`Trainable::tensors`], then those of the pooling.
    pub(crate) values: Vec<f32>,
    /// If an adapter's input has dropout.
    pub(crate) side: Option<Side>,
}

impl Encoder {
    /// With the values of a model that was loaded.
    pub fn new(model: &Trainable) -> Self {
        let (hidden, layers) = (model.shape.hidden, model.shape.layers);
        let cross = model.cross.map(|cross| CrossPooling::new(cross, hidden, layers));
        Self {
            level: Level::best(),
            shape: model.shape.clone(),
            layout: Layout::new(&model.shape, cross.as_ref()),
            pooling: model.pooling,
            cross,
            words: model.shape.bytes.map(WordInput::new),
            values: model.values.clone(),
            side: None,
        }
    }

    /// Reads these words: ids behind the special tokens' are theirs. Only for encoders that make words of bytes, others have a vocabulary.
    pub fn reading(mut self, words: &WordIds) -> Self {
        if let Some(input) = &mut self.words {
            input.known = words.words().to_vec();
        }
        self
    }

    /// How many ids there are.
    pub(crate) fn ids(&self) -> usize {
        let known = self.words.as_ref().map_or(0, |input| input.known.len());
        self.shape.vocabulary + known
    }

    /// The sizes.
    pub fn shape(&self) -> &EncoderShape {
        &self.shape
    }

    /// All parameters, in the order of [`Trainable::tensors`].
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All parameters.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// Zeros for the gradients of all parameters.
    pub fn gradient(&self) -> Gradient {
        Gradient {
            dense: vec![0.0; self.layout.total - self.layout.words.len()],
            rows: Vec::new(),
            side: Vec::new(),
            fresh: true,
        }
    }
}

/// The gradients that one thread found.
pub struct Gradient {
    /// Of all tensors but the token table.
    pub(crate) dense: Vec<f32>,
    /// Of the token table's rows that the batch uses, by their slots: `[slots, hidden]`.
    pub(crate) rows: Vec<f32>,
    /// Of an adapter's factors, as far as they come from its dropout.
    pub(crate) side: Vec<f32>,
    /// Whether the next chunk is the first: what stands in `dense` is then written over.
    pub(crate) fresh: bool,
}

impl Gradient {
    /// Begins a step in which `slots` rows of the token table are used.
    pub fn begin(&mut self, slots: usize, hidden: usize) {
        self.fresh = true;
        self.rows.clear();
        self.rows.resize(slots * hidden, 0.0);
        self.side.fill(0.0);
    }

    /// Of all tensors but the token table.
    pub fn dense(&self) -> &[f32] {
        &self.dense
    }

    /// Of the rows of the token table, by slot.
    pub fn rows(&self) -> &[f32] {
        &self.rows
    }
}
