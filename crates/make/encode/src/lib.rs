//! Text to vectors: sentence-transformers directories and static models.

mod bytes_to_words;
mod chunks;
mod compact;
mod directory;
mod download;
mod encoder;
mod error;
mod family;
mod heads;
mod hub;
mod model;
mod naming;
mod options;
mod pooling;
mod position;
mod prompts;
mod rerank;
mod router;
mod safetensors;
mod sparse;
mod static_model;
mod trainable;
mod trained;
mod transformer;

pub use bytes_to_words::{ByteWordsShape, WORD_BYTES, word_bytes, words};
pub use compact::write_compact;
pub use error::{Error, Result};
pub use hub::model_folder;
pub use model::Model;
pub use options::{LoadOptions, Options, Position, Precision, Task};
pub use pooling::train::{Cross, CrossKind, TrainPooling};
pub use rerank::Reranker;
pub use safetensors::safetensors_bytes;
pub use sparse::SparseModel;
pub use trainable::{Buckets, EncoderShape, TensorPlace, Trainable};
