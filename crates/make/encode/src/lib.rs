//! Text to vectors: sentence-transformers directories and static models.

mod compact;
mod directory;
mod error;
mod model;
mod options;
mod safetensors;
mod static_model;

pub use compact::write_compact;
pub use error::{Error, Result};
pub use model::Model;
pub use options::{Options, Task};
