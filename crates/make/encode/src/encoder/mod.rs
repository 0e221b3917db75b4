//! The encoder: token ids in, the vectors of a layer out, for many texts laid end to end without padding.
//!
//! | file | what it holds |
//! |---|---|
//! | [`plan`] | the description of an encoder that the files of [`crate::family`] fill in |
//! | [`parts`] | tensors by name: linear layers, norms |
//! | [`block`] | one block: attention and a feed-forward network |
//! | [`stack`] | embeddings, blocks, last norm |

pub(crate) mod block;
pub(crate) mod parts;
pub(crate) mod plan;
pub(crate) mod stack;

pub(crate) use parts::Parts;
pub(crate) use stack::{Encoder, Keep, Scratch, Text};
