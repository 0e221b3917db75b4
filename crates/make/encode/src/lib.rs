//! Text to vectors: sentence-transformers directories and static models.

mod directory;
mod error;
mod model;
mod options;
mod safetensors;
mod static_model;

pub use error::{Error, Result};
pub use model::Model;
pub use options::{Options, Task};
