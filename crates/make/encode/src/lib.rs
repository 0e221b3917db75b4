//! Text to vectors: sentence-transformers directories and static models.

mod compact;
mod directory;
mod download;
mod encoder;
mod error;
mod family;
mod heads;
mod hub;
mod model;
mod options;
mod pooling;
mod position;
mod prompts;
mod safetensors;
mod static_model;
mod transformer;

pub use compact::write_compact;
pub use error::{Error, Result};
pub use model::Model;
pub use options::{LoadOptions, Options, Position, Precision, Task};
