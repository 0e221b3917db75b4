//! BERT's tokenizer (normaliser, pre-tokenizer and WordPiece in one pass): the ids and byte ranges that the Hugging Face crate gives.

mod characters;
mod description;
mod encode;
mod options;

pub(crate) use description::read;
pub(crate) use encode::WordPiece;
pub use options::WordPieceOptions;
