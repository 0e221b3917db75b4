//! Text to token ids, with byte offsets: any Hugging Face `tokenizer.json`, and a fast path for BERT's WordPiece that gives the same ids.

mod error;
mod general;
mod learn;
mod pair;
mod tokenizer;
mod vocabulary;
mod wordpiece;

pub use error::{Error, Result};
pub use learn::{SPECIAL, learn_wordpiece};
pub use pair::PairTemplate;
pub use tokenizer::{Encoding, Tokenizer};
pub use wordpiece::WordPieceOptions;
