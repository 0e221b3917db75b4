//! The ground floor of Kokeshi: matrices of embeddings, distances, top-k, sizes, seeds, progress and file formats.
//!
//! Everything above imports this crate and this crate imports nothing of ours.
//!
//! | module | what it holds |
//! |---|---|
//! | [`embeddings`] | [`Embeddings`]: a row-major f32 matrix, owned or memory-mapped |
//! | [`distance`] | dot, squared L2, cosine and Hamming kernels, each with a scalar twin |
//! | [`metric`] | [`Metric`]: which of them compares two vectors, and the "larger is better" score |
//! | [`topk`] | [`TopK`]: the best k of a stream without sorting all of it |
//! | [`bitmap`] | [`Bitmap`]: a set of row numbers |
//! | [`size`] | [`Size`]: layers x dims x bits |
//! | [`seed`] | [`Seed`]: every random choice starts from one |
//! | [`progress`] | [`Progress`]: how long work reports what it has done |
//! | [`file`] | checksummed, atomically written files |
//! | [`npy`] | NumPy arrays in and out |
//! | [`error`] | [`Error`]: what was expected, what was found, where |

#[cfg(target_endian = "big")]
compile_error!("Kokeshi maps little-endian files into memory and needs a little-endian machine");

pub mod bitmap;
pub mod distance;
pub mod embeddings;
pub mod error;
pub mod file;
pub mod metric;
pub mod npy;
pub mod progress;
pub mod seed;
pub mod size;
pub mod topk;

pub use bitmap::Bitmap;
pub use embeddings::Embeddings;
pub use error::{Error, Result};
pub use metric::Metric;
pub use progress::{Progress, Silent};
pub use seed::Seed;
pub use size::Size;
pub use topk::{Scored, TopK};
